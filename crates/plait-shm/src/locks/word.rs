//! The lock word: one compare-and-swap takes it, one lets go, and it always says whose it is.
//!
//! | bits | meaning | who writes, when |
//! |---|---|---|
//! | 0–7, 10–31 | the [`Holder`]; seat 0: free; [`ABANDONED`] | who takes it; whoever lets go of it, the holder or another; a keeper, when the holder is dead |
//! | 8 | [`SLEEPERS`]: somebody may sleep on the word | who is about to sleep, or leaves; taken off by who lets go, which wakes one |
//! | 9 | [`STARVING`]: somebody was woken and came too late again and again | that waiter; taken off by who takes the word after a wait |
//!
//! Promises: one holder at a time; nobody sleeps while the word is free, or while its holder is dead and the keepers have told
//! so by waking all; a word of a dead holder is taken by one other, who is told. Proof: the README.

use super::pending::{Deadline, Pause, Pending};
use super::roster::{Holder, Roster};
use crate::sync::{Futex, Ordering, now};

/// Who has the word when its holder has died and a keeper has seen to it. No seat has this number.
const ABANDONED: Holder = Holder(0xff);

const SLEEPERS: u32 = 1 << 8;
const STARVING: u32 = 1 << 9;

/// After how many wake-ups that came to nothing a waiter keeps newcomers out.
const LOSSES: u32 = 4;

/// How long a newcomer that finds the word free stands back for those who starve, in nanoseconds.
const COURTESY: u64 = 500_000;

/// How long a dying process may do steps after the kernel has told of its death, more or less.
#[cfg(not(loom))]
const LAST_STEPS: std::time::Duration = std::time::Duration::from_micros(300);

/// When who waits for a word that is held for a moment only looks again, whatever woke it or not.
fn glance() -> Option<u64> {
    // In a model there are no deaths that nobody tells of.
    cfg!(not(loom)).then(|| now() + 1_000_000)
}

/// How a lock came to its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Taken {
    /// It was free.
    Free,
    /// Its holder has died with it.
    From(Holder),
}

/// A lock in shared memory. All zeros is a free one.
#[repr(transparent)]
pub(crate) struct LockWord(Futex);

impl LockWord {
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self(Futex::new(0))
    }

    /// Takes it if it is free and nobody waits; costs one compare-and-swap.
    pub(crate) fn try_take(&self, me: Holder) -> bool {
        // SYNC POINT with `release`.
        self.0.compare_exchange(0, me.0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes it if it is free or its holder is dead, whoever waits.
    pub(crate) fn try_look(&self, roster: &Roster, me: Holder) -> Option<Taken> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let holder = Holder::of(seen);
            let (next, taken) = if holder.is_nobody() {
                (me.0 | seen, Taken::Free)
            } else if roster.is_dead(holder) {
                (me.0 | SLEEPERS | (seen & STARVING), Taken::From(holder))
            } else {
                return None;
            };
            // SYNC POINT with `release`.
            match self.0.compare_exchange(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(taken),
                Err(now) => seen = now,
            }
        }
    }

    /// Who has it, alive or dead.
    pub(crate) fn holder(&self) -> Option<Holder> {
        Some(Holder::of(self.0.load(Ordering::Relaxed))).filter(|holder| !holder.is_nobody())
    }

    /// Lets go of it, whoever has it; false: nobody has.
    pub(crate) fn release(&self) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if Holder::of(seen).is_nobody() {
                return false;
            }
            // Whoever starves goes on keeping newcomers out.
            // SYNC POINT with `try_take` and `look`.
            match self.0.compare_exchange(seen, seen & STARVING, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        if seen & SLEEPERS != 0 {
            self.0.wake(1);
        }
        true
    }

    /// Lets go of it if `me` has it, and of nobody else's: for one that may be dying, whose word another has by now.
    pub(crate) fn release_as(&self, me: Holder) {
        let mut seen = self.0.load(Ordering::Relaxed);
        while Holder::of(seen) == me {
            // SYNC POINT as in `release`.
            match self.0.compare_exchange(seen, seen & STARVING, Ordering::Release, Ordering::Relaxed) {
                Ok(_) if seen & SLEEPERS != 0 => return self.0.wake(1),
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Wakes all who sleep, to look again: somebody has died.
    pub(crate) fn poke(&self, roster: &Roster) {
        let mut seen = self.0.load(Ordering::Relaxed);
        while !Holder::of(seen).is_nobody() && Holder::of(seen) != ABANDONED && roster.is_dead(Holder::of(seen)) {
            // Another word than it was: who looked before the death, and will sleep only now, does not fall asleep.
            let next = ABANDONED.0 | seen & (SLEEPERS | STARVING);
            // SYNC POINT with `look`: what the dead one wrote, which `is_dead` has shown, is passed on.
            match self.0.compare_exchange(seen, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        self.0.wake_all();
    }

    /// A wait for the word.
    pub(crate) fn waiting<'a>(&'a self, roster: &'a Roster, me: Holder) -> Waiting<'a> {
        Waiting { word: self, roster, me, patience: Patience::default() }
    }

    /// Takes it, however long that takes: for words that are held for a moment only.
    pub(crate) fn take(&self, roster: &Roster, me: Holder) -> Taken {
        if self.try_take(me) {
            return Taken::Free;
        }
        let mut waiting = self.waiting(roster, me);
        loop {
            #[cfg(not(loom))]
            if self.holder().is_some_and(|holder| roster.has_died(holder)) {
                // The steps that it may still do would be in the middle of what is about to be done here.
                std::thread::sleep(LAST_STEPS);
            }
            match waiting.look() {
                Ok(taken) => return taken,
                Err(pause) if pause.changes_soon() => {}
                // A keeper that waits here is not there to hear of the death of who has the word, and nobody else comes in its place.
                Err(pause) => drop(pause.word.sleep_until(pause.seen, glance())),
            }
        }
    }

    pub(crate) fn look(&self, roster: &Roster, me: Holder, patience: &mut Patience) -> Result<Taken, Pause<'_>> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let holder = Holder::of(seen);
            // Who has slept may not be the only one that did.
            let others = if patience.slept { SLEEPERS } else { seen & SLEEPERS };
            let (next, taken) = if !holder.is_nobody() && roster.is_dead(holder) {
                // Who slept on it was woken at the death, or will be: not all of them are known to be awake.
                (me.0 | SLEEPERS | (seen & STARVING), Some(Taken::From(holder)))
            } else if holder.is_nobody() && (seen & STARVING == 0 || patience.slept) {
                (me.0 | others, Some(Taken::Free))
            } else {
                let starving = if patience.losses >= LOSSES { STARVING } else { 0 };
                (seen | SLEEPERS | starving, None)
            };
            if next != seen {
                // SYNC POINT with `release`: what the last holder wrote is seen.
                match self.0.compare_exchange(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => {}
                    Err(now) => {
                        seen = now;
                        continue;
                    }
                }
            }
            if let Some(taken) = taken {
                return Ok(taken);
            }
            // Free, and not for newcomers: those who starve may have died or left, so only for a while.
            let until = holder.is_nobody().then(|| Deadline(now() + COURTESY));
            patience.slept = true;
            patience.losses = patience.losses.saturating_add(1);
            return Err(Pause { word: &self.0, seen: next, until });
        }
    }

    pub(crate) fn leave(&self, patience: &Patience) {
        if !patience.slept {
            return;
        }
        // The last wake-up may have been meant for whoever else sleeps: the word's next release has to wake, or this does.
        let mut seen = self.0.load(Ordering::Relaxed);
        while !Holder::of(seen).is_nobody() && seen & SLEEPERS == 0 {
            match self.0.compare_exchange(seen, seen | SLEEPERS, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
        if Holder::of(seen).is_nobody() {
            self.0.wake(1);
        }
    }
}

/// What a waiter has gone through.
#[derive(Default)]
pub(crate) struct Patience {
    /// It was told to sleep, so perhaps it was woken in another's stead.
    slept: bool,
    losses: u32,
}

/// See [`LockWord::waiting`].
pub(crate) struct Waiting<'a> {
    word: &'a LockWord,
    roster: &'a Roster,
    me: Holder,
    patience: Patience,
}

impl Pending for Waiting<'_> {
    type Out = Taken;

    fn look(&mut self) -> Result<Taken, Pause<'_>> {
        self.word.look(self.roster, self.me, &mut self.patience)
    }

    fn leave(&mut self) {
        self.word.leave(&self.patience);
    }
}
