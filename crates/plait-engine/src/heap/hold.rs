//! Holds: what keeps a block as it is, and pieces: what a message has of one.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use plait_shm::{Access, Block, Mapped};

use crate::budget::Permit;
use crate::pool::Link;
use crate::wire::table::{self, Entry};
use crate::worker::Desk;

use super::{Heap, access};

/// Who frees the block.
pub(crate) enum Owner {
    /// This process.
    Own {
        /// Nobody writes to it any more.
        frozen: bool,
    },
    /// This worker, when it is told that nobody here uses it any more.
    Worker(Arc<Link>),
    /// The parent, when the task has ended, unless the block is kept.
    Parent {
        /// The way to tell it.
        desk: Desk,
        /// How often parent and worker agreed that it is kept.
        grants: AtomicU32,
    },
}

/// A block stays as it is while there is a hold on it.
pub struct Hold {
    heap: Arc<Heap>,
    block: Block,
    owner: Owner,
    /// Given back after the block.
    _permit: Option<Permit>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("block", &self.block).finish_non_exhaustive()
    }
}

impl Hold {
    pub(super) fn new(heap: Arc<Heap>, block: Block, owner: Owner, permit: Option<Permit>) -> Self {
        Self { heap, block, owner, _permit: permit }
    }

    /// The block.
    pub fn block(&self) -> Block {
        self.block
    }

    /// Whether the block lies in the file of this heap, so that whoever has that can map it.
    pub fn is_within(&self, heap: &Arc<Heap>) -> bool {
        Arc::ptr_eq(&self.heap, heap)
    }

    /// The number of its heap, and so of the file that the block lies in: unlike all others, now and later, in this process.
    pub fn heap_number(&self) -> u64 {
        self.heap.number
    }

    /// Whether this process allocated the block.
    pub fn is_own(&self) -> bool {
        matches!(self.owner, Owner::Own { .. })
    }

    /// Whether nobody writes to the block any more, wherever it is mapped.
    pub(super) fn is_frozen(&self) -> bool {
        matches!(self.owner, Owner::Own { frozen: true })
    }

    /// In a worker: the parent is told that its block is kept. False if it knows, or need not.
    pub(crate) fn keep(&self) -> bool {
        match &self.owner {
            Owner::Parent { grants, .. } => grants.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok(),
            _ => false,
        }
    }

    /// The telling failed.
    pub(crate) fn unkeep(&self) {
        if let Owner::Parent { grants, .. } = &self.owner {
            grants.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// In a worker: the parent keeps the block for it, and says so.
    pub(crate) fn grant(&self) {
        if let Owner::Parent { grants, .. } = &self.owner {
            grants.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.heap.is_foreign() {
            return;
        }
        // First, since the block may be another's as soon as it is free.
        self.heap.forget(self);
        match &self.owner {
            Owner::Own { .. } => self.heap.free(self.block),
            Owner::Worker(link) => link.release(self.block),
            Owner::Parent { desk, grants } => {
                for _ in 0..grants.load(Ordering::Relaxed) {
                    desk.give_back(self.block.offset);
                }
            }
        }
    }
}

/// A stretch of a block, as a message has it.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Keeps it.
    pub hold: Arc<Hold>,
    /// Where it is.
    pub at: Block,
    /// How it is to be mapped.
    pub access: Access,
}

impl Piece {
    /// All of a block, as it is now, for ever.
    pub fn snapshot(hold: Arc<Hold>) -> Self {
        Self { at: hold.block, hold, access: Access::Snapshot }
    }

    /// All of a block, which everybody may write to.
    pub fn shared(hold: Arc<Hold>) -> Self {
        Self { at: hold.block, hold, access: Access::Shared }
    }

    pub(crate) fn of(hold: Arc<Hold>, at: Block, shared: bool) -> Self {
        Self { hold, at, access: access(shared) }
    }

    /// Maps it here.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn map(&self) -> io::Result<Mapped> {
        self.hold.heap.commons().map(self.at, self.access)
    }

    /// Its line in a message's table.
    pub(crate) fn entry(&self) -> Entry {
        Entry::Piece { base: self.hold.block, at: self.at, shared: self.access == Access::Shared }
    }
}

/// The table behind a message with these pieces.
pub fn table_of(pieces: &[Piece]) -> Vec<u8> {
    let entries: Vec<_> = pieces.iter().map(Piece::entry).collect();
    let mut out = Vec::new();
    table::append(&mut out, &entries);
    out
}
