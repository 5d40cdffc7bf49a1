//! Where the memory of an arena comes from, and goes to: pages have none until they are written or provided, and lose it when
//! they are free and the arena is trimmed.

use std::io;

use super::slabs::SLAB;
use super::{Arena, ArenaError};
use crate::block::Block;
use crate::system::{Files, Here};

/// How much memory is asked for at once: the system begins anew when a signal comes meanwhile.
const PROVIDED: u64 = 16 << 20;

impl Arena {
    /// Gives every page of a block memory. That is to be done before it is written through mappings ([`crate::Commons::map`], shared):
    /// then no lack of memory is a signal there, and [`Arena::trim`] knows what there is. The bytes are what they are, in new
    /// pages zero.
    ///
    /// # Errors
    /// [`ArenaError::Io`]; a part of the pages may have memory then, and nothing else has changed.
    ///
    /// # Panics
    /// When the block is not live.
    pub fn provide(&mut self, block: Block) -> Result<(), ArenaError> {
        assert!(self.room(block).is_some(), "{block:?} is not live");
        let (mut start, end) = (block.offset - self.base, block.offset - self.base + block.len);
        while start < end {
            let len = (end - start).min(PROVIDED);
            if !self.warm.covers(start, start + len) {
                match self.commons.fill(Block { offset: self.base + start, len }) {
                    Ok(()) => self.warm.set(start, start + len),
                    Err(error) => return Err(ArenaError::Io(error)),
                }
            }
            start += len;
        }
        Ok(())
    }

    /// As [`Arena::provide`], and all bytes are zero then.
    ///
    /// # Errors
    /// As above; the bytes are anything then.
    ///
    /// # Panics
    /// As above.
    pub fn clear(&mut self, block: Block) -> Result<(), ArenaError> {
        assert!(self.room(block).is_some(), "{block:?} is not live");
        let (start, end) = (block.offset - self.base, block.offset - self.base + block.len);
        // Pages that lie wholly inside come back as zeros; what is left of others is written.
        let (holes, holes_end) = match self.punch(start, end) {
            true => (start.next_multiple_of(self.page), end / self.page * self.page),
            false => (end, end),
        };
        let zeros = vec![0; self.page as usize];
        for (mut from, to) in [(start, holes), (holes_end, end)] {
            while from < to {
                let len = (to - from).min(self.page);
                self.write(from, &zeros[..len as usize]).map_err(ArenaError::Io)?;
                from += len;
            }
        }
        self.provide(block)
    }

    /// Gives memory of free blocks back to the system until at most `keep_warm` bytes of it are left.
    ///
    /// Some is worth keeping: pages that the file has are written several times as fast as new ones.
    pub fn trim(&mut self, keep_warm: usize) {
        self.give_empty_slabs();
        let (end, warm_end) = (self.pages.end(), self.warm.end());
        let runs = self.pages.free_runs().chain((end < warm_end).then(|| (end, warm_end - end)));
        let runs: Vec<_> = runs.map(|(start, count)| (start, count, self.warm.count(start, count))).collect();
        let mut warm: u64 = runs.iter().map(|(_, _, warm)| warm * self.page).sum();
        // From the far end, since allocation prefers neither and the near end is where the file stays dense.
        for (start, count, pages) in runs.into_iter().rev() {
            if warm <= keep_warm as u64 {
                break;
            }
            if pages > 0 && self.punch(start * self.page, (start + count) * self.page) {
                warm -= pages * self.page;
            }
        }
    }

    pub(super) fn give_empty_slabs(&mut self) {
        for slab in self.slabs.drain_empty() {
            self.pages.give(slab / self.page, SLAB / self.page);
        }
    }

    /// Copies `bytes` to `offset`, inside of a live block.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        if self.warm.covers(offset, end) {
            // SAFETY: `offset..end` lies in a live block, which the allocator placed below the mapping's length, and so within the
            // file, which cannot shrink; its pages are there, so no access needs new memory.
            // No live block overlaps it, and `&mut self` keeps `get` away, so nobody in this process reads or writes it now,
            // and `bytes` is not in it.
            unsafe {
                let to = self.mapping.base().as_ptr().add(offset as usize);
                to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
            return Ok(());
        }
        Here::write(self.commons.fd(), bytes, self.base + offset)?;
        self.warm.set(offset, end);
        Ok(())
    }

    /// Gives the memory of the whole pages between two offsets back; true when it was done.
    pub(super) fn punch(&mut self, start: u64, end: u64) -> bool {
        let start = start.next_multiple_of(self.page);
        let end = end.min(self.mapping.len() as u64) / self.page * self.page;
        let punched = start < end && self.commons.punch(Block { offset: self.base + start, len: end - start });
        if punched {
            self.warm.clear(start, end);
            self.released.forget(start / self.page, end / self.page);
        }
        punched
    }
}
