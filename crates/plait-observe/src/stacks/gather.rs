//! Many places of another process read in one system call, in the order in which they are named.
//!
//! `process_vm_readv` fills one place after the other, so that two places read at its two ends say whether anything
//! changed in between, and what lies between them was read within less than a microsecond. It names a process by its
//! number, though; so the first look of each stack goes through [`Memory`], which knows when the process is another.
//! Where the call is forbidden, as by older containers, the same places are read one by one.

use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd;

use crate::memory::Memory;
use crate::{Pid, Reason};

/// The kernel takes no more places in one call.
pub(super) const MOST_PLACES: usize = 1024;

/// A place in another process.
pub(super) fn place(address: u64, size: usize) -> RemoteIoVec {
    RemoteIoVec { base: address as usize, len: size }
}

/// Reads the memory of one process.
#[derive(Debug)]
pub(super) struct Gather {
    pid: unistd::Pid,
    memory: Memory,
    one_by_one: bool,
}

/// Why places could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// The process has ended, or is another.
    Gone,
    /// One of them leads nowhere.
    Nowhere,
}

impl From<Reason> for Miss {
    fn from(reason: Reason) -> Self {
        if matches!(reason, Reason::Gone { .. }) { Self::Gone } else { Self::Nowhere }
    }
}

impl Gather {
    pub fn of(pid: Pid) -> Result<Self, Reason> {
        let number = i32::try_from(pid).map_err(|_| Reason::Gone { pid })?;
        Ok(Self { pid: unistd::Pid::from_raw(number), memory: Memory::of(pid)?, one_by_one: false })
    }

    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Fills `bytes` with `places`, one after the other.
    pub fn read(&mut self, places: &[RemoteIoVec], bytes: &mut [u8]) -> Result<(), Miss> {
        if !self.one_by_one {
            match process_vm_readv(self.pid, &mut [IoSliceMut::new(bytes)], places) {
                Ok(read) if read == bytes.len() => return Ok(()),
                Ok(_) | Err(Errno::EFAULT) => return Err(Miss::Nowhere),
                Err(Errno::ESRCH) => return Err(Miss::Gone),
                // Not allowed, or not known here. Memory that is open stays so.
                Err(_) => self.one_by_one = true,
            }
        }
        let mut rest = bytes;
        for place in places {
            let (part, behind) = rest.split_at_mut_checked(place.len).ok_or(Miss::Nowhere)?;
            self.memory.read_into(place.base as u64, part)?;
            rest = behind;
        }
        Ok(())
    }

    /// As if the kernel had forbidden the one call.
    #[cfg(test)]
    pub fn forbid(&mut self) {
        self.one_by_one = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_in_their_order_by_either_way() {
        let (left, right) = (Box::new([1_u8, 2, 3]), Box::new([4_u8, 5]));
        let address = |bytes: &[u8]| bytes.as_ptr().addr() as u64;
        let places = [place(address(&*right), 2), place(address(&*left) + 1, 2), place(address(&*right), 1)];
        let mut gather = Gather::of(std::process::id()).expect("own memory");
        for way in ["one call", "one by one"] {
            let mut bytes = [0; 5];
            assert_eq!(gather.read(&places, &mut bytes), Ok(()), "{way}");
            assert_eq!(bytes, [4, 5, 2, 3, 4], "{way}");
            let nowhere = [place(address(&*left), 3), place(8, 2)];
            assert_eq!(gather.read(&nowhere, &mut bytes), Err(Miss::Nowhere), "{way}");
            gather.forbid();
        }
    }
}
