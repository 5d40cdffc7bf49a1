//! The GILs of a CPython process, and what they say.
//!
//! Where they lie is told by the offsets in `subject/offsets.rs`; what is found there must look like a GIL in every way
//! that can be checked from outside, or it is refused.

use std::ops::Range;

use crate::lanes::Call;
use crate::memory::Memory;
use crate::subject::Runtime;
use crate::{Finder, Pid, Python, Reason};

/// `futex` on x86-64, the one machine whose GIL is read.
const FUTEX: u16 = 202;
/// The parts of a GIL that a thread sleeps on while it wants the GIL.
const WAITING_PLACES: Range<u64> = 32..208;

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

    /// Whether a thread in this call wants this GIL.
    pub(crate) fn is_waited_for_in(self, call: Call) -> bool {
        matches!(call, Call::In { number: FUTEX, first, .. } if self.is_waited_for_at(first))
    }
}

/// All GILs of a live CPython process.
#[derive(Debug)]
pub struct Gils {
    runtime: Runtime,
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
        let mut found = Self { runtime: Runtime::of(python, memory)?, gils: Vec::new() };
        found.refresh()?;
        Ok(found)
    }

    /// Which Python it is.
    pub fn python(&self) -> Python {
        self.runtime.python
    }

    /// The GILs, that of the main interpreter last.
    pub fn gils(&self) -> &[Gil] {
        &self.gils
    }

    /// Looks again, for interpreters come and go. After an error the GILs found before stay known.
    ///
    /// # Errors
    /// As [`Gils::find`].
    pub fn refresh(&mut self) -> Result<(), Reason> {
        let interpreters = self.runtime.interpreters()?;
        if self.runtime.offsets.free_threaded {
            let Python { pid, version, .. } = self.runtime.python;
            return Err(if self.runtime.gil_is_switched_on(&interpreters)? {
                Reason::GilSwitchedOn { pid, version }
            } else {
                Reason::NoGil { pid, version }
            });
        }
        self.gils = self.runtime.gils(&interpreters)?.into_iter().map(|(gil, ..)| gil).collect();
        Ok(())
    }

    /// What `gil` says at this moment.
    ///
    /// # Errors
    /// A [`Reason`] when the process has ended.
    pub fn moment(&self, gil: Gil) -> Result<Moment, Reason> {
        let words = self.runtime.words(gil)?;
        // The state of a thread that ended may be gone, too.
        let native = match words.last_holder {
            0 => None,
            thread => self.runtime.pointed(thread, self.runtime.offsets.thread_native_id).ok(),
        };
        Ok(Moment {
            held: words.locked == 1,
            last_holder: native.and_then(|native| Pid::try_from(native).ok()),
            switches: words.switches,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Target;

    #[test]
    fn only_the_condition_and_the_locks_are_waiting_places() {
        let gil = Gil { address: 0x1000 };
        let waits = |offset: u64| gil.is_waited_for_at(0x1000 + offset);
        assert!(!waits(0) && !waits(31) && waits(32) && waits(120) && waits(207) && !waits(208));
        assert!(!gil.is_waited_for_at(0x0fff));
        let call = |number, first| Call::In { number, first, target: Target::None };
        assert!(gil.is_waited_for_in(call(202, 0x1050)));
        assert!(!gil.is_waited_for_in(call(202, 0x2000)) && !gil.is_waited_for_in(call(0, 0x1050)));
        assert!(!gil.is_waited_for_in(Call::Running) && !gil.is_waited_for_in(Call::Outside));
    }
}
