//! A function's definition in the pool's shared memory: placed once, read by each worker that meets it.

use std::fmt;
use std::sync::Arc;

use plait_shm::Block;

use crate::heap::{Heap, Piece};

/// A placed function. Its memory goes back to the arena when the last task that calls it has ended and the
/// submitter has let go of it.
pub struct Function {
    pub(super) number: u64,
    pub(super) block: Block,
    pub(super) name: Arc<str>,
    heap: Arc<Heap>,
    pub(super) pieces: Box<[Piece]>,
}

impl Function {
    pub(super) fn new(number: u64, block: Block, name: &str, heap: Arc<Heap>, pieces: &[Piece]) -> Self {
        Self { number, block, name: name.into(), heap, pieces: pieces.into() }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("number", &self.number)
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.heap.arena().release(self.block);
    }
}
