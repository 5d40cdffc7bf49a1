//! What the ring says of a message that lies in the queue's heap.

/// The body of a record whose message is a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The first page of the block.
    pub(crate) page: u32,
    /// The length of the message in bytes, which is what it weighs.
    pub(crate) len: u64,
}

/// How many bytes it takes.
pub(crate) const LEN: usize = 12;

impl Reference {
    pub(crate) fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&self.page.to_le_bytes());
        bytes[4..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (page, len) = bytes.split_first_chunk::<4>()?;
        let len = <[u8; 8]>::try_from(len).ok()?;
        Some(Self { page: u32::from_le_bytes(*page), len: u64::from_le_bytes(len) })
    }
}
