//! Why something was not acquired, or not released.

use std::fmt;

use super::membership::JoinError;
use super::pending::Left;

/// Why nothing was acquired.
#[derive(Debug)]
pub enum WaitError {
    /// The deadline is over.
    TimedOut,
    /// A signal handler ran in this thread (EINTR): see to the signal, and wait again.
    Interrupted,
    /// It was cancelled: waits of `Waiters` alone can be.
    Cancelled,
    /// This process, forked from one that took part, cannot.
    Join(JoinError),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the time is over"),
            Self::Interrupted => f.write_str("a signal interrupted the wait"),
            Self::Cancelled => f.write_str("the wait was cancelled"),
            Self::Join(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WaitError {}

impl From<Left> for WaitError {
    fn from(left: Left) -> Self {
        match left {
            Left::TimedOut => Self::TimedOut,
            Left::Interrupted => Self::Interrupted,
            Left::Cancelled => Self::Cancelled,
        }
    }
}

impl From<JoinError> for WaitError {
    fn from(error: JoinError) -> Self {
        Self::Join(error)
    }
}

/// Why a lock was not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseError {
    /// Nobody holds it.
    NotHeld,
    /// Somebody else holds it, and it is one that only its holder releases.
    NotMine,
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHeld => "the lock is not held, acquire it first",
            Self::NotMine => "another thread holds the lock, which only its holder may release",
        })
    }
}

impl std::error::Error for ReleaseError {}
