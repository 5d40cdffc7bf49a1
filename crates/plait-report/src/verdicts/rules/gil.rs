//! Rules about who has the GIL while others wait for it.

use super::{Ground, Rule, called_from, go_parallel, of_time};
use crate::units::{count, number, seconds, share as percent};
use crate::verdicts::confidence::Case;
use crate::verdicts::hogs::{Hog, evidence};
use crate::verdicts::verdict::{Evidence, Word};
use crate::verdicts::window::share;

/// Holds that are noticed are worth a verdict from this share of the time on.
const WORTH: f64 = 0.01;
/// Native code that keeps the GIL from others for this share of the time is a hog, however short each hold.
const MUCH: f64 = 0.1;

/// The GIL is in demand for this share of the time…
const IN_DEMAND: f64 = 0.8;
/// …and so many threads wait for it.
pub(super) const WAITING: f64 = 0.5;

/// What kept the GIL in a group, what others waited for longest first.
struct Keepers(Vec<Hog>);

impl Keepers {
    fn of(ground: &Ground<'_>, gc: bool) -> Self {
        let own = ground.survey.hogs.iter().filter(|hog| hog.group == ground.place && hog.is_gc == gc);
        Self(own.cloned().collect())
    }

    fn sum(&self, of: impl Fn(&Hog) -> f64) -> f64 {
        self.0.iter().map(of).sum()
    }

    fn noticed(&self) -> u64 {
        self.0.iter().map(|hog| hog.noticed).sum()
    }

    fn longest(&self) -> f64 {
        self.0.iter().map(|hog| hog.longest).fold(0.0, f64::max)
    }
}

/// Native code keeps the GIL while others wait.
pub(super) struct GilHog<'a> {
    ground: Ground<'a>,
    keepers: Keepers,
}

impl<'a> GilHog<'a> {
    pub fn of(ground: Ground<'a>) -> Self {
        Self { ground, keepers: Keepers::of(&ground, false) }
    }

    /// Seconds of native code that others waited for, short holds included.
    fn waited_for(&self) -> f64 {
        self.keepers.sum(|hog| if hog.waited > 0.0 { hog.seconds } else { 0.0 })
    }
}

impl Rule for GilHog<'_> {
    fn word(&self) -> Word {
        Word::GilHog
    }

    fn case(&self) -> Option<Case> {
        if !self.ground.has_gil() {
            return None;
        }
        let whole = self.ground.seen();
        let noticed = share(self.keepers.sum(|hog| hog.noticed_seconds), whole);
        let single = Case::new()
            .at_least("share of the time kept from others, 20 ms or more at a time", noticed, WORTH, 0.03)
            .of(self.ground.group.samples);
        let waited = self.keepers.sum(|hog| hog.waited);
        let much = Case::new()
            .at_least("share of the time kept from others", share(self.waited_for(), whole), MUCH, 0.05)
            .of(self.ground.group.samples)
            .at_least("threads waiting meanwhile", share(waited, self.waited_for()), 0.1, 0.2);
        Some(if single.margin() >= much.margin() { single } else { much })
    }

    fn most(&self) -> f64 {
        let is_named = self.keepers.0.iter().any(|hog| hog.noticed > 0 && hog.function.is_some());
        let is_crowded = self.ground.is_crowded();

        match self.keepers.noticed() {
            _ if is_crowded && !is_named => 0.55,
            0 | 1 => 0.7,
            _ if !is_named => 0.9,
            _ => 1.0,
        }
    }

    fn sentence(&self) -> String {
        let Some(hog) = self.keepers.0.first() else { return String::new() };
        let times = match hog.noticed {
            0 => format!("{} in all", seconds(hog.seconds)),
            1 => format!("once, for {}", seconds(hog.longest)),
            times => {
                format!("{times} times, up to {} at a time and {} in all", seconds(hog.longest), seconds(hog.seconds))
            }
        };
        let others = match self.keepers.0.iter().skip(1).filter(|hog| hog.noticed > 0).count() {
            0 => String::new(),
            others => format!(
                " {} did so, too: {} more in all.",
                count(others, "other call"),
                seconds(self.keepers.sum(|hog| hog.noticed_seconds) - hog.noticed_seconds)
            ),
        };
        let asleep = if hog.blocked > 0.5 * hog.seconds { ", asleep in a system call," } else { "" };
        let what = called_from(hog.function.as_deref(), hog.spot.as_ref());
        let what = capitalized(&what);
        let waited = seconds(self.keepers.sum(|hog| hog.waited));
        let of = of_time(&self.ground);
        format!(
            "{what} kept the GIL{asleep} while others waited: {times}, of {of}.{others} They waited {waited} for it."
        )
    }

    fn remedy(&self) -> String {
        let asleep = self.keepers.0.first().is_some_and(|hog| hog.blocked > 0.5 * hog.seconds);
        let pieces = match asleep {
            true => "Its author can release the GIL around the system call (Py_BEGIN_ALLOW_THREADS).",
            false => "Or call it on smaller pieces, so that others get their turn between them.",
        };
        match self.ground.survey.tree.allowed() < 1.5 {
            true => pieces.to_owned(),
            false => format!(
                "Run it in another process, where it has a GIL of its own: plait.map(fn, items, backend=\"processes\"), or \
                 the standard library's ProcessPoolExecutor; a thread is not enough. {pieces}"
            ),
        }
    }

    fn evidence(&self) -> Vec<Evidence> {
        evidence(self.ground.survey, self.ground.place, |hold| !hold.is_gc && hold.waited > 0, 3)
    }
}

fn capitalized(text: &str) -> String {
    // The name of a C function stays as it is.
    match text.strip_prefix("native code") {
        Some(rest) => format!("Native code{rest}"),
        None => text.to_owned(),
    }
}

/// Garbage collection keeps the GIL while others wait, or takes a good part of the time.
pub(super) struct GcPause<'a> {
    ground: Ground<'a>,
    keepers: Keepers,
}

impl<'a> GcPause<'a> {
    pub fn of(ground: Ground<'a>) -> Self {
        Self { ground, keepers: Keepers::of(&ground, true) }
    }
}

impl Rule for GcPause<'_> {
    fn word(&self) -> Word {
        Word::GcPause
    }

    fn case(&self) -> Option<Case> {
        if !self.ground.has_gil() {
            return None;
        }
        let whole = self.ground.seen();
        let (noticed, all) = (self.keepers.sum(|hog| hog.noticed_seconds), self.keepers.sum(|hog| hog.seconds));
        let paused = Case::new()
            .at_least(
                "share of the time in collections of 20 ms or more that others waited for",
                share(noticed, whole),
                WORTH,
                0.02,
            )
            .of(self.ground.group.samples);
        let much = Case::new()
            .at_least("share of the time in collections", share(all, whole), MUCH, 0.05)
            .of(self.ground.group.samples);
        Some(if paused.margin() >= much.margin() { paused } else { much })
    }

    fn most(&self) -> f64 {
        if self.keepers.sum(|hog| hog.times as f64) < 2.0 { 0.7 } else { 1.0 }
    }

    fn sentence(&self) -> String {
        let waited = self.keepers.sum(|hog| hog.waited);
        let others = match waited >= 0.001 {
            true => format!(" Others waited {} for it.", seconds(waited)),
            false => String::new(),
        };
        let spot = self.keepers.0.iter().find_map(|hog| hog.spot.as_ref());
        let spot = spot.map(|spot| format!(", mostly out of {spot}")).unwrap_or_default();
        let times = self.keepers.sum(|hog| hog.times as f64) as usize;
        format!(
            "Garbage collection kept the GIL {}, up to {} and {} of {} in all{spot}.{others}",
            count(times, "time"),
            seconds(self.keepers.longest()),
            seconds(self.keepers.sum(|hog| hog.seconds)),
            of_time(&self.ground),
        )
    }

    fn remedy(&self) -> String {
        "Collect less: gc.freeze() once the program's data is loaded, larger gc.set_threshold(), or gc.disable() where \
         nothing makes cycles, and gc.collect() when nobody waits."
            .to_owned()
    }

    fn evidence(&self) -> Vec<Evidence> {
        evidence(self.ground.survey, self.ground.place, |hold| hold.is_gc, 3)
    }
}

/// Threads take turns with the GIL.
pub(super) struct GilContention<'a> {
    pub ground: Ground<'a>,
}

impl Rule for GilContention<'_> {
    fn word(&self) -> Word {
        Word::GilContention
    }

    fn case(&self) -> Option<Case> {
        let gil = &self.ground.group.totals.gil;
        let looks = self.ground.group.samples;
        self.ground.has_gil().then(|| {
            let demand = share(gil.held + gil.lost + gil.starved, self.ground.group.totals.seen_gil);
            Case::new()
                .at_least(
                    "share of the time the GIL was held, wanted, or would have been held with a processor",
                    demand,
                    IN_DEMAND,
                    0.1,
                )
                .of(looks)
                .at_least("share of the time the GIL was held", self.ground.held(), 0.5, 0.15)
                .of(looks)
                .at_least("threads waiting for the GIL that make use of it", self.ground.contending(), WAITING, 0.25)
        })
    }

    fn sentence(&self) -> String {
        let gil = &self.ground.group.totals.gil;
        let lost = share(gil.lost, self.ground.group.totals.seen_gil);
        let lost = match lost >= 0.05 {
            true => format!(" For {} of the time somebody waited for it and nobody had it yet.", percent(lost)),
            false => String::new(),
        };
        let handoffs = match gil.handoffs {
            Some(handoffs) if handoffs >= 1.0 => {
                let unseen = gil.unseen_handoffs.filter(|unseen| *unseen >= 1.0);
                let unseen = unseen.map(|unseen| format!(", {} of them between two looks", number(unseen)));
                format!(" It changed hands {} times a second{}.", number(handoffs), unseen.unwrap_or_default())
            }
            _ => String::new(),
        };
        let each = if self.ground.is_several() { " in each process" } else { "" };
        format!(
            "Threads took turns with the GIL{each}: it was held {} of the time, and {} waited for it on average.{lost}{handoffs}",
            percent(self.ground.held()),
            threads(self.ground.waiting()),
        )
    }

    fn remedy(&self) -> String {
        let fewer = "Fewer threads would do the same work.";
        format!("{fewer} {}", go_parallel(&self.ground))
    }

    fn evidence(&self) -> Vec<Evidence> {
        self.ground.spot(|state| state.holds_gil()).into_iter().map(|(_, evidence)| evidence).collect()
    }
}

fn threads(mean: f64) -> String {
    let text = number(mean);
    if text == "1.0" { "1.0 thread".to_owned() } else { format!("{text} threads") }
}
