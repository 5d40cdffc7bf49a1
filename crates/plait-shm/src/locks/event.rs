//! `Event`: a flag that threads wait for.
//!
//! | bits of the word | meaning | who writes, when |
//! |---|---|---|
//! | 0 | it is set | who sets or clears it |
//! | 1–31 | how often it was set | who sets it, by the same compare-and-swap |
//!
//! Promises: who waits when it is set is let go, also if it is cleared at once. Nobody holds it, so nothing is lost
//! with anybody: who dies between setting it and waking the others is seen to by the keepers.

use std::sync::Arc;

use super::error::WaitError;
use super::membership::JoinError;
use super::memory::{Kind, LockMemory};
use super::pending::{Deadline, Pause, Pending, wait};
use crate::sync::{Futex, Ordering, Place, Shareable};

const SET: u32 = 1;

#[repr(C, align(64))]
pub(crate) struct EventLine {
    word: Futex,
}

// SAFETY: an atomic.
unsafe impl Shareable for EventLine {}

impl EventLine {
    pub(crate) fn see_to(&self) {
        self.word.wake_all();
    }
}

/// A flag that any thread of any process sets, clears and waits for.
#[derive(Clone)]
pub struct Event {
    memory: Arc<LockMemory>,
    line: usize,
    words: Place<EventLine>,
}

impl Event {
    /// A new event, which is not set; `None` when the memory has no line left, and in a process that did not make it.
    pub fn create(memory: &Arc<LockMemory>) -> Option<Self> {
        let line = memory.take(1)?;
        memory.put(line, Kind::Event);
        Self::at(memory, line)
    }

    /// The event in a line; `None` if none is there.
    pub fn at(memory: &Arc<LockMemory>, line: usize) -> Option<Self> {
        let there = memory.is(line, 1, Kind::Event);
        there.then(|| Self { memory: Arc::clone(memory), line, words: memory.inside().at(line) })
    }

    /// The number of its line, by which other processes find it.
    pub fn line(&self) -> usize {
        self.line
    }

    /// As `Lock::give_back`.
    pub fn give_back(self) -> bool {
        self.memory.give(self.line, 1)
    }

    /// Is it set?
    pub fn is_set(&self) -> bool {
        // SYNC POINT with `set`, as in `Watching::look`.
        self.words.word.load(Ordering::Acquire) & SET != 0
    }

    /// Sets it, and lets all go that wait.
    pub fn set(&self) {
        let word = &self.words.word;
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            // Set already: it is set once more all the same, for those who see what was written before this.
            let next = if seen & SET == 0 { (seen | SET).wrapping_add(2) } else { seen };
            // SYNC POINT with `is_set` and `Watching::look`.
            match word.compare_exchange(seen, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) if next != seen => return word.wake_all(),
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Clears it.
    pub fn clear(&self) {
        self.words.word.fetch_and(!SET, Ordering::Relaxed);
    }

    /// Waits until it is set, or until `deadline`.
    ///
    /// # Errors
    /// [`WaitError`]; it was not set.
    pub fn wait(&self, deadline: Option<Deadline>) -> Result<(), WaitError> {
        let mut watching = self.watching()?;
        Ok(wait(&mut watching, deadline)?)
    }

    /// The same as something to wait for: from now on no setting is missed.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn watching(&self) -> Result<Watching, JoinError> {
        // A keeper of this process, which sees to it that those who die wake us.
        self.memory.me()?;
        Ok(Watching { begun: self.words.word.load(Ordering::Acquire), event: self.clone() })
    }
}

/// Somebody waits for an [`Event`].
pub struct Watching {
    event: Event,
    begun: u32,
}

impl Pending for Watching {
    type Out = ();

    fn look(&mut self) -> Result<(), Pause<'_>> {
        let word = &self.event.words.word;
        // SYNC POINT with `Event::set`.
        let seen = word.load(Ordering::Acquire);
        if seen & SET != 0 || seen >> 1 != self.begun >> 1 { Ok(()) } else { Err(Pause::new(word, seen)) }
    }

    fn leave(&mut self) {}
}
