//! The words of a barrier: so many arrive, and then all pass; or it breaks.
//!
//! | word | meaning | who writes, when |
//! |---|---|---|
//! | `guard` | the lock of the others | see `word`; who takes it from a dead one breaks the barrier |
//! | `phase` | bits 0–1: [`FILLING`], [`FULL`] (the last one sees to something first), [`BROKEN`]; above: how often it was passed or reset | who has the guard |
//! | `arrived` | how many have arrived in this phase | who has the guard |
//! | `last` | who arrived last | who has the guard, before FULL |
//! | `broke` | a bit for each of the last 64 phases: it ended broken | who has the guard, before `phase` |
//! | `ledger[seat]` | the last phase in which somebody of that process arrived, plus one | who has the guard |
//!
//! Promises: all of a phase pass it, or it broke for all that had not passed; when a process dies after somebody of it has arrived
//! and before the phase is full, or the last one before it lets the others go, the phase breaks.

use super::pending::Pause;
use super::roster::{Holder, Roster, SEATS};
use super::word::{LockWord, Taken};
#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU32, AtomicU64, Futex, Ordering};

const FILLING: u32 = 0;
const FULL: u32 = 1;
const BROKEN: u32 = 2;
const STATE: u32 = 3;

#[repr(C, align(64))]
pub(crate) struct TurnstileWords {
    guard: LockWord,
    phase: Futex,
    arrived: AtomicU32,
    last: AtomicU32,
    pub(crate) parties: AtomicU32,
    broke: AtomicU64,
    ledger: [AtomicU32; SEATS],
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for TurnstileWords {}

/// The barrier is broken, until it is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// Where somebody is in the barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before it.
    Outside,
    /// In a phase, as which of those in it.
    Inside(u32, u32),
}

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// All have arrived; this was the one with this number.
    Passed(u32),
    /// It is the last to arrive, and lets the others go.
    Last(u32),
}

impl TurnstileWords {
    #[cfg(all(test, loom))]
    pub(crate) fn new(parties: u32) -> Self {
        let zero = || AtomicU32::new(0);
        Self {
            guard: LockWord::new(),
            phase: Futex::new(0),
            arrived: zero(),
            last: zero(),
            parties: AtomicU32::new(parties),
            broke: AtomicU64::new(0),
            ledger: [(); SEATS].map(|()| zero()),
        }
    }

    fn enter(&self, roster: &Roster, me: Holder) {
        if let Taken::From(_) = self.guard.take(roster, me) {
            // It may have changed some words and not others; a reset puts all of them right.
            self.set_broken();
        }
    }

    fn leave(&self) {
        self.guard.release();
    }

    fn number(&self) -> u32 {
        self.phase.load(Ordering::Relaxed) >> 2
    }

    fn state(&self) -> u32 {
        self.phase.load(Ordering::Relaxed) & STATE
    }

    fn set_state(&self, state: u32) {
        // SYNC POINT with `look`: what the last one did, and `broke`.
        self.phase.store(self.number() << 2 | state, Ordering::Release);
    }

    fn set_broken(&self) {
        let bit = 1 << (self.number() % 64);
        self.broke.store(self.broke.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
        self.set_state(BROKEN);
        self.phase.wake_all();
    }

    fn next_phase(&self) {
        self.arrived.store(0, Ordering::Relaxed);
        let next = (self.number() + 1) & (u32::MAX >> 2);
        let bit = 1 << (next % 64);
        self.broke.store(self.broke.load(Ordering::Relaxed) & !bit, Ordering::Relaxed);
        // SYNC POINT with `look`.
        self.phase.store(next << 2 | FILLING, Ordering::Release);
        self.phase.wake_all();
    }

    /// Arrives, and then passes, or says on what to sleep.
    pub(crate) fn look(
        &self,
        roster: &Roster,
        me: Holder,
        stage: &mut Stage,
    ) -> Result<Result<Passage, Broken>, Pause<'_>> {
        if *stage == Stage::Outside {
            self.enter(roster, me);
            let (number, state) = (self.number(), self.state());
            if state == FILLING {
                let arrived = self.arrived.load(Ordering::Relaxed);
                self.arrived.store(arrived + 1, Ordering::Relaxed);
                if let Some(seat) = me.seat() {
                    self.ledger[seat].store(number + 1, Ordering::Relaxed);
                }
                *stage = Stage::Inside(number, arrived);
                if arrived + 1 >= self.parties.load(Ordering::Relaxed) {
                    self.last.store(me.0, Ordering::Relaxed);
                    self.set_state(FULL);
                    self.leave();
                    return Ok(Ok(Passage::Last(arrived)));
                }
            }
            self.leave();
            match state {
                BROKEN => return Ok(Err(Broken)),
                FULL => return Err(Pause::new(&self.phase, number << 2 | FULL)),
                _ => {}
            }
        }
        let Stage::Inside(mine, arrived) = *stage else { return Ok(Err(Broken)) };
        // SYNC POINT with `set_state` and `next_phase`.
        let seen = self.phase.load(Ordering::Acquire);
        if seen >> 2 == mine {
            return if seen & STATE == BROKEN { Ok(Err(Broken)) } else { Err(Pause::new(&self.phase, seen)) };
        }
        let broke = self.broke.load(Ordering::Relaxed) >> (mine % 64) & 1 != 0;
        Ok(if broke { Err(Broken) } else { Ok(Passage::Passed(arrived)) })
    }

    /// The last one lets the others go.
    pub(crate) fn open(&self, roster: &Roster, me: Holder, phase: u32) -> Result<(), Broken> {
        self.enter(roster, me);
        let full = self.number() == phase && self.state() == FULL;
        if full {
            self.next_phase();
        }
        self.leave();
        if full { Ok(()) } else { Err(Broken) }
    }

    /// Breaks the barrier; with a `phase`, only if that one is not over.
    pub(crate) fn abort(&self, roster: &Roster, me: Holder, phase: Option<u32>) {
        self.enter(roster, me);
        if phase.is_none_or(|phase| phase == self.number()) && self.state() != BROKEN {
            self.set_broken();
        }
        self.leave();
    }

    /// Begins anew; for those that have arrived, it broke.
    pub(crate) fn reset(&self, roster: &Roster, me: Holder) {
        self.enter(roster, me);
        if self.state() != BROKEN && self.arrived.load(Ordering::Relaxed) != 0 {
            self.set_broken();
        }
        if self.state() == BROKEN {
            self.next_phase();
        }
        self.leave();
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state() == BROKEN
    }

    /// How many have arrived and wait for the others.
    pub(crate) fn waiting(&self) -> u32 {
        if self.state() == FILLING { self.arrived.load(Ordering::Relaxed) } else { 0 }
    }

    /// Breaks the phase that `dead` was to pass, as `me`; wakes all who sleep.
    pub(crate) fn see_to(&self, roster: &Roster, dead: Option<Holder>, me: Holder) {
        self.guard.poke(roster);
        self.enter(roster, me);
        if let Some((dead, seat)) = dead.and_then(|dead| Some((dead, dead.seat()?))) {
            let missing = match self.state() {
                FILLING => self.ledger[seat].load(Ordering::Relaxed) == self.number() + 1,
                FULL => self.last.load(Ordering::Relaxed) == dead.0,
                _ => false,
            };
            self.ledger[seat].store(0, Ordering::Relaxed);
            if missing {
                self.set_broken();
            }
        }
        self.leave();
        self.phase.wake_all();
    }
}
