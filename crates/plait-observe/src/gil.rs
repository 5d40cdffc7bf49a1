//! Where the GILs of a CPython process lie, and what they say.
//!
//! Since 3.13 the runtime begins with a table of its own offsets (`_Py_DebugOffsets`), which is used; for 3.11 and
//! 3.12 the offsets are constants. Whatever is found must look like a GIL in every way that can be checked from outside,
//! or it is refused. `struct _gil_runtime_state` itself is the same in 3.11 to 3.15 (x86-64, glibc), 208 bytes:
//!
//! | at | what |
//! |---|---|
//! | 0 | `interval`, in microseconds |
//! | 8 | `last_holder`, a thread state; who has it while `locked` is 1 |
//! | 16 | `locked`: -1 not yet made, 0 free, 1 held |
//! | 24 | `switch_number` |
//! | 32, 80 | `cond` and `mutex`: who wants the GIL sleeps here |
//! | 120, 168 | `switch_cond` and `switch_mutex`: who was told to give it away sleeps here until another has it |

use std::ops::Range;

use crate::memory::Memory;
use crate::python::RUNTIME_COOKIE;
use crate::{Finder, Pid, Python, Reason, Version};

/// The parts of a GIL that a thread sleeps on while it wants the GIL.
const WAITING_PLACES: Range<u64> = 32..208;
/// A chain longer than this is no list of interpreters but rubbish.
const MOST_INTERPRETERS: usize = 1024;

/// One GIL of a process: that of the main interpreter, or of a sub-interpreter that has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gil {
    /// Its address in that process.
    pub address: u64,
}

impl Gil {
    /// Whether a thread that sleeps on a futex at `address` wants this GIL.
    pub fn is_waited_for_at(self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|offset| WAITING_PLACES.contains(&offset))
    }
}

/// All GILs of a live CPython process.
#[derive(Debug)]
pub struct Gils {
    python: Python,
    layout: Layout,
    memory: Memory,
    gils: Vec<Gil>,
}

/// What a GIL says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Whether a thread holds it.
    pub held: bool,
    /// The thread that holds it, or held it last, by its number in the target's own process namespace; `None` when that
    /// cannot be told.
    pub last_holder: Option<Pid>,
    /// How often it went from one thread to another. A thread that takes it again before others do is not counted.
    pub switches: u64,
}

/// Offsets in the runtime, in an interpreter (`interp_…`) and in a thread state (`thread_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    interpreters: u64,
    interp_next: u64,
    interp_threads: u64,
    thread_interp: u64,
    thread_native_id: u64,
    gil: GilPlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GilPlace {
    /// In the runtime, one for all interpreters.
    Runtime(u64),
    /// Each interpreter points to its GIL, which several may share.
    Interpreter(u64),
}

/// The first words of a GIL, as read in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Words {
    interval: u64,
    last_holder: u64,
    locked: i32,
    switches: u64,
}

impl Gils {
    /// Finds the GILs of `pid`.
    ///
    /// # Errors
    /// A [`Reason`]: ended, not CPython, not allowed, not 3.11 to 3.15, free-threaded, not on x86-64 with glibc, still
    /// starting, or not what it should be.
    pub fn find(pid: Pid, finder: &mut Finder) -> Result<Self, Reason> {
        let memory = Memory::of(pid)?;
        let python = finder.find(pid, &memory)?;
        Self::read(python, memory)
    }

    /// As [`Gils::find`], of a Python whose runtime is known already.
    pub(crate) fn of(python: Python) -> Result<Self, Reason> {
        Self::read(python, Memory::of(python.pid)?)
    }

    fn read(python: Python, memory: Memory) -> Result<Self, Reason> {
        if !cfg!(target_arch = "x86_64") {
            return Err(Reason::Platform { pid: python.pid });
        }
        let layout = layout(&python, &memory)?;
        let mut found = Self { python, layout, memory, gils: Vec::new() };
        found.refresh()?;
        Ok(found)
    }

    /// Which Python it is.
    pub fn python(&self) -> Python {
        self.python
    }

    /// The GILs, that of the main interpreter among them.
    pub fn gils(&self) -> &[Gil] {
        &self.gils
    }

    /// Looks again, for interpreters come and go. After an error the GILs found before stay known.
    ///
    /// # Errors
    /// As [`Gils::find`].
    pub fn refresh(&mut self) -> Result<(), Reason> {
        let interpreters = self.interpreters()?;
        let mut gils: Vec<Gil> = Vec::new();
        for &interpreter in &interpreters {
            let address = match self.layout.gil {
                GilPlace::Runtime(offset) => self.python.runtime + offset,
                GilPlace::Interpreter(offset) => self.memory.u64(interpreter + offset)?,
            };
            if address == 0 {
                // An interpreter gets its GIL after it was put in the list.
                continue;
            }
            if !gils.contains(&Gil { address }) {
                self.check(address, &interpreters)?;
                gils.push(Gil { address });
            }
        }
        if gils.is_empty() {
            return Err(self.not_ready());
        }
        self.gils = gils;
        Ok(())
    }

    /// What `gil` says at this moment.
    ///
    /// # Errors
    /// A [`Reason`] when the process has ended.
    pub fn moment(&self, gil: Gil) -> Result<Moment, Reason> {
        let words = self.words(gil.address)?;
        // The state of a thread that ended may be gone, too.
        let native = match words.last_holder {
            0 => None,
            thread => self.pointed(thread + self.layout.thread_native_id).ok(),
        };
        Ok(Moment {
            held: words.locked == 1,
            last_holder: native.and_then(|native| Pid::try_from(native).ok()),
            switches: words.switches,
        })
    }

    fn interpreters(&self) -> Result<Vec<u64>, Reason> {
        let mut found = Vec::new();
        let mut next = self.memory.u64(self.python.runtime + self.layout.interpreters)?;
        while next != 0 {
            if found.contains(&next) || found.len() == MOST_INTERPRETERS {
                return Err(self.unrecognised("its list of interpreters does not end"));
            }
            let first_thread = self.pointed(next + self.layout.interp_threads)?;
            if first_thread != 0 && self.pointed(first_thread + self.layout.thread_interp)? != next {
                return Err(self.unrecognised("its threads do not belong to their interpreter"));
            }
            found.push(next);
            next = self.pointed(next + self.layout.interp_next)?;
        }
        if found.is_empty() { Err(self.not_ready()) } else { Ok(found) }
    }

    /// Refuses what lies at `address` unless it looks like a GIL of one of `interpreters`.
    fn check(&self, address: u64, interpreters: &[u64]) -> Result<(), Reason> {
        let words = self.words(address)?;
        if words.locked == -1 || words.interval == 0 {
            return Err(self.not_ready());
        }
        // sys.setswitchinterval() takes any time; more than an hour is no time but a pointer or text.
        if !matches!(words.locked, 0 | 1) || words.interval > 3_600_000_000 {
            return Err(self.unrecognised("there is no GIL where it should be"));
        }
        // While nobody holds it, the last holder may be a thread that is long gone.
        if words.locked == 1 && words.last_holder != 0 {
            let home = self.pointed(words.last_holder + self.layout.thread_interp)?;
            if !interpreters.contains(&home) {
                return Err(self.unrecognised("its GIL is held by a thread of no interpreter"));
            }
        }
        Ok(())
    }

    fn words(&self, address: u64) -> Result<Words, Reason> {
        let bytes: [u8; 32] = self.memory.read(address).map_err(|reason| self.led_astray(reason))?;
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        // The lock is the lower half of the third word, on the little-endian machines that are read.
        Ok(Words { interval: word(0), last_holder: word(8), locked: word(16) as i32, switches: word(24) })
    }

    /// Reads through a pointer that came from the process, and so may be rubbish.
    fn pointed(&self, address: u64) -> Result<u64, Reason> {
        self.memory.u64(address).map_err(|reason| self.led_astray(reason))
    }

    fn led_astray(&self, reason: Reason) -> Reason {
        match reason {
            Reason::Unreadable { .. } => self.unrecognised("a pointer in its runtime leads nowhere"),
            other => other,
        }
    }

    fn not_ready(&self) -> Reason {
        Reason::NotReady { pid: self.python.pid }
    }

    fn unrecognised(&self, what: &'static str) -> Reason {
        Reason::Unrecognised { pid: self.python.pid, version: self.python.version, what }
    }
}

/// The layout of this version: from its own table where it has one.
fn layout(python: &Python, memory: &Memory) -> Result<Layout, Reason> {
    let Python { pid, version, runtime } = *python;
    // Places in _Py_DebugOffsets of: the GIL in an interpreter, "next" and the native id in a thread state.
    let (gil, thread_next, native_id) = match (version.major, version.minor) {
        (3, 11) => {
            return Ok(Layout {
                interpreters: 40,
                interp_next: 0,
                interp_threads: 16,
                thread_interp: 16,
                thread_native_id: 160,
                gil: GilPlace::Runtime(360),
            });
        }
        (3, 12) => {
            return Ok(Layout {
                interpreters: 40,
                interp_next: 0,
                interp_threads: 72,
                thread_interp: 16,
                thread_native_id: 144,
                gil: GilPlace::Interpreter(384),
            });
        }
        (3, 13) => (112, 168, 200),
        (3, 14) => (120, 192, 224),
        (3, 15) => (120, 192, 248),
        _ => return Err(Reason::Unsupported { pid, version }),
    };
    let unrecognised = |what| Reason::Unrecognised { pid, version, what };
    if memory.read(runtime)? != RUNTIME_COOKIE {
        return Err(unrecognised("its runtime does not begin with a table of offsets"));
    }
    let table_version = Version::from_hex(memory.u64(runtime + 8)?);
    if table_version.is_none_or(|table| (table.major, table.minor) != (version.major, version.minor)) {
        return Err(unrecognised("its table of offsets is of another version"));
    }
    let entry = |place: u64| match memory.u64(runtime + place)? {
        offset if offset < 1 << 20 && offset % 4 == 0 => Ok(offset),
        _ => Err(unrecognised("an offset in its table cannot be one")),
    };
    let gil = entry(gil)?;
    if memory.u64(runtime + 16)? != 0 {
        return Err(free_threaded(python, memory, entry(40)?, gil)?);
    }
    Ok(Layout {
        interpreters: entry(40)?,
        interp_next: entry(64)?,
        interp_threads: entry(72)?,
        // The table lists next and interp side by side.
        thread_interp: entry(thread_next + 8)?,
        thread_native_id: entry(native_id)?,
        gil: GilPlace::Interpreter(gil),
    })
}

/// Why a free-threaded build is refused: whether it runs without a GIL stands in the first word of the GIL it has anyway.
fn free_threaded(python: &Python, memory: &Memory, interpreters: u64, gil: u64) -> Result<Reason, Reason> {
    let Python { pid, version, runtime } = *python;
    let interpreter = memory.u64(runtime + interpreters)?;
    if interpreter == 0 {
        return Ok(Reason::NotReady { pid });
    }
    let address = memory.u64(interpreter + gil)?;
    Ok(if address != 0 && memory.i32(address)? != 0 {
        Reason::GilSwitchedOn { pid, version }
    } else {
        Reason::NoGil { pid, version }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_condition_and_the_locks_are_waiting_places() {
        let gil = Gil { address: 0x1000 };
        let waits = |offset: u64| gil.is_waited_for_at(0x1000 + offset);
        assert!(!waits(0) && !waits(31) && waits(32) && waits(120) && waits(207) && !waits(208));
        assert!(!gil.is_waited_for_at(0x0fff));
    }
}
