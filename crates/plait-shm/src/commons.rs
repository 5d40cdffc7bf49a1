//! The commons: one anonymous file for all large data of a program, cut into regions that each have one owner.
//!
//! Every process of the program has its one descriptor, so each can map any block of it; blocks are named by where they lie in
//! the file. It is sparse and has its full length from the beginning: memory is taken as it is written. Promises: the file can
//! neither shrink nor grow, in no process (it is sealed), so what lies within its length once does so for ever; regions that
//! were taken and not given back never overlap; no name is left in any file system, and memory goes with the last process.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FallocateFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::block::{Block, Region};
use crate::mapped::{Access, Mapped};
use crate::segment::{cannot_shrink, file_len, memfd};

/// The least that a program gets along with.
const MIN_LEN: u64 = 1 << 20;

/// The file of all large data, in the process that made it or in another.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::{Access, Arena, Commons};
///
/// let commons = Commons::create(1 << 40)?;
/// let region = commons.take_region(1 << 30).unwrap();
/// let mut arena = Arena::in_region(&commons, region)?;
/// let block = arena.put(&[b"moved once"])?;
/// // In another process, which was given the descriptor:
/// let theirs = Commons::open(commons.fd().try_clone_to_owned()?)?;
/// let mapped = theirs.map(block, Access::Snapshot)?;
/// assert!(mapped.is_unwritten(0, mapped.len()));
/// # drop(arena);
/// # commons.give_region(region);
/// # Ok(())
/// # }
/// ```
pub struct Commons {
    file: OwnedFd,
    len: u64,
    page: u64,
    regions: Mutex<Regions>,
}

/// What the creator knows of regions.
struct Regions {
    /// Nothing from here on was ever taken.
    end: u64,
    taken: HashSet<Region>,
    /// Those that were given back, by their length: where they begin.
    spare: HashMap<u64, Vec<u64>>,
}

#[allow(clippy::len_without_is_empty, reason = "the commons are never empty")]
impl Commons {
    /// Makes the commons of a program, of `len` bytes, at least 1 MiB, or of as many as the system allows (`ulimit -f`); ask
    /// [`Commons::len`]. No memory is taken.
    ///
    /// # Errors
    /// Those of `memfd_create`; that of `ftruncate` (EFBIG) when not even 1 MiB is allowed.
    pub fn create(len: u64) -> io::Result<Arc<Self>> {
        let page = rustix::param::page_size() as u64;
        // Who asks for more than the limit gets SIGXFSZ beside the error.
        let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
        if limit < MIN_LEN {
            return Err(Errno::FBIG.into());
        }
        let file = memfd("plait-commons", 0)?;
        let mut len = len.max(MIN_LEN).min(limit) / page * page;
        while let Err(error) = rustix::fs::ftruncate(&file, len) {
            len = len / 2 / page * page;
            if len < MIN_LEN {
                return Err(error.into());
            }
        }
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Arc::new(Self::new(file, len, 0)))
    }

    /// Opens the commons that another process made; it has no regions to take.
    ///
    /// # Errors
    /// `InvalidInput` for a file whose length can change, or is not whole pages, which therefore is no commons.
    pub fn open(fd: OwnedFd) -> io::Result<Arc<Self>> {
        let len = file_len(&fd)? as u64;
        let sealed = rustix::fs::fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::GROW));
        if !sealed || !cannot_shrink(&fd) || !len.is_multiple_of(rustix::param::page_size() as u64) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is not the commons of a program"));
        }
        Ok(Arc::new(Self::new(fd, len, len)))
    }

    fn new(file: OwnedFd, len: u64, end: u64) -> Self {
        let regions = Regions { end, taken: HashSet::new(), spare: HashMap::new() };
        Self { file, len, page: rustix::param::page_size() as u64, regions: Mutex::new(regions) }
    }

    /// The descriptor, to be handed to other processes of the program.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// A region of `len` bytes (rounded up to pages) that is nobody else's, until it is given back: one of this length that was, or a new
    /// stretch. `None` when there is neither, and in a process that did not make the commons.
    pub fn take_region(&self, len: u64) -> Option<Region> {
        let len = len.max(1).checked_next_multiple_of(self.page)?;
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = match regions.spare.get_mut(&len).and_then(Vec::pop) {
            Some(offset) => offset,
            None if len <= self.len - regions.end => {
                let offset = regions.end;
                regions.end += len;
                offset
            }
            None => return None,
        };
        let region = Region { offset, len };
        regions.taken.insert(region);
        Some(region)
    }

    /// Takes a region back, with all its memory: its owner has ended, and nobody reads it any more. One that was not taken is
    /// left alone.
    pub fn give_region(&self, region: Region) {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if regions.taken.remove(&region) {
            self.punch(Block { offset: region.offset, len: region.len });
            regions.spare.entry(region.len).or_default().push(region.offset);
        }
    }

    /// Gives the memory of the whole pages inside of a block back to the system: they read as zeros from now on. False
    /// when there are none.
    pub fn punch(&self, block: Block) -> bool {
        let Some(end) = block.offset.checked_add(block.len) else {
            return false;
        };
        let end = end.min(self.len) / self.page * self.page;
        let Some(start) = block.offset.checked_next_multiple_of(self.page).filter(|start| *start < end) else {
            return false;
        };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, start, end - start).is_ok()
    }

    /// Maps the bytes of a block, wherever it begins, for as long as the value lives; neither the commons nor a descriptor
    /// are needed for that any more.
    ///
    /// # Errors
    /// `InvalidInput` for a block of no bytes and for one that does not lie within the commons; those of `mmap`: ENOMEM under `ulimit
    /// -v`, at the limit of mappings, and where the system counts what a snapshot may come to need (strict overcommit).
    pub fn map(self: &Arc<Self>, block: Block, access: Access) -> io::Result<Mapped> {
        if block.len == 0 || block.offset.checked_add(block.len).is_none_or(|end| end > self.len) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the block does not lie within the commons"));
        }
        Mapped::new(&self.file, block, access)
    }

    /// An error for a region that does not lie within the commons.
    pub(crate) fn check(&self, region: Region) -> io::Result<()> {
        match region.end() {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the region does not lie within the commons")),
        }
    }
}
