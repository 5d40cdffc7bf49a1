//! `Semaphore`: the protocol of `permits` in the lines of a `LockMemory`.

use std::fmt;
use std::sync::Arc;

use super::books::Name;
use super::error::WaitError;
use super::membership::JoinError;
use super::memory::{Kind, LockMemory};
use super::pending::{Deadline, Pause, Pending, wait};
use super::permits::{MOST, SemaphoreWords, Slept};
use super::roster::Holder;
use super::tenancy::Tenancy;
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
    tenancy: Arc<Tenancy>,
    words: Place<SemaphoreWords>,
}

impl Semaphore {
    /// A new one with `permits`, of which there may never be more if it is `bounded`; `None` when the memory has no room for it, and for
    /// more than 2³¹ − 1 permits.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn create(memory: &Arc<LockMemory>, permits: u32, bounded: bool) -> Result<Option<Self>, JoinError> {
        if permits > MOST {
            return Ok(None);
        }
        let Some(tenancy) = Tenancy::take(memory, LINES)? else { return Ok(None) };
        let words: Place<SemaphoreWords> = tenancy.words();
        words.count.store(permits, Ordering::Relaxed);
        words.first.store(permits, Ordering::Relaxed);
        words.bounded.store(bounded.into(), Ordering::Relaxed);
        tenancy.put(Kind::Semaphore);
        Ok(Some(Self::over(tenancy)))
    }

    /// The semaphore that is called so; `None` if it is no more, or never was.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn at(memory: &Arc<LockMemory>, name: Name) -> Result<Option<Self>, JoinError> {
        Ok(Tenancy::of(memory, name, Kind::Semaphore)?.map(Self::over))
    }

    fn over(tenancy: Arc<Tenancy>) -> Self {
        Self { words: tenancy.words(), tenancy }
    }

    /// The name by which other processes find it: it is sent from now on, and stays for who gets it.
    pub fn name(&self) -> Name {
        self.tenancy.pass()
    }

    /// The memory that it lies in.
    pub fn memory(&self) -> &Arc<LockMemory> {
        &self.tenancy.memory
    }

    /// How many permits are free, those of the dead included.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn value(&self) -> Result<u32, JoinError> {
        self.tenancy.memory.settle()?;
        Ok(self.words.free())
    }

    /// How many there were at first.
    pub fn first(&self) -> u32 {
        self.words.first.load(Ordering::Relaxed)
    }

    /// Takes a permit if one is free.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn try_acquire(&self) -> Result<bool, JoinError> {
        let me = self.tenancy.memory.me()?;
        if self.words.try_look(self.tenancy.memory.roster(), me, false) {
            return Ok(true);
        }
        self.tenancy.memory.settle()?;
        Ok(self.words.try_look(self.tenancy.memory.roster(), me, false))
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
        Ok(Permit { semaphore: self.clone(), me: self.tenancy.memory.me()?, slept: false })
    }

    /// Gives `permits` back, whoever has taken them, or adds new ones.
    ///
    /// # Errors
    /// [`TooMany`], for a bounded one, and beyond 2³¹ − 1. [`JoinError`] within.
    pub fn release(&self, permits: u32) -> Result<Result<(), TooMany>, JoinError> {
        let me = self.tenancy.memory.me()?;
        Ok(if self.words.release(self.tenancy.memory.roster(), me, permits) { Ok(()) } else { Err(TooMany) })
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
        semaphore.words.look(semaphore.tenancy.memory.roster(), *me, slept)
    }

    fn leave(&mut self) {
        self.semaphore.words.leave(self.slept);
    }
}
