//! A live CPython process: its interpreters, its threads, its GILs, and what they say at a look.
//!
//! A [`Subject`] is walked anew ten times a second ([`Subject::refresh`]) and looked at a thousand times a second
//! ([`Subject::look`]), so a look costs one system call as a rule. It reads the words of a GIL and, in the same call, what
//! its last known holder does: its thread, its frame, its place in the code. Only what turns out to lie elsewhere by now is
//! read by further calls.
//!
//! A process that ended or runs another program is [`Reason::Gone`], at the first look after that.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::memory::Memory;
use crate::{Finder, Gil, Pid, Python, Reason};

mod look;
mod numbers;
mod offsets;
mod runtime;
#[cfg(test)]
mod tests;

use look::Guess;
use numbers::Numbers;
pub(crate) use runtime::Runtime;
use runtime::{Interpreter, ThreadState};

/// A live CPython of 3.11 to 3.15.
#[derive(Debug)]
pub(crate) struct Subject {
    runtime: Runtime,
    numbers: Numbers,
    interpreters: Vec<Interpreter>,
    gils: Vec<GilInfo>,
    threads: Vec<PyThread>,
    /// Of each of `threads`, its state as the process has it.
    states: Vec<ThreadState>,
    /// Who was seen last to have each of `gils`.
    holders: Vec<Cell<u64>>,
    /// Of thread states that held a GIL when looked at, where the next look will find the rest.
    guesses: RefCell<HashMap<u64, Guess>>,
}

/// A GIL, and who shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GilInfo {
    pub gil: Gil,
    /// The ids of the interpreters that share it; the main interpreter is 0.
    pub interpreters: Vec<i64>,
    /// `sys.getswitchinterval()`.
    pub interval: Duration,
}

/// A thread as an interpreter knows it. A thread that runs code in several interpreters has a state in each, and so is
/// listed for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PyThread {
    /// The address of its thread state.
    pub state: u64,
    /// Its number, as the observer sees it.
    pub tid: Pid,
    /// The id of its interpreter.
    pub interpreter: i64,
    /// The GIL it needs; none in free-threaded builds.
    pub gil: Option<Gil>,
}

/// What a GIL says at one moment, and what its holder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GilLook {
    /// Whether a thread has it.
    pub held: bool,
    /// The thread that has it, or while nobody has it the last that had; `None` when that cannot be told.
    pub holder: Option<Pid>,
    /// The thread state of that thread; 0 before the first.
    pub state: u64,
    /// How often it went from one thread to another. A thread that takes it again before others do is not counted.
    pub switches: u64,
    /// Where in Python code the holder is; `None` while nobody has it, and for a holder that runs no Python code.
    pub spot: Option<Spot>,
    /// Whether garbage is being collected in the interpreter of that thread: by it, or, where what is collected runs Python
    /// code when it ends, by one that let others have the GIL meanwhile.
    pub collecting: bool,
}

/// A place in a run of Python code. It stays the same while the thread is in one native call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The address of the frame.
    pub frame: u64,
    /// The address of the instruction.
    pub instruction: u64,
}

impl Subject {
    /// Finds out all about `pid`. Free-threaded builds are fine, too, as long as they run without a GIL.
    ///
    /// # Errors
    /// A [`Reason`]: ended, not CPython, not allowed, not 3.11 to 3.15, not on x86-64 with glibc, still starting,
    /// free-threaded with its GIL switched on, or not what it should be.
    pub fn attach(pid: Pid, finder: &mut Finder) -> Result<Self, Reason> {
        let memory = Memory::of(pid)?;
        let python = finder.find(pid, &memory)?;
        Self::of(python, memory)
    }

    fn of(python: Python, memory: Memory) -> Result<Self, Reason> {
        let mut found = Self {
            runtime: Runtime::of(python, memory.marked())?,
            numbers: Numbers::of(python.pid),
            interpreters: Vec::new(),
            gils: Vec::new(),
            threads: Vec::new(),
            states: Vec::new(),
            holders: Vec::new(),
            guesses: RefCell::default(),
        };
        found.refresh()?;
        // A process that was just forked knows its threads by the numbers of its parent's, and one that is about to run
        // another program (`vfork`) shares the memory of its parent.
        if found.threads.is_empty() { Err(Reason::NotReady { pid: python.pid }) } else { Ok(found) }
    }

    /// Which Python it is.
    pub fn python(&self) -> Python {
        self.runtime.python
    }

    /// Whether it is a free-threaded build: there is no GIL to look at.
    pub fn is_free_threaded(&self) -> bool {
        self.runtime.offsets.free_threaded
    }

    /// Walks interpreters and threads again. After an error those found before stay known.
    ///
    /// # Errors
    /// As [`Subject::attach`]; [`Reason::Gone`] once the process ended or runs another program.
    pub fn refresh(&mut self) -> Result<(), Reason> {
        if !self.runtime.memory.is_current() {
            return Err(Reason::Gone { pid: self.runtime.pid() });
        }
        let interpreters = self.runtime.interpreters()?;
        if let Some(&main) = interpreters.last().filter(|_| self.interpreters.is_empty()) {
            self.runtime.check_collector(main)?;
        }
        let gils = if self.is_free_threaded() {
            if self.runtime.gil_is_switched_on(&interpreters)? {
                let Python { pid, version, .. } = self.python();
                return Err(Reason::GilSwitchedOn { pid, version });
            }
            Vec::new()
        } else {
            self.runtime.gils(&interpreters)?
        };
        let states = self.runtime.threads(&interpreters)?;
        self.numbers.refresh();
        self.holders = gils.iter().map(|(gil, ..)| Cell::new(self.last_holder(*gil))).collect();
        self.gils = gils
            .into_iter()
            .map(|(gil, interpreters, words)| GilInfo {
                gil,
                interpreters,
                interval: Duration::from_micros(words.interval),
            })
            .collect();
        self.interpreters = interpreters;
        self.know(states);
        Ok(())
    }

    /// The GILs, that of the main interpreter last.
    pub fn gils(&self) -> &[GilInfo] {
        &self.gils
    }

    /// The threads that Python knows. One whose number cannot be told is left out.
    pub fn threads(&self) -> &[PyThread] {
        &self.threads
    }

    fn know(&mut self, states: Vec<ThreadState>) {
        let addresses: HashSet<u64> = states.iter().map(|state| state.address).collect();
        self.guesses.get_mut().retain(|address, _| addresses.contains(address));
        self.threads.clear();
        self.states.clear();
        let tids: Vec<Option<Pid>> = tids(self.python(), &self.interpreters, &states, &self.numbers);
        for (state, tid) in states.into_iter().zip(tids) {
            let Some(tid) = tid else { continue };
            let Some(interpreter) = self.interpreter(state.interpreter) else { continue };
            let gil = if self.is_free_threaded() { None } else { interpreter.gil };
            self.threads.push(PyThread { state: state.address, tid, interpreter: interpreter.id, gil });
            self.states.push(state);
        }
    }

    fn interpreter(&self, address: u64) -> Option<&Interpreter> {
        self.interpreters.iter().find(|interpreter| interpreter.address == address)
    }

    fn last_holder(&self, gil: Gil) -> u64 {
        let known = self.gils.iter().zip(&self.holders).find(|(info, _)| info.gil == gil);
        known.map_or(0, |(_, holder)| holder.get())
    }
}

/// Whether a thread state of `python` tells the number of its thread, whatever its interpreter.
///
/// Before 3.13 a sub-interpreter's first thread state keeps the number of the thread that made the interpreter, and is lent
/// to whichever thread runs code there.
fn tells_its_thread(python: Python, interpreter: &Interpreter) -> bool {
    python.version.minor >= 13 || interpreter.id == 0
}

/// The thread of each of `states`, where it can be told.
fn tids(python: Python, interpreters: &[Interpreter], states: &[ThreadState], numbers: &Numbers) -> Vec<Option<Pid>> {
    let mut claims: HashMap<u64, usize> = HashMap::new();
    for state in states {
        *claims.entry(state.native_id).or_default() += 1;
    }
    let told = |state: &ThreadState| {
        let home = interpreters.iter().find(|interpreter| interpreter.address == state.interpreter)?;
        let is_sole = claims.get(&state.native_id) == Some(&1);
        (is_sole || tells_its_thread(python, home)).then_some(())?;
        // A state can outlive its thread.
        numbers.outer(state.native_id).filter(|&tid| numbers.is_live(tid))
    };
    states.iter().map(told).collect()
}
