//! The stream: records of any length up to half the ring, from one writer to one reader in another process.
//!
//! A record is a header word and its bytes, in one piece: one that does not fit before the end of the ring starts anew at its
//! front, and a skip header tells so. Positions count bytes since the beginning and never wrap. Promises:
//! a record is seen whole or not at all, whenever its writer is killed; the reader trusts nothing that it has not
//! checked, and memory overwritten by the other side gives [`Malformed`], never a panic or an access outside of the ring.
//!
//! | word | meaning | who writes, when |
//! |---|---|---|
//! | `head` | bytes published | the writer, after the record it ends |
//! | `tail` | bytes given back | the reader, after it is done with the record it ends |
//! | `wanted` | the `tail` that the writer waits for | the writer, before it announces on `space` |
//! | `space` | the writer's bell | see `bell` |
//!
//! | bits of a header | meaning |
//! |---|---|
//! | 0–31 | the record's length in bytes; all ones: go on at the front of the ring |
//! | 32–63 | the low half of the header's own position in words, so that old or alien bytes are not taken for a header |

use std::fmt;
use std::time::Duration;

use crate::bell::{Bell, Wake};
use crate::error::Malformed;
#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{Area, AtomicU64, Line, Ordering, Place, fence};

/// Why a record was not written; nothing of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// No room now: wait until the reader has made some ([`StreamWriter::wait_space`]).
    Full,
    /// It would not fit into an empty ring either.
    TooLarge {
        /// The longest record that this ring takes, in bytes.
        max: usize,
    },
    /// The reader's process overwrote its word: nothing can be sent to it any more.
    Malformed,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no room in the ring, wait until its reader has made some"),
            Self::TooLarge { max } => write!(f, "the record is over {max} bytes, send it through an arena"),
            Self::Malformed => Malformed.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {}

/// The words of one stream in shared memory; the bytes are an [`Area`] elsewhere.
#[repr(C)]
pub(crate) struct StreamWords {
    head: Line<AtomicU64>,
    tail: Line<AtomicU64>,
    wanted: Line<AtomicU64>,
    space: Bell,
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for StreamWords {}

#[cfg(all(test, loom))]
impl StreamWords {
    pub(crate) fn new() -> Self {
        Self {
            head: Line(AtomicU64::new(0)),
            tail: Line(AtomicU64::new(0)),
            wanted: Line(AtomicU64::new(0)),
            space: Bell::new(),
        }
    }
}

const WORD: usize = 8;
const SKIP: u32 = u32::MAX;

const fn header(position: u64, len: u32) -> u64 {
    ((position / WORD as u64) << 32) | len as u64
}

/// The bytes that a record of `len` takes up, its header included.
const fn footprint(len: usize) -> usize {
    WORD + len.next_multiple_of(WORD)
}

const fn max_record(capacity: usize) -> usize {
    let half = capacity / 2 - WORD;
    if half < SKIP as usize { half } else { SKIP as usize - WORD }
}

/// The writing end of a stream.
pub struct StreamWriter {
    words: Place<StreamWords>,
    area: Area,
    /// Bytes published, as this end knows it.
    head: u64,
    /// `tail` when last looked at.
    seen_tail: u64,
    /// The `tail` that the last refused record needs; 0 when none was refused.
    wanted: u64,
}

impl StreamWriter {
    /// The writing end of an empty stream; there must be no other.
    pub(crate) fn new(words: Place<StreamWords>, area: Area) -> Self {
        assert!(area.len().is_power_of_two() && area.len() >= 2 * WORD);
        Self { words, area, head: 0, seen_tail: 0, wanted: 0 }
    }

    /// Writes one record, the `parts` one after the other, and publishes it.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was written then.
    pub fn write(&mut self, parts: &[&[u8]]) -> Result<(), WriteError> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let max = self.max_record();
        if len > max {
            return Err(WriteError::TooLarge { max });
        }
        let capacity = self.area.len();
        let offset = self.head as usize & (capacity - 1);
        let footprint = footprint(len);
        let skipped = if footprint > capacity - offset { capacity - offset } else { 0 };
        let end = self.head + (skipped + footprint) as u64;
        if end - self.seen_tail > capacity as u64 {
            // SYNC POINT with the `tail` store of `StreamReader`: it is done with the bytes below.
            let tail = self.words.tail.load(Ordering::Acquire);
            if tail < self.seen_tail || tail > self.head {
                return Err(WriteError::Malformed);
            }
            self.seen_tail = tail;
            if end - tail > capacity as u64 {
                self.wanted = end - capacity as u64;
                return Err(WriteError::Full);
            }
        }
        self.wanted = 0;
        // SAFETY: the bytes from `head` to `end` lie within one capacity of the reader's `tail`, so it has given them back and
        // will not look at them before `head` says so; and this is the only writer.
        unsafe {
            let mut at = self.head;
            if skipped > 0 {
                self.area.write_word(offset, header(at, SKIP));
                at += skipped as u64;
            }
            let mut to = at as usize & (capacity - 1);
            self.area.write_word(to, header(at, len as u32));
            to += WORD;
            for part in parts {
                self.area.write(to, part);
                to += part.len();
            }
        }
        self.head = end;
        // SYNC POINT with the `head` load of `StreamReader`.
        self.words.head.store(end, Ordering::Release);
        Ok(())
    }

    /// The longest record, in bytes.
    pub fn max_record(&self) -> usize {
        max_record(self.area.len())
    }

    /// How many bytes the reader has not given back, of [`StreamWriter::capacity`].
    pub fn used(&self) -> usize {
        let used = self.head.wrapping_sub(self.words.tail.load(Ordering::Relaxed));
        used.min(self.capacity() as u64) as usize
    }

    /// The size of the ring in bytes.
    pub fn capacity(&self) -> usize {
        self.area.len()
    }

    /// Sleeps until the reader has made room for the record that was last refused; after no refusal, returns at once.
    pub fn wait_space(&self, timeout: Option<Duration>) -> Wake {
        let words = &*self.words;
        words.wanted.store(self.wanted, Ordering::Relaxed);
        // SYNC POINT with `GiveBack`, by the fence in `Bell::wait`: `wanted` is stored before it.
        words.space.wait(|| words.tail.load(Ordering::Relaxed) >= self.wanted, timeout)
    }
}

/// The reading end of a stream.
pub struct StreamReader {
    words: Place<StreamWords>,
    area: Area,
    /// Bytes given back, as this end knows it.
    tail: u64,
    /// `head` when last looked at, and checked.
    seen_head: u64,
    /// Nothing that follows a malformed record can be told from noise.
    broken: bool,
}

impl StreamReader {
    /// The reading end of an empty stream; there must be no other.
    pub(crate) fn new(words: Place<StreamWords>, area: Area) -> Self {
        assert!(area.len().is_power_of_two() && area.len() >= 2 * WORD);
        Self { words, area, tail: 0, seen_head: 0, broken: false }
    }

    /// Lends the next record to `f`, then gives its bytes back and wakes the writer if it waits for them.
    ///
    /// `None` when all was read. The record counts as read even if `f` panics. A writer that breaks the protocol can change the
    /// bytes while `f` looks at them, so a decoder must not depend on reading one twice.
    ///
    /// # Errors
    /// [`Malformed`] when what the writer wrote makes no sense; from then on for ever.
    pub fn read<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Malformed> {
        match self.next() {
            Ok(Some((start, len, end))) => {
                let give_back = GiveBack { words: &self.words, tail: &mut self.tail, end };
                // SAFETY: `next` found the record to lie wholly between `tail` and a published `head`, within the area; the
                // writer leaves those bytes alone until `tail`, which `give_back` moves after `f`.
                let read = unsafe { self.area.with(start, len, f) };
                drop(give_back);
                Ok(Some(read))
            }
            Ok(None) => Ok(None),
            Err(Malformed) => {
                self.broken = true;
                Err(Malformed)
            }
        }
    }

    /// Has all been read that is published now? Exact after a SeqCst fence, which is what sleeping relies on.
    pub fn is_empty(&self) -> bool {
        self.words.head.load(Ordering::Relaxed) == self.tail
    }

    /// The offset and length of the next record, and the position where it ends.
    fn next(&mut self) -> Result<Option<(usize, usize, u64)>, Malformed> {
        if self.broken {
            return Err(Malformed);
        }
        let capacity = self.area.len();
        if self.tail == self.seen_head {
            // SYNC POINT with the `head` store in `StreamWriter::write`.
            let head = self.words.head.load(Ordering::Acquire);
            let fresh = head.wrapping_sub(self.tail);
            if fresh > capacity as u64 || !fresh.is_multiple_of(WORD as u64) {
                return Err(Malformed);
            }
            if fresh == 0 {
                return Ok(None);
            }
            self.seen_head = head;
        }
        let mut at = self.tail;
        let mut len = self.header_at(at)?;
        let offset = at as usize & (capacity - 1);
        if len == SKIP && offset != 0 {
            at += (capacity - offset) as u64;
            if at >= self.seen_head {
                return Err(Malformed);
            }
            len = self.header_at(at)?;
        }
        let start = (at as usize & (capacity - 1)) + WORD;
        let len = len as usize;
        // SKIP itself is longer than any record.
        if len > max_record(capacity) || start + len > capacity {
            return Err(Malformed);
        }
        let end = at + footprint(len) as u64;
        if end > self.seen_head { Err(Malformed) } else { Ok(Some((start, len, end))) }
    }

    /// The length in the header at a position between `tail` and `seen_head`.
    fn header_at(&self, at: u64) -> Result<u32, Malformed> {
        let offset = at as usize & (self.area.len() - 1);
        // SAFETY: positions are multiples of 8 and so is the capacity, so the word lies inside; it is below the published `head`.
        let word = unsafe { self.area.read_word(offset) };
        let len = word as u32;
        if word == header(at, len) { Ok(len) } else { Err(Malformed) }
    }
}

/// Gives a record's bytes back when it is dropped, also while a panic unwinds.
struct GiveBack<'a> {
    words: &'a StreamWords,
    tail: &'a mut u64,
    end: u64,
}

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        *self.tail = self.end;
        // SYNC POINT with the `tail` loads of `StreamWriter`.
        self.words.tail.store(self.end, Ordering::Release);
        // SYNC POINT with `Bell::wait` in `StreamWriter::wait_space`: either we see the announcement and its `wanted`, or the
        // writer's last look sees the new `tail`.
        fence(Ordering::SeqCst);
        if self.words.space.is_announced_fenced() && self.end >= self.words.wanted.load(Ordering::Relaxed) {
            self.words.space.ring_fenced();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
