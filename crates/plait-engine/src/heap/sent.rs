//! Which blocks hold copies of which memory of the sender's: so that what is sent again need not be copied again.

use std::collections::{HashMap, VecDeque};

use plait_shm::Block;

/// So many places are remembered, the last ones.
const MANY: usize = 256;

/// A stretch of the process's own memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) address: usize,
    pub(super) len: usize,
}

/// See the file's head. A reason to compare, never a proof.
#[derive(Debug, Default)]
pub(super) struct Sent {
    blocks: HashMap<Place, Block>,
    order: VecDeque<Place>,
}

impl Sent {
    pub(super) fn get(&self, place: Place) -> Option<Block> {
        self.blocks.get(&place).copied()
    }

    pub(super) fn note(&mut self, place: Place, block: Block) {
        if self.blocks.insert(place, block).is_some() {
            return;
        }
        self.order.push_back(place);
        if self.order.len() > MANY
            && let Some(oldest) = self.order.pop_front()
        {
            self.blocks.remove(&oldest);
        }
    }
}
