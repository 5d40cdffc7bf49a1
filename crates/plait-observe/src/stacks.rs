//! The Python calls of a thread, read from outside while it runs.
//!
//! A thread state leads to the frame that runs, each frame to its caller and to its code object, and that to the names
//! and to the table of lines. All of it is read from the memory of the process, which neither stops nor notices. So
//! what is read may be torn; `look.rs` says how that is noticed. Code objects are read once (`code.rs`), so that a stack
//! mostly costs one system call.
//!
//! | file | what |
//! |---|---|
//! | `layout.rs` | where things lie in each version |
//! | `gather.rs` | many places in one system call |
//! | `wanted.rs` | which places those are |
//! | `walk.rs` | from frame to frame, over copied memory |
//! | `look.rs` | a look at a thread, and whether it is torn |
//! | `code.rs`, `lines.rs`, `text.rs` | names and lines |
//!
//! Nothing that is read is trusted: pointers, lengths and chains are bounded, and what cannot be is torn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::code::{Codes, is_address};
use self::gather::{Gather, Miss};
use self::layout::Layout;
use self::look::{Look, Looker};
use self::wanted::Wanted;
use crate::{Python, Reason};

mod code;
mod gather;
mod layout;
mod lines;
mod look;
#[cfg(test)]
mod tests;
mod text;
mod walk;
mod wanted;

/// The name of the outermost place of a stack that goes on further out than is read: beyond 512 frames.
pub(crate) const CUT: &str = "[outer calls not read]";
/// So often a thread is looked at for one stack: some looks only find out what to look at, some are torn.
const MOST_LOOKS: usize = 40;
/// So often it is made sure that the process is still the same one: the one system call knows it by its number only.
const SAME_FOR: Duration = Duration::from_millis(50);
/// Of so many threads it is remembered where their frames lie.
const MOST_THREADS: usize = 1024;

/// Where a call is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The function's qualified name, such as `Handle._run`.
    pub function: Arc<str>,
    /// The file, as its code object names it.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 for the few instructions that belong to none.
    pub line: u32,
}

/// Why there is no stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Torn {
    /// The calls changed whenever they were read.
    #[error("the calls changed while they were read")]
    Changed,
    /// A pointer led nowhere: the thread ends, or its state is no thread state.
    #[error("a pointer on the way led nowhere")]
    Unreadable,
    /// The process ended, or runs another program.
    #[error("the process has ended")]
    Gone,
}

impl From<Miss> for Torn {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::Gone => Self::Gone,
            Miss::Nowhere => Self::Unreadable,
        }
    }
}

/// Reads stacks of the threads of one process.
#[derive(Debug)]
pub(crate) struct Stacks {
    looker: Looker,
    codes: Codes,
    wanted: HashMap<u64, Wanted>,
    /// When the process was last known to be the same.
    same: Instant,
}

impl Stacks {
    /// For the threads of `python`.
    pub fn of(python: Python) -> Result<Self, Reason> {
        let gather = Gather::of(python.pid)?;
        let layout = Layout::of(&python, gather.memory())?;
        let looker = Looker::new(gather, layout);
        Ok(Self { looker, codes: Codes::default(), wanted: HashMap::new(), same: Instant::now() })
    }

    /// The calls that the thread with the state at `thread_state` is in now, innermost first; none if it runs no Python.
    pub fn stack(&mut self, thread_state: u64) -> Result<Vec<Place>, Torn> {
        if !is_address(thread_state) {
            return Err(Torn::Unreadable);
        }
        if self.same.elapsed() > SAME_FOR {
            self.make_sure(thread_state)?;
        }
        let mut wanted = self.wanted.remove(&thread_state).unwrap_or_default();
        let mut torn = Torn::Changed;
        for _ in 0..MOST_LOOKS {
            match self.try_stack(thread_state, &mut wanted) {
                Ok(Some(places)) => {
                    self.remember(thread_state, wanted);
                    return Ok(places);
                }
                Ok(None) => {}
                Err(Torn::Gone) => return Err(Torn::Gone),
                Err(Torn::Changed) => torn = Torn::Changed,
                Err(Torn::Unreadable) => {
                    torn = Torn::Unreadable;
                    wanted = Wanted::default();
                }
            }
        }
        self.make_sure(thread_state)?;
        Err(torn)
    }

    /// Whether the process is still the same one.
    fn make_sure(&mut self, thread_state: u64) -> Result<(), Torn> {
        self.same = Instant::now();
        match self.looker.gather.memory().u64(thread_state).map_err(Miss::from) {
            Err(Miss::Gone) => Err(Torn::Gone),
            // A thread that ended is no reason; what else is read will tell.
            _ => Ok(()),
        }
    }

    /// `None`: more is known now than before, and it takes another look.
    fn try_stack(&mut self, thread_state: u64, wanted: &mut Wanted) -> Result<Option<Vec<Place>>, Torn> {
        if wanted.root == 0 {
            wanted.root = self.looker.root(thread_state)?;
        }
        if self.looker.look(thread_state, wanted)? == Look::Again {
            return Ok(None);
        }
        let looker = &self.looker;
        let mut known = true;
        for code in looker.frames.iter().filter_map(|frame| frame.code) {
            let head = looker.head(wanted, code).ok_or(Torn::Changed)?;
            if !self.codes.knows(&looker.layout.code, code, head) {
                self.codes.load(looker.gather.memory(), &looker.layout, code, head)?;
                known = false;
            }
        }
        if !known {
            return Ok(None);
        }
        let mut places = Vec::with_capacity(looker.frames.len() + 1);
        for frame in &looker.frames {
            let Some(code) = frame.code else { continue };
            let Some(place) = self.codes.place(code, frame.instruction, looker.layout.frame.last_run) else {
                // Perhaps a copy of its instructions that was made since.
                self.codes.forget(code);
                return Err(Torn::Changed);
            };
            places.push(place);
        }
        if looker.cut {
            places.push(Place { function: CUT.into(), file: "".into(), line: 0 });
        }
        Ok(Some(places))
    }

    fn remember(&mut self, thread_state: u64, mut wanted: Wanted) {
        wanted.tidy(&self.looker.layout, &self.looker.frames);
        if self.wanted.len() >= MOST_THREADS {
            self.wanted.clear();
        }
        self.wanted.insert(thread_state, wanted);
    }
}
