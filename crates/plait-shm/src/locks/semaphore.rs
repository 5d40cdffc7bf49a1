//! `Semaphore`: the protocol of `permits` in the lines of a `LockMemory`.

use std::fmt;
use std::sync::Arc;

use super::error::WaitError;
use super::membership::JoinError;
use super::memory::{Kind, LockMemory};
use super::pending::{Deadline, Pause, Pending, wait};
use super::permits::{MOST, SemaphoreWords, Slept};
use super::roster::Holder;
use crate::sync::{Ordering, Place};

/// How many lines its words take.
const LINES: usize = size_of::<SemaphoreWords>() / 64;

/// There would be more permits than there may be; nothing was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore was released more often than it was acquired")
    }
}

impl std::error::Error for TooMany {}

/// Permits that any thread of any process takes and gives back. When a process dies, those that it has taken come back, as long as
/// there are not more than at first.
#[derive(Clone)]
pub struct Semaphore {
    memory: Arc<LockMemory>,
    line: usize,
    words: Place<SemaphoreWords>,
}

impl Semaphore {
    /// A new one with `permits`, of which there may never be more if it is `bounded`; `None` when the memory has no room for it, in a
    /// process that did not make it, and for more than 2³¹ − 1 permits.
    pub fn create(memory: &Arc<LockMemory>, permits: u32, bounded: bool) -> Option<Self> {
        if permits > MOST {
            return None;
        }
        let line = memory.take(LINES)?;
        let words: Place<SemaphoreWords> = memory.inside().at(line);
        words.count.store(permits, Ordering::Relaxed);
        words.first.store(permits, Ordering::Relaxed);
        words.bounded.store(bounded.into(), Ordering::Relaxed);
        memory.put(line, Kind::Semaphore);
        Self::at(memory, line)
    }

    /// The semaphore that begins in a line; `None` if none does.
    pub fn at(memory: &Arc<LockMemory>, line: usize) -> Option<Self> {
        let there = memory.is(line, LINES, Kind::Semaphore);
        there.then(|| Self { memory: Arc::clone(memory), line, words: memory.inside().at(line) })
    }

    /// The number of its first line, by which other processes find it.
    pub fn line(&self) -> usize {
        self.line
    }

    /// As `Lock::give_back`.
    pub fn give_back(self) -> bool {
        self.memory.give(self.line, LINES)
    }

    /// How many permits are free, those of the dead included.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn value(&self) -> Result<u32, JoinError> {
        self.memory.settle()?;
        Ok(self.words.free())
    }

    /// Takes a permit if one is free.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn try_acquire(&self) -> Result<bool, JoinError> {
        let me = self.memory.me()?;
        if self.words.try_look(self.memory.roster(), me, false) {
            return Ok(true);
        }
        self.memory.settle()?;
        Ok(self.words.try_look(self.memory.roster(), me, false))
    }

    /// Takes a permit, waiting until `deadline`, or for as long as it takes.
    ///
    /// # Errors
    /// [`WaitError`]; none was taken.
    pub fn acquire(&self, deadline: Option<Deadline>) -> Result<(), WaitError> {
        Ok(wait(&mut self.acquiring()?, deadline)?)
    }

    /// The same as something to wait for.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn acquiring(&self) -> Result<Permit, JoinError> {
        Ok(Permit { semaphore: self.clone(), me: self.memory.me()?, slept: false })
    }

    /// Gives `permits` back, whoever has taken them, or adds new ones.
    ///
    /// # Errors
    /// [`TooMany`], for a bounded one, and beyond 2³¹ − 1. [`JoinError`] within.
    pub fn release(&self, permits: u32) -> Result<Result<(), TooMany>, JoinError> {
        let me = self.memory.me()?;
        Ok(if self.words.release(self.memory.roster(), me, permits) { Ok(()) } else { Err(TooMany) })
    }
}

/// Somebody waits for a permit of a [`Semaphore`].
pub struct Permit {
    semaphore: Semaphore,
    me: Holder,
    slept: Slept,
}

impl Pending for Permit {
    type Out = ();

    fn look(&mut self) -> Result<(), Pause<'_>> {
        let Self { semaphore, me, slept } = self;
        semaphore.words.look(semaphore.memory.roster(), *me, slept)
    }

    fn leave(&mut self) {
        self.semaphore.words.leave(self.slept);
    }
}
