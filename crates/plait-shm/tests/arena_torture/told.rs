//! What a record between owners, the parent and readers says.

use plait_shm::Block;

use crate::fate::Dice;

/// A block, by whose it is (each owner's process has a number of its own) and how many it had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub run: u64,
    pub number: u64,
    pub block: Block,
}

impl Told {
    /// As a record.
    pub fn to_bytes(self) -> Vec<u8> {
        [self.run, self.number, self.block.offset, self.block.len].map(u64::to_le_bytes).concat()
    }

    /// Of a record.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let [run, number, offset, len] = [0, 1, 2, 3].map(|word| {
            u64::from_le_bytes(bytes[word * 8..word * 8 + 8].try_into().expect("a record of another length"))
        });
        Self { run, number, block: Block { offset, len } }
    }

    /// What is in it: the length and each byte follow from whose it is.
    pub fn content(run: u64, number: u64) -> Vec<u8> {
        let mut dice = Dice::new(run << 32 ^ number);
        let len = match dice.roll(8) {
            0 => dice.roll(200_000),
            1 => dice.roll(20_000),
            _ => dice.roll(2_000),
        };
        let (first, step) = (dice.roll(256), dice.roll(255) + 1);
        (0..len).map(|at| (first + at * step + (at >> 8)) as u8).collect()
    }
}
