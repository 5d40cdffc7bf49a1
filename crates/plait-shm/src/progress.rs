//! How far a worker has come with a chunk, and where the results of the items that are done lie.
//!
//! Promises: what is read was noted by one call, whole, even if the worker was killed in the next one; it is never of another
//! task; and the bytes of a draft that it counts were written before. Noting is a few stores to lines of the worker's own.

use crate::block::Block;
#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU64, Line, Ordering, fence};

/// How far a worker has come with the task that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many items of the chunk are done.
    pub items: u32,
    /// Their results: the front of the draft, as far as it is written. Empty where there is no draft.
    pub block: Block,
}

impl Progress {
    const NONE: Self = Self { items: 0, block: Block { offset: 0, len: 0 } };
}

/// | word | meaning | who writes, when |
/// |---|---|---|
/// | `told` | how many notes were made; the last one is `notes[told % 2]` | the worker, after it wrote that note |
/// | `turn` | the turn of `WorkerStatus` that the note is of; 0: none was made yet | the worker, while `told` is for the other note |
/// | `items`, `offset`, `bytes` | the note | as `turn` |
#[repr(C)]
pub(crate) struct ProgressWords {
    told: Line<AtomicU64>,
    notes: Line<[Note; 2]>,
}

#[repr(C)]
struct Note {
    turn: AtomicU64,
    items: AtomicU64,
    offset: AtomicU64,
    bytes: AtomicU64,
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for ProgressWords {}

impl Note {
    fn load(&self) -> (u64, Progress) {
        let [turn, items, offset, len] =
            [&self.turn, &self.items, &self.offset, &self.bytes].map(|word| word.load(Ordering::Relaxed));
        (turn, Progress { items: items as u32, block: Block { offset, len } })
    }
}

impl ProgressWords {
    /// The worker has come further in `turn`, which is not 0. `change` is given what it noted last in this turn.
    pub(crate) fn note(&self, turn: u64, change: impl FnOnce(Progress) -> Progress) {
        let told = self.told.load(Ordering::Relaxed);
        let (of, last) = self.last(told).load();
        let progress = change(if of == turn { last } else { Progress::NONE });
        let told = told.wrapping_add(1);
        let note = self.last(told);
        // SYNC POINT with the fence in `read`: who reads a word written below sees that the other note is the last one.
        fence(Ordering::Release);
        note.turn.store(turn, Ordering::Relaxed);
        note.items.store(progress.items.into(), Ordering::Relaxed);
        note.offset.store(progress.block.offset, Ordering::Relaxed);
        note.bytes.store(progress.block.len, Ordering::Relaxed);
        // SYNC POINT with the first load in `read`, for the note, and for the draft's bytes that it counts.
        self.told.store(told, Ordering::Release);
    }

    /// What was noted last in `turn`; exact once the worker is dead.
    pub(crate) fn read(&self, turn: u64) -> Option<Progress> {
        // Two notes during these loads cost one attempt; a live worker cannot hold the parent here.
        for _ in 0..16 {
            // SYNC POINT with the store of `told` in `note`.
            let told = self.told.load(Ordering::Acquire);
            let (of, progress) = self.last(told).load();
            // SYNC POINT with the fence in `note`.
            fence(Ordering::Acquire);
            if self.told.load(Ordering::Relaxed) == told {
                return (of == turn).then_some(progress);
            }
        }
        None
    }

    fn last(&self, told: u64) -> &Note {
        &self.notes[(told % 2) as usize]
    }
}

#[cfg(all(test, loom))]
impl ProgressWords {
    pub(crate) fn new() -> Self {
        let note = || {
            let [turn, items, offset, bytes] = [0; 4].map(AtomicU64::new);
            Note { turn, items, offset, bytes }
        };
        Self { told: Line(AtomicU64::new(0)), notes: Line([note(), note()]) }
    }
}
