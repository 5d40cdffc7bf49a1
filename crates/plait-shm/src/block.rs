//! A piece of an arena as plain numbers, which is how it travels: in messages, and in the words of a worker's status.

/// A piece of an arena: plain numbers, to travel in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    /// Where it begins in the arena's file, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u64,
}
