//! Room at the end of a worker's segment for what it writes down when it comes to the worst: its stacks, from a handler of
//! a fatal signal, which can do no more than `write` to a descriptor.
//!
//! Promises: the file cannot grow, so what does not fit is not written; reading is never out of bounds, whatever is there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{SeekFrom, seek};

use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, Place};

/// Bytes of the room: the stacks of a few threads, each a hundred frames deep.
pub(crate) const DUMP_BYTES: usize = 32 << 10;

/// The room, in the parent or in the worker.
pub(crate) struct Dump {
    words: Place<[AtomicU64]>,
    at: usize,
}

impl Dump {
    /// The room at `at`, the last of `segment`.
    pub(crate) fn new(segment: &Arc<Segment>, at: usize) -> Self {
        Self { words: Place::slice(segment, at, DUMP_BYTES / 8), at }
    }

    /// The segment's descriptor, standing where the room begins. Only the worker calls this, once: the position belongs to
    /// everybody who has the descriptor.
    pub(crate) fn file<'a>(&self, segment: &'a impl AsFd) -> io::Result<BorrowedFd<'a>> {
        seek(segment, SeekFrom::Start(self.at as u64))?;
        Ok(segment.as_fd())
    }

    /// What was written, up to the first zero.
    pub(crate) fn read(&self) -> String {
        // Relaxed: who needs all of it knows from elsewhere that the worker has ended; others look whether it has begun.
        let bytes = self.words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
        let written: Vec<u8> = bytes.take_while(|&byte| byte != 0).collect();
        String::from_utf8_lossy(&written).into_owned()
    }
}
