//! Files and mappings for Miri, which has no memfd and maps no files: a file is memory of this process's heap, and its shared
//! mappings point into that. So the protocols run on memory whose every access Miri sees.
//!
//! Promises: arguments and errors are those of the calls whose names they have, as far as this crate looks at them. What is less than real:
//! nobody else has the memory; a snapshot is a copy from the beginning; a file has all its memory, and keeps it until the program ends.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::{Errno, Result};
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::futex::Flags;

/// No file is longer.
const LONGEST: u64 = 64 << 20;

const PAGE: usize = 4096;

/// Zeros, aligned to pages, within an allocation that is not: Miri would touch all of one that is.
struct Bytes {
    allocation: NonNull<u8>,
    layout: Layout,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range that it owns; it gives out raw pointers only.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

impl Bytes {
    fn new(len: usize) -> Result<Arc<Self>> {
        let len = len.checked_next_multiple_of(PAGE).filter(|len| *len > 0).ok_or(Errno::INVAL)?;
        let layout = Layout::from_size_align(len + PAGE, 1).map_err(|_| Errno::NOMEM)?;
        // SAFETY: the length is not 0.
        let allocation = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Errno::NOMEM)?;
        // SAFETY: less than a page further, and there is a page more.
        let start = unsafe { allocation.add(allocation.as_ptr().align_offset(PAGE)) };
        Ok(Arc::new(Self { allocation, layout, start, len }))
    }

    /// The place of `len` bytes from `offset` on, which have to lie inside.
    fn at(&self, offset: u64, len: usize) -> Result<*mut u8> {
        let inside = offset.checked_add(len as u64).is_some_and(|end| end <= self.len as u64);
        // SAFETY: just checked to lie inside, where it is looked at.
        if inside { Ok(unsafe { self.start.as_ptr().add(offset as usize) }) } else { Err(Errno::INVAL) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: allocated with this very layout; files and mappings, which point into it, have an Arc each.
        unsafe { dealloc(self.allocation.as_ptr(), self.layout) }
    }
}

struct File {
    len: u64,
    seals: SealFlags,
    /// From the first use on.
    bytes: Option<Arc<Bytes>>,
}

struct World {
    /// By the number that their descriptors hold, less one.
    files: Vec<File>,
    /// By address and length: whatever is mapped there, once for each mapping.
    mapped: BTreeMap<(usize, usize), Vec<Arc<Bytes>>>,
}

static WORLD: Mutex<World> = Mutex::new(World { files: Vec::new(), mapped: BTreeMap::new() });

fn world() -> MutexGuard<'static, World> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// The file behind a descriptor, which is an eventfd: reading takes the number out, so it is put in again.
    fn file(&mut self, fd: impl AsFd) -> Result<&mut File> {
        let mut number = [0; 8];
        rustix::io::read(&fd, &mut number)?;
        rustix::io::write(&fd, &number)?;
        let at = u64::from_ne_bytes(number).checked_sub(1).ok_or(Errno::BADF)?;
        self.files.get_mut(at as usize).ok_or(Errno::BADF)
    }

    fn map(&mut self, bytes: Arc<Bytes>, offset: u64, len: usize) -> Result<*mut c_void> {
        let start = bytes.at(offset, len)?;
        self.mapped.entry((start.addr(), len)).or_default().push(bytes);
        Ok(start.cast())
    }
}

impl File {
    fn bytes(&mut self) -> Result<Arc<Bytes>> {
        if self.bytes.is_none() {
            self.bytes = Some(Bytes::new(self.len as usize)?);
        }
        self.bytes.clone().ok_or(Errno::NOMEM)
    }
}

pub(crate) fn memfd_create(_name: &str, _flags: MemfdFlags) -> Result<OwnedFd> {
    let mut world = world();
    world.files.push(File { len: 0, seals: SealFlags::empty(), bytes: None });
    eventfd(world.files.len() as u32, EventfdFlags::CLOEXEC)
}

pub(crate) fn ftruncate(fd: impl AsFd, len: u64) -> Result<()> {
    let mut world = world();
    let file = world.file(fd)?;
    let seal = if len < file.len { SealFlags::SHRINK } else { SealFlags::GROW };
    if len != file.len && file.seals.contains(seal) {
        return Err(Errno::PERM);
    }
    if len > LONGEST {
        return Err(Errno::FBIG);
    }
    assert!(file.bytes.is_none(), "this crate seals files before it uses them");
    file.len = len;
    Ok(())
}

/// What this crate asks of a file.
pub(crate) struct Stat {
    pub(crate) st_size: i64,
}

pub(crate) fn fstat(fd: impl AsFd) -> Result<Stat> {
    Ok(Stat { st_size: world().file(fd)?.len as i64 })
}

pub(crate) fn fcntl_get_seals(fd: impl AsFd) -> Result<SealFlags> {
    Ok(world().file(fd)?.seals)
}

pub(crate) fn fcntl_add_seals(fd: impl AsFd, seals: SealFlags) -> Result<()> {
    let mut world = world();
    let file = world.file(fd)?;
    if file.seals.contains(SealFlags::SEAL) {
        return Err(Errno::PERM);
    }
    file.seals |= seals;
    Ok(())
}

/// # Safety
/// As for rustix's; this one replaces nothing in any case.
pub(crate) unsafe fn mmap(
    _at: *mut c_void,
    len: usize,
    _protection: ProtFlags,
    flags: MapFlags,
    fd: impl AsFd,
    offset: u64,
) -> Result<*mut c_void> {
    let mut world = world();
    let bytes = world.file(fd)?.bytes()?;
    if flags.contains(MapFlags::SHARED) {
        return world.map(bytes, offset, len);
    }
    let copy = Bytes::new(len)?;
    // SAFETY: both ranges were found to lie inside, of allocations that do not overlap. By this crate's protocols nobody writes to
    // a block of which there is a snapshot, which is what Miri is to see.
    unsafe { copy.start.as_ptr().copy_from_nonoverlapping(bytes.at(offset, len)?, len) };
    world.map(copy, 0, len)
}

/// # Safety
/// As above.
pub(crate) unsafe fn mmap_anonymous(
    _at: *mut c_void,
    len: usize,
    _protection: ProtFlags,
    _flags: MapFlags,
) -> Result<*mut c_void> {
    world().map(Bytes::new(len)?, 0, len)
}

/// # Safety
/// As for rustix's: nobody has pointers into the mapping any more.
pub(crate) unsafe fn munmap(at: *mut c_void, len: usize) -> Result<()> {
    let mut world = world();
    let there = world.mapped.get_mut(&(at.addr(), len)).ok_or(Errno::INVAL)?;
    there.pop().ok_or(Errno::INVAL).map(drop)
}

/// # Safety
/// As for rustix's; all that this crate advises is a hint, or about forks, which Miri has none of.
pub(crate) unsafe fn madvise(_at: *mut c_void, _len: usize, _advice: Advice) -> Result<()> {
    Ok(())
}

pub(crate) fn fallocate(fd: impl AsFd, mode: FallocateFlags, offset: u64, len: u64) -> Result<()> {
    let bytes = world().file(fd)?.bytes()?;
    let at = bytes.at(offset, len as usize)?;
    if mode.contains(FallocateFlags::PUNCH_HOLE) {
        // SAFETY: the range lies inside; that nobody uses it now is what Miri is to see.
        unsafe { at.write_bytes(0, len as usize) };
    }
    Ok(())
}

// Both copy after the world was left, whose lock is no part of the protocols: it must not put their accesses in order.

pub(crate) fn pwrite(fd: impl AsFd, from: &[u8], offset: u64) -> Result<usize> {
    let bytes = world().file(fd)?.bytes()?;
    let at = bytes.at(offset, from.len()).map_err(|_| Errno::PERM)?;
    // SAFETY: the range lies inside; that nobody uses it now is what Miri is to see.
    unsafe { at.copy_from(from.as_ptr(), from.len()) };
    Ok(from.len())
}

pub(crate) fn pread(fd: impl AsFd, to: &mut [u8], offset: u64) -> Result<usize> {
    let bytes = world().file(fd)?.bytes()?;
    let at = bytes.at(offset, to.len())?;
    // SAFETY: the range lies inside, and all its bytes are numbers.
    unsafe { to.as_mut_ptr().copy_from(at, to.len()) };
    Ok(to.len())
}

pub(crate) fn getrlimit(_resource: Resource) -> Rlimit {
    Rlimit { current: None, maximum: None }
}

/// As rustix's, which makes a pointer of a number for it: strict provenance has none of those.
pub(crate) fn futex_wake(word: &crate::sync::AtomicU32, _flags: Flags, count: u32) -> Result<usize> {
    // SAFETY: the word is a live atomic; the call reads nothing else.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count as i32) };
    usize::try_from(woken).map_err(|_| Errno::INVAL)
}
