//! `Condition`: waiting until another says that something has changed, by the protocol of `places`.
//!
//! A condition belongs to a lock, which the caller has while it begins to wait and while it notifies. To wait is:
//! [`Condition::begin`]; release the lock; wait for the [`Notified`]; acquire the lock; [`Notified::end`]. A process that
//! dies anywhere between takes no notification with it.

use std::fmt;
use std::sync::Arc;

use super::membership::JoinError;
use super::memory::{Kind, LockMemory};
use super::pending::{Pause, Pending};
use super::places::{PLACES, PlaceWords};
use super::roster::Holder;
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
    memory: Arc<LockMemory>,
    line: usize,
    words: Place<PlaceWords>,
}

impl Condition {
    /// A new condition; `None` when the memory has no room for it, and in a process that did not make it.
    pub fn create(memory: &Arc<LockMemory>) -> Option<Self> {
        let line = memory.take(LINES)?;
        memory.put(line, Kind::Condition);
        Self::at(memory, line)
    }

    /// The condition that begins in a line; `None` if none does.
    pub fn at(memory: &Arc<LockMemory>, line: usize) -> Option<Self> {
        let there = memory.is(line, LINES, Kind::Condition);
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

    /// Begins to wait: every notification from now on counts. The caller has the condition's lock.
    ///
    /// # Errors
    /// [`BeginError`].
    pub fn begin(&self) -> Result<Notified, BeginError> {
        let me = self.memory.me().map_err(BeginError::Join)?;
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

    #[cfg(test)]
    pub(crate) fn at(&self) -> usize {
        self.at.unwrap()
    }

    fn finish(&mut self, used: bool) -> bool {
        let Some(at) = self.at.take() else { return false };
        // A forked child has a copy of this, and no place.
        if self.condition.memory.me().ok() != Some(self.me) {
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
