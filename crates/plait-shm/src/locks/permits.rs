//! The words of a semaphore: so many permits, and how many of them each process has.
//!
//! The count and the ledger of a process change together, behind a lock word of their own, which is held for a few
//! instructions; the journal says what both become, so that whoever takes that lock from a dead one finishes what it began.
//!
//! | word | meaning | who writes, when |
//! |---|---|---|
//! | `guard` | the lock of the others | see `word` |
//! | `journal` | what is about to be: seat (bits 0–7), its ledger (8–31), the count (32–62); 0: nothing | who has the guard |
//! | `count` | permits that are free (bits 0–30); [`SLEEPERS`]: somebody may sleep on it | who has the guard; that bit: who is about to sleep or leaves |
//! | `first`, `bounded` | how many there were at first, and whether there may be no more | who made it |
//! | `ledger[seat]` | the permits that a process has taken and not released | who has the guard |
//!
//! Promises: a permit is had by one; those of a dead process come back, but never so that there are more than at first. The
//! count is right whoever dies when. Nobody sleeps while there are permits.

use super::pending::Pause;
#[cfg(all(test, loom))]
use super::pending::wait;
use super::roster::{Holder, Roster, SEATS};
use super::word::{LockWord, Taken};
#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU32, AtomicU64, Futex, Ordering};

/// Bit 31 of the count.
pub(crate) const SLEEPERS: u32 = 1 << 31;

/// The most permits there can be.
pub(crate) const MOST: u32 = SLEEPERS - 1;

/// The most of them that are known to be one process's.
const HELD: u32 = (1 << 24) - 1;

#[repr(C, align(64))]
pub(crate) struct SemaphoreWords {
    pub(crate) guard: LockWord,
    pub(crate) count: Futex,
    journal: AtomicU64,
    pub(crate) first: AtomicU32,
    pub(crate) bounded: AtomicU32,
    ledger: [AtomicU32; SEATS],
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for SemaphoreWords {}

/// Somebody was told to sleep, so perhaps it was woken in another's stead.
pub(crate) type Slept = bool;

impl SemaphoreWords {
    #[cfg(all(test, loom))]
    pub(crate) fn new(permits: u32) -> Self {
        Self {
            guard: LockWord::new(),
            count: Futex::new(permits),
            journal: AtomicU64::new(0),
            first: AtomicU32::new(permits),
            bounded: AtomicU32::new(0),
            ledger: [(); SEATS].map(|()| AtomicU32::new(0)),
        }
    }

    /// How many permits are free, behind the guard or as a guess.
    pub(crate) fn free(&self) -> u32 {
        self.count.load(Ordering::Relaxed) & MOST
    }

    /// Takes the guard, and finishes what a dead one has begun.
    fn enter(&self, roster: &Roster, me: Holder) {
        if let Taken::From(_) = self.guard.take(roster, me) {
            let begun = self.journal.load(Ordering::Relaxed);
            if begun != 0 {
                self.apply(begun);
                // How many it would have woken is not known.
                self.count.wake_all();
            }
        }
    }

    /// Does what the journal says, however much of it was done. True: somebody may sleep on the count.
    fn apply(&self, begun: u64) -> bool {
        let seat = (begun as u8 as usize).wrapping_sub(1);
        if let Some(ledger) = self.ledger.get(seat) {
            // Release here and below: a thread that is killed has done what comes before in the program, and this keeps it there.
            ledger.store((begun >> 8) as u32 & HELD, Ordering::Release);
        }
        // SYNC POINT with the Acquire of `look`, for who takes what was released.
        let before = self.count.swap((begun >> 32) as u32 & MOST, Ordering::AcqRel);
        self.journal.store(0, Ordering::Release);
        before & SLEEPERS != 0
    }

    /// Changes both words at once. True: somebody may sleep on the count.
    fn change(&self, holder: Holder, held: u32, count: u32) -> bool {
        let seat = holder.seat().map_or(0, |seat| seat as u64 + 1);
        let begun = seat | u64::from(held.min(HELD)) << 8 | u64::from(count) << 32;
        self.journal.store(begun, Ordering::Relaxed);
        self.apply(begun)
    }

    fn held(&self, holder: Holder) -> u32 {
        holder.seat().map_or(0, |seat| self.ledger[seat].load(Ordering::Relaxed) & HELD)
    }

    /// Takes a permit, or says on what to sleep.
    pub(crate) fn look(&self, roster: &Roster, me: Holder, slept: &mut Slept) -> Result<(), Pause<'_>> {
        loop {
            let seen = self.count.load(Ordering::Relaxed);
            if seen & MOST != 0 {
                if self.try_look(roster, me, *slept) {
                    return Ok(());
                }
                continue;
            }
            let next = SLEEPERS;
            if seen == next || self.count.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                *slept = true;
                return Err(Pause::new(&self.count, next));
            }
        }
    }

    /// Takes a permit if one is free; `slept`: perhaps others do.
    pub(crate) fn try_look(&self, roster: &Roster, me: Holder, slept: Slept) -> bool {
        if self.free() == 0 {
            return false;
        }
        self.enter(roster, me);
        let free = self.free();
        if free != 0 && (self.change(me, self.held(me) + 1, free - 1) || slept) {
            // Taking one takes off the mark of those who sleep.
            self.mark();
        }
        self.guard.release();
        free != 0
    }

    /// Some may sleep: the next release has to wake one, and where permits are free, this does.
    fn mark(&self) {
        let before = self.count.fetch_or(SLEEPERS, Ordering::Relaxed);
        if before & MOST != 0 {
            self.count.wake(1);
        }
    }

    pub(crate) fn leave(&self, slept: Slept) {
        if slept {
            self.mark();
        }
    }

    /// Gives `permits` back, or makes new ones; false: there would be more than there may be, and nothing was done.
    pub(crate) fn release(&self, roster: &Roster, me: Holder, permits: u32) -> bool {
        self.enter(roster, me);
        let most = if self.bounded.load(Ordering::Relaxed) != 0 { self.first.load(Ordering::Relaxed) } else { MOST };
        let after = self.free().checked_add(permits).filter(|after| *after <= most);
        let wake = after.is_some_and(|after| self.change(me, self.held(me).saturating_sub(permits), after));
        self.guard.release();
        if wake {
            self.count.wake(permits);
        }
        after.is_some()
    }

    /// Gives the permits of a dead one back, as `me`; wakes all who sleep.
    pub(crate) fn see_to(&self, roster: &Roster, dead: Option<Holder>, me: Holder) {
        self.guard.poke(roster);
        self.enter(roster, me);
        let held = dead.map_or(0, |dead| self.held(dead));
        if let Some(dead) = dead.filter(|_| held != 0) {
            let free = self.free();
            // Semaphores are also raised by those who never took a permit: what was taken of that is used up, not held.
            let after = free.max(self.first.load(Ordering::Relaxed).min(free.saturating_add(held)));
            self.change(dead, 0, after);
        }
        self.guard.release();
        self.count.wake_all();
    }

    /// Begins to take a permit, and ends after so many stores.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn die_taking(&self, roster: &Roster, me: Holder, stores: u32) {
        self.enter(roster, me);
        let (held, free) = (self.held(me) + 1, self.free() - 1);
        if stores > 0 {
            let begun = u64::from(me.0 & 0xff) | u64::from(held) << 8 | u64::from(free) << 32;
            self.journal.store(begun, Ordering::Relaxed);
        }
        if stores > 1 {
            self.ledger[me.seat().unwrap()].store(held, Ordering::Relaxed);
        }
        if stores > 2 {
            self.count.store(free, Ordering::Relaxed);
        }
    }

    /// Takes a permit, however long that takes.
    #[cfg(all(test, loom))]
    pub(crate) fn take(&self, roster: &Roster, me: Holder) {
        struct Wait<'a>(&'a SemaphoreWords, &'a Roster, Holder, Slept);
        impl super::Pending for Wait<'_> {
            type Out = ();
            fn look(&mut self) -> Result<(), Pause<'_>> {
                self.0.look(self.1, self.2, &mut self.3)
            }
            fn leave(&mut self) {
                self.0.leave(self.3);
            }
        }
        wait(&mut Wait(self, roster, me, false), None).unwrap();
    }
}
