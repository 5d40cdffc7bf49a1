//! Semaphores, conditions and barriers in every interleaving, on the scene of the lock's tests.

use std::sync::Arc;

use loom::thread;

use super::{me, seated};
use crate::locks::flag::{Begun, FlagWord};
use crate::locks::pending::{Pause, Pending, wait};
use crate::locks::permits::SemaphoreWords;
use crate::locks::places::PlaceWords;
use crate::locks::roster::{Holder, Roster};
use crate::locks::turnstile::{Broken, Passage, Stage, TurnstileWords};
use crate::model_of;
use crate::sync::{AtomicU32, Ordering, SlotCell};

/// A semaphore of one permit, and what that guards.
struct Permits {
    roster: Roster,
    words: SemaphoreWords,
    guarded: SlotCell<u32>,
}

impl Permits {
    fn new() -> Arc<Self> {
        Arc::new(Self { roster: seated(), words: SemaphoreWords::new(1), guarded: SlotCell::new(0) })
    }
    fn take(&self, seat: usize) {
        self.words.take(&self.roster, me(seat));
        // SAFETY: loom panics when another thread is at it.
        self.guarded.with_mut(|at| unsafe { *at += 1 });
    }
    fn turn(&self, seat: usize) {
        self.take(seat);
        assert!(self.words.release(&self.roster, me(seat), 1));
    }
}

#[test]
fn one_has_a_permit_at_a_time_and_nobody_sleeps_for_ever() {
    model_of(2, || {
        let permits = Permits::new();
        let threads = [0, 1].map(|seat| {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.turn(seat))
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(permits.words.free(), 1);
    });
}

#[test]
fn the_permit_of_a_dead_one_comes_back() {
    model_of(2, || {
        let permits = Permits::new();
        let other = Arc::clone(&permits);
        let dying = thread::spawn(move || {
            other.take(0);
            other.roster.die(me(0));
            // The kernel wakes a keeper, which is of another process.
            other.words.see_to(&other.roster, Some(me(0)), me(2));
        });
        permits.turn(1);
        dying.join().unwrap();
        assert_eq!(permits.words.free(), 1);
    });
}

/// An event, and what was written before it was set.
struct Flag {
    word: FlagWord,
    said: SlotCell<u32>,
}

struct Watch<'a>(&'a FlagWord, Begun);

impl Pending for Watch<'_> {
    type Out = ();
    fn look(&mut self) -> Result<(), Pause<'_>> {
        self.0.look(self.1)
    }
    fn leave(&mut self) {}
}

/// Somebody sets it, as `setting` says, while another waits, and then reads.
fn set_while_waiting(setting: fn(&FlagWord)) {
    model_of(3, move || {
        let flag = Arc::new(Flag { word: FlagWord::new(), said: SlotCell::new(0) });
        let begun = flag.word.begin();
        let other = Arc::clone(&flag);
        let setter = thread::spawn(move || {
            // SAFETY: loom panics when another thread is at it.
            other.said.with_mut(|at| unsafe { *at = 7 });
            setting(&other.word);
        });
        wait(&mut Watch(&flag.word, begun), None).unwrap();
        // SAFETY: loom panics when another thread writes it.
        assert_eq!(flag.said.with(|at| unsafe { *at }), 7);
        setter.join().unwrap();
    });
}

#[test]
fn who_hears_an_event_sees_what_was_written_before() {
    set_while_waiting(FlagWord::set);
}

#[test]
fn an_event_that_is_cleared_at_once_is_heard() {
    set_while_waiting(|word| {
        word.set();
        word.clear();
    });
}

/// Who asks is the second thread: from the first one, loom would not see it read too early.
#[test]
fn who_finds_an_event_set_sees_what_was_written_before() {
    model_of(3, || {
        let flag = Arc::new(Flag { word: FlagWord::new(), said: SlotCell::new(0) });
        let other = Arc::clone(&flag);
        let asking = thread::spawn(move || {
            if other.word.is_set() {
                // SAFETY: loom panics when another thread writes it.
                assert_eq!(other.said.with(|at| unsafe { *at }), 7);
            }
        });
        // SAFETY: loom panics when another thread is at it.
        flag.said.with_mut(|at| unsafe { *at = 7 });
        flag.word.set();
        asking.join().unwrap();
    });
}

/// Who clears it, and then looks, has what was written before any setting that it took back; what comes later, it is told of.
#[test]
fn an_event_that_was_set_already_tells_what_was_written_since() {
    model_of(3, || {
        let flag = Arc::new((FlagWord::new(), AtomicU32::new(0)));
        flag.0.set();
        let other = Arc::clone(&flag);
        let setter = thread::spawn(move || {
            other.1.store(7, Ordering::Relaxed);
            other.0.set();
        });
        flag.0.clear();
        if flag.1.load(Ordering::Relaxed) == 0 {
            wait(&mut Watch(&flag.0, flag.0.begin()), None).unwrap();
            assert_eq!(flag.1.load(Ordering::Relaxed), 7);
        }
        setter.join().unwrap();
    });
}

/// A condition's places, and what a notification says is there.
struct Places {
    roster: Roster,
    words: PlaceWords,
    said: SlotCell<u32>,
}

impl Places {
    fn new() -> Arc<Self> {
        Arc::new(Self { roster: seated(), words: PlaceWords::new(), said: SlotCell::new(0) })
    }
    fn said(&self) -> u32 {
        // SAFETY: loom panics when another thread writes it.
        self.said.with(|at| unsafe { *at })
    }
}

struct Place<'a>(&'a PlaceWords, usize);

impl Pending for Place<'_> {
    type Out = ();
    fn look(&mut self) -> Result<(), Pause<'_>> {
        self.0.look(self.1)
    }
    fn leave(&mut self) {}
}

#[test]
fn a_notification_is_never_slept_through_and_says_what_was_written() {
    model_of(3, || {
        let places = Places::new();
        let at = places.words.begin(me(0)).unwrap();
        let other = Arc::clone(&places);
        let notifier = thread::spawn(move || {
            // SAFETY: loom panics when another thread is at it.
            other.said.with_mut(|at| unsafe { *at = 7 });
            assert_eq!(other.words.notify(1), 1);
        });
        wait(&mut Place(&places.words, at), None).unwrap();
        assert_eq!(places.said(), 7);
        assert!(places.words.cancel(at, me(0)));
        places.words.end(at, true);
        notifier.join().unwrap();
    });
}

/// One gives up while it is notified: it was, or nobody was.
#[test]
fn a_notification_is_used_or_was_not_given() {
    model_of(3, || {
        let places = Places::new();
        let at = places.words.begin(me(0)).unwrap();
        let other = Arc::clone(&places);
        let notifier = thread::spawn(move || other.words.notify(1));
        let used = places.words.cancel(at, me(0));
        if used {
            places.words.end(at, true);
        }
        assert_eq!(notifier.join().unwrap(), usize::from(used));
    });
}

/// The first of two dies while it is notified: the second is, then.
#[test]
fn the_notification_of_a_dead_one_is_passed_on() {
    model_of(3, || {
        let places = Places::new();
        let _first = places.words.begin(me(0)).unwrap();
        let second = places.words.begin(me(1)).unwrap();
        places.roster.die(me(0));
        let other = Arc::clone(&places);
        let keeper = thread::spawn(move || other.words.see_to(&other.roster, me(2)));
        let other = Arc::clone(&places);
        let notifier = thread::spawn(move || assert_eq!(other.words.notify(1), 1));
        wait(&mut Place(&places.words, second), None).unwrap();
        keeper.join().unwrap();
        notifier.join().unwrap();
    });
}

/// A barrier for two, before which each writes a word that the other reads behind it.
struct Gate {
    roster: Roster,
    words: TurnstileWords,
    written: [SlotCell<u32>; 2],
}

struct Way<'a>(&'a Gate, Holder, Stage);

impl Pending for Way<'_> {
    type Out = Result<Passage, Broken>;
    fn look(&mut self) -> Result<Self::Out, Pause<'_>> {
        self.0.words.look(&self.0.roster, self.1, &mut self.2)
    }
    fn leave(&mut self) {}
}

impl Gate {
    fn new() -> Arc<Self> {
        Self::of(2)
    }
    fn of(parties: u32) -> Arc<Self> {
        let written = [(); 2].map(|()| SlotCell::new(0));
        Arc::new(Self { roster: seated(), words: TurnstileWords::new(parties), written })
    }
    fn pass(&self, seat: usize) -> Result<(), Broken> {
        let mut way = Way(self, me(seat), Stage::Outside);
        let passage = wait(&mut way, None).unwrap()?;
        if let (Passage::Last(_), Stage::Inside(phase, _)) = (passage, way.2) {
            self.words.open(&self.roster, me(seat), phase)?;
        }
        Ok(())
    }
    fn turn(&self, seat: usize) {
        // SAFETY: loom panics when another thread is at it.
        self.written[seat].with_mut(|at| unsafe { *at = 1 });
        self.pass(seat).unwrap();
        // SAFETY: as above.
        assert_eq!(self.written[1 - seat].with(|at| unsafe { *at }), 1);
    }
}

#[test]
fn who_passes_sees_what_all_did_before() {
    model_of(2, || {
        let gate = Gate::new();
        let other = Arc::clone(&gate);
        let thread = thread::spawn(move || other.turn(0));
        gate.turn(1);
        thread.join().unwrap();
        assert_eq!(gate.words.waiting(), 0);
    });
}

#[test]
fn who_dies_in_it_breaks_it() {
    model_of(2, || {
        let gate = Gate::new();
        let other = Arc::clone(&gate);
        let dying = thread::spawn(move || {
            let _ = Way(&other, me(0), Stage::Outside).look();
            other.roster.die(me(0));
            other.words.see_to(&other.roster, Some(me(0)), me(2));
        });
        // If the dead one was the last, nobody opens it; if it waited, this one may have come before it died.
        let passed = gate.pass(1);
        dying.join().unwrap();
        assert_eq!(gate.words.is_broken(), passed.is_err());
    });
}

/// A third one never comes: whoever arrives, before the death or after it, does not wait for it.
#[test]
fn who_waits_with_a_dead_one_is_told() {
    model_of(2, || {
        let gate = Gate::of(3);
        let other = Arc::clone(&gate);
        let dying = thread::spawn(move || {
            let _ = Way(&other, me(0), Stage::Outside).look();
            other.roster.die(me(0));
            other.words.see_to(&other.roster, Some(me(0)), me(2));
        });
        assert_eq!(gate.pass(1), Err(Broken));
        dying.join().unwrap();
        assert!(gate.words.is_broken());
    });
}
