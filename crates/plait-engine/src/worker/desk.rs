//! What a worker's other threads and its signal handlers have to do with the pool: what it prints, where it is when it
//! crashes, and whether the task that runs is to end.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use plait_shm::WorkerMemory;

/// A handle on the worker's shared memory, for any thread.
#[derive(Clone)]
pub struct Desk(Arc<WorkerMemory>);

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("ordered_to_end", &self.is_ordered_to_end()).finish_non_exhaustive()
    }
}

impl Desk {
    pub(super) fn new(memory: Arc<WorkerMemory>) -> Self {
        Self(memory)
    }

    /// Whether the task that runs is to end, and this process with it.
    pub fn is_ordered_to_end(&self) -> bool {
        self.0.status().is_doomed()
    }

    /// Keeps the last of what is printed for the case that this process dies.
    pub fn keep(&self, printed: &[u8]) {
        self.0.tail().write(printed);
    }

    /// The file that stacks are to be written to with `write` when it comes to the worst, at the position where it
    /// stands; it takes so many bytes from there on as are kept.
    pub fn dump_file(&self) -> std::io::Result<BorrowedFd<'_>> {
        self.0.dump_file()
    }
}
