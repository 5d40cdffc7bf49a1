//! A thread that is ready to run without the GIL: did it have a processor?
//!
//! The kernel's word for both is `running`; its account of the thread's time tells them apart, later. Time on a processor is added
//! when the thread leaves it, and at each tick of the clock; time without one is added when it gets one. So most looks
//! a millisecond apart see neither grow, and what they saw stays open until one has: then whichever grew more is what
//! the thread did.

use plait_trace::{Nanos, State};

use super::pending::{Mark, Pending};
use super::seen::Sched;
use crate::memory::Turn;

/// After so long without either, it had no processor: the account of one that runs grows at each tick, which is every 10 ms
/// at the least. (Processors without ticks, `nohz_full`, are the exception, and would show as waiting.)
const STARVED: Nanos = 200_000_000;

/// What is known of a thread's time.
#[derive(Debug, Default)]
pub(super) struct Runner {
    /// The account when what is open began.
    mark: Option<Sched>,
    /// When that was; `None` while nothing is open.
    since: Option<Nanos>,
}

impl Runner {
    /// It is ready to run since `from`, and what it then does is `base`.
    pub fn ready(&mut self, base: State, sched: Option<Sched>, from: Nanos, at: Nanos, pending: &mut Pending) -> Mark {
        let (Some(now), Some(mark)) = (sched, self.mark) else {
            self.note(sched, pending);
            self.since = sched.map(|_| at);
            return if sched.is_some() { Mark::Running(base) } else { Mark::Known(base) };
        };
        let since = *self.since.get_or_insert(from);
        let time = at.saturating_sub(since);
        let (run, delay) = grown(mark, now);
        // Less is the last of what it did before, or a wake-up.
        if run.saturating_add(delay) >= time / 2 && run.max(delay) > 0 {
            settle(delay > run, pending);
            *self = Self { mark: sched, since: Some(at) };
            return Mark::Known(if delay > run { State::Runnable } else { base });
        }
        if time < STARVED {
            return Mark::Running(base);
        }
        settle(true, pending);
        Mark::Known(State::Runnable)
    }

    /// The same where the kernel tells whether it has a processor: nothing stays open.
    pub fn takes_turns(&mut self, base: State, turn: Turn, pending: &mut Pending) -> Mark {
        self.note(None, pending);
        Mark::Known(if turn.has_processor { base } else { State::Runnable })
    }

    /// It does something else now.
    pub fn note(&mut self, sched: Option<Sched>, pending: &mut Pending) {
        if self.since.take().is_some() {
            let grown = self.mark.zip(sched).map(|(mark, now)| grown(mark, now));
            settle(grown.is_some_and(|(run, delay)| delay > run), pending);
        }
        self.mark = sched;
    }
}

fn grown(mark: Sched, now: Sched) -> (u64, u64) {
    (now.run.saturating_sub(mark.run), now.delay.saturating_sub(mark.delay))
}

fn settle(starved: bool, pending: &mut Pending) {
    pending.settle(|mark| match mark {
        Mark::Running(base) => Some(Mark::Known(if starved { State::Runnable } else { base })),
        _ => None,
    });
}
