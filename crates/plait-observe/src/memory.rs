//! The memory of another process, read through `/proc/PID/mem`, or in one go from many places.
//!
//! The open file stands for the memory itself, not for the process number: when the process ends or runs another
//! program, reads give an error, never bytes of something else. Reading neither stops nor changes the target. There is one
//! exception: a child that is about to run its program (`vfork`) shares the memory of its parent, which lives on
//! when the child has left it. [`Memory::is_current`] tells.
//!
//! `process_vm_readv` reads many places in one call, but goes by the process number, so it might read the memory of the next
//! program under that number. The kernel draws 16 random bytes for each program (`AT_RANDOM`) and puts them on its
//! stack, which lies elsewhere each time. They are read once through the file, and are then the first place of every such
//! call: where they are not found again, nothing of that call is used.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::uio::{RemoteIoVec, process_vm_readv};

use crate::identity::{Identity, Stat};
use crate::{Pid, Reason};

#[allow(unsafe_code, reason = "reads the interpreter's own words where they lie")]
mod own;
#[allow(unsafe_code, reason = "no safe crate has these calls")]
mod slice;
#[allow(unsafe_code, reason = "shares memory with the kernel")]
mod switches;

pub(crate) use own::{OwnGil, OwnMoment};
pub(crate) use slice::ask_for_short_slices;
pub(crate) use switches::{Nap, Naps, Switches, Turn};

/// Places that one call of [`Memory::scattered`] reads at most.
pub(crate) const MOST_PARTS: usize = 64;
/// What the kernel calls the place of the random bytes in `/proc/PID/auxv`.
const AT_RANDOM: u64 = 25;

/// Read access to the memory that a process has now.
#[derive(Debug)]
pub(crate) struct Memory {
    pid: Pid,
    /// From before the file was opened, so that it is never that of a later program.
    identity: Identity,
    file: File,
    mark: Option<Mark>,
    /// The call that reads many places was refused, or misled, where the file was not.
    only_file: AtomicBool,
}

/// A place to read: where it begins and how many bytes it has.
pub(crate) type Part = (u64, usize);

/// What tells this program from any other that this process ever runs.
#[derive(Clone, Copy, Debug)]
struct Mark {
    address: u64,
    bytes: [u8; 16],
}

impl Memory {
    pub fn of(pid: Pid) -> Result<Self, Reason> {
        let identity = Stat::of(pid).ok_or(Reason::Gone { pid })?.identity;
        let file = File::open(format!("/proc/{pid}/mem")).map_err(|error| Reason::of_io(pid, "memory", &error))?;
        Ok(Self { pid, identity, file, mark: None, only_file: AtomicBool::new(false) })
    }

    /// The same, and ready to read many places in one go.
    pub fn marked(mut self) -> Self {
        let place = fs::read(format!("/proc/{}/auxv", self.pid)).ok().and_then(|auxv| random_bytes_at(&auxv));
        self.mark = place.and_then(|address| Some(Mark { address, bytes: self.read(address).ok()? }));
        self
    }

    /// Whether the process still runs the program whose memory this is.
    pub fn is_current(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.identity == self.identity)
    }

    pub fn read<const N: usize>(&self, address: u64) -> Result<[u8; N], Reason> {
        let mut bytes = [0; N];
        self.read_into(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads exactly as many bytes as there is room for.
    pub fn read_into(&self, address: u64, bytes: &mut [u8]) -> Result<(), Reason> {
        self.file.read_exact_at(bytes, address).map_err(|error| Reason::of_io(self.pid, "memory", &error))
    }

    pub fn u64(&self, address: u64) -> Result<u64, Reason> {
        self.read(address).map(u64::from_ne_bytes)
    }

    pub fn i32(&self, address: u64) -> Result<i32, Reason> {
        self.read(address).map(i32::from_ne_bytes)
    }

    /// Reads `parts`, at most [`MOST_PARTS`], into `bytes`, one behind the other, by one system call where that is possible.
    ///
    /// Gives how many bytes arrived: all of those before the first part that cannot be read. That the first part cannot
    /// be read is an error.
    pub fn scattered(&self, parts: &[Part], bytes: &mut [u8]) -> Result<usize, Reason> {
        debug_assert!(parts.len() <= MOST_PARTS && parts.iter().map(|part| part.1).sum::<usize>() == bytes.len());
        let in_one_go = match &self.mark {
            Some(mark) if !self.only_file.load(Ordering::Relaxed) => Some(self.in_one_go(mark, parts, bytes)),
            _ => None,
        };
        if let Some(Some(count)) = in_one_go
            && count > 0
        {
            return Ok(count);
        }
        let count = self.one_by_one(parts, bytes)?;
        if in_one_go == Some(None) {
            if !self.is_current() {
                return Err(Reason::Gone { pid: self.pid });
            }
            // So it is that call which does not work here, as where a filter of system calls refuses it.
            self.only_file.store(true, Ordering::Relaxed);
        }
        Ok(count)
    }

    /// `None` when nothing can be said, for the call was refused or the memory is that of another program.
    fn in_one_go(&self, mark: &Mark, parts: &[Part], bytes: &mut [u8]) -> Option<usize> {
        let mut found = [0; 16];
        let mut places = [RemoteIoVec { base: mark.address as usize, len: found.len() }; MOST_PARTS + 1];
        for (place, &(address, len)) in places[1..].iter_mut().zip(parts) {
            *place = RemoteIoVec { base: address as usize, len };
        }
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid).ok()?);
        let mut room = [IoSliceMut::new(&mut found), IoSliceMut::new(bytes)];
        let count = process_vm_readv(pid, &mut room, &places[..=parts.len()]).ok()?.checked_sub(mark.bytes.len())?;
        (found == mark.bytes).then_some(count)
    }

    fn one_by_one(&self, parts: &[Part], bytes: &mut [u8]) -> Result<usize, Reason> {
        let mut count = 0;
        for &(address, len) in parts {
            match self.read_into(address, &mut bytes[count..count + len]) {
                Ok(()) => count += len,
                Err(reason) if count == 0 => return Err(reason),
                Err(_) => break,
            }
        }
        Ok(count)
    }
}

/// Where the random bytes lie, by the pairs of numbers that the kernel hands to each program.
fn random_bytes_at(auxv: &[u8]) -> Option<u64> {
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).ok();
    let pairs = auxv.chunks_exact(16).map(|pair| Some((word(&pair[..8])?, word(&pair[8..])?)));
    pairs.flatten().find(|&(kind, _)| kind == AT_RANDOM).map(|(_, address)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of<T>(value: &T) -> u64 {
        std::ptr::from_ref(value).expose_provenance() as u64
    }

    fn own() -> Memory {
        Memory::of(std::process::id()).expect("own memory opens").marked()
    }

    #[test]
    fn own_memory_is_read_and_a_wild_address_is_an_error() {
        let value = Box::new(0x1122_3344_5566_7788_u64);
        let memory = own();
        assert_eq!(memory.u64(address_of(&*value)), Ok(*value));
        assert!(memory.u64(8).is_err());
        assert!(memory.u64(u64::MAX - 15).is_err());
    }

    #[test]
    fn a_dead_process_is_gone() {
        assert_eq!(Memory::of(Pid::MAX).unwrap_err(), Reason::Gone { pid: Pid::MAX });
    }

    #[test]
    fn many_places_are_read_in_one_go_and_up_to_the_first_that_is_none() {
        let (one, other) = (Box::new(7_u64), Box::new([8_u64, 9]));
        let (one_at, other_at) = (address_of(&*one), address_of(&*other));
        for memory in [own(), Memory::of(std::process::id()).expect("own memory opens")] {
            let mut bytes = [0; 24];
            assert_eq!(memory.scattered(&[(one_at, 8), (other_at, 16)], &mut bytes), Ok(24));
            let words: Vec<u64> = bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect();
            assert_eq!(words, [7, 8, 9]);
            assert_eq!(memory.scattered(&[(one_at, 8), (8, 8), (other_at, 8)], &mut bytes), Ok(8));
            assert!(memory.scattered(&[(8, 8), (one_at, 16)], &mut bytes).is_err());
            assert!(!memory.only_file.load(Ordering::Relaxed));
        }
    }

    #[test]
    fn what_is_not_marked_as_this_program_is_read_through_the_file() {
        let value = Box::new(7_u64);
        let mut memory = own();
        memory.mark.as_mut().expect("Linux marks every program").bytes[0] ^= 1;
        let mut bytes = [0; 8];
        assert_eq!(memory.scattered(&[(address_of(&*value), 8)], &mut bytes), Ok(8));
        assert_eq!(u64::from_ne_bytes(bytes), 7);
        assert!(memory.only_file.load(Ordering::Relaxed));
    }

    #[test]
    fn the_random_bytes_are_found_among_the_pairs() {
        let auxv = |pairs: &[u64]| pairs.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        assert_eq!(random_bytes_at(&auxv(&[6, 4096, AT_RANDOM, 77, 0, 0])), Some(77));
        assert_eq!(random_bytes_at(&auxv(&[6, AT_RANDOM, 0, 0])), None);
        assert_eq!(random_bytes_at(&auxv(&[AT_RANDOM])), None);
    }
}
