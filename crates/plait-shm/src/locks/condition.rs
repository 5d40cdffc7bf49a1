//! `Condition`: waiting until another says that something has changed, by the protocol of `places`.
//!
//! A condition belongs to a lock, which the caller has while it begins to wait and while it notifies. To wait is:
//! [`Condition::begin`]; release the lock; wait for the [`Notified`]; acquire the lock; [`Notified::end`]. A process that
//! dies anywhere between takes no notification with it.

use std::fmt;
use std::sync::Arc;

use super::books::Name;
use super::membership::JoinError;
use super::memory::{Kind, LockMemory};
use super::pending::{Pause, Pending};
use super::places::{PLACES, PlaceWords};
use super::roster::Holder;
use super::tenancy::Tenancy;
use crate::sync::Place;

/// How many lines its words take.
const LINES: usize = size_of::<PlaceWords>() / 64;

/// Why somebody cannot wait.
#[derive(Debug)]
pub enum BeginError {
    /// As many wait as there are places.
    Full,
    /// This process, forked from one that took part, cannot.
    Join(JoinError),
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "{PLACES} wait for the condition already, let some of them wait for each other"),
            Self::Join(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BeginError {}

/// What threads of any process wait to be notified of.
#[derive(Clone)]
pub struct Condition {
    tenancy: Arc<Tenancy>,
    words: Place<PlaceWords>,
}

impl Condition {
    /// A new condition; `None` when the memory has no room for it.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn create(memory: &Arc<LockMemory>) -> Result<Option<Self>, JoinError> {
        Ok(Tenancy::take(memory, LINES)?.map(|tenancy| {
            tenancy.put(Kind::Condition);
            Self::over(tenancy)
        }))
    }

    /// The condition that is called so; `None` if it is no more, or never was.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn at(memory: &Arc<LockMemory>, name: Name) -> Result<Option<Self>, JoinError> {
        Ok(Tenancy::of(memory, name, Kind::Condition)?.map(Self::over))
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

    /// Begins to wait: every notification from now on counts. The caller has the condition's lock.
    ///
    /// # Errors
    /// [`BeginError`].
    pub fn begin(&self) -> Result<Notified, BeginError> {
        let me = self.tenancy.memory.me().map_err(BeginError::Join)?;
        let at = self.words.begin(me).ok_or(BeginError::Full)?;
        Ok(Notified { condition: self.clone(), me, at: Some(at) })
    }

    /// Notifies the `count` that have waited longest, or all if they are fewer; gives how many. The caller has the condition's lock.
    pub fn notify(&self, count: usize) -> usize {
        self.words.notify(count)
    }

    /// How many wait and were not notified.
    pub fn waiting(&self) -> usize {
        self.words.waiting()
    }
}

/// Somebody waits for a [`Condition`]. After the wait, however it ended: acquire the lock, and then [`Notified::end`]. One that is
/// dropped instead passes on what it was notified of.
pub struct Notified {
    condition: Condition,
    me: Holder,
    at: Option<usize>,
}

impl Notified {
    /// The wait is over and the lock is the caller's again. Was it notified? That counts also if it came after the time was over.
    pub fn end(mut self) -> bool {
        self.finish(true)
    }

    /// The same as something to wait for beside it.
    pub fn watching(&self) -> Notification {
        Notification { condition: self.condition.clone(), at: self.at }
    }

    #[cfg(test)]
    pub(crate) fn at(&self) -> usize {
        self.at.unwrap()
    }

    fn finish(&mut self, used: bool) -> bool {
        let Some(at) = self.at.take() else { return false };
        // A forked child has a copy of this, and no place.
        if self.condition.tenancy.memory.me().ok() != Some(self.me) {
            return false;
        }
        let notified = self.condition.words.cancel(at, self.me);
        if notified {
            self.condition.words.end(at, used);
        }
        notified
    }
}

impl Pending for Notified {
    type Out = ();

    fn look(&mut self) -> Result<(), Pause<'_>> {
        match self.at {
            Some(at) => self.condition.words.look(at),
            None => Ok(()),
        }
    }

    /// Nothing yet: whether it was notified is decided when the lock is the caller's again.
    fn leave(&mut self) {}
}

impl Drop for Notified {
    fn drop(&mut self) {
        self.finish(false);
    }
}

/// Whether somebody was notified, to be waited for; nothing depends on who lets go of it.
pub struct Notification {
    condition: Condition,
    at: Option<usize>,
}

impl Pending for Notification {
    type Out = ();

    fn look(&mut self) -> Result<(), Pause<'_>> {
        self.at.map_or(Ok(()), |at| self.condition.words.look(at))
    }

    fn leave(&mut self) {}
}
