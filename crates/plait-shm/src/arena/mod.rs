//! The arena: large data in a region of the commons, written by its owner, read in place by other processes.
//!
//! The allocator lives in the owner's private memory, so no lock and no list is shared with a process that can die; a dead
//! owner's region is taken back by whoever made the commons. A block is put at once, or reserved and written piece by piece.
//! Blocks are named by where they lie in the commons. Promises: live blocks never overlap; a block's bytes stay as written until it
//! is released; memory that is not to be had is an error and never SIGBUS, since pages that the file does not have yet are written by
//! `pwrite`; a block that makes no sense is an error for its reader.

mod error;
mod memory;
mod pages;
mod released;
mod slabs;
mod view;
mod warm;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags};

use crate::block::{Block, Region};
use crate::commons::Commons;
use crate::segment::Mapping;
pub use error::ArenaError;
use pages::Pages;
use released::Released;
use slabs::{Found, SLAB, SMALL_MAX, Slabs};
pub use view::ArenaView;
use warm::Warm;

/// The owner's side: allocates, writes, releases.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::{Arena, ArenaView, Commons};
///
/// let commons = Commons::create(1 << 40)?;
/// let region = commons.take_region(1 << 30).unwrap();
/// let mut arena = Arena::in_region(&commons, region)?;
/// let view = ArenaView::of(&commons, region)?;
/// let block = arena.put(&[b"out of ", b"band"])?;
/// assert_eq!(view.get(block)?, b"out of band");
/// arena.release(block);
/// assert_eq!(arena.used(), 0);
/// # Ok(())
/// # }
/// ```
pub struct Arena {
    commons: Arc<Commons>,
    mapping: Mapping,
    /// Where the region begins. Within the arena, all offsets are from here.
    base: u64,
    page: u64,
    pages: Pages,
    slabs: Slabs,
    /// Blocks that are page runs of their own, by their offset.
    large: HashMap<u64, Large>,
    /// Those of them that were released.
    released: Released,
    warm: Warm,
    used: u64,
    /// Where `write_at` was last, and nothing was released since: the next bytes mostly go there too.
    run: Option<Run>,
}

/// A block that is a page run of its own.
#[derive(Clone, Copy)]
struct Large {
    pages: u64,
    len: u64,
}

/// A live block, and how far from its beginning it is known to have memory.
#[derive(Clone, Copy)]
struct Run {
    block: Block,
    warm: u64,
}

impl Arena {
    /// Becomes the owner of a region, which is empty. Only addresses are taken at once.
    ///
    /// # Errors
    /// Those of `mmap` (ENOMEM under `ulimit -v`); `InvalidInput` for a region of less than 64 KiB, and for one that does not
    /// lie within the commons.
    pub fn in_region(commons: &Arc<Commons>, region: Region) -> io::Result<Self> {
        commons.check(region)?;
        if region.len < SLAB {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an arena needs at least 65536 bytes"));
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let mapping = Mapping::part(commons.fd(), region.offset, region.len as usize, protection, MapFlags::SHARED)?;
        let page = rustix::param::page_size() as u64;
        Ok(Self {
            commons: Arc::clone(commons),
            mapping,
            base: region.offset,
            page,
            pages: Pages::new(region.len / page),
            slabs: Slabs::new(),
            large: HashMap::new(),
            released: Released::new(),
            warm: Warm::new(page),
            used: 0,
            run: None,
        })
    }

    /// Copies `parts`, one after the other, into a new block.
    ///
    /// Beyond a limit on file sizes that was set after the commons were made, the kernel also sends SIGXFSZ, which a program has
    /// to ignore (Python does) to get the error instead.
    ///
    /// # Errors
    /// [`ArenaError`]; nothing was kept then.
    pub fn put(&mut self, parts: &[&[u8]]) -> Result<Block, ArenaError> {
        let block = self.reserve(parts.iter().map(|part| part.len()).sum())?;
        let mut end = block.offset - self.base;
        for part in parts {
            if let Err(error) = self.write(end, part) {
                self.abandon(block);
                return Err(ArenaError::Io(error));
            }
            end += part.len() as u64;
        }
        Ok(block)
    }

    /// A new block of `len` bytes, to be written by [`Arena::write_at`]: memory is taken as it is written. Who reads it must be
    /// told of the part that is written only; the front of a block is as good a block as the whole.
    ///
    /// # Errors
    /// [`ArenaError::Full`]; nothing has changed then.
    pub fn reserve(&mut self, len: usize) -> Result<Block, ArenaError> {
        let full = ArenaError::Full { asked: len, limit: self.mapping.len() };
        if len > self.mapping.len() {
            return Err(full);
        }
        let len = len as u64;
        let Some((offset, size)) = self.allocate(len) else {
            return Err(full);
        };
        self.used += size;
        Ok(Block { offset: self.base + offset, len })
    }

    /// Copies `bytes` into a block of this arena, from its byte `at` on.
    ///
    /// # Errors
    /// [`ArenaError::Io`]; a part of these bytes may be written then, and nothing else has changed.
    ///
    /// # Panics
    /// When they leave the block, or the block is not live.
    #[inline]
    pub fn write_at(&mut self, block: Block, at: u64, bytes: &[u8]) -> Result<(), ArenaError> {
        let len = bytes.len() as u64;
        if let Some(run) = &self.run
            && run.block == block
            && at <= run.warm
            && len <= run.warm - at
        {
            // SAFETY: `at..at + len` lies within the run, whose pages have memory, in a block that was found to be live after
            // whatever was released. The rest is as in `write`.
            unsafe {
                let to = self.mapping.base().as_ptr().add((block.offset - self.base + at) as usize);
                match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
                    // A number in the codec's form: two words that may overlap, without the call of memcpy.
                    (Some(first), Some(last)) if bytes.len() <= 16 => {
                        to.cast::<[u8; 8]>().write(*first);
                        to.add(bytes.len() - 8).cast::<[u8; 8]>().write(*last);
                    }
                    _ => to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()),
                }
            }
            return Ok(());
        }
        self.write_further(block, at, bytes)
    }

    #[cold]
    fn write_further(&mut self, block: Block, at: u64, bytes: &[u8]) -> Result<(), ArenaError> {
        let end = at.checked_add(bytes.len() as u64).filter(|end| *end <= block.len);
        let (Some(end), Some(_)) = (end, self.room(block)) else {
            panic!("{} bytes at {at} are not inside of the live {block:?}", bytes.len())
        };
        self.write(block.offset - self.base + at, bytes).map_err(ArenaError::Io)?;
        let before = self.run.filter(|run| run.block == block).map_or(0, |run| run.warm);
        if at <= before {
            // The pages that hold these bytes have memory, to the end of the last.
            let pages_end = (block.offset + end).next_multiple_of(self.page) - block.offset;
            self.run = Some(Run { block, warm: before.max(pages_end.min(block.len)) });
        }
        Ok(())
    }

    /// The bytes of a live block of this arena, all of which were written; `None` for any other.
    pub fn get(&self, block: Block) -> Option<&[u8]> {
        self.room(block)?;
        // Pages without memory are not to be touched.
        let start = block.offset - self.base;
        if !self.warm.covers(start, start + block.len) {
            return None;
        }
        // SAFETY: the block lies within the mapping, since its room does, and its pages have memory. Its bytes change only through
        // `&mut self`, so not while the slice lives.
        Some(unsafe {
            let start = self.mapping.base().as_ptr().add(start as usize);
            std::slice::from_raw_parts(start, block.len as usize)
        })
    }

    /// Takes a block back; its bytes may be overwritten from now on. The front of a block, of whatever length, stands for all of
    /// it. False for what is no live block of this arena.
    pub fn release(&mut self, block: Block) -> bool {
        self.run = None;
        let Some(offset) = block.offset.checked_sub(self.base) else {
            return false;
        };
        let freed = match self.slabs.give(offset, block.len) {
            slabs::Given::Not => match self.large.get(&offset) {
                Some(&large) if block.len <= large.pages * self.page => {
                    self.large.remove(&offset);
                    self.pages.give(offset / self.page, large.pages);
                    if large.len > SMALL_MAX && self.warm.covers(offset, offset + large.len) {
                        self.released.note(offset / self.page, large.pages, large.len);
                    }
                    large.pages * self.page
                }
                _ => return false,
            },
            slabs::Given::Slot { size } => size,
            slabs::Given::LastSlot { size, slab } => {
                self.pages.give(slab / self.page, SLAB / self.page);
                size
            }
            slabs::Given::Wrong => return false,
        };
        self.used -= freed;
        true
    }

    /// Makes a released block live again, if it still has the bytes that it had: none of its pages was allocated or given back to
    /// the system since. False for what is no such block, and for blocks of up to 16 KiB.
    ///
    /// A block that was put later in the same place, of the same length, is the same block by its numbers: look at the bytes.
    pub fn recall(&mut self, block: Block) -> bool {
        let Some(offset) = block.offset.checked_sub(self.base).filter(|offset| offset.is_multiple_of(self.page)) else {
            return false;
        };
        let Some(pages) = self.released.take(offset / self.page, block.len) else {
            return false;
        };
        self.pages.take_at(offset / self.page, pages);
        self.large.insert(offset, Large { pages, len: block.len });
        self.used += pages * self.page;
        true
    }

    /// How many bytes live blocks take up, each rounded up to its size class.
    pub fn used(&self) -> usize {
        self.used as usize
    }

    /// A free place for `len` bytes, and how many it takes up.
    fn allocate(&mut self, len: u64) -> Option<(u64, u64)> {
        if len <= SMALL_MAX {
            if let Some(place) = self.slabs.take(len) {
                return Some(place);
            }
            let count = SLAB / self.page;
            if let Some(start) = self.pages.take_aligned(count, count) {
                self.released.forget(start, start + count);
                return Some(self.slabs.take_from_new(len, start * self.page));
            }
            // No room for a whole slab; a page may still be had.
        }
        let count = len.max(1).div_ceil(self.page);
        let start = self.pages.take(count)?;
        self.released.forget(start, start + count);
        let offset = start * self.page;
        self.large.insert(offset, Large { pages: count, len });
        Some((offset, count * self.page))
    }

    /// How many bytes a live block takes up; `None` for one that is not live, or longer.
    fn room(&self, block: Block) -> Option<u64> {
        let offset = block.offset.checked_sub(self.base)?;
        match self.slabs.find(offset, block.len) {
            Found::Live(slot) => Some(slot.size),
            Found::Wrong => None,
            Found::Not => {
                self.large.get(&offset).map(|large| large.pages * self.page).filter(|room| block.len <= *room)
            }
        }
    }

    /// Takes a block back that there was no memory for.
    fn abandon(&mut self, block: Block) {
        let start = block.offset - self.base;
        self.punch(start, start + block.len);
        self.release(block);
        // A slab that cannot be written would be tried again and again.
        self.give_empty_slabs();
    }
}

#[cfg(test)]
mod tests;
