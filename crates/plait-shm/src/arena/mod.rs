//! The arena: large data in one growing anonymous file, written by its owner, read in place by another process.
//!
//! The allocator lives in the owner's private memory, so no lock and no list is shared with a process that can die, and a dead
//! owner's arena goes with its file descriptors. Promises: live blocks never overlap; a block's bytes stay as written until
//! it is released; memory that is not to be had is an error and never SIGBUS, since pages that the file does
//! not have yet are written by `pwrite`; a block that makes no sense is an error for its reader.

mod pages;
mod slabs;
mod view;
mod warm;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::{fmt, io};

use rustix::fs::{FallocateFlags, SealFlags};
use rustix::mm::ProtFlags;

use crate::block::Block;
use crate::segment::{Mapping, cannot_shrink, file_len, memfd};
use pages::Pages;
use slabs::{SLAB, SMALL_MAX, Slabs};
pub use view::ArenaView;
use warm::Warm;

/// Why nothing was put.
#[derive(Debug)]
pub enum ArenaError {
    /// No free stretch of the reserved addresses is long enough.
    Full {
        /// How many bytes were to be put.
        asked: usize,
        /// How many bytes the whole arena may take.
        limit: usize,
    },
    /// The system has no memory for it, or not within its limits (ENOMEM, ENOSPC, EFBIG).
    Io(io::Error),
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { asked, limit } => {
                write!(f, "no room for {asked} bytes in the arena of {limit}, release blocks or reserve more")
            }
            Self::Io(error) => write!(f, "no memory for the arena: {error}"),
        }
    }
}

impl std::error::Error for ArenaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Full { .. } => None,
            Self::Io(error) => Some(error),
        }
    }
}

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
            mapping,
        })
    }

    /// The file descriptor, to be handed to those who read.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Copies `parts`, one after the other, into a new block.
    ///
    /// Under `ulimit -f` the kernel also sends SIGXFSZ, which a program has to ignore (Python does) to get the error instead.
    ///
    /// # Errors
    /// [`ArenaError`]; nothing was kept then.
    pub fn put(&mut self, parts: &[&[u8]]) -> Result<Block, ArenaError> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let full = ArenaError::Full { asked: len, limit: self.mapping.len() };
        if len > self.mapping.len() {
            return Err(full);
        }
        let len = len as u64;
        let Some((offset, size)) = self.allocate(len) else {
            return Err(full);
        };
        let block = Block { offset, len };
        self.used += size;
        if let Err(error) = self.write(block, parts) {
            self.punch(offset, offset + len);
            self.release(block);
            // A slab where the file cannot grow to would be tried again and again.
            self.give_empty_slabs();
            return Err(ArenaError::Io(error));
        }
        Ok(block)
    }

    /// Takes a block back; its bytes may be overwritten from now on. False for what is no live block of this arena.
    pub fn release(&mut self, block: Block) -> bool {
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

    fn write(&mut self, block: Block, parts: &[&[u8]]) -> io::Result<()> {
        let end = block.offset + block.len;
        self.grow(end)?;
        if self.warm.covers(block.offset, end) {
            let mut to = block.offset as usize;
            for part in parts {
                // SAFETY: `to..to + part.len()` lies in the block, which the allocator placed below the mapping's length, and
                // `grow` made the file, which cannot shrink, that long; its pages are there, so no access needs new
                // memory. No live block overlaps it, so nobody reads or writes it now, and `part` is not in it.
                unsafe { self.mapping.base().as_ptr().add(to).copy_from_nonoverlapping(part.as_ptr(), part.len()) };
                to += part.len();
            }
            return Ok(());
        }
        let mut to = block.offset;
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                match rustix::io::pwrite(&self.file, rest, to) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        rest = &rest[written..];
                        to += written as u64;
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.warm.set(block.offset, end);
        Ok(())
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
