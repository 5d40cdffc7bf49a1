//! The memory of a queue's records, in a ring.
//!
//! A record is a word and its body, rounded up to units. Behind the last unit comes the first, in the middle of a record, too.

use super::position::{Position, UNIT};
use crate::error::Malformed;
use crate::sync::Area;

/// Bytes before the body.
const HEAD: usize = 4;

/// The longest body.
pub(crate) const LONGEST: usize = (1 << 24) - 1;

/// What a record is, beside its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    /// The user's, below 128.
    pub(crate) kind: u8,
    /// The body tells where the message lies.
    pub(crate) is_block: bool,
}

#[derive(Clone)]
pub(crate) struct Ring(pub(crate) Area);

impl Ring {
    /// How many units a record takes whose body is so long.
    pub(crate) fn units_for(len: usize) -> u32 {
        (HEAD + len).div_ceil(UNIT) as u32
    }

    /// How many units it has; a power of two.
    pub(crate) fn units(&self) -> u32 {
        (self.0.len() / UNIT) as u32
    }

    fn offset(&self, at: Position) -> usize {
        at.units() as usize % (self.0.len() / UNIT) * UNIT
    }

    /// Writes a record, whose units nobody else may have.
    ///
    /// # Safety
    /// By the protocol nobody else may access the units from `at` on that it takes.
    pub(crate) unsafe fn write(&self, at: Position, label: Label, body: &[u8]) {
        debug_assert!(body.len() <= LONGEST);
        let head = body.len() as u32 | u32::from(label.kind & 127) << 24 | u32::from(label.is_block) << 31;
        let from = self.offset(at);
        let first = body.len().min(self.0.len() - from - HEAD);
        // SAFETY: these are the record's units: the caller's promise.
        unsafe {
            self.0.write(from, &head.to_le_bytes());
            self.0.write(from + HEAD, &body[..first]);
            self.0.write(0, &body[first..]);
        }
    }

    /// Reads the record at a place, of which no more than `most` units were written, appending its body; gives what it takes.
    ///
    /// # Safety
    /// By the protocol nobody may write these units now.
    pub(crate) unsafe fn read(&self, at: Position, most: u32, body: &mut Vec<u8>) -> Result<(Label, u32), Malformed> {
        let from = self.offset(at);
        // SAFETY: the units are written, and nobody writes them now: the caller's promise; here and below.
        let head = unsafe { self.0.with(from, HEAD, |head| u32::from_le_bytes([head[0], head[1], head[2], head[3]])) };
        let len = head as usize & LONGEST;
        let units = Self::units_for(len);
        if units > most {
            return Err(Malformed);
        }
        let first = len.min(self.0.len() - from - HEAD);
        // SAFETY: as above.
        unsafe {
            self.0.with(from + HEAD, first, |part| body.extend_from_slice(part));
            if first < len {
                self.0.with(0, len - first, |part| body.extend_from_slice(part));
            }
        }
        Ok((Label { kind: (head >> 24) as u8 & 127, is_block: head >> 31 != 0 }, units))
    }
}
