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

use rustix::io::Errno;
use rustix::process::Resource;

use crate::block::{Block, Region};
use crate::mapped::{Access, Mapped};
use crate::segment::file_len;
use crate::system::{self, Files, Here};

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
/// assert_eq!(mapped.len(), b"moved once".len());
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
        Self::create_as("plait-commons", len)
    }

    /// The same under another name, which shows in `/proc/PID/maps`.
    pub(crate) fn create_as(name: &str, len: u64) -> io::Result<Arc<Self>> {
        let page = rustix::param::page_size() as u64;
        // Who asks for more than the limit gets SIGXFSZ beside the error.
        let limit = system::getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
        if limit < MIN_LEN {
            return Err(Errno::FBIG.into());
        }
        let file = Here::create(name)?;
        let mut len = len.max(MIN_LEN).min(limit) / page * page;
        while let Err(error) = system::ftruncate(&file, len) {
            len = len / 2 / page * page;
            if len < MIN_LEN {
                return Err(error.into());
            }
        }
        Here::seal(file.as_fd())?;
        Ok(Arc::new(Self::new(file, len, 0)))
    }

    /// Opens the commons that another process made; it has no regions to take.
    ///
    /// # Errors
    /// `InvalidInput` for a file whose length can change, or is not whole pages, which therefore is no commons.
    pub fn open(fd: OwnedFd) -> io::Result<Arc<Self>> {
        let len = file_len(&fd)? as u64;
        if !Here::is_sealed(fd.as_fd()) || !len.is_multiple_of(rustix::param::page_size() as u64) {
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
    /// when there are none, and for a block that does not lie within the commons. Not for what an arena has: it must know, and does so itself.
    pub fn punch(&self, block: Block) -> bool {
        let Some(end) = block.offset.checked_add(block.len).filter(|end| *end <= self.len) else {
            return false;
        };
        // The file is whole pages, so this does not leave it either.
        let (start, end) = (block.offset.next_multiple_of(self.page), end / self.page * self.page);
        if start >= end {
            return false;
        }
        Here::punch(self.file.as_fd(), start, end - start)
    }

    /// Gives the pages of a block memory; those that have none yet are zeros.
    pub(crate) fn fill(&self, block: Block) -> io::Result<()> {
        Here::fill(self.file.as_fd(), block.offset, block.len)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::new_file;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    fn other_side(commons: &Commons) -> Arc<Commons> {
        Commons::open(commons.fd().try_clone_to_owned().unwrap()).unwrap()
    }

    /// The memory that the file really has.
    fn resident(commons: &Commons) -> u64 {
        rustix::fs::fstat(commons.fd()).unwrap().st_blocks as u64 * 512
    }

    fn write(commons: &Commons, offset: u64, bytes: &[u8]) {
        Here::write(commons.fd(), bytes, offset).unwrap();
    }

    #[test]
    #[cfg_attr(any(miri, acted), ignore = "residency")]
    fn it_has_its_full_length_and_no_memory() {
        let commons = Commons::create(1 << 46).unwrap();
        assert_eq!((commons.len(), resident(&commons)), (1 << 46, 0));
        assert_eq!(other_side(&commons).len(), 1 << 46);
        for len in [0, 2 * MIB] {
            assert!(cfg!(portable) || system::ftruncate(commons.fd(), len).is_err());
        }
        let flags = rustix::io::fcntl_getfd(commons.fd()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    #[cfg_attr(any(miri, acted), ignore = "limits")]
    fn a_length_that_the_system_refuses_is_halved() {
        let commons = Commons::create(u64::MAX).unwrap();
        assert!(commons.len() > u64::MAX / 4 && commons.len() < u64::MAX / 2);
        assert_eq!(Commons::create(1).unwrap().len(), MIB);
    }

    #[test]
    #[cfg_attr(any(miri, acted, portable), ignore = "residency")]
    fn regions_do_not_overlap_and_come_back_empty() {
        let commons = Commons::create(MIB).unwrap();
        let first = commons.take_region(256 * KIB).unwrap();
        let second = commons.take_region(256 * KIB - 1).unwrap();
        let third = commons.take_region(512 * KIB).unwrap();
        assert_eq!([first, second, third].map(|region| region.offset), [0, 256 * KIB, 512 * KIB]);
        assert_eq!(second.len, 256 * KIB);
        assert!([1, MIB, u64::MAX].map(|len| commons.take_region(len)).iter().all(Option::is_none));
        write(&commons, second.offset - 1, b"beside, inside");
        commons.give_region(second);
        commons.give_region(second);
        commons.give_region(Region { len: 512 * KIB, ..first });
        assert_eq!(resident(&commons), 4096, "the page before it is another's");
        assert_eq!(commons.take_region(512 * KIB), None);
        assert_eq!(commons.take_region(256 * KIB), Some(second));
        assert_eq!(commons.take_region(256 * KIB), None, "it came back once");
    }

    #[test]
    fn only_its_creator_has_regions_to_take() {
        let commons = Commons::create(MIB).unwrap();
        let theirs = other_side(&commons);
        assert_eq!(theirs.take_region(4096), None);
        let region = commons.take_region(4096).unwrap();
        theirs.give_region(region);
        assert_eq!(theirs.take_region(4096), None);
    }

    #[test]
    #[cfg_attr(any(miri, acted, portable), ignore = "residency")]
    fn whole_pages_are_punched() {
        let commons = Commons::create(MIB).unwrap();
        write(&commons, 0, &[7; 4 * 4096]);
        for (offset, len) in
            [(1, 4096), (4096, 4095), (8192, 0), (MIB, 4096), (u64::MAX, 1), (0, u64::MAX), (u64::MAX - 1, 1)]
        {
            assert!(!commons.punch(Block { offset, len }), "{offset} {len}");
        }
        assert_eq!(resident(&commons), 4 * 4096);
        assert!(commons.punch(Block { offset: 1, len: 2 * 4096 }));
        assert_eq!(resident(&commons), 3 * 4096);
    }

    #[test]
    #[cfg_attr(any(miri, acted), ignore = "files")]
    fn other_files_are_refused() {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        assert!(Commons::open(file.into()).is_err());
        for (len, is_sealed) in [(8192, false), (8191, true)] {
            let file = new_file("plait-test", len).unwrap();
            if is_sealed {
                Here::seal(file.as_fd()).unwrap();
            }
            assert!(cfg!(portable) && !is_sealed || Commons::open(file).is_err(), "{len}");
        }
    }

    #[test]
    fn blocks_and_regions_outside_are_refused() {
        let commons = Commons::create(MIB).unwrap();
        for (offset, len) in [(0, 0), (MIB, 1), (MIB - 1, 2), (u64::MAX, 2), (0, u64::MAX), (0, MIB + 1)] {
            for access in [Access::Snapshot, Access::Shared] {
                assert!(commons.map(Block { offset, len }, access).is_err(), "{offset} {len}");
            }
        }
        assert!(commons.map(Block { offset: MIB - 1, len: 1 }, Access::Shared).is_ok());
        for (offset, len) in [(1, 65536), (0, 65537), (MIB, 65536), (u64::MAX, 65536), (0, MIB + 4096)] {
            let region = Region { offset, len };
            assert!(crate::Arena::in_region(&commons, region).is_err(), "{region:?}");
            assert!(crate::ArenaView::of(&commons, region).is_err(), "{region:?}");
        }
        assert!(crate::ArenaView::of(&commons, Region::default()).is_err());
    }
}
