//! `Barrier`: the protocol of `turnstile` in the lines of a `LockMemory`.

use std::fmt;
use std::sync::Arc;

use super::error::WaitError;
use super::membership::JoinError;
use super::memory::{Kind, LockMemory};
use super::pending::{Deadline, Left, Pause, Pending, wait};
use super::roster::Holder;
use super::turnstile::{Broken, Passage, Stage, TurnstileWords};
use crate::sync::{Ordering, Place};

/// How many lines its words take.
const LINES: usize = size_of::<TurnstileWords>() / 64;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the barrier is broken: somebody has died, given up, aborted or reset it")
    }
}

impl std::error::Error for Broken {}

/// What so many threads of any processes wait at until all of them are there.
#[derive(Clone)]
pub struct Barrier {
    memory: Arc<LockMemory>,
    line: usize,
    words: Place<TurnstileWords>,
}

impl Barrier {
    /// A new barrier for `parties`; `None` when the memory has no room for it, in a process that did not make it, and for no parties.
    pub fn create(memory: &Arc<LockMemory>, parties: u32) -> Option<Self> {
        if parties == 0 {
            return None;
        }
        let line = memory.take(LINES)?;
        let words: Place<TurnstileWords> = memory.inside().at(line);
        words.parties.store(parties, Ordering::Relaxed);
        memory.put(line, Kind::Barrier);
        Self::at(memory, line)
    }

    /// The barrier that begins in a line; `None` if none does.
    pub fn at(memory: &Arc<LockMemory>, line: usize) -> Option<Self> {
        let there = memory.is(line, LINES, Kind::Barrier);
        there.then(|| Self { memory: Arc::clone(memory), line, words: memory.inside().at(line) })
    }

    /// The number of its first line, by which other processes find it.
    pub fn line(&self) -> usize {
        self.line
    }

    /// As `Lock::give_back`.
    pub fn give_back(self) -> bool {
        self.memory.give(self.line, LINES)
    }

    /// For how many it is.
    pub fn parties(&self) -> u32 {
        self.words.parties.load(Ordering::Relaxed)
    }

    /// How many have arrived and wait for the others.
    pub fn waiting(&self) -> u32 {
        self.words.waiting()
    }

    /// Is it broken?
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn is_broken(&self) -> Result<bool, JoinError> {
        self.memory.settle()?;
        Ok(self.words.is_broken())
    }

    /// Breaks it, for all who are in it or come, until it is reset.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn abort(&self) -> Result<(), JoinError> {
        let me = self.memory.me()?;
        self.words.abort(self.memory.roster(), me, None);
        Ok(())
    }

    /// Makes it as new; for those that wait in it, it broke.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn reset(&self) -> Result<(), JoinError> {
        let me = self.memory.me()?;
        self.words.reset(self.memory.roster(), me);
        Ok(())
    }

    /// Comes to it: what is got is to be waited for, with [`wait`] or [`Passing::wait`].
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn passing(&self) -> Result<Passing, JoinError> {
        let me = self.memory.me()?;
        Ok(Passing { barrier: self.clone(), me, stage: Stage::Outside, last: false })
    }
}

/// One of those that a barrier lets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// How many had arrived before it: another number for each, below the number of parties.
    pub index: u32,
    /// It was the last to arrive: the others are let go by its [`Passing::open`]. What is to be done before goes before that.
    pub last: bool,
}

/// Somebody is at a [`Barrier`]. One that is dropped by the last to arrive, without [`Passing::open`], breaks it.
pub struct Passing {
    barrier: Barrier,
    me: Holder,
    stage: Stage,
    /// It is the last, and has not let the others go.
    last: bool,
}

impl Passing {
    /// Waits for the others until `deadline`; who gives up breaks the barrier.
    ///
    /// # Errors
    /// [`WaitError::Interrupted`]: wait again. Inside: [`Broken`].
    pub fn wait(&mut self, deadline: Option<Deadline>) -> Result<Result<Passed, Broken>, WaitError> {
        match wait(self, deadline) {
            Ok(passed) => Ok(passed),
            Err(Left::TimedOut) => Ok(self.give_up()),
            Err(left) => Err(left.into()),
        }
    }

    /// Waits no longer, and breaks the barrier by that, unless all have arrived meanwhile.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn give_up(&mut self) -> Result<Passed, Broken> {
        if let Stage::Inside(phase, _) = self.stage {
            let Self { barrier, me, .. } = self;
            barrier.words.abort(barrier.memory.roster(), *me, Some(phase));
            if let Ok(passed) = self.look() {
                return passed;
            }
        }
        // It never got in: whoever was to let the phase before it go has not.
        Err(Broken)
    }

    /// The last to arrive lets the others go.
    ///
    /// # Errors
    /// [`Broken`], meanwhile; or it was not the last.
    pub fn open(&mut self) -> Result<(), Broken> {
        match self.stage {
            Stage::Inside(phase, _) if std::mem::take(&mut self.last) => {
                self.barrier.words.open(self.barrier.memory.roster(), self.me, phase)
            }
            _ => Err(Broken),
        }
    }
}

impl Pending for Passing {
    type Out = Result<Passed, Broken>;

    fn look(&mut self) -> Result<Self::Out, Pause<'_>> {
        let Self { barrier, me, stage, last } = self;
        let passage = barrier.words.look(barrier.memory.roster(), *me, stage)?;
        *last = matches!(passage, Ok(Passage::Last(_)));
        Ok(passage.map(|passage| match passage {
            Passage::Passed(index) => Passed { index, last: false },
            Passage::Last(index) => Passed { index, last: true },
        }))
    }

    /// Nothing: an interrupted wait goes on. See [`Passing::give_up`].
    fn leave(&mut self) {}
}

impl Drop for Passing {
    fn drop(&mut self) {
        // A forked child has a copy of this, and is not at the barrier.
        let mine = self.barrier.memory.me().ok() == Some(self.me);
        if let (Stage::Inside(phase, _), true, true) = (self.stage, self.last, mine) {
            self.barrier.words.abort(self.barrier.memory.roster(), self.me, Some(phase));
        }
    }
}
