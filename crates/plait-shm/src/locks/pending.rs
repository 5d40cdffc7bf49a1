//! Waiting for something that others do: one state machine, for threads that block and for those that must not.
//!
//! Whatever can be waited for is a [`Pending`]: it looks whether it can have what it wants, and else says on which word to sleep.
//! [`wait`] is the loop of a thread that blocks; `Waiters` is one thread for all that may not.

use std::time::Duration;

use crate::sync::{Futex, Slept, now};

/// An instant, on the clock that all processes of the machine share (CLOCK_MONOTONIC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub(crate) u64);

impl Deadline {
    /// The instant that is so far ahead; what lies beyond the clock's end is its end.
    pub fn after(time: Duration) -> Self {
        // A timespec's seconds are an i64, nanoseconds here a u64: 584 years.
        let ahead = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(now().saturating_add(ahead))
    }

    /// Is it now, or was it?
    pub fn is_over(self) -> bool {
        now() >= self.0
    }
}

/// Sleep as long as `word` is `seen`, and look again; but no longer than until `until`.
pub struct Pause<'a> {
    pub(crate) word: &'a Futex,
    pub(crate) seen: u32,
    pub(crate) until: Option<Deadline>,
}

impl<'a> Pause<'a> {
    pub(crate) fn new(word: &'a Futex, seen: u32) -> Self {
        Self { word, seen, until: None }
    }
}

impl Pause<'_> {
    /// Does the word change within the time that holders need who do little?
    #[cfg(not(loom))]
    pub(crate) fn changes_soon(&self) -> bool {
        self.until.is_none()
            && (0..SPINS).any(|_| {
                std::hint::spin_loop();
                self.word.load(crate::sync::Ordering::Relaxed) != self.seen
            })
    }

    #[cfg(loom)]
    pub(crate) fn changes_soon(&self) -> bool {
        false
    }
}

/// Something that is waited for. Use [`wait`], or give it to `Waiters`.
pub trait Pending {
    /// What there is at the end.
    type Out;

    /// Takes what is waited for if it is there, else says on what to sleep; after a sleep, look again.
    ///
    /// # Errors
    /// The pause.
    fn look(&mut self) -> Result<Self::Out, Pause<'_>>;

    /// It is waited for no longer: passes on what may have been meant for this waiter. To be called when `look` has not
    /// given anything and is not called again.
    fn leave(&mut self);
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The deadline is over.
    TimedOut,
    /// A signal handler ran in this thread (EINTR).
    Interrupted,
    /// It was cancelled, or its `Waiters` ended.
    Cancelled,
}

/// How often a word is looked at before a thread sleeps on it: few times, since whoever is to change it may need this processor.
#[cfg(not(loom))]
const SPINS: u32 = 10;

/// Looks until there is something, sleeping in between.
///
/// # Errors
/// [`Left`], and the wait has been left. A deadline that is over means one look.
pub fn wait<P: Pending>(pending: &mut P, deadline: Option<Deadline>) -> Result<P::Out, Left> {
    let ended = loop {
        let pause = match pending.look() {
            Ok(out) => return Ok(out),
            Err(pause) => pause,
        };
        if deadline.is_some_and(Deadline::is_over) {
            break Left::TimedOut;
        }
        if pause.changes_soon() {
            continue;
        }
        let until = match (pause.until, deadline) {
            (Some(until), Some(deadline)) => Some(until.min(deadline)),
            (until, deadline) => until.or(deadline),
        };
        // A thread that was woken looks once more, whatever the time: the wake-up may have been the only one.
        if pause.word.sleep_until(pause.seen, until.map(|until| until.0)) == Slept::Interrupted {
            break Left::Interrupted;
        }
    };
    pending.leave();
    Err(ended)
}
