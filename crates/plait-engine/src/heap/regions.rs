//! The two regions of one worker, as its parent has them.

use std::fmt;
use std::io;
use std::sync::Arc;

use plait_shm::{ArenaView, Block, Region};

use super::Heap;

/// Where a worker allocates, for as long as anybody uses anything there. Given back, with all the memory in them, when this
/// is dropped.
pub(crate) struct Regions {
    heap: Arc<Heap>,
    /// Of its messages.
    results: Region,
    /// Of its heap.
    own: Region,
}

impl fmt::Debug for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regions").field("results", &self.results).field("own", &self.own).finish_non_exhaustive()
    }
}

impl Regions {
    /// Takes two regions of `len` bytes in the program's file.
    ///
    /// # Errors
    /// `OutOfMemory` when the file, which `ulimit -f` may have cut short, has none left.
    pub(crate) fn take(heap: &Arc<Heap>, len: u64) -> io::Result<Self> {
        let no_room = || {
            io::Error::new(
                io::ErrorKind::OutOfMemory,
                "the shared file has no room for another worker: raise the limit on the size of files (`ulimit -f`)",
            )
        };
        let results = heap.commons.take_region(len).ok_or_else(no_room)?;
        let Some(own) = heap.commons.take_region(len) else {
            heap.commons.give_region(results);
            return Err(no_room());
        };
        Ok(Self { heap: Arc::clone(heap), results, own })
    }

    /// Both: of its messages, and of its heap.
    pub(crate) fn both(&self) -> [Region; 2] {
        [self.results, self.own]
    }

    /// Its messages, to be read.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub(crate) fn view(&self) -> io::Result<ArenaView> {
        ArenaView::of(&self.heap.commons, self.results)
    }

    /// Whether a block lies in its heap.
    pub(crate) fn heap_has(&self, block: Block) -> bool {
        contains(self.own, block)
    }
}

impl Drop for Regions {
    fn drop(&mut self) {
        if self.heap.is_foreign() {
            return;
        }
        self.heap.commons.give_region(self.results);
        self.heap.commons.give_region(self.own);
    }
}

pub(super) fn contains(region: Region, block: Block) -> bool {
    block.offset >= region.offset && block.len <= region.len && block.offset - region.offset <= region.len - block.len
}
