//! A process's memory for large data: its region of the program's one shared file, and all blocks that it knows of there.
//!
//! The parent has one, each worker has one. A block is allocated, and freed, by the process that owns the region; whoever
//! uses it has a [`Hold`], and it stays as it is while there is one, in whichever process. Promises: a block is freed
//! once, when the last hold has gone, or its process has died; a forked child of the process frees nothing.

mod hold;
mod regions;
mod sent;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use plait_shm::{Access, Block, Mapped};
use plait_shm::{Arena, ArenaError, Commons, Region};
use rustix::process::{Pid, getpid};

use crate::budget::{Budget, Gate, Permit};
use crate::machine::{MemoryLimits, memory_allowance};
use crate::pool::Reserves;
pub(crate) use hold::Owner;
pub use hold::{Hold, Piece, table_of};
pub(crate) use regions::Regions;
use sent::{Place, Sent};

/// How much of free memory a worker's heap keeps at most for the next block, in bytes and as a part of what it may use: what
/// was written before is written several times as fast. The program's heap has a budget for it.
const KEEP_WARM: u64 = 512 << 20;
const KEEP_PART: u64 = 32;

/// Bytes that are copied while the allocator is locked, so that no other thread waits long.
const STEP: usize = 4 << 20;

/// See the file's head.
pub struct Heap {
    commons: Arc<Commons>,
    region: Region,
    arena: Mutex<Arena>,
    /// By where blocks begin, in all regions.
    known: Mutex<HashMap<u64, Weak<Hold>>>,
    sent: Mutex<Sent>,
    /// In a worker: blocks of its own that its parent uses, each as often as it was told of it.
    lent: Mutex<HashMap<u64, Vec<Arc<Hold>>>>,
    /// In a program that has workers: how much it may use.
    gate: Option<Arc<Gate>>,
    /// Otherwise: how many bytes of free memory it keeps.
    keep_warm: u64,
    /// Bytes of free memory that is there for the next block, about.
    warm: Arc<AtomicU64>,
    /// Bytes that were put, in all.
    copied: AtomicU64,
    number: u64,
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
    /// Those of making and mapping the file; `InvalidInput` for a `PLAIT_MEMORY_BUDGET` that is no size.
    pub fn new() -> io::Result<Arc<Self>> {
        let mut budget =
            Budget::of_this_process().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let warm = Arc::new(AtomicU64::new(0));
        let (limits, free) = (MemoryLimits::of_this_process(), Arc::clone(&warm));
        let commons = Commons::create(Reserves::COMMONS)?;
        let len = Reserves::of_program(commons.len());
        let region = commons.take_region(len).ok_or(io::ErrorKind::OutOfMemory)?;
        // Where a limit leaves little room, senders are to wait for it, too.
        budget.limit = budget.limit.min(region.len / 2);
        let gate = Gate::new(budget, move || limits.available().saturating_add(free.load(Ordering::Relaxed)));
        Self::make(commons, region, Some(gate), warm)
    }

    /// The heap of a worker, which was given its region.
    pub(crate) fn of_worker(commons: Arc<Commons>, region: Region) -> io::Result<Arc<Self>> {
        Self::make(commons, region, None, Arc::default())
    }

    fn make(
        commons: Arc<Commons>,
        region: Region,
        gate: Option<Arc<Gate>>,
        warm: Arc<AtomicU64>,
    ) -> io::Result<Arc<Self>> {
        let arena = Mutex::new(Arena::in_region(&commons, region)?);
        let (known, sent, lent, copied) = Default::default();
        let pid = getpid();
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let keep_warm = if gate.is_some() { 0 } else { KEEP_WARM.min(memory_allowance().bytes / KEEP_PART) };
        Ok(Arc::new(Self { commons, region, arena, known, sent, lent, gate, keep_warm, warm, copied, number, pid }))
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

    /// Where senders wait for memory; none in a worker, which must not wait while it holds some itself.
    pub fn gate(&self) -> Option<&Arc<Gate>> {
        self.gate.as_ref()
    }

    /// How many bytes it may hold at all, if a limit on files or addresses made that few.
    pub fn limit(&self) -> Option<u64> {
        (self.region.len < Reserves::PROGRAM).then_some(self.region.len)
    }

    /// How many bytes were copied into it so far.
    pub fn copied(&self) -> u64 {
        self.copied.load(Ordering::Relaxed)
    }

    /// Copies `parts`, one after the other, into a new block. Takes a while for many bytes. `permit` is given back with it.
    ///
    /// # Errors
    /// [`ArenaError`]; nothing was kept then.
    pub fn put(self: &Arc<Self>, parts: &[&[u8]], permit: Option<Permit>) -> Result<Arc<Hold>, ArenaError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let block = self.arena().reserve(len)?;
        self.copied.fetch_add(len as u64, Ordering::Relaxed);
        self.use_warm(len as u64);
        // Gives the block back if the rest fails.
        let hold = self.learn(block, Owner::Own { frozen: true }, permit);
        let mut at = 0;
        for step in parts.iter().flat_map(|part| part.chunks(STEP)) {
            self.arena().write_at(block, at, step)?;
            at += step.len() as u64;
        }
        Ok(hold)
    }

    /// A block with these bytes: the one that they were put into the last time, if they are still what they were then. What
    /// is the same memory of the sender's is compared; that takes a third of the time of copying, and no memory. Second:
    /// whether they were copied.
    ///
    /// # Errors
    /// As [`Heap::put`].
    pub fn put_again(
        self: &Arc<Self>,
        bytes: &[u8],
        mut permit: Option<Permit>,
    ) -> Result<(Arc<Hold>, bool), ArenaError> {
        let place = Place { address: bytes.as_ptr() as usize, len: bytes.len() };
        let before = locked(&self.sent).get(place);
        if let Some(hold) = before.and_then(|block| self.frozen(block, &mut permit))
            && self.holds(hold.block(), bytes)
        {
            return Ok((hold, false));
        }
        let hold = self.put(&[bytes], permit)?;
        locked(&self.sent).note(place, hold.block());
        Ok((hold, true))
    }

    /// A hold on a block that was put, while it is there or can be had again.
    fn frozen(self: &Arc<Self>, block: Block, permit: &mut Option<Permit>) -> Option<Arc<Hold>> {
        match self.find(block.offset) {
            Some(hold) => (hold.block() == block && hold.is_frozen()).then_some(hold),
            None => self.arena().recall(block).then(|| {
                self.use_warm(block.len);
                let permit = permit.as_mut().map(|permit| permit.split(block.len));
                self.learn(block, Owner::Own { frozen: true }, permit)
            }),
        }
    }

    /// Whether a block has these bytes.
    fn holds(&self, block: Block, bytes: &[u8]) -> bool {
        bytes.chunks(STEP).enumerate().all(|(number, step)| {
            let from = number * STEP;
            self.arena().get(block).is_some_and(|there| there.get(from..from + step.len()) == Some(step))
        })
    }

    /// A new block of zeros.
    ///
    /// # Errors
    /// As [`Heap::put`].
    pub fn zeros(self: &Arc<Self>, len: usize, permit: Option<Permit>) -> Result<Arc<Hold>, ArenaError> {
        let block = self.arena().reserve(len)?;
        self.use_warm(len as u64);
        let hold = self.learn(block, Owner::Own { frozen: false }, permit);
        self.arena().clear(block)?;
        Ok(hold)
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
    fn learn(self: &Arc<Self>, block: Block, owner: Owner, permit: Option<Permit>) -> Arc<Hold> {
        let hold = Arc::new(Hold::new(Arc::clone(self), block, owner, permit));
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
        // What came from elsewhere is there already, and stays as long as the program likes.
        let permit = self.gate.as_ref().map(|gate| gate.take(block.len));
        permit.iter().for_each(Permit::keep);
        let hold = Arc::new(Hold::new(Arc::clone(self), block, owner(), permit));
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
        let warm = self.warm.fetch_add(block.len, Ordering::Relaxed) + block.len;
        if block.len < STEP as u64 {
            return;
        }
        let keep = self.gate.as_ref().map_or(self.keep_warm, |gate| gate.keep_warm());
        if warm > keep {
            arena.trim(usize::try_from(keep).unwrap_or(usize::MAX));
            self.warm.store(keep, Ordering::Relaxed);
        }
    }

    fn use_warm(&self, len: u64) {
        let _ = self.warm.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |warm| Some(warm.saturating_sub(len)));
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
