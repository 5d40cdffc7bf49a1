//! A process's memory for large data: its region of the program's one shared file, and all blocks that it knows of there.
//!
//! The parent has one, each worker has one. A block is allocated, and freed, by the process that owns the region; whoever
//! uses it has a [`Hold`], and it stays as it is while there is one, in whichever process. Promises: a block is freed
//! once, when the last hold has gone, or its process has died; a forked child of the process frees nothing.

mod hold;
mod regions;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use plait_shm::{Access, Block, Mapped};
use plait_shm::{Arena, ArenaError, Commons, Region};
use rustix::process::{Pid, getpid};

use crate::pool::Reserves;
pub(crate) use hold::Owner;
pub use hold::{Hold, Piece, table_of};
pub(crate) use regions::Regions;

/// How much of free memory a heap keeps for the next block, in bytes: what was written before is written several times as fast.
const KEEP_WARM: usize = 512 << 20;

/// Bytes that are copied while the allocator is locked, so that no other thread waits long.
const STEP: usize = 4 << 20;

/// See the file's head.
pub struct Heap {
    commons: Arc<Commons>,
    region: Region,
    arena: Mutex<Arena>,
    /// By where blocks begin, in all regions.
    known: Mutex<HashMap<u64, Weak<Hold>>>,
    /// In a worker: blocks of its own that its parent uses, each as often as it was told of it.
    lent: Mutex<HashMap<u64, Vec<Arc<Hold>>>>,
    pid: Pid,
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("region", &self.region).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heap {
    /// The heap of a program that has none yet, and the file that it lies in.
    ///
    /// # Errors
    /// Those of making and mapping the file.
    pub fn new() -> io::Result<Arc<Self>> {
        let commons = Commons::create(Reserves::COMMONS)?;
        let len = Reserves::of_program(commons.len());
        let region = commons.take_region(len).ok_or(io::ErrorKind::OutOfMemory)?;
        Self::over(commons, region)
    }

    /// The heap of a process that was given its region.
    pub(crate) fn over(commons: Arc<Commons>, region: Region) -> io::Result<Arc<Self>> {
        let arena = Mutex::new(Arena::in_region(&commons, region)?);
        let (known, lent) = Default::default();
        Ok(Arc::new(Self { commons, region, arena, known, lent, pid: getpid() }))
    }

    /// The program's shared file.
    pub(crate) fn commons(&self) -> &Arc<Commons> {
        &self.commons
    }

    /// The stretch of it in which this process allocates.
    pub(crate) fn region(&self) -> Region {
        self.region
    }

    /// The allocator, for messages. Innermost among the locks, but for those of this file.
    pub(crate) fn arena(&self) -> MutexGuard<'_, Arena> {
        locked(&self.arena)
    }

    /// Whether this process was forked from the one that the heap is of.
    pub fn is_foreign(&self) -> bool {
        getpid() != self.pid
    }

    /// Copies `parts`, one after the other, into a new block. Takes a while for many bytes.
    ///
    /// # Errors
    /// [`ArenaError`]; nothing was kept then.
    pub fn put(self: &Arc<Self>, parts: &[&[u8]]) -> Result<Arc<Hold>, ArenaError> {
        let block = self.arena().reserve(parts.iter().map(|part| part.len()).sum())?;
        // Gives the block back if the rest fails.
        let hold = self.own(block);
        let mut at = 0;
        for step in parts.iter().flat_map(|part| part.chunks(STEP)) {
            self.arena().write_at(block, at, step)?;
            at += step.len() as u64;
        }
        Ok(hold)
    }

    /// A new block of zeros.
    ///
    /// # Errors
    /// As [`Heap::put`].
    pub fn zeros(self: &Arc<Self>, len: usize) -> Result<Arc<Hold>, ArenaError> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        let block = self.arena().reserve(len)?;
        let hold = self.own(block);
        let mut at = 0;
        while at < len {
            let step = ZEROS.len().min(len - at);
            self.arena().write_at(block, at as u64, &ZEROS[..step])?;
            at += step;
        }
        Ok(hold)
    }

    fn own(self: &Arc<Self>, block: Block) -> Arc<Hold> {
        self.learn(block, Owner::Own)
    }

    /// How many bytes live blocks of this process's region take up.
    pub fn used(&self) -> usize {
        self.arena().used()
    }

    /// The hold on the block that begins at `offset`, if there is one.
    pub(crate) fn find(&self, offset: u64) -> Option<Arc<Hold>> {
        locked(&self.known).get(&offset).and_then(Weak::upgrade)
    }

    /// A new hold on a block that nobody here has a hold on.
    pub(crate) fn learn(self: &Arc<Self>, block: Block, owner: Owner) -> Arc<Hold> {
        let hold = Arc::new(Hold::new(Arc::clone(self), block, owner));
        locked(&self.known).insert(block.offset, Arc::downgrade(&hold));
        hold
    }

    /// A hold on a block, the one that there is or a new one. Second: whether it is new.
    pub(crate) fn find_or_learn(self: &Arc<Self>, block: Block, owner: impl FnOnce() -> Owner) -> (Arc<Hold>, bool) {
        // One that is about to end is not found; it does not forget its successor.
        let mut known = locked(&self.known);
        if let Some(hold) = known.get(&block.offset).and_then(Weak::upgrade) {
            return (hold, false);
        }
        let hold = Arc::new(Hold::new(Arc::clone(self), block, owner()));
        known.insert(block.offset, Arc::downgrade(&hold));
        (hold, true)
    }

    /// The hold has ended.
    fn forget(&self, hold: &Hold) {
        let mut known = locked(&self.known);
        if known.get(&hold.block().offset).is_some_and(|other| std::ptr::eq(other.as_ptr(), hold)) {
            known.remove(&hold.block().offset);
        }
    }

    fn free(&self, block: Block) {
        let mut arena = self.arena();
        arena.release(block);
        if block.len >= STEP as u64 {
            arena.trim(KEEP_WARM);
        }
    }

    /// The parent was told of these blocks of this worker, and uses them until it gives them back.
    pub fn lend(&self, pieces: &[Piece]) {
        if pieces.is_empty() {
            return;
        }
        let mut lent = locked(&self.lent);
        for Piece { hold, .. } in pieces.iter().filter(|piece| piece.hold.is_own()) {
            lent.entry(hold.block().offset).or_default().push(Arc::clone(hold));
        }
    }

    /// The parent gives a block back.
    pub(crate) fn take_back(&self, block: Block) {
        let gone = {
            let mut lent = locked(&self.lent);
            let gone = lent.get_mut(&block.offset).and_then(Vec::pop);
            if lent.get(&block.offset).is_some_and(Vec::is_empty) {
                lent.remove(&block.offset);
            }
            gone
        };
        drop(gone);
    }
}

/// How a piece is mapped.
fn access(shared: bool) -> Access {
    if shared { Access::Shared } else { Access::Snapshot }
}

#[cfg(test)]
mod tests;
