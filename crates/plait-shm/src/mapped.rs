//! A block of the commons, mapped by itself: what a received buffer lies in.
//!
//! Promises: the bytes can be read and written for as long as the value lives; what is written to a snapshot is seen by nobody
//! else; [`Mapped::is_unwritten`] says so only when the bytes are surely those of the block.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::block::Block;
use crate::segment::Mapping;

/// How a block is mapped. Both ways it can be read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Copy on write: what is written here stays here. The other bytes are those of the block, which therefore nobody may write
    /// to meanwhile.
    Snapshot,
    /// Live: everybody who has mapped the block so sees at once what anybody writes.
    Shared,
}

/// Bits of an entry of the page map: it is in memory, it is swapped out, it is a page of the file (a copy is not).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;

/// How many entries are read at once: the kernel looks at as many.
const ENTRIES: usize = 512;

/// The memory of one block, unmapped on drop. See [`crate::Commons::map`].
pub struct Mapped {
    mapping: Mapping,
    /// Where in its first page the block begins.
    lead: usize,
    len: usize,
    access: Access,
}

#[allow(clippy::len_without_is_empty, reason = "what is mapped is never empty")]
impl Mapped {
    /// Maps a block that lies within the file behind `fd`, which cannot shrink.
    pub(crate) fn new(fd: impl AsFd, block: Block, access: Access) -> io::Result<Self> {
        let lead = block.offset % rustix::param::page_size() as u64;
        let sharing = match access {
            Access::Snapshot => MapFlags::PRIVATE,
            Access::Shared => MapFlags::SHARED,
        };
        let whole = usize::try_from(lead + block.len).unwrap_or(usize::MAX);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let mapping = Mapping::part(fd, block.offset - lead, whole, protection, sharing)?;
        Ok(Self { mapping, lead: lead as usize, len: block.len as usize, access })
    }

    /// The block's first byte. Pointers to it are good until the value is dropped.
    pub fn as_ptr(&self) -> *mut u8 {
        // SAFETY: the mapping is at least `lead + len` long.
        unsafe { self.mapping.base().as_ptr().add(self.lead) }
    }

    /// How many bytes the block has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How it was mapped.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Makes all of it ready to be read at once, which is quicker than page by page; a hint.
    pub fn populate(&self) {
        // SAFETY: the range is this mapping's, and reading its pages in changes nothing that is mapped.
        let _ = unsafe {
            rustix::mm::madvise(self.mapping.base().as_ptr().cast(), self.mapping.len(), Advice::LinuxPopulateRead)
        };
    }

    /// Are the `len` bytes from the byte `at` of this snapshot on as the block has them, since nothing was ever written to their
    /// pages? False when in doubt, for what does not lie inside, and for shared memory.
    pub fn is_unwritten(&self, at: usize, len: usize) -> bool {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.len);
        if self.access != Access::Snapshot || !inside {
            return false;
        }
        if len == 0 {
            return true;
        }
        let page = rustix::param::page_size();
        let start = self.as_ptr() as usize + at;
        let (first, last) = (start / page, (start + len - 1) / page);
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
