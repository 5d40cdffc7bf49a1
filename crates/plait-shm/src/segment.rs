//! A segment: anonymous memory that goes to another process as a file descriptor.
//!
//! Promises: no name is left in any file system whoever is killed; the mapping stays until the value is dropped; the file can
//! neither shrink nor grow, in no process, where files can be sealed, so that no access within `len` raises SIGBUS.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags};

use crate::sync::Home;
use crate::system::{self, Files, Here};

/// Makes a file of `len` bytes for memory that is shared.
pub(crate) fn new_file(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = Here::create(name)?;
    system::ftruncate(&fd, len as u64)?;
    Ok(fd)
}

pub(crate) fn file_len(fd: impl AsFd) -> io::Result<usize> {
    let size = system::fstat(fd)?.st_size;
    usize::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// A mapping of a file, removed on drop.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a Mapping is an address range that it owns; it gives out raw pointers only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The first `len` bytes of a file, shared.
    pub(crate) fn new(fd: impl AsFd, len: usize, protection: ProtFlags) -> io::Result<Self> {
        Self::map(fd, 0, len, protection, MapFlags::SHARED)
    }

    /// `len` bytes of a sparse file from `offset` on, which is a multiple of the page size, `sharing` or not.
    pub(crate) fn part(
        fd: impl AsFd,
        offset: u64,
        len: usize,
        protection: ProtFlags,
        sharing: MapFlags,
    ) -> io::Result<Self> {
        let mapping = Self::map(fd, offset, len, protection, sharing)?;
        if sharing.contains(MapFlags::SHARED) {
            Here::omit_from_dumps(&mapping);
        }
        Ok(mapping)
    }

    fn map(fd: impl AsFd, offset: u64, len: usize, protection: ProtFlags, sharing: MapFlags) -> io::Result<Self> {
        if len == 0 || len > isize::MAX as usize {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a mapping needs a length between 1 and isize::MAX",
            ));
        }
        let flags = sharing | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses the address, so nothing that is mapped already is replaced.
        let base = unsafe { system::mmap(ptr::null_mut(), len, protection, flags, fd, offset)? };
        let base = NonNull::new(base.cast()).expect("the kernel never places a mapping at address zero by itself");
        Ok(Self { base, len })
    }

    /// `len` bytes of zeros that are no file's.
    #[cfg(target_os = "linux")]
    pub(crate) fn anonymous(len: usize, protection: ProtFlags, sharing: MapFlags) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address, so nothing that is mapped already is replaced.
        let base = unsafe { system::mmap_anonymous(ptr::null_mut(), len, protection, sharing)? };
        let base = NonNull::new(base.cast()).expect("the kernel never places a mapping at address zero by itself");
        Ok(Self { base, len })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that was mapped by `new`; pointers into it are held by values that keep `self` alive.
        let unmapped = unsafe { system::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

/// Anonymous memory of a fixed length, readable and writable here and in every process that gets its file descriptor.
///
/// The descriptor is needed to hand it over and for nothing else, so it is the caller's to keep or close.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let (segment, fd) = plait_shm::Segment::create("plait-example", 4096)?;
/// let same = plait_shm::Segment::open(&fd)?;
/// drop(fd);
/// assert_eq!(same.len(), segment.len());
/// # Ok(())
/// # }
/// ```
pub struct Segment {
    mapping: Mapping,
}

#[allow(clippy::len_without_is_empty, reason = "a segment is never empty")]
impl Segment {
    /// Makes a segment of `len` zero bytes, and the descriptor to hand it over by. `name` shows in `/proc/PID/maps`, and means
    /// nothing else.
    ///
    /// # Errors
    /// Those of making a file, of `ftruncate` (EFBIG under `ulimit -f`) and of `mmap`; a `len` of 0.
    pub fn create(name: &str, len: usize) -> io::Result<(Self, OwnedFd)> {
        let fd = new_file(name, len)?;
        Here::seal(fd.as_fd())?;
        let mapping = Mapping::new(&fd, len, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok((Self { mapping }, fd))
    }

    /// Maps a segment that another process made.
    ///
    /// # Errors
    /// Those of `mmap`; `InvalidInput` for a file that can still shrink, which therefore is no segment, and for an empty one.
    pub fn open(fd: impl AsFd) -> io::Result<Self> {
        if !Here::is_sealed(fd.as_fd()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is not a sealed segment"));
        }
        let mapping = Mapping::new(&fd, file_len(&fd)?, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(Self { mapping })
    }

    /// `len` bytes of a sealed file from `offset` on, which is a multiple of the page size; they lie within it.
    pub(crate) fn part(fd: impl AsFd, offset: u64, len: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::part(fd, offset, len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)? })
    }

    /// The first `len` bytes of one.
    pub(crate) fn front(fd: impl AsFd, len: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::new(fd, len, ProtFlags::READ | ProtFlags::WRITE)? })
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.mapping.len()
    }
}

// SAFETY: the mapping is readable and writable (both constructors ask for it), page-aligned, wholly backed by a file that
// cannot shrink, and lasts until the Segment is dropped.
unsafe impl Home for Segment {
    fn bytes(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.mapping.base(), self.mapping.len())
    }
}

/// A part of a sealed file that this process only reads: a write to it, a wild one too, is a fault here and changes nothing.
pub(crate) struct Shown {
    mapping: Mapping,
}

impl Shown {
    /// `len` bytes of the file from `offset` on, which is a multiple of the page size; they lie within it.
    pub(crate) fn part(fd: impl AsFd, offset: u64, len: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::map(fd, offset, len, ProtFlags::READ, MapFlags::SHARED)? })
    }
}

// SAFETY: as for a Segment, but that it is readable only, as this trait allows where nothing is written.
unsafe impl Home for Shown {
    fn bytes(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.mapping.base(), self.mapping.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicU64, Ordering, Place};
    use std::sync::Arc;

    #[test]
    fn both_mappings_are_the_same_memory() {
        let (one, fd) = Segment::create("plait-test", 8192).unwrap();
        let (one, two) = (Arc::new(one), Arc::new(Segment::open(fd).unwrap()));
        Place::<AtomicU64>::new(&one, 4096).store(7, Ordering::Relaxed);
        assert_eq!(Place::<AtomicU64>::new(&two, 4096).load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_place_keeps_its_segment() {
        let segment = Arc::new(Segment::create("plait-test", 64).unwrap().0);
        let word = Place::<AtomicU64>::new(&segment, 8);
        drop(segment);
        word.store(1, Ordering::Relaxed);
        assert_eq!(word.load(Ordering::Relaxed), 1);
    }

    #[test]
    #[cfg_attr(portable, ignore = "seals")]
    fn nobody_can_resize_it() {
        let (_segment, fd) = Segment::create("plait-test", 8192).unwrap();
        assert!(system::ftruncate(&fd, 4096).is_err());
        assert!(system::ftruncate(&fd, 16384).is_err());
    }

    #[test]
    fn it_is_closed_on_exec() {
        let (_segment, fd) = Segment::create("plait-test", 64).unwrap();
        let flags = rustix::io::fcntl_getfd(&fd).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    #[cfg_attr(any(miri, acted), ignore = "files")]
    fn other_files_are_refused() {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        assert!(Segment::open(file).is_err());
        let growing = new_file("plait-test", 4096).unwrap();
        assert!(cfg!(portable) || Segment::open(growing).is_err());
        assert!(Segment::create("plait-test", 0).is_err());
    }

    #[test]
    #[should_panic(expected = "outside of its segment")]
    fn a_place_lies_inside() {
        let segment = Arc::new(Segment::create("plait-test", 64).unwrap().0);
        Place::<AtomicU64>::new(&segment, 64);
    }
}
