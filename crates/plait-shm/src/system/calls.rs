//! The system calls of this crate that Miri does not know: as rustix has them, or, under Miri, acted out on the heap.

#[cfg(all(target_os = "linux", any(miri, acted)))]
pub(crate) use super::acted::{
    fallocate, fcntl_add_seals, fcntl_get_seals, futex_wake, madvise, memfd_create, mmap_anonymous, pread, pwrite,
};
#[cfg(any(miri, acted))]
pub(crate) use super::acted::{fstat, ftruncate, getrlimit, mmap, munmap};
#[cfg(all(target_os = "linux", not(any(miri, acted))))]
pub(crate) use rustix::{
    fs::{fallocate, fcntl_add_seals, fcntl_get_seals, memfd_create},
    io::{pread, pwrite},
    mm::{madvise, mmap_anonymous},
    thread::futex::wake as futex_wake,
};
#[cfg(not(any(miri, acted)))]
pub(crate) use rustix::{
    fs::{fstat, ftruncate},
    mm::{mmap, munmap},
    process::getrlimit,
};
