//! Why an arena has no room.

use std::{fmt, io};

/// Why nothing was put.
#[derive(Debug)]
pub enum ArenaError {
    /// No free stretch of the reserved addresses is long enough.
    Full {
        /// How many bytes were to be put.
        asked: usize,
        /// How many bytes the whole arena may take.
        limit: usize,
    },
    /// The system has no memory for it, or not within its limits (ENOMEM, ENOSPC, EFBIG).
    Io(io::Error),
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { asked, limit } => {
                write!(f, "no room for {asked} bytes in the arena of {limit}, release blocks or reserve more")
            }
            Self::Io(error) => write!(f, "no memory for the arena: {error}"),
        }
    }
}

impl std::error::Error for ArenaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Full { .. } => None,
            Self::Io(error) => Some(error),
        }
    }
}
