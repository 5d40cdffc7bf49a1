//! `Event`: the protocol of `flag` in a line of a `LockMemory`.

use std::sync::Arc;

use super::books::Name;
use super::error::WaitError;
use super::flag::{Begun, FlagWord};
use super::membership::JoinError;
use super::memory::{Kind, LockMemory};
use super::pending::{Deadline, Pause, Pending, wait};
use super::tenancy::Tenancy;
use crate::sync::{Place, Shareable};

// SAFETY: an atomic.
unsafe impl Shareable for FlagWord {}

/// A flag that any thread of any process sets, clears and waits for.
#[derive(Clone)]
pub struct Event {
    tenancy: Arc<Tenancy>,
    words: Place<FlagWord>,
}

impl Event {
    /// A new event, which is not set; `None` when the memory has no line left.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn create(memory: &Arc<LockMemory>) -> Result<Option<Self>, JoinError> {
        Ok(Tenancy::take(memory, 1)?.map(|tenancy| {
            tenancy.put(Kind::Event);
            Self::over(tenancy)
        }))
    }

    /// The event that is called so; `None` if it is no more, or never was.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn at(memory: &Arc<LockMemory>, name: Name) -> Result<Option<Self>, JoinError> {
        Ok(Tenancy::of(memory, name, Kind::Event)?.map(Self::over))
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

    /// Is it set?
    pub fn is_set(&self) -> bool {
        self.words.is_set()
    }

    /// Sets it, and lets all go that wait.
    pub fn set(&self) {
        self.words.set();
    }

    /// Clears it.
    pub fn clear(&self) {
        self.words.clear();
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
        self.tenancy.memory.me()?;
        Ok(Watching { begun: self.words.begin(), event: self.clone() })
    }
}

/// Somebody waits for an [`Event`].
pub struct Watching {
    event: Event,
    begun: Begun,
}

impl Pending for Watching {
    type Out = ();

    fn look(&mut self) -> Result<(), Pause<'_>> {
        self.event.words.look(self.begun)
    }

    fn leave(&mut self) {}
}
