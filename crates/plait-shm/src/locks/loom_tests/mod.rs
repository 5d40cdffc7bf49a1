//! The words of the locks in every interleaving. A death is a thread that ends with what it holds, and the kernel's mark after it.

use std::sync::Arc;

use loom::thread;

use super::pending::Pending;
use super::roster::{Holder, Roster};
use super::word::{LockWord, Taken};
use crate::model_of;
use crate::sync::SlotCell;

mod others;

fn me(seat: usize) -> Holder {
    Holder::new(seat, 0)
}

/// Three processes have seats.
fn seated() -> Roster {
    let roster = Roster::new();
    for seat in 0..3 {
        assert_eq!(roster.sit(seat, 100), me(seat));
    }
    roster
}

/// A lock, and what it guards.
struct Scene {
    roster: Roster,
    lock: LockWord,
    guarded: SlotCell<u32>,
}

impl Scene {
    fn new() -> Arc<Self> {
        Arc::new(Self { roster: seated(), lock: LockWord::new(), guarded: SlotCell::new(0) })
    }
    /// Counts up what the lock guards; loom sees when two do.
    fn count(&self) -> u32 {
        // SAFETY: loom panics when another thread is at it.
        self.guarded.with_mut(|at| unsafe {
            *at += 1;
            *at
        })
    }
    fn turn(&self, seat: usize) -> Taken {
        let taken = self.lock.take(&self.roster, me(seat));
        self.count();
        assert!(self.lock.release());
        taken
    }
}

#[test]
fn one_holds_it_at_a_time_and_nobody_sleeps_for_ever() {
    model_of(3, || {
        let scene = Scene::new();
        let threads = [0, 1].map(|seat| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.turn(seat))
        });
        let _ = scene.turn(2);
        for thread in threads {
            let _ = thread.join().unwrap();
        }
        assert_eq!(scene.count(), 4);
        assert_eq!(scene.lock.holder(), None);
    });
}

/// One gives up after it has slept, without another look: perhaps it was the one that was woken.
#[test]
fn who_leaves_passes_its_wake_up_on() {
    model_of(3, || {
        let scene = Scene::new();
        let other = Arc::clone(&scene);
        let patient = thread::spawn(move || other.turn(0));
        let other = Arc::clone(&scene);
        let hasty = thread::spawn(move || {
            let mut waiting = other.lock.waiting(&other.roster, me(1));
            match waiting.look() {
                Ok(_) => assert!(other.lock.release()),
                Err(pause) => {
                    let _ = pause.word.sleep(pause.seen, None);
                    waiting.leave();
                }
            }
        });
        let _ = scene.turn(2);
        let _ = patient.join().unwrap();
        hasty.join().unwrap();
    });
}

#[test]
fn the_lock_of_a_dead_one_goes_to_one_other() {
    model_of(3, || {
        let scene = Scene::new();
        let other = Arc::clone(&scene);
        let dying = thread::spawn(move || {
            let _ = other.lock.take(&other.roster, me(0));
            other.count();
            other.roster.die(me(0));
            // The kernel wakes a keeper, which wakes all.
            other.lock.poke(&other.roster);
        });
        let other = Arc::clone(&scene);
        let waiter = thread::spawn(move || other.turn(1));
        let mine = scene.turn(2);
        dying.join().unwrap();
        let theirs = waiter.join().unwrap();
        let mut last = Vec::new();
        if scene.lock.holder().is_some() {
            last.push(scene.turn(2));
        }
        let told = [mine, theirs]
            .into_iter()
            .chain(last.iter().copied())
            .filter(|taken| matches!(taken, Taken::From(_)))
            .count();
        assert_eq!(told, 1);
        assert_eq!(scene.lock.holder(), None);
        assert_eq!(scene.count(), 4 + last.len() as u32);
    });
}

/// Who was woken dies before it looks: the others are woken by the keeper.
#[test]
fn the_wake_up_of_a_dead_one_is_passed_on() {
    model_of(3, || {
        let scene = Scene::new();
        let other = Arc::clone(&scene);
        let dying = thread::spawn(move || {
            let mut waiting = other.lock.waiting(&other.roster, me(0));
            if let Err(pause) = waiting.look() {
                let _ = pause.word.sleep(pause.seen, None);
            }
            other.roster.die(me(0));
            other.lock.poke(&other.roster);
        });
        let other = Arc::clone(&scene);
        let waiter = thread::spawn(move || other.turn(1));
        let _ = scene.turn(2);
        dying.join().unwrap();
        let _ = waiter.join().unwrap();
    });
}

/// A seat changes hands while somebody looks at a lock of its dead one: that one is never taken for its successor.
#[test]
fn the_dead_stay_dead_when_their_seat_is_given_on() {
    model_of(3, || {
        let scene = Scene::new();
        let _ = scene.lock.take(&scene.roster, me(0));
        scene.roster.die(me(0));
        let other = Arc::clone(&scene);
        let keeper = thread::spawn(move || {
            other.roster.settle(me(0));
            assert_eq!(other.roster.sit(0, 200), Holder::new(0, 1));
        });
        assert!(scene.roster.is_dead(me(0)));
        assert_eq!(scene.lock.try_look(&scene.roster, me(1)), Some(Taken::From(me(0))));
        keeper.join().unwrap();
        assert!(!scene.roster.is_dead(Holder::new(0, 1)));
    });
}
