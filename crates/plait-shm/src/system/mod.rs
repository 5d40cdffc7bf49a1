//! The system calls of this crate that Miri does not know: as rustix has them, or, under Miri, acted out on the heap.
//!
//! All else of the system is called where it is needed.

#[cfg(any(miri, acted))]
mod acted;

#[cfg(any(miri, acted))]
pub(crate) use acted::{
    fallocate, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, futex_wake, getrlimit, madvise, memfd_create, mmap,
    mmap_anonymous, munmap, pread, pwrite,
};
#[cfg(not(any(miri, acted)))]
pub(crate) use rustix::{
    fs::{fallocate, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create},
    io::{pread, pwrite},
    mm::{madvise, mmap, mmap_anonymous, munmap},
    process::getrlimit,
    thread::futex::wake as futex_wake,
};
