//! The other process's side of an arena: reads blocks where they lie.
//!
//! How long the file is by now is asked only where a block lies beyond what was known, and where the kernel can (Linux
//! 5.14), of the mapping: then the view keeps no descriptor, of which a program has few.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::ProtFlags;

use crate::block::Block;
use crate::error::Malformed;
use crate::segment::{Mapping, cannot_shrink, file_len};

/// Read-only access to another process's arena.
pub struct ArenaView {
    mapping: Mapping,
    /// To ask for the file's length, where the mapping cannot be asked.
    file: Option<OwnedFd>,
    /// The file is at least so long; it only grows.
    known_len: AtomicU64,
}

impl ArenaView {
    /// Maps the arena behind `fd`, for which `reserve` must be what it was created with.
    ///
    /// # Errors
    /// Those of `mmap`; `InvalidInput` for a file that can shrink, which therefore is no arena.
    pub fn open(fd: OwnedFd, reserve: usize) -> io::Result<Self> {
        Self::new(fd, reserve, Mapping::can_populate)
    }

    /// As [`ArenaView::open`]; keeps the descriptor unless the mapping is `telling`.
    pub(super) fn new(fd: OwnedFd, reserve: usize, telling: fn(&Mapping) -> bool) -> io::Result<Self> {
        if !cannot_shrink(&fd) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is not an arena"));
        }
        let page = rustix::param::page_size();
        let mapping = Mapping::new(&fd, reserve / page * page, ProtFlags::READ)?;
        let known_len = AtomicU64::new(file_len(&fd)? as u64);
        let file = (!telling(&mapping)).then_some(fd);
        Ok(Self { mapping, file, known_len })
    }

    #[cfg(test)]
    pub(super) fn keeps_file(&self) -> bool {
        self.file.is_some()
    }

    /// The bytes of a block, in place: they stay as they are until the arena's owner releases the block.
    ///
    /// That nobody reads a block after its release is for the two processes to agree on by messages; one that is read too long
    /// shows other bytes, never other memory.
    ///
    /// # Errors
    /// [`Malformed`] for a block that does not lie within the file.
    pub fn get(&self, block: Block) -> Result<&[u8], Malformed> {
        let end = block.offset.checked_add(block.len).ok_or(Malformed)?;
        if end > self.mapping.len() as u64 {
            return Err(Malformed);
        }
        if end > self.known_len.load(Ordering::Relaxed) {
            let len = self.file_len(end);
            self.known_len.fetch_max(len, Ordering::Relaxed);
            if end > len {
                return Err(Malformed);
            }
        }
        // SAFETY: the block lies within the mapping and within the file, which cannot shrink, so every byte is readable for
        // as long as `self` lives. That nobody writes them meanwhile is the owner's promise and not the compiler's:
        // an owner that breaks it changes what is seen through this slice, u8s all the same.
        Ok(unsafe {
            let start = self.mapping.base().as_ptr().add(block.offset as usize);
            std::slice::from_raw_parts(start, block.len as usize)
        })
    }

    /// How long the file is at least, if it is `end` bytes long, which lies in the mapping; less than `end` if it is shorter.
    fn file_len(&self, end: u64) -> u64 {
        match &self.file {
            Some(file) => file_len(file).map_or(0, |len| len as u64),
            None => {
                let page = rustix::param::page_size() as u64;
                let last = (end - 1) / page * page;
                if self.mapping.populate(last as usize, page as usize) { last + page } else { 0 }
            }
        }
    }
}
