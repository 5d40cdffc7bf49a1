//! The arena: large data in one growing anonymous file, written by its owner, read in place by another process.
//!
//! The allocator lives in the owner's private memory, so no lock and no list is shared with a process that can die, and a dead
//! owner's arena goes with its file descriptors. A block is put at once, or reserved and written piece by piece. Promises: live
//! blocks never overlap; a block's bytes stay as written until it is released; memory that is not to be had is an error and
//! never SIGBUS, since pages that the file does not have yet are written by `pwrite`; a block that makes no sense is an error
//! for its reader.

mod error;
mod pages;
mod slabs;
mod view;
mod warm;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, SealFlags};
use rustix::mm::ProtFlags;

use crate::block::Block;
use crate::segment::{Mapping, cannot_shrink, file_len, memfd};
pub use error::ArenaError;
use pages::Pages;
use slabs::{Found, SLAB, SMALL_MAX, Slabs};
pub use view::ArenaView;
use warm::Warm;

/// The least by which the file grows; pages it is not written to cost nothing.
const MIN_GROWTH: u64 = 1 << 20;
const MAX_GROWTH: u64 = 1 << 30;

/// The owner's side: allocates, writes, releases.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::{Arena, ArenaView};
///
/// let mut arena = Arena::create("plait-example", 1 << 30)?;
/// let view = ArenaView::open(arena.fd().try_clone_to_owned()?, 1 << 30)?;
/// let block = arena.put(&[b"out of ", b"band"])?;
/// assert_eq!(view.get(block)?, b"out of band");
/// arena.release(block);
/// assert_eq!(arena.used(), 0);
/// # Ok(())
/// # }
/// ```
pub struct Arena {
    file: OwnedFd,
    mapping: Mapping,
    file_len: u64,
    page: u64,
    pages: Pages,
    slabs: Slabs,
    /// Blocks that are page runs of their own: offset to pages.
    large: HashMap<u64, u64>,
    warm: Warm,
    used: u64,
    /// Where `write_at` was last, and nothing was released since: the next bytes mostly go there too.
    run: Option<Run>,
}

/// A live block, and how far from its beginning it is known to have memory.
#[derive(Clone, Copy)]
struct Run {
    block: Block,
    warm: u64,
}

impl Arena {
    /// Makes an empty arena that may grow up to `reserve` bytes (rounded down to pages). Only addresses are taken at once.
    ///
    /// # Errors
    /// Those of `memfd_create` and of `mmap` (ENOMEM under `ulimit -v`); `InvalidInput` for less than 64 KiB.
    pub fn create(name: &str, reserve: usize) -> io::Result<Self> {
        let file = memfd(name, 0)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL)?;
        Self::adopt(file, reserve)
    }

    /// Becomes the owner of the file of an arena that somebody else created for this process and put nothing into.
    ///
    /// # Errors
    /// Those of `mmap`; `InvalidInput` for less than 64 KiB, and for a file that can shrink, which therefore is no arena.
    pub fn adopt(file: OwnedFd, reserve: usize) -> io::Result<Self> {
        if !cannot_shrink(&file) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is not an arena"));
        }
        let page = rustix::param::page_size();
        let reserve = reserve / page * page;
        if (reserve as u64) < SLAB {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an arena needs at least 65536 bytes"));
        }
        let mapping = Mapping::new(&file, reserve, ProtFlags::READ | ProtFlags::WRITE)?;
        let page = page as u64;
        Ok(Self {
            file_len: file_len(&file)? as u64,
            file,
            page,
            pages: Pages::new(reserve as u64 / page),
            slabs: Slabs::new(),
            large: HashMap::new(),
            warm: Warm::new(page),
            used: 0,
            run: None,
            mapping,
        })
    }

    /// The file descriptor, to be handed to those who read.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Leaves the arena, which is still empty, to the process that will [adopt](Arena::adopt) the file.
    pub fn into_fd(self) -> OwnedFd {
        self.file
    }

    /// Copies `parts`, one after the other, into a new block.
    ///
    /// Under `ulimit -f` the kernel also sends SIGXFSZ, which a program has to ignore (Python does) to get the error instead.
    ///
    /// # Errors
    /// [`ArenaError`]; nothing was kept then.
    pub fn put(&mut self, parts: &[&[u8]]) -> Result<Block, ArenaError> {
        let block = self.reserve(parts.iter().map(|part| part.len()).sum())?;
        let mut end = block.offset;
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
    /// [`ArenaError`], with SIGXFSZ as for [`Arena::put`]; nothing was kept then.
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
        let block = Block { offset, len };
        if let Err(error) = self.grow(offset + len) {
            self.abandon(block);
            return Err(ArenaError::Io(error));
        }
        Ok(block)
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
                let to = self.mapping.base().as_ptr().add((block.offset + at) as usize);
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
        self.write(block.offset + at, bytes).map_err(ArenaError::Io)?;
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
        if !self.warm.covers(block.offset, block.offset + block.len) {
            return None;
        }
        // SAFETY: the block lies within the mapping, since its room does, and its pages have memory. Its bytes change only through
        // `&mut self`, so not while the slice lives.
        Some(unsafe {
            let start = self.mapping.base().as_ptr().add(block.offset as usize);
            std::slice::from_raw_parts(start, block.len as usize)
        })
    }

    /// Takes a block back; its bytes may be overwritten from now on. The front of a block, of whatever length, stands for all of
    /// it. False for what is no live block of this arena.
    pub fn release(&mut self, block: Block) -> bool {
        self.run = None;
        let freed = match self.slabs.give(block.offset, block.len) {
            slabs::Given::Not => match self.large.get(&block.offset) {
                Some(&count) if block.len <= count * self.page => {
                    self.large.remove(&block.offset);
                    self.pages.give(block.offset / self.page, count);
                    count * self.page
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

    /// How many bytes live blocks take up, each rounded up to its size class.
    pub fn used(&self) -> usize {
        self.used as usize
    }

    /// Gives memory of free blocks back to the system until at most `keep_warm` bytes of it are left.
    ///
    /// Some is worth keeping: pages that the file has are written several times as fast as new ones.
    pub fn trim(&mut self, keep_warm: usize) {
        self.give_empty_slabs();
        let (end, file_end) = (self.pages.end(), self.file_len / self.page);
        let runs = self.pages.free_runs().chain((end < file_end).then(|| (end, file_end - end)));
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

    fn give_empty_slabs(&mut self) {
        for slab in self.slabs.drain_empty() {
            self.pages.give(slab / self.page, SLAB / self.page);
        }
    }

    /// A free place for `len` bytes, and how many it takes up.
    fn allocate(&mut self, len: u64) -> Option<(u64, u64)> {
        if len <= SMALL_MAX {
            if let Some(place) = self.slabs.take(len) {
                return Some(place);
            }
            let count = SLAB / self.page;
            if let Some(start) = self.pages.take_aligned(count, count) {
                return Some(self.slabs.take_from_new(len, start * self.page));
            }
            // No room for a whole slab; a page may still be had.
        }
        let count = len.max(1).div_ceil(self.page);
        let offset = self.pages.take(count)? * self.page;
        self.large.insert(offset, count);
        Some((offset, count * self.page))
    }

    /// How many bytes a live block takes up; `None` for one that is not live, or longer.
    fn room(&self, block: Block) -> Option<u64> {
        match self.slabs.find(block.offset, block.len) {
            Found::Live(slot) => Some(slot.size),
            Found::Wrong => None,
            Found::Not => {
                self.large.get(&block.offset).map(|count| count * self.page).filter(|room| block.len <= *room)
            }
        }
    }

    /// Takes a block back that there was no memory for.
    fn abandon(&mut self, block: Block) {
        self.punch(block.offset, block.offset + block.len);
        self.release(block);
        // A slab where the file cannot grow to would be tried again and again.
        self.give_empty_slabs();
    }

    /// Copies `bytes` to `offset`, inside of a live block.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        if self.warm.covers(offset, end) {
            // SAFETY: `offset..end` lies in a live block, which the allocator placed below the mapping's length, and for which
            // `reserve` made the file, which cannot shrink, long enough; its pages are there, so no access needs new memory.
            // No live block overlaps it, and `&mut self` keeps `get` away, so nobody in this process reads or writes it now,
            // and `bytes` is not in it.
            unsafe {
                let to = self.mapping.base().as_ptr().add(offset as usize);
                to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
            return Ok(());
        }
        let (mut to, mut rest) = (offset, bytes);
        let written = loop {
            if rest.is_empty() {
                break Ok(());
            }
            match rustix::io::pwrite(&self.file, rest, to) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    to += written as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => break Err(error.into()),
            }
        };
        self.warm.set(offset, to);
        written
    }

    /// Makes the file at least `end` bytes long.
    fn grow(&mut self, end: u64) -> io::Result<()> {
        if end <= self.file_len {
            return Ok(());
        }
        let reserve = self.mapping.len() as u64;
        let step = (self.file_len / 4 / self.page * self.page).clamp(MIN_GROWTH, MAX_GROWTH);
        // The reserve is whole pages too.
        let exact = end.next_multiple_of(self.page);
        let ample = exact.max(self.file_len + step).min(reserve);
        let grown = match rustix::fs::ftruncate(&self.file, ample) {
            Ok(()) => ample,
            // Near a limit on file sizes the exact length may still be allowed.
            Err(_) => rustix::fs::ftruncate(&self.file, exact).map(|()| exact)?,
        };
        self.file_len = grown;
        Ok(())
    }

    /// Gives the memory of the whole pages between two offsets back; true when it was done.
    fn punch(&mut self, start: u64, end: u64) -> bool {
        let start = start.next_multiple_of(self.page);
        let end = (end / self.page * self.page).min(self.file_len);
        if start >= end {
            return false;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let punched = rustix::fs::fallocate(&self.file, flags, start, end - start).is_ok();
        if punched {
            self.warm.clear(start, end);
        }
        punched
    }
}

#[cfg(test)]
mod tests;
