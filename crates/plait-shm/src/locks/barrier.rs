//! `Barrier`: the protocol of `turnstile` in the lines of a `LockMemory`.

use std::fmt;
use std::sync::Arc;

use super::books::Name;
use super::error::WaitError;
use super::membership::JoinError;
use super::memory::{Kind, LockMemory};
use super::pending::{Deadline, Left, Pause, Pending, wait};
use super::roster::Holder;
use super::tenancy::Tenancy;
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
    tenancy: Arc<Tenancy>,
    words: Place<TurnstileWords>,
}

impl Barrier {
    /// A new barrier for `parties`; `None` when the memory has no room for it, and for no parties.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn create(memory: &Arc<LockMemory>, parties: u32) -> Result<Option<Self>, JoinError> {
        if parties == 0 {
            return Ok(None);
        }
        let Some(tenancy) = Tenancy::take(memory, LINES)? else { return Ok(None) };
        let words: Place<TurnstileWords> = tenancy.words();
        words.parties.store(parties, Ordering::Relaxed);
        tenancy.put(Kind::Barrier);
        Ok(Some(Self::over(tenancy)))
    }

    /// The barrier that is called so; `None` if it is no more, or never was.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn at(memory: &Arc<LockMemory>, name: Name) -> Result<Option<Self>, JoinError> {
        Ok(Tenancy::of(memory, name, Kind::Barrier)?.map(Self::over))
    }

    fn over(tenancy: Arc<Tenancy>) -> Self {
        Self { words: tenancy.words(), tenancy }
    }

    /// The name by which other processes find it: it is sent from now on, and stays for who gets it.
    pub fn name(&self) -> Name {
        self.tenancy.pass()
    }

    /// The memory that it lies in.
    pub fn memory(&self) -> &Arc<LockMemory> {
        &self.tenancy.memory
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
        self.tenancy.memory.settle()?;
        Ok(self.words.is_broken())
    }

    /// Breaks it, for all who are in it or come, until it is reset.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn abort(&self) -> Result<(), JoinError> {
        let me = self.tenancy.memory.me()?;
        self.words.abort(self.tenancy.memory.roster(), me, None);
        Ok(())
    }

    /// Makes it as new; for those that wait in it, it broke.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn reset(&self) -> Result<(), JoinError> {
        let me = self.tenancy.memory.me()?;
        self.words.reset(self.tenancy.memory.roster(), me);
        Ok(())
    }

    /// Comes to it: what is got is to be waited for, with [`wait`] or [`Passing::wait`].
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn passing(&self) -> Result<Passing, JoinError> {
        let me = self.tenancy.memory.me()?;
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
            barrier.words.abort(barrier.tenancy.memory.roster(), *me, Some(phase));
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
                self.barrier.words.open(self.barrier.tenancy.memory.roster(), self.me, phase)
            }
            _ => Err(Broken),
        }
    }
}

impl Pending for Passing {
    type Out = Result<Passed, Broken>;

    fn look(&mut self) -> Result<Self::Out, Pause<'_>> {
        let Self { barrier, me, stage, last } = self;
        let passage = barrier.words.look(barrier.tenancy.memory.roster(), *me, stage)?;
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
        let mine = self.barrier.tenancy.memory.me().ok() == Some(self.me);
        if let (Stage::Inside(phase, _), true, true) = (self.stage, self.last, mine) {
            self.barrier.words.abort(self.barrier.tenancy.memory.roster(), self.me, Some(phase));
        }
    }
}
