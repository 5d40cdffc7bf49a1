//! Where a queue's memory lies in the file of its `LockMemory`: the line in which it begins says so, so nobody has to hand it out.
//!
//! A lot has a ring, a table of the pages, and the pages. Its memory goes when the line is taken back.

use super::handle::LINES;
use super::heap::PAGE;
use crate::block::{Block, Region};
use crate::commons::Commons;

/// Bytes of a ring, at least and at most.
pub(crate) const LEAST_RING: usize = 256 << 10;
pub(crate) const MOST_RING: usize = 1 << 30;

/// Pages for parcels, at most and at least.
const MOST_PAGES: u64 = 1 << 20;
const LEAST_PAGES: u64 = 1 << 4;

/// Where files may not be long, lots have so many bytes at least, for as many queues as there is room for.
const LEAST: u64 = if cfg!(any(miri, acted)) { 16 << 20 } else { 64 << 20 };

/// The memory of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lot {
    pub(crate) region: Region,
}

impl Lot {
    /// That of the queue which begins in a line, in a file whose lots begin at `from`; `None` where the file is too short.
    pub(crate) fn of(store: &Commons, from: u64, lines: usize, line: usize) -> Option<Self> {
        let most = MOST_RING as u64 + table_len(MOST_PAGES) as u64 + MOST_PAGES * PAGE;
        let share = store.len().checked_sub(from)? / (lines / LINES).max(1) as u64;
        let len = share.clamp(LEAST, most) / PAGE * PAGE;
        // No two queues begin within so many lines.
        let offset = from.checked_add((line / LINES) as u64 * len)?;
        let end = offset.checked_add(len)?;
        (end <= store.len()).then_some(Self { region: Region { offset, len } })
    }

    /// The length of the ring that is wanted, or of a shorter one.
    pub(crate) fn ring(self, wanted: usize) -> usize {
        let most = (self.region.len / 4) as usize;
        wanted.min(most + 1).next_power_of_two().clamp(LEAST_RING, MOST_RING).min((most + 1).next_power_of_two() / 2)
    }

    /// How many pages there are beside a ring.
    pub(crate) fn pages(self, ring: usize) -> u64 {
        let left = self.region.len.saturating_sub(ring as u64);
        // A page of the table is for so many.
        let tables = left.div_ceil(PAGE * (PAGE / 4));
        (left / PAGE).saturating_sub(tables).clamp(LEAST_PAGES, MOST_PAGES)
    }
}

/// Gives the memory of the queue back that began in a line.
pub(crate) fn forget(store: &Commons, from: u64, lines: usize, line: usize) {
    if let Some(Lot { region: Region { offset, len } }) = Lot::of(store, from, lines, line) {
        store.punch(Block { offset, len });
    }
}

/// The length of the table for so many pages.
pub(crate) fn table_len(pages: u64) -> usize {
    (pages as usize * size_of::<u32>()).next_multiple_of(PAGE as usize)
}
