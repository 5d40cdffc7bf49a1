//! The memory of another process, read through `/proc/PID/mem`.
//!
//! The open file stands for the memory itself, not for the process number: when the process ends or runs another
//! program, reads give an error, never bytes of something else. Reading neither stops nor changes the target.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::{Pid, Reason};

#[allow(unsafe_code, reason = "reads the interpreter's own words where they lie")]
mod own;

pub(crate) use own::{OwnGil, OwnMoment};

/// Read access to the memory that a process has now.
#[derive(Debug)]
pub(crate) struct Memory {
    pid: Pid,
    file: File,
}

impl Memory {
    pub fn of(pid: Pid) -> Result<Self, Reason> {
        let file = File::open(format!("/proc/{pid}/mem")).map_err(|error| Reason::of_io(pid, "memory", &error))?;
        Ok(Self { pid, file })
    }

    pub fn read<const N: usize>(&self, address: u64) -> Result<[u8; N], Reason> {
        let mut bytes = [0; N];
        self.read_into(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` with what lies from `address` on, or fails.
    pub fn read_into(&self, address: u64, bytes: &mut [u8]) -> Result<(), Reason> {
        self.file.read_exact_at(bytes, address).map_err(|error| Reason::of_io(self.pid, "memory", &error))
    }

    pub fn u64(&self, address: u64) -> Result<u64, Reason> {
        self.read(address).map(u64::from_ne_bytes)
    }

    pub fn i32(&self, address: u64) -> Result<i32, Reason> {
        self.read(address).map(i32::from_ne_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_read_and_a_wild_address_is_an_error() {
        let value = Box::new(0x1122_3344_5566_7788_u64);
        let memory = Memory::of(std::process::id()).expect("own memory opens");
        assert_eq!(memory.u64(std::ptr::from_ref(&*value).addr() as u64), Ok(*value));
        assert!(memory.u64(8).is_err());
        assert!(memory.u64(u64::MAX - 15).is_err());
    }

    #[test]
    fn a_dead_process_is_gone() {
        assert_eq!(Memory::of(Pid::MAX).unwrap_err(), Reason::Gone { pid: Pid::MAX });
    }
}
