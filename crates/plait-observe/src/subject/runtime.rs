//! The runtime of a live CPython: its interpreters, its GILs, its thread states, as they lie in memory.
//!
//! Nothing is locked while it is read, so lists change under the reader. Whatever is found must look like what it should be in
//! every way that can be checked from outside, or it is refused; what does not is read again first.

use std::collections::HashSet;

use super::offsets::{GilPlace, Head, LONGEST_HEAD, Offsets};
use crate::memory::Memory;
use crate::{Gil, Pid, Python, Reason};

/// A chain longer than this is no list of interpreters but rubbish.
const MOST_INTERPRETERS: usize = 1024;
/// And none of threads.
const MOST_THREADS: usize = 1 << 17;
/// How often a list is read that changes meanwhile.
const TRIES: usize = 4;
/// sys.setswitchinterval() takes any time; more than an hour, in microseconds, is no time but a pointer or text.
const LONGEST_INTERVAL: u64 = 3_600_000_000;

/// A live runtime and how to read it.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub python: Python,
    pub offsets: Offsets,
    pub memory: Memory,
}

/// An interpreter of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interpreter {
    pub address: u64,
    /// The main interpreter is 0.
    pub id: i64,
    /// `None` while it is set up: an interpreter gets its GIL after it was put in the list.
    pub gil: Option<Gil>,
}

/// A thread state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadState {
    pub address: u64,
    /// The address of its interpreter.
    pub interpreter: u64,
    /// Its thread's number, in the namespace of that thread; 0 while it has none.
    pub native_id: u64,
}

/// The first words of a GIL, as read in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GilWords {
    /// In microseconds.
    pub interval: u64,
    pub last_holder: u64,
    pub locked: i32,
    pub switches: u64,
}

impl GilWords {
    /// How many bytes they take.
    pub const BYTES: usize = 32;

    pub fn parse(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        // The lock is the lower half of the third word, on the little-endian machines that are read.
        Self { interval: word(0), last_holder: word(8), locked: word(16) as i32, switches: word(24) }
    }

    /// Whether a GIL that is in use can say so.
    pub fn are_sound(&self) -> bool {
        matches!(self.locked, 0 | 1) && (1..=LONGEST_INTERVAL).contains(&self.interval)
    }

    /// Whether it is not yet made, or no more.
    pub fn are_unmade(&self) -> bool {
        self.locked == -1 || self.interval == 0
    }
}

impl Runtime {
    /// That of `python`, whose `memory` this is.
    pub fn of(python: Python, memory: Memory) -> Result<Self, Reason> {
        if !cfg!(target_arch = "x86_64") {
            return Err(Reason::Platform { pid: python.pid });
        }
        let offsets = Offsets::of(&python, &memory)?;
        Ok(Self { python, offsets, memory })
    }

    pub fn pid(&self) -> Pid {
        self.python.pid
    }

    /// All interpreters, the newest first, the main one last.
    pub fn interpreters(&self) -> Result<Vec<Interpreter>, Reason> {
        self.steady(|| self.walk_interpreters())
    }

    fn walk_interpreters(&self) -> Result<Vec<Interpreter>, Reason> {
        let Offsets { interpreters, interp_next, interp_id, interp_threads, gil, .. } = self.offsets;
        let mut found: Vec<Interpreter> = Vec::new();
        let mut next = self.memory.u64(self.python.runtime + interpreters)?;
        if next == 0 {
            return Err(self.not_ready());
        }
        while next != 0 {
            if found.len() == MOST_INTERPRETERS || found.iter().any(|interpreter| interpreter.address == next) {
                return Err(self.unrecognised("its list of interpreters does not end"));
            }
            let first_thread = self.pointed(next, interp_threads)?;
            if first_thread != 0 && self.pointed(first_thread, self.offsets.thread_interp)? != next {
                return Err(self.unrecognised("its threads do not belong to their interpreter"));
            }
            let gil = match gil {
                GilPlace::Runtime(offset) => Some(Gil { address: self.python.runtime + offset }),
                GilPlace::Interpreter(offset) => {
                    Some(self.pointed(next, offset)?).filter(|&address| address != 0).map(|address| Gil { address })
                }
            };
            let id = self.pointed(next, interp_id)? as i64;
            found.push(Interpreter { address: next, id, gil });
            next = self.pointed(next, interp_next)?;
        }
        let (main, others) = found.split_last().expect("it does not begin with its end");
        if main.id != 0 || others.iter().any(|other| other.id <= 0) {
            return Err(self.unrecognised("its interpreters are not numbered as they should be"));
        }
        Ok(found)
    }

    /// The GILs of `interpreters`, each with the ids of those that share it and what it says, that of the main interpreter
    /// last; those that are being made or unmade are left out.
    pub fn gils(&self, interpreters: &[Interpreter]) -> Result<Vec<(Gil, Vec<i64>, GilWords)>, Reason> {
        let mut found: Vec<(Gil, Vec<i64>, GilWords)> = Vec::new();
        for &Interpreter { id, gil, .. } in interpreters.iter().rev() {
            let Some(gil) = gil else { continue };
            if let Some((_, sharers, _)) = found.iter_mut().find(|(known, ..)| *known == gil) {
                sharers.push(id);
            } else if let Some(words) = self.steady(|| self.checked(gil, interpreters))? {
                found.push((gil, vec![id], words));
            }
        }
        found.reverse();
        if found.is_empty() { Err(self.not_ready()) } else { Ok(found) }
    }

    /// What `gil` says, refused unless it looks like a GIL of one of `interpreters`; `None` when it is not in use.
    fn checked(&self, gil: Gil, interpreters: &[Interpreter]) -> Result<Option<GilWords>, Reason> {
        let words = self.words(gil)?;
        if words.are_unmade() {
            return Ok(None);
        }
        if !words.are_sound() {
            return Err(self.no_gil());
        }
        // While nobody holds it, the last holder may be a thread that is long gone.
        if words.locked == 1 && words.last_holder != 0 {
            let home = self.pointed(words.last_holder, self.offsets.thread_interp)?;
            if !interpreters.iter().any(|interpreter| interpreter.address == home) {
                return Err(self.unrecognised("its GIL is held by a thread of no interpreter"));
            }
        }
        Ok(Some(words))
    }

    /// What `gil` says now.
    pub fn words(&self, gil: Gil) -> Result<GilWords, Reason> {
        let bytes = self.memory.read(gil.address).map_err(|reason| self.led_astray(reason))?;
        Ok(GilWords::parse(&bytes))
    }

    /// Whether a free-threaded build runs with a GIL all the same, as it says in the first word of the GIL it has anyway.
    pub fn gil_is_switched_on(&self, interpreters: &[Interpreter]) -> Result<bool, Reason> {
        let switched_on = |gil: Gil| Ok(self.memory.i32(gil.address).map_err(|reason| self.led_astray(reason))? != 0);
        let gils: Vec<Gil> = interpreters.iter().filter_map(|interpreter| interpreter.gil).collect();
        if gils.is_empty() {
            return Err(self.not_ready());
        }
        gils.into_iter().try_fold(false, |found, gil| Ok(found || switched_on(gil)?))
    }

    /// Refuses an interpreter whose garbage collection cannot be where it should be.
    pub fn check_collector(&self, interpreter: Interpreter) -> Result<(), Reason> {
        let at = interpreter.address.wrapping_add(self.offsets.interp_collecting);
        let flag = self.memory.i32(at).map_err(|reason| self.led_astray(reason))?;
        let is_sound = match self.offsets.interp_generation0 {
            Some((pointer, target)) => {
                self.pointed(interpreter.address, pointer)? == interpreter.address.wrapping_add(target)
            }
            None => true,
        };
        if matches!(flag, 0 | 1) && is_sound {
            Ok(())
        } else {
            Err(self.unrecognised("its garbage collector is not where it should be"))
        }
    }

    /// The thread states of `interpreters`. While threads come and go, some of them may be missing.
    pub fn threads(&self, interpreters: &[Interpreter]) -> Result<Vec<ThreadState>, Reason> {
        let mut found = Vec::new();
        for interpreter in interpreters {
            let before = found.len();
            for tries_left in (0..TRIES).rev() {
                found.truncate(before);
                match self.walk_threads(interpreter.address, &mut found) {
                    Ok(()) => break,
                    Err(gone @ (Reason::Gone { .. } | Reason::Denied { .. })) => return Err(gone),
                    // A list that never was whole is no list of threads.
                    Err(reason) if tries_left == 0 && found.len() == before => return Err(reason),
                    Err(_) => {}
                }
            }
        }
        Ok(found)
    }

    fn walk_threads(&self, interpreter: u64, found: &mut Vec<ThreadState>) -> Result<(), Reason> {
        let mut seen = HashSet::new();
        let mut next = self.pointed(interpreter, self.offsets.interp_threads)?;
        while next != 0 {
            let head = self.head(next)?;
            if head.interpreter != interpreter {
                return Err(self.unrecognised("its threads do not belong to their interpreter"));
            }
            if found.len() == MOST_THREADS || !seen.insert(next) {
                return Err(self.unrecognised("its list of threads does not end"));
            }
            found.push(ThreadState { address: next, interpreter, native_id: head.native_id });
            next = head.next;
        }
        Ok(())
    }

    /// What the thread state at `address` says.
    pub fn head(&self, address: u64) -> Result<Head, Reason> {
        let mut bytes = [0; LONGEST_HEAD];
        let bytes = &mut bytes[..self.offsets.head_length()];
        self.memory.read_into(address, bytes).map_err(|reason| self.led_astray(reason))?;
        self.offsets.head(bytes).ok_or_else(|| self.unrecognised("a thread of it cannot be read"))
    }

    /// Reads the word `offset` behind a pointer that came from the process, and so may be rubbish.
    pub fn pointed(&self, pointer: u64, offset: u64) -> Result<u64, Reason> {
        self.memory.u64(pointer.wrapping_add(offset)).map_err(|reason| self.led_astray(reason))
    }

    /// Reads again what may have been read while it changed.
    fn steady<T>(&self, read: impl Fn() -> Result<T, Reason>) -> Result<T, Reason> {
        let mut last = read();
        for _ in 1..TRIES {
            match last {
                Err(Reason::Unrecognised { .. }) => last = read(),
                _ => break,
            }
        }
        last
    }

    fn led_astray(&self, reason: Reason) -> Reason {
        match reason {
            Reason::Unreadable { .. } => self.unrecognised("a pointer in its runtime leads nowhere"),
            other => other,
        }
    }

    pub fn no_gil(&self) -> Reason {
        self.unrecognised("there is no GIL where it should be")
    }

    pub fn not_ready(&self) -> Reason {
        Reason::NotReady { pid: self.python.pid }
    }

    fn unrecognised(&self, what: &'static str) -> Reason {
        Reason::Unrecognised { pid: self.python.pid, version: self.python.version, what }
    }
}
