//! The other process's side of an arena: reads blocks where they lie.

use std::io;
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags};

use crate::block::{Block, Region};
use crate::commons::Commons;
use crate::error::Malformed;
use crate::segment::Mapping;

/// Read-only access to another process's arena.
pub struct ArenaView {
    mapping: Mapping,
    offset: u64,
}

impl ArenaView {
    /// Maps the region that the arena has. The commons are not needed any more then.
    ///
    /// # Errors
    /// Those of `mmap`; `InvalidInput` for a region that does not lie within the commons, and for an empty one.
    pub fn of(commons: &Arc<Commons>, region: Region) -> io::Result<Self> {
        commons.check(region)?;
        let len = region.len as usize;
        let mapping = Mapping::part(commons.fd(), region.offset, len, ProtFlags::READ, MapFlags::SHARED)?;
        Ok(Self { mapping, offset: region.offset })
    }

    /// The bytes of a block, in place: they stay as they are until the arena's owner releases the block.
    ///
    /// That nobody reads a block after its release is for the two processes to agree on by messages; one that is read too long
    /// shows other bytes, never other memory.
    ///
    /// # Errors
    /// [`Malformed`] for a block that does not lie within the region.
    pub fn get(&self, block: Block) -> Result<&[u8], Malformed> {
        let start = block.offset.checked_sub(self.offset).ok_or(Malformed)?;
        let end = start.checked_add(block.len).ok_or(Malformed)?;
        if end > self.mapping.len() as u64 {
            return Err(Malformed);
        }
        // SAFETY: the block lies within the mapping, and so within the file, which cannot shrink: every byte is readable for
        // as long as `self` lives. That nobody writes them meanwhile is the owner's promise and not the compiler's:
        // an owner that breaks it changes what is seen through this slice, u8s all the same.
        Ok(unsafe {
            let start = self.mapping.base().as_ptr().add(start as usize);
            std::slice::from_raw_parts(start, block.len as usize)
        })
    }
}
