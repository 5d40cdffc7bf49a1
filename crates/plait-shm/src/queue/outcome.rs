//! How it went with a message.

use std::{fmt, io};

use super::ends::Refused;
use super::parcel::Parcel;
use crate::error::Malformed;
use crate::locks::JoinError;

/// How it went with a message that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Offer {
    /// It is in the queue.
    Done,
    /// There is no room.
    Full,
    /// The queue was shut.
    Closed,
}

/// Why a message could not be offered.
#[derive(Debug)]
pub enum PutError {
    /// This process cannot take part.
    Join(JoinError),
    /// There is no memory for it.
    Io(io::Error),
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join(error) => error.fmt(f),
            Self::Io(error) => write!(f, "there is no memory for the message: {error}"),
        }
    }
}

impl std::error::Error for PutError {}

/// How it went with the next message.
pub enum Taken {
    /// Its bytes were appended; or it is a parcel, and nothing was.
    Message {
        /// What it was labelled with.
        kind: u8,
        /// The parcel.
        parcel: Option<Parcel>,
        /// How often it was taken before, by those who died before it was done.
        times: u32,
    },
    /// There is none.
    Empty,
    /// There is none, and the queue was shut.
    Closed,
}

/// Why no message could be taken.
#[derive(Debug)]
pub enum TakeError {
    /// This process cannot take part.
    Join(JoinError),
    /// Some process has overwritten the queue.
    Malformed(Malformed),
    /// There is no memory to keep it in until it is done.
    Io(io::Error),
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join(error) => error.fmt(f),
            Self::Malformed(_) => f.write_str("the queue's memory was overwritten, make a new queue"),
            Self::Io(error) => write!(f, "there is no memory to keep the message until it is done: {error}"),
        }
    }
}

impl std::error::Error for TakeError {}

impl From<Refused> for TakeError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed(malformed) => Self::Malformed(malformed),
            Refused::Io(error) => Self::Io(error),
        }
    }
}
