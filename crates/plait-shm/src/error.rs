//! What can be wrong with memory that another process made or wrote.

use std::{fmt, io};

/// What the other process wrote breaks the protocol: it is broken or was overwritten, and no more can be read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shared memory was overwritten by the other process, replace that process")
    }
}

impl std::error::Error for Malformed {}

/// Why a segment could not be opened by the process that it was handed to.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The system refused.
    Io(io::Error),
    /// It is not the kind of segment that was asked for.
    Alien,
    /// It was made by another version of plait.
    Version {
        /// The layout's version in the segment.
        found: u32,
        /// The layout's version of this program.
        expected: u32,
    },
    /// Its length is not what its header says.
    Length {
        /// The segment's length in bytes.
        found: usize,
        /// The length that its header asks for.
        expected: usize,
    },
    /// It was opened before, and is one worker's only.
    Taken,
    /// A region that its header tells is not whole pages, or too far off.
    Region(crate::Region),
    /// The worker's number is not below [`crate::MAX_WORKERS`].
    Worker(plait_trace::WorkerId),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot map the segment: {error}"),
            Self::Alien => f.write_str("the file descriptor is not the segment that plait handed out"),
            Self::Version { found, expected } => write!(
                f,
                "the segment has layout {found}, this plait reads {expected}: parent and worker must use the same version"
            ),
            Self::Length { found, expected } => write!(f, "the segment has {found} bytes, its header tells {expected}"),
            Self::Taken => f.write_str("the segment was opened before, each worker needs one of its own"),
            Self::Region(region) => write!(f, "the segment tells of {region:?}, which no commons have"),
            Self::Worker(worker) => write!(f, "{worker:?} is beyond the limit of {} workers", crate::MAX_WORKERS),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
