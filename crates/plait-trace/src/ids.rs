//! The ids of tasks and workers.

use std::fmt;

/// One submitted task, unique within its pool for the pool's whole life.
///
/// The low 32 bits are a slot that is used again after the task ended, the high 32 bits a generation that tells
/// the users of one slot apart; so a late message about an ended task is recognised, never mistaken for
/// news of the slot's next user.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

impl TaskId {
    /// The id of `generation`'s user of `slot`.
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | slot as u64)
    }

    /// Reads an id from its 64-bit form, as it travels in shared memory.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64-bit form.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Which slot of the pool's task table it occupies.
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// Which user of that slot it is.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}.{}", self.slot(), self.generation())
    }
}

/// One worker of a pool: an index below the pool's limit, used again after the worker has ended.
///
/// A transport may allow fewer than the type does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

impl WorkerId {
    /// The same number, for indexing.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.0)
    }
}
