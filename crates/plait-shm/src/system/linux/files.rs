//! Memfds: sealed against changes of their length, sparse, with holes.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::Advice;

use super::Linux;
use crate::segment::Mapping;
use crate::system::{Files, calls};

/// Bits of an entry of the page map: it is in memory, it is swapped out, it is a page of the file (a copy is not).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;

/// How many entries are read at once: the kernel looks at as many.
const ENTRIES: usize = 512;

impl Files for Linux {
    /// Never executable where the kernel can say so.
    fn create(name: &str) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Ok(match calls::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            // Linux before 6.3.
            Err(Errno::INVAL) => calls::memfd_create(name, flags)?,
            made => made?,
        })
    }

    fn private(name: &str) -> io::Result<File> {
        Ok(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?.into())
    }

    fn seal(file: BorrowedFd<'_>) -> io::Result<()> {
        Ok(calls::fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?)
    }

    fn is_sealed(file: BorrowedFd<'_>) -> bool {
        // Files that are no memfd have no seals to ask for.
        calls::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK | SealFlags::GROW))
    }

    fn fill(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| calls::fallocate(file, FallocateFlags::KEEP_SIZE, offset, len))?)
    }

    fn punch(file: BorrowedFd<'_>, offset: u64, len: u64) -> bool {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        calls::fallocate(file, flags, offset, len).is_ok()
    }

    /// Several times as fast as through a mapping, where there is no memory yet.
    fn write(file: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match retry_on_intr(|| calls::pwrite(file, bytes, offset))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
            }
        }
        Ok(())
    }

    fn read(file: BorrowedFd<'_>, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !into.is_empty() {
            match retry_on_intr(|| calls::pread(file, &mut *into, offset))? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    into = &mut into[read..];
                    offset += read as u64;
                }
            }
        }
        Ok(())
    }

    fn omit_from_dumps(mapping: &Mapping) {
        // SAFETY: the range is the mapping's, and what the advice changes is what a dump holds.
        let _ = unsafe { calls::madvise(mapping.base().as_ptr().cast(), mapping.len(), Advice::LinuxDontDump) };
    }

    fn populate(mapping: &Mapping) {
        // SAFETY: the range is the mapping's, and reading its pages in changes nothing that is mapped.
        let _ = unsafe { calls::madvise(mapping.base().as_ptr().cast(), mapping.len(), Advice::LinuxPopulateRead) };
    }

    fn is_unwritten(at: usize, len: usize) -> bool {
        let page = rustix::param::page_size();
        let (first, last) = (at / page, (at + len - 1) / page);
        // Of this process as it is now: a forked child has a map of its own.
        File::open("/proc/self/pagemap")
            .is_ok_and(|map| are_unwritten(&map, first as u64, last as u64).unwrap_or(false))
    }
}

/// Is none of the pages `first..=last` of a private mapping a copy of its own?
fn are_unwritten(map: &File, first: u64, last: u64) -> io::Result<bool> {
    let mut buffer = [0; ENTRIES * 8];
    let mut next = first;
    while next <= last {
        let count = (last - next + 1).min(ENTRIES as u64);
        let entries = &mut buffer[..count as usize * 8];
        map.read_exact_at(entries, next * 8)?;
        let (entries, _) = entries.as_chunks::<8>();
        // A page that is neither in memory nor in the swap was not touched, or was only read and dropped since.
        let unwritten = |entry: u64| entry & OF_FILE != 0 || entry & (PRESENT | SWAPPED) == 0;
        if !entries.iter().all(|entry| unwritten(u64::from_ne_bytes(*entry))) {
            return Ok(false);
        }
        next += count;
    }
    Ok(true)
}
