//! A message on its way out: its body, and the buffers that travel beside it.
//!
//! The body is bytes, of which long stretches may lie where they were found (`long`), so that they are copied once, to
//! where the message goes. Promises: what it refers to stays where it is, of the same length, until the message is
//! cleared or dropped; it is cleared under the interpreter, for others wait to resize what it refers to.

use super::taken::TakenBuffer;

/// See the file's head. Empty, and takes nothing but bytes, when new.
#[derive(Default)]
pub struct Message {
    /// The body, but for its long stretches.
    pub bytes: Vec<u8>,
    /// Long stretches of the body, in order, each with the place in `bytes` where it is to be put in.
    pub long: Vec<(usize, TakenBuffer)>,
    /// What unpickling wants beside the body, in order.
    pub buffers: Vec<TakenBuffer>,
    /// Whether buffers may travel beside the body. If not, all is in the body.
    pub takes_buffers: bool,
    /// Whether the body may have long stretches. If not, all of it is in `bytes`.
    pub takes_long: bool,
}

/// How much there is of a message.
#[derive(Clone, Copy)]
pub struct Mark {
    bytes: usize,
    long: usize,
    buffers: usize,
}

impl Message {
    /// An empty one that takes all that can travel beside its bytes.
    pub fn outgoing() -> Self {
        Self { takes_buffers: true, takes_long: true, ..Self::default() }
    }

    /// Makes it as it was when new, but for the room it has.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.long.clear();
        self.buffers.clear();
        self.takes_buffers = false;
        self.takes_long = false;
    }

    /// The length of the body.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.long.iter().map(|(_, stretch)| stretch.len()).sum::<usize>()
    }

    /// The body in pieces. Those of `long` may change while they are read, if the sender does not wait.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let stretches = self.long.iter().flat_map(move |(at, stretch)| {
            let before = &self.bytes[std::mem::replace(&mut from, *at)..*at];
            [before, stretch.bytes()]
        });
        let end = self.long.last().map_or(0, |(at, _)| *at);
        stretches.chain([&self.bytes[end..]]).filter(|part| !part.is_empty())
    }

    /// How many bytes travel in all.
    pub fn weight(&self) -> usize {
        self.len() + self.buffers.iter().map(TakenBuffer::len).sum::<usize>()
    }

    /// Appends another message.
    pub fn append(&mut self, other: Self) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.long.extend(other.long.into_iter().map(|(at, stretch)| (before + at, stretch)));
        self.buffers.extend(other.buffers);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), long: self.long.len(), buffers: self.buffers.len() }
    }

    /// Makes it what it was at the mark.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.long.truncate(mark.long);
        self.buffers.truncate(mark.buffers);
    }

    /// Appends a stretch without copying it.
    pub(super) fn push_long(&mut self, stretch: TakenBuffer) {
        self.long.push((self.bytes.len(), stretch));
    }
}
