//! Rules about programs that compute.

use plait_trace::{Sight, State};

use super::gil::WAITING;
use super::{Ground, Rule, go_parallel, mostly};
use crate::units::{number, share as percent, times};
use crate::verdicts::confidence::Case;

use crate::verdicts::verdict::{Evidence, Word};
use crate::verdicts::window::{ratio, share};

/// The GIL is held for this share of the time by a program that computes under it.
const HELD: f64 = 0.7;
/// Of the time in which it is held, Python code has it for this share, or else native code.
const MOST: f64 = 0.5;
/// The GIL is held for less than this share of the time by a program whose native code releases it.
const HARDLY_HELD: f64 = 0.3;
/// Of the time in which threads compute, they are in native code without the GIL for this share.
const RELEASED: f64 = 0.5;
/// So many threads are there at a time, on average.
const AT_LEAST: f64 = 0.25;
/// Threads that wait for locks for this share of their time are not held up by what they compute.
pub(super) const LOCKED: f64 = 0.4;
/// A free-threaded program computes if so many threads run on average.
const RUNNING: f64 = 0.3;

/// One thread at a time has the GIL.
fn alone(ground: &Ground<'_>) -> Option<Case> {
    let looks = ground.group.samples;
    ground.has_gil().then(|| {
        Case::new()
            .at_least(
                "share of the time the GIL was held, or would have been with a processor",
                ground.claimed(),
                HELD,
                0.1,
            )
            .of(looks)
    })
}

/// Of the time in which somebody had the GIL, the share of Python code.
fn python(ground: &Ground<'_>) -> f64 {
    share(ground.group.totals.gil.python, ground.group.totals.gil.held)
}

/// How few threads waited for the GIL.
fn hardly_waited(ground: &Ground<'_>) -> String {
    match ground.waiting() {
        waiting if waiting < 0.005 => "nobody waited for it".to_owned(),
        waiting if waiting < WAITING => format!("{} threads waited for it on average", number(waiting)),
        waiting => format!(
            "{} threads waited for it on average that hardly used it: each time they do, they wait for their turn",
            number(waiting)
        ),
    }
}

/// What of the time there was no processor for whoever would have had the GIL.
fn starved(ground: &Ground<'_>) -> String {
    match share(ground.group.totals.gil.starved, ground.group.totals.seen_gil) {
        share if share < 0.05 => String::new(),
        share => format!(" For another {} of the time it had no processor.", percent(share)),
    }
}

/// One thread at a time runs Python code.
pub(super) struct PythonCpuBound<'a> {
    pub ground: Ground<'a>,
}

impl Rule for PythonCpuBound<'_> {
    fn word(&self) -> Word {
        Word::PythonCpuBound
    }

    fn case(&self) -> Option<Case> {
        let alone = alone(&self.ground)?.below(
            "threads waiting for the GIL that make use of it",
            self.ground.contending(),
            WAITING,
            0.2,
        );
        Some(alone.at_least("share of that in Python code", python(&self.ground), MOST, 0.2))
    }

    /// Who loses its processor in Python code keeps the GIL. Where it is hardly held, most of the claim is reckoned.
    fn most(&self) -> f64 {
        if self.ground.held() < HARDLY_HELD { 0.55 } else { 1.0 }
    }

    fn sentence(&self) -> String {
        let native = 1.0 - python(&self.ground);
        let native = match native >= 0.05 {
            true => format!(", {} of that in native code or the collector", percent(native)),
            false => String::new(),
        };
        let each = if self.ground.is_several() { "In each process one" } else { "One" };
        format!(
            "{each} thread at a time runs Python code: the GIL was held {} of the time{native}, and {}.{}{}",
            percent(self.ground.held()),
            hardly_waited(&self.ground),
            starved(&self.ground),
            mostly(self.ground.spot(|state| state.holds_gil()).as_ref()),
        )
    }

    fn remedy(&self) -> String {
        go_parallel(&self.ground)
    }

    fn evidence(&self) -> Vec<Evidence> {
        self.ground.spot(|state| state.holds_gil()).into_iter().map(|(_, evidence)| evidence).collect()
    }
}

/// One thread at a time is in native code that keeps the GIL, and nobody waits for it.
pub(super) struct NativeHolding<'a> {
    pub ground: Ground<'a>,
}

impl Rule for NativeHolding<'_> {
    fn word(&self) -> Word {
        Word::NativeHolding
    }

    fn case(&self) -> Option<Case> {
        let alone = alone(&self.ground)?.below("threads waiting for the GIL", self.ground.waiting(), WAITING, 0.2);
        Some(alone.below("share of that in Python code", python(&self.ground), MOST, 0.2))
    }

    /// A holder that lost its processor looks the same.
    fn most(&self) -> f64 {
        let own = self.ground.survey.hogs.iter().filter(|hog| hog.group == self.ground.place);
        let is_named = own.into_iter().any(|hog| hog.function.is_some() || hog.blocked > 0.0);
        if self.ground.is_crowded() && !is_named { 0.55 } else { 1.0 }
    }

    fn sentence(&self) -> String {
        let gil = &self.ground.group.totals.gil;
        let native = share(gil.native + gil.blocked + gil.gc, self.ground.group.totals.seen_gil);
        let own = self.ground.survey.hogs.iter().filter(|hog| hog.group == self.ground.place);
        let own = own.filter(|hog| hog.function.is_some() || hog.spot.is_some());
        let most = own
            .max_by(|a, b| a.seconds.total_cmp(&b.seconds))
            .map(|hog| super::called_from(hog.function.as_deref(), hog.spot.as_ref()));
        let most = most.map(|what| format!(", most of it {}", what.trim_end_matches(','))).unwrap_or_default();
        format!(
            "Native code kept the GIL for {} of the time{most}, and {}: other threads would have to wait.",
            percent(native),
            hardly_waited(&self.ground),
        )
    }

    fn remedy(&self) -> String {
        go_parallel(&self.ground)
    }

    fn evidence(&self) -> Vec<Evidence> {
        crate::verdicts::hogs::evidence(self.ground.survey, self.ground.place, |_| true, 3)
    }
}

/// Native code runs without the GIL.
pub(super) struct NativeReleasing<'a> {
    pub ground: Ground<'a>,
}

impl NativeReleasing<'_> {
    fn threads(&self) -> f64 {
        ratio(self.ground.group.totals.native, self.ground.seen())
    }

    /// Of what is computed, the share that needs the GIL.
    fn serial(&self) -> f64 {
        let totals = &self.ground.group.totals;
        share(totals.gil.held, totals.gil.held + totals.native)
    }
}

impl Rule for NativeReleasing<'_> {
    fn word(&self) -> Word {
        Word::NativeReleasing
    }

    fn case(&self) -> Option<Case> {
        let totals = &self.ground.group.totals;
        let looks = self.ground.group.samples;
        self.ground.has_gil().then(|| {
            Case::new()
                .at_least(
                    "share of the computing threads' time in native code",
                    share(totals.native, totals.computing),
                    RELEASED,
                    0.15,
                )
                .of(looks)
                .at_least("threads in native code", self.threads(), AT_LEAST, 0.1)
                .below("share of the time the GIL was held", self.ground.held(), HARDLY_HELD, 0.1)
                .of(looks)
                .below("share of the busy threads' time waiting for locks", self.ground.locks(), LOCKED, 0.1)
        })
    }

    fn sentence(&self) -> String {
        let each = if self.ground.is_several() { " in each process" } else { "" };
        format!(
            "Native code ran without the GIL{each}, on {} threads on average; the GIL was held {} of the time.{}",
            number(self.threads()),
            percent(self.ground.held()),
            mostly(self.ground.spot(|state| state == State::Native).as_ref()),
        )
    }

    fn remedy(&self) -> String {
        let tree = &self.ground.survey.tree;
        if tree.allowed() < 1.5 || self.ground.uses_all_processors() {
            return go_parallel(&self.ground);
        }
        let most = ratio(1.0, self.serial());
        let most = if most > 0.0 { most.min(tree.allowed()) } else { tree.allowed() };
        let bound = match self.serial() {
            serial if serial >= 0.005 => format!(", for {} of the work needs the GIL", percent(serial)),
            _ => String::new(),
        };
        format!(
            "Threads help: plait.map(fn, items, backend=\"threads\"), or ThreadPoolExecutor: up to {} as fast as one thread \
             here{bound}.",
            times(most),
        )
    }

    fn evidence(&self) -> Vec<Evidence> {
        self.ground.spot(|state| state == State::Native).into_iter().map(|(_, evidence)| evidence).collect()
    }
}

/// A free-threaded Python computes.
pub(super) struct FreeThreaded<'a> {
    pub ground: Ground<'a>,
}

impl FreeThreaded<'_> {
    fn running(&self) -> f64 {
        let totals = &self.ground.group.totals;
        ratio(totals.attached + totals.native, totals.seen)
    }
}

impl Rule for FreeThreaded<'_> {
    fn word(&self) -> Word {
        Word::FreeThreaded
    }

    fn case(&self) -> Option<Case> {
        let free = self.ground.processes().any(|process| process.track.process.sight == Sight::FreeThreaded);
        free.then(|| Case::new().at_least("threads that run", self.running(), RUNNING, 0.1))
    }

    fn sentence(&self) -> String {
        let totals = &self.ground.group.totals;
        format!(
            "There is no GIL in this build: {} threads were attached to the interpreter on average, {} of {} processors were \
             in use.{}",
            number(ratio(totals.attached, totals.seen)),
            number(self.ground.cpu()),
            number(self.ground.survey.tree.allowed()),
            mostly(self.ground.spot(|state| state == State::Attached).as_ref()),
        )
    }

    fn remedy(&self) -> String {
        match self.ground.uses_all_processors() || self.ground.survey.tree.allowed() < 1.5 {
            true => "All processors that it may use are in use: make the work itself cheaper.".to_owned(),
            false => {
                "Threads compute side by side here: plait.map(fn, items, backend=\"threads\") with as many workers as \
                      plait.cpu_count() says."
                    .to_owned()
            }
        }
    }

    fn evidence(&self) -> Vec<Evidence> {
        self.ground.spot(|state| state == State::Attached).into_iter().map(|(_, evidence)| evidence).collect()
    }
}
