//! Pieces of the commons as plain numbers, which is how they travel: in messages, and in the words of a worker's segment.

/// A piece of the commons: plain numbers, to travel in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    /// Where it begins in the commons, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u64,
}

/// A stretch of the commons in which one process allocates: plain numbers, multiples of the page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Region {
    /// Where it begins in the commons, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u64,
}

impl Region {
    /// Where it ends, if it is whole pages that a file can have.
    pub(crate) fn end(self) -> Option<u64> {
        let page = rustix::param::page_size() as u64;
        let end = self.offset.checked_add(self.len).filter(|end| *end <= i64::MAX as u64)?;
        (self.offset.is_multiple_of(page) && self.len.is_multiple_of(page)).then_some(end)
    }
}
