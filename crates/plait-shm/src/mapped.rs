//! A block of the commons, mapped by itself: what a received buffer lies in.
//!
//! Promises: the bytes can be read and written for as long as the value lives; what is written to a snapshot is seen by nobody
//! else; [`Mapped::is_unwritten`] says so only when the bytes are surely those of the block.

use std::io;
use std::os::fd::AsFd;

use rustix::mm::{MapFlags, ProtFlags};

use crate::block::Block;
use crate::segment::Mapping;
use crate::system::{Files, Here};

/// How a block is mapped. Both ways it can be read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Copy on write: what is written here stays here. The other bytes are those of the block, which therefore nobody may write
    /// to meanwhile.
    Snapshot,
    /// Live: everybody who has mapped the block so sees at once what anybody writes.
    Shared,
}

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

    /// The block's first byte. Pointers to it are good until the value is dropped. Who writes to shared memory through one has to
    /// know that nobody has borrowed these bytes of an arena or a view.
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

    /// Makes all of it ready to be read, so that who reads it next does so at an even pace. It takes a little longer than the
    /// reading would by itself; a hint.
    pub fn populate(&self) {
        Here::populate(&self.mapping);
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
        Here::is_unwritten(self.as_ptr() as usize + at, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Commons;
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::slice;
    use std::sync::Arc;

    const PAGE: usize = 4096;
    const LEN: usize = if cfg!(miri) { 5 * PAGE } else { 5 << 20 };
    /// Neither its begin nor its end is that of a page.
    const BLOCK: Block = Block { offset: 3 * PAGE as u64 + 100, len: LEN as u64 };

    fn byte(at: usize) -> u8 {
        (at * 31 + (at >> 8)) as u8
    }

    fn filled() -> Arc<Commons> {
        let commons = Commons::create(1 << 30).unwrap();
        let bytes: Vec<u8> = (0..LEN).map(byte).collect();
        Here::write(commons.fd(), &bytes, BLOCK.offset).unwrap();
        commons
    }

    fn bytes(mapped: &Mapped) -> &[u8] {
        // SAFETY: all of it can be read, and these tests write to it by `write` alone, not while the slice lives.
        unsafe { slice::from_raw_parts(mapped.as_ptr(), mapped.len()) }
    }

    fn write(mapped: &Mapped, at: usize, value: u8) {
        assert!(at < mapped.len());
        // SAFETY: the byte lies inside, and nobody has borrowed it.
        unsafe { mapped.as_ptr().add(at).write(value) }
    }

    fn is_filled(bytes: &[u8]) -> bool {
        bytes.iter().enumerate().all(|(at, found)| *found == byte(at))
    }

    #[test]
    fn what_is_written_to_a_snapshot_stays_there() {
        let commons = filled();
        let [one, two] = [(); 2].map(|()| commons.map(BLOCK, Access::Snapshot).unwrap());
        let live = commons.map(BLOCK, Access::Shared).unwrap();
        drop(commons);
        assert!(is_filled(bytes(&one)));
        for at in [0, LEN / 2, LEN - 1] {
            write(&one, at, !byte(at));
        }
        assert_eq!([0, LEN / 2, LEN - 1].map(|at| bytes(&one)[at]), [0, LEN / 2, LEN - 1].map(|at| !byte(at)));
        assert!(is_filled(bytes(&two)) && is_filled(bytes(&live)));
    }

    #[test]
    fn what_is_shared_is_seen_by_all() {
        let commons = filled();
        let theirs = Commons::open(commons.fd().try_clone_to_owned().unwrap()).unwrap();
        let [one, two] = [&commons, &theirs].map(|side| side.map(BLOCK, Access::Shared).unwrap());
        write(&one, 4567, 1);
        assert_eq!(bytes(&two)[4567], 1);
        write(&two, 4567, 2);
        assert_eq!(bytes(&one)[4567], 2);
        assert!(!one.is_unwritten(0, LEN), "nobody can tell");
    }

    #[test]
    #[cfg_attr(any(miri, acted, portable), ignore = "pagemap")]
    fn one_written_byte_is_found() {
        let commons = filled();
        for at in [0, 1, PAGE, LEN / 2, LEN - PAGE, LEN - 1] {
            let mapped = commons.map(BLOCK, Access::Snapshot).unwrap();
            write(&mapped, at, byte(at));
            assert!(!mapped.is_unwritten(0, LEN), "at {at}");
            assert!(!mapped.is_unwritten(at, 1));
            // The pages beside it are as they were.
            let [before, behind] = [at.saturating_sub(PAGE), (at + PAGE).min(LEN)];
            assert!(mapped.is_unwritten(0, before) && mapped.is_unwritten(behind, LEN - behind), "beside {at}");
        }
    }

    #[test]
    #[cfg_attr(any(miri, acted, portable), ignore = "pagemap")]
    fn what_was_only_read_is_unwritten() {
        let commons = filled();
        let mapped = commons.map(BLOCK, Access::Snapshot).unwrap();
        assert!(mapped.is_unwritten(0, LEN), "not even read");
        mapped.populate();
        assert!(mapped.is_unwritten(0, LEN));
        assert!(is_filled(bytes(&mapped)) && mapped.is_unwritten(0, LEN));
        assert!(mapped.is_unwritten(LEN, 0));
        assert!(
            !mapped.is_unwritten(LEN, 1) && !mapped.is_unwritten(1, usize::MAX) && !mapped.is_unwritten(0, LEN + 1)
        );
    }

    /// The system writes to memory, too.
    #[test]
    #[cfg_attr(any(miri, acted, portable), ignore = "pagemap")]
    fn what_a_system_call_wrote_is_found() {
        let commons = filled();
        let mapped = commons.map(BLOCK, Access::Snapshot).unwrap();
        // SAFETY: the page lies inside, and nobody has borrowed it.
        let page = unsafe { slice::from_raw_parts_mut(mapped.as_ptr().add(LEN / 2), PAGE) };
        assert_eq!(File::open("/proc/self/exe").unwrap().read_at(page, 0).unwrap(), PAGE);
        assert!(!mapped.is_unwritten(0, LEN));
    }

    /// Runs `look` in a forked child; gives what it found.
    fn in_a_child(look: impl Fn() -> bool + Send + Sync + 'static) -> bool {
        const YES: i32 = 1;
        const NO: i32 = 2;
        let mut command = Command::new("/nonexistent");
        // SAFETY: what the child does before it ends is a few system calls and no allocation.
        unsafe { command.pre_exec(move || Err(io::Error::from_raw_os_error(if look() { YES } else { NO }))) };
        match command.spawn().unwrap_err().raw_os_error() {
            Some(YES) => true,
            Some(NO) => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    #[cfg_attr(any(miri, acted, portable), ignore = "fork")]
    fn a_forked_child_can_tell_as_well() {
        let commons = filled();
        let mapped = Arc::new(commons.map(BLOCK, Access::Snapshot).unwrap());
        mapped.populate();
        let child = Arc::clone(&mapped);
        assert!(in_a_child(move || child.is_unwritten(0, LEN)));
        let child = Arc::clone(&mapped);
        assert!(in_a_child(move || {
            write(&child, 77, 1);
            !child.is_unwritten(0, LEN) && child.is_unwritten(PAGE, LEN - PAGE)
        }));
        assert!(mapped.is_unwritten(0, LEN), "the child wrote to its own");
        write(&mapped, LEN - 1, 1);
        let child = Arc::clone(&mapped);
        assert!(in_a_child(move || !child.is_unwritten(0, LEN) && child.is_unwritten(0, LEN - PAGE)));
        assert!(!mapped.is_unwritten(LEN - 1, 1), "although its page is the child's, too, or was");
    }

    #[test]
    #[cfg_attr(any(miri, acted, portable), ignore = "pagemap")]
    fn memory_is_unmapped_on_drop() {
        let commons = filled();
        let mapped = commons.map(BLOCK, Access::Snapshot).unwrap();
        let start = format!("{:x}-", mapped.as_ptr() as usize / PAGE * PAGE);
        let is_mapped = || {
            std::fs::read_to_string("/proc/self/maps")
                .unwrap()
                .lines()
                .any(|line| line.starts_with(&start) && line.contains("plait-commons"))
        };
        assert!(is_mapped());
        drop(mapped);
        assert!(!is_mapped());
    }
}
