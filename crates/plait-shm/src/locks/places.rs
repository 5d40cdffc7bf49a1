//! Who waits for a notification: a place for each, in a condition's lines.
//!
//! | bits of a place's word | meaning | who writes, when |
//! |---|---|---|
//! | 0–7, 10–31 | whose it is, 0: nobody's | who takes it, by compare-and-swap from 0, and leaves it; a keeper, when that one is dead |
//! | 8–9 | [`TAKEN`], [`WAITING`], [`NOTIFIED`], [`PASSING`] | its owner: WAITING; who notifies: NOTIFIED; a keeper: PASSING, with itself as the owner |
//!
//! `ticket` is the place's turn among those that wait: a smaller one is notified first. Promises: a notification is for one
//! that waited before it, the first; it is that one's until it has the lock again, and if it dies before, the next one's.

use super::pending::Pause;
use super::roster::{Holder, Roster};
#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU32, AtomicU64, Futex, Ordering};

/// How many can wait at a time.
#[cfg(not(loom))]
pub(crate) const PLACES: usize = 1020;
#[cfg(loom)]
pub(crate) const PLACES: usize = 2;

const STATE: u32 = 3 << 8;
const TAKEN: u32 = 0;
const WAITING: u32 = 1 << 8;
const NOTIFIED: u32 = 2 << 8;
const PASSING: u32 = 3 << 8;

#[repr(C)]
struct Waiter {
    word: Futex,
    ticket: AtomicU64,
}

#[repr(C, align(64))]
pub(crate) struct PlaceWords {
    /// The next ticket.
    tickets: AtomicU64,
    /// No place from here on was ever taken.
    end: AtomicU32,
    places: [Waiter; PLACES],
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for PlaceWords {}

impl PlaceWords {
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        let place = || Waiter { word: Futex::new(0), ticket: AtomicU64::new(0) };
        Self { tickets: AtomicU64::new(0), end: AtomicU32::new(0), places: [(); PLACES].map(|()| place()) }
    }

    fn in_use(&self) -> &[Waiter] {
        &self.places[..(self.end.load(Ordering::Acquire) as usize).min(PLACES)]
    }

    /// Takes a place for `me`, to wait from now on; `None` when all are taken.
    pub(crate) fn begin(&self, me: Holder) -> Option<usize> {
        let at = self.places.iter().position(|place| {
            let free = place.word.load(Ordering::Relaxed) == 0;
            free && place.word.compare_exchange(0, me.0 | TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
        })?;
        self.end.fetch_max(at as u32 + 1, Ordering::AcqRel);
        let place = &self.places[at];
        place.ticket.store(self.tickets.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        // SYNC POINT with `first`, which reads the ticket.
        place.word.store(me.0 | WAITING, Ordering::Release);
        Some(at)
    }

    /// Is the place notified? Else what to sleep on.
    pub(crate) fn look(&self, at: usize) -> Result<(), Pause<'_>> {
        let word = &self.places[at].word;
        // SYNC POINT with `notify`.
        let seen = word.load(Ordering::Acquire);
        if seen & STATE == WAITING { Err(Pause::new(word, seen)) } else { Ok(()) }
    }

    /// Waits no longer; true: it was notified before that, and still is.
    pub(crate) fn cancel(&self, at: usize, me: Holder) -> bool {
        let word = &self.places[at].word;
        word.compare_exchange(me.0 | WAITING, 0, Ordering::Release, Ordering::Relaxed).is_err()
    }

    /// Leaves the place of one that was notified, now that it has the lock: or passes the notification on, if it will not have it.
    pub(crate) fn end(&self, at: usize, used: bool) {
        if !used {
            self.notify(1);
        }
        self.places[at].word.store(0, Ordering::Release);
    }

    /// Notifies the first `count` of those that wait; gives how many there were.
    pub(crate) fn notify(&self, count: usize) -> usize {
        let mut waiting: Vec<(u64, &Waiter, u32)> = Vec::new();
        for place in self.in_use() {
            // SYNC POINT with `begin`.
            let seen = place.word.load(Ordering::Acquire);
            if seen & STATE == WAITING && !Holder::of(seen).is_nobody() {
                waiting.push((place.ticket.load(Ordering::Relaxed), place, seen));
            }
        }
        waiting.sort_unstable_by_key(|(ticket, ..)| *ticket);
        // One that is gone meanwhile gets none, and those that came meanwhile are not meant.
        let notified = waiting.into_iter().filter(|(_, place, seen)| {
            let next = seen & !STATE | NOTIFIED;
            // SYNC POINT with `look`.
            let done = place.word.compare_exchange(*seen, next, Ordering::Release, Ordering::Relaxed).is_ok();
            if done {
                place.word.wake_all();
            }
            done
        });
        notified.take(count).count()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        let waits = |place: &&Waiter| {
            let seen = place.word.load(Ordering::Relaxed);
            seen & STATE == WAITING && !Holder::of(seen).is_nobody()
        };
        self.in_use().iter().filter(waits).count()
    }

    /// Takes the places of the dead away, and passes on, as `me`, what they were notified of; wakes all.
    pub(crate) fn see_to(&self, roster: &Roster, me: Holder) {
        for place in self.in_use() {
            let mut seen = place.word.load(Ordering::Relaxed);
            while !Holder::of(seen).is_nobody() && roster.is_dead(Holder::of(seen)) {
                let pass = matches!(seen & STATE, NOTIFIED | PASSING);
                // What is passed on has this keeper for its owner meanwhile: if it dies, too, the next one does it.
                let next = if pass { me.0 | PASSING } else { 0 };
                match place.word.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) if pass => {
                        self.notify(1);
                        place.word.store(0, Ordering::Release);
                        break;
                    }
                    Ok(_) => break,
                    Err(now) => seen = now,
                }
            }
            if place.word.load(Ordering::Relaxed) != 0 {
                place.word.wake_all();
            }
        }
    }
}
