//! The rule about event loops.

use plait_trace::{Nanos, State};

use super::{Ground, Rule, time};
use crate::plain_text::one_line;
use crate::units::{count, seconds};
use crate::verdicts::code::Spot;
use crate::verdicts::confidence::Case;
use crate::verdicts::event_loop::{STALLED, Stall, total};
use crate::verdicts::thread::ThreadSurvey;
use crate::verdicts::verdict::{Evidence, Word};
use crate::verdicts::window::{self, share};

/// Stalls are worth a verdict from this share of the time on.
const WORTH: f64 = 0.005;
/// The callback was seen so often during stalls of Python code that it can hardly have been several short ones.
const MANY_STACKS: usize = 20;
const SOME_STACKS: usize = 5;

/// An event loop does not get to its events.
pub(super) struct LoopStalled<'a> {
    ground: Ground<'a>,
    /// Those of the callback that took longest in all, the longest first.
    worst: Vec<(&'a ThreadSurvey<'a>, &'a Stall)>,
    all: Vec<&'a Stall>,
}

impl<'a> LoopStalled<'a> {
    pub fn of(ground: Ground<'a>) -> Self {
        let mut stalls: Vec<(&ThreadSurvey<'_>, &Stall)> = ground
            .processes()
            .flat_map(|process| &process.threads)
            .flat_map(|thread| thread.stalls.iter().map(move |stall| (thread, stall)))
            .collect();
        let all = stalls.iter().map(|(_, stall)| *stall).collect();
        let name =
            |stall: &Stall| stall.callback.as_ref().map(|spot| (spot.place.file.clone(), spot.place.function.clone()));
        let mut sums = std::collections::BTreeMap::new();
        for (_, stall) in &stalls {
            let sum: &mut Nanos = sums.entry(name(stall)).or_default();
            *sum = sum.saturating_add(stall.window.length());
        }
        let worst = sums.into_iter().reduce(|most, next| if next.1 > most.1 { next } else { most });
        stalls.retain(|(_, stall)| worst.as_ref().is_some_and(|(worst, _)| *worst == name(stall)));
        stalls.sort_by_key(|(_, stall)| std::cmp::Reverse(stall.window.length()));
        Self { ground, worst: stalls, all }
    }

    fn total(&self) -> f64 {
        window::seconds(total(self.all.iter().copied()))
    }

    /// The share of the time in which the loop was stalled.
    pub fn share(&self) -> f64 {
        share(self.total(), self.ground.seen())
    }

    fn longest(&self) -> Nanos {
        self.all.iter().map(|stall| stall.window.length()).max().unwrap_or(0)
    }
}

impl Rule for LoopStalled<'_> {
    fn word(&self) -> Word {
        Word::LoopStalled
    }

    fn case(&self) -> Option<Case> {
        (!self.all.is_empty()).then(|| {
            Case::new()
                .at_least("longest stall in seconds", window::seconds(self.longest()), window::seconds(STALLED), 0.05)
                .at_least("share of the time stalled", self.share(), WORTH, 0.01)
        })
    }

    /// What sleeps or keeps the GIL between two looks for events is one callback. Python code seen in the same callback again
    /// and again may be many short calls of it.
    fn most(&self) -> f64 {
        let solid: Nanos =
            self.all.iter().filter(|stall| stall.solid).map(|stall| stall.window.length()).max().unwrap_or(0);
        let stacks: usize = self.all.iter().map(|stall| stall.stacks).sum();
        match stacks {
            _ if solid >= STALLED => 1.0,
            MANY_STACKS.. => 0.9,
            SOME_STACKS.. => 0.75,
            _ => 0.55,
        }
    }

    fn sentence(&self) -> String {
        let Some((_, stall)) = self.worst.first() else { return String::new() };
        let callback = match &stall.callback {
            Some(callback) => callback.place.to_string(),
            None => "a callback that was not seen".to_owned(),
        };
        let inside = match (&stall.spot, &stall.callback) {
            (Some(spot), Some(callback)) if spot.place != callback.place => format!(" in {spot}"),
            (Some(spot), None) => format!(" in {spot}"),
            (Some(Spot { within: Some(within), .. }), _) => format!(" in {within}"),
            _ => String::new(),
        };
        let function = match (&stall.function, stall.state) {
            (Some(function), State::HoldsNative | State::HoldsBlocked) => format!(" ({})", one_line(function)),
            _ => String::new(),
        };
        format!(
            "The event loop did not get to its events for up to {}, {} of {} in all, in {}: {callback} {}{function}{inside}.",
            time(self.longest()),
            seconds(self.total()),
            super::of_time(&self.ground),
            count(self.all.len(), "stall"),
            doing(stall.state),
        )
    }

    fn remedy(&self) -> String {
        let state = self.worst.first().map_or(State::Unknown, |(_, stall)| stall.state);
        let thread = "await asyncio.to_thread(fn, …)";
        let process = "await plait.Executor(backend=\"processes\").submit(fn, …), or loop.run_in_executor with a \
                       ProcessPoolExecutor";
        match state {
            State::Sleep => format!("Sleep with await asyncio.sleep(…), or hand the call to a thread: {thread}."),
            State::HoldsNative | State::HoldsBlocked => {
                format!("A thread is not enough, for the call keeps the GIL: hand it to a process, {process}.")
            }
            State::HoldsPython | State::HandsOff => {
                format!("A thread would take turns with the loop for the GIL: hand the work to a process, {process}.")
            }
            State::HoldsGc => "Collect less often: gc.freeze() after start-up, larger gc.set_threshold().".to_owned(),
            State::Waits => {
                "Other threads have the GIL while the loop waits for it: move their work into processes.".to_owned()
            }
            State::Native | State::Attached | State::Detached => format!("Hand the call to a thread: {thread}."),
            State::Runnable => "The loop had no processor: start fewer workers, or none beside it.".to_owned(),
            _ => format!("Use an asynchronous library there, or hand the call to a thread: {thread}."),
        }
    }

    fn evidence(&self) -> Vec<Evidence> {
        let seen = self.worst.iter().take(3).map(|(thread, stall)| Evidence {
            thread: thread.lane.thread.key,
            name: thread.name.clone(),
            from: stall.window.from,
            to: stall.window.to,
            state: Some(stall.state),
            function: stall.function.clone(),
            spot: stall.spot.clone(),
            callback: stall.callback.clone(),
        });
        seen.collect()
    }
}

/// What a thread does, as a verb.
pub(super) fn doing(state: State) -> &'static str {
    match state {
        State::HoldsPython => "runs Python code",
        State::HoldsNative => "is in native code that keeps the GIL",
        State::HoldsBlocked => "sleeps in native code that keeps the GIL",
        State::HoldsGc => "collects garbage",
        State::Waits | State::HandsOff => "waits for the GIL",
        State::Native => "is in native code",
        State::Runnable => "waits for a processor",
        State::Network => "waits for the network",
        State::Disk => "waits for a file, a pipe or a disk",
        State::Poll => "waits for events",
        State::Sleep => "sleeps",
        State::Lock => "waits for a lock",
        State::Child => "waits for a child process",
        State::Attached => "runs Python code",
        State::Detached => "is in native code",
        State::Unknown => "was not seen",
    }
}
