//! What is said where no cause is found.

use plait_trace::Sight;

use super::event_loop::doing;
use super::{Ground, Rule};
use crate::plain_text::one_line;
use crate::units::{count, number, seconds, share as percent};
use crate::verdicts::confidence::Case;
use crate::verdicts::survey::{ENOUGH, ENOUGH_LOOKS, Survey};
use crate::verdicts::thread::ThreadSurvey;
use crate::verdicts::verdict::{Evidence, Word};
use crate::verdicts::window::{self, ratio, share};

/// A program that uses fewer processors does nothing to speak of.
const USED: f64 = 0.1;
/// A process that uses so many does something.
const STIRS: f64 = 0.01;
/// That there is no single cause is never sure: the next recording may show one.
const RESIDUE: f64 = 0.75;

/// None of the causes explains most of the time.
pub(super) struct Mixed<'a> {
    pub ground: Ground<'a>,
    /// The rule that holds best, and how far it is from holding.
    pub nearest: Option<(Word, f64)>,
}

impl Rule for Mixed<'_> {
    fn word(&self) -> Word {
        Word::Mixed
    }

    fn case(&self) -> Option<Case> {
        Some(Case::new())
    }

    /// Close to a cause, it may well be that.
    fn most(&self) -> f64 {
        let distance = self.nearest.map_or(1.0, |(_, margin)| -margin);
        let most = if self.ground.has_gil() { RESIDUE } else { 0.55 };
        (0.5 + 0.5 * distance.clamp(0.0, 1.0)).min(most)
    }

    fn sentence(&self) -> String {
        let totals = &self.ground.group.totals;
        let gil = &totals.gil;
        let of_gil = |part| percent(share(part, totals.seen_gil));
        let mut parts = Vec::new();
        if self.ground.has_gil() {
            let native = gil.native + gil.blocked + gil.gc;
            parts.push(format!(
                "the GIL was held {} of the time (Python code {}, native code {})",
                of_gil(gil.held),
                of_gil(gil.python),
                of_gil(native),
            ));
        }
        let threads = [
            (self.ground.waiting(), "waited for it"),
            (ratio(totals.native, totals.seen), "ran native code without it"),
            (ratio(totals.attached, totals.seen), "ran Python code"),
        ];
        let some = threads.iter().filter(|(threads, _)| *threads >= 0.005);
        parts.extend(some.map(|(threads, what)| format!("{} threads {what}", number(*threads))));
        let waits =
            [(share(totals.io, totals.busy), "the network, files, events or time"), (self.ground.locks(), "locks")];
        let some = waits.iter().filter(|(part, _)| *part >= 0.005);
        parts.extend(
            some.map(|(part, what)| format!("busy threads waited {} of their time for {what}", percent(*part))),
        );
        parts.push(format!("{} processors were in use", number(self.ground.cpu())));
        let near = match self.nearest {
            Some((word, margin)) if margin > -0.5 => format!(" Closest to: {}.", word.title()),
            _ => String::new(),
        };
        format!("No single cause: {}.{near}", parts.join("; "))
    }

    fn remedy(&self) -> String {
        "Record a part of the run that does one thing, or look at its lanes. plait.map(fn, items) measures each function and \
         chooses for it."
            .to_owned()
    }

    fn evidence(&self) -> Vec<Evidence> {
        self.ground.spot(|_| true).into_iter().map(|(_, evidence)| evidence).collect()
    }
}

/// A process does something, but who has its GIL cannot be seen.
pub(super) struct Unseen<'a> {
    pub ground: Ground<'a>,
}

impl Rule for Unseen<'_> {
    fn word(&self) -> Word {
        Word::Unseen
    }

    fn case(&self) -> Option<Case> {
        let hidden = self
            .ground
            .processes()
            .all(|process| matches!(process.track.process.sight, Sight::Kernel | Sight::Nothing));
        hidden.then(|| Case::new().at_least("processors in use", self.used(), STIRS, 0.05))
    }

    fn sentence(&self) -> String {
        let process = self.ground.processes().next().map(|process| &process.track.process);
        let why = process.and_then(|process| process.why.as_deref()).map(|why| format!(": {}", one_line(why)));
        let what = match process.is_some_and(|process| process.python.is_some()) {
            true => "Who has its GIL cannot be seen",
            false => "It is no Python that plait can look into",
        };
        format!("{what}{}. It used {} processors.", why.unwrap_or_default(), number(self.used()))
    }

    fn remedy(&self) -> String {
        let process = self.ground.processes().next();
        match process.is_some_and(|process| process.track.process.why.is_some()) {
            true => "Do as the reason says, and record again.".to_owned(),
            false => "Look into it with a profiler for its language, such as perf.".to_owned(),
        }
    }
}

impl Unseen<'_> {
    fn used(&self) -> f64 {
        let totals = &self.ground.group.totals;
        ratio(totals.cpu.unwrap_or(totals.active), totals.seen)
    }
}

/// Nothing happens.
pub(super) struct Idle<'a> {
    pub survey: &'a Survey<'a>,
}

impl Idle<'_> {
    /// The thread to speak of: the main thread of the first process that has one.
    fn main(&self) -> Option<&ThreadSurvey<'_>> {
        let threads = || self.survey.processes.iter().flat_map(|process| &process.threads);
        let is_main = |thread: &&ThreadSurvey<'_>| {
            let own = &thread.lane.thread;
            let process = self.survey.recording.processes.get(own.process.index());
            process.is_some_and(|track| track.process.pid == own.tid)
        };
        threads().find(is_main).or_else(|| threads().next())
    }
}

impl Rule for Idle<'_> {
    fn word(&self) -> Word {
        Word::Idle
    }

    fn case(&self) -> Option<Case> {
        Some(Case::new().below("processors in use", self.survey.tree.cpu.unwrap_or(0.0), USED, 0.05))
    }

    /// A single call to a slow server looks the same as waiting for nothing.
    fn most(&self) -> f64 {
        let waits = self.main().map(|thread| {
            thread.waited(|state| matches!(state, plait_trace::State::Network | plait_trace::State::Disk))
        });
        if waits.is_some_and(|waits| waits > 0.5 * self.survey.seen) { 0.7 } else { 0.95 }
    }

    fn sentence(&self) -> String {
        let main = self.main();
        let state = main.and_then(|thread| thread.times.most());
        let doing = state.map(|state| format!(": its main thread {}", doing(state))).unwrap_or_default();
        let code = &self.survey.code;
        let spot = main.and_then(|thread| code.most(thread.spots(code, |_| true)));
        let spot = spot.and_then(|(spot, _, _)| code.show(spot)).map(|spot| format!(" in {spot}")).unwrap_or_default();
        let cpu =
            self.survey.tree.cpu.map(|cpu| format!("; {} processors were in use", number(cpu))).unwrap_or_default();
        format!("Next to nothing ran for {}{doing}{spot}{cpu}.", seconds(self.survey.seen))
    }

    fn remedy(&self) -> String {
        "Nothing to do for plait; record while it works.".to_owned()
    }
}

/// It was too short to say anything.
pub(super) struct NotEnoughData<'a> {
    pub survey: &'a Survey<'a>,
}

impl Rule for NotEnoughData<'_> {
    fn word(&self) -> Word {
        Word::NotEnoughData
    }

    fn case(&self) -> Option<Case> {
        Some(Case::new())
    }

    fn sentence(&self) -> String {
        let survey = self.survey;
        let processes = match survey.processes.len() {
            0 | 1 => String::new(),
            several => format!(" of {several} processes"),
        };
        let looks = count(usize::try_from(survey.samples).unwrap_or(usize::MAX), "look");
        format!(
            "{}{processes} were seen, in {looks}; a verdict needs {} of a process or of several alike, and {ENOUGH_LOOKS} looks.",
            seconds(survey.seen),
            seconds(window::seconds(ENOUGH)),
        )
    }

    fn remedy(&self) -> String {
        "Record for longer, or more often in a second.".to_owned()
    }
}
