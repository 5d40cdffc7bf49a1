//! Barriers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;

#[test]
fn all_pass_together_again_and_again() {
    const ROUNDS: u32 = if cfg!(miri) { 5 } else { 300 };
    let memory = memory();
    let barrier = Barrier::create(&memory, 3).unwrap().unwrap();
    let (count, lasts) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let barrier = Barrier::at(&theirs(&memory), barrier.name()).unwrap().unwrap();
            let (count, lasts) = (Arc::clone(&count), Arc::clone(&lasts));
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    count.fetch_add(1, Ordering::Relaxed);
                    let mut passing = barrier.passing().unwrap();
                    let passed = passing.wait(late()).unwrap().unwrap();
                    assert_eq!(passed.last, passed.index == 2);
                    if passed.last {
                        assert_eq!(count.load(Ordering::Relaxed), 3 * (round + 1));
                        lasts.fetch_add(1, Ordering::Relaxed);
                        passing.open().unwrap();
                    }
                    assert!(count.load(Ordering::Relaxed) >= 3 * (round + 1));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(lasts.load(Ordering::Relaxed), ROUNDS);
}

/// One waits in another thread, and is let go by what `then` does.
fn broken_by(then: impl FnOnce(&Arc<LockMemory>, &Barrier)) {
    let memory = memory();
    let barrier = Barrier::create(&memory, 3).unwrap().unwrap();
    let waiter = thread::spawn({
        let barrier = barrier.clone();
        move || barrier.passing().unwrap().wait(late()).unwrap()
    });
    until(|| barrier.waiting() == 1);
    then(&memory, &barrier);
    assert_eq!(waiter.join().unwrap(), Err(Broken));
}

#[test]
fn it_breaks_for_those_that_wait() {
    broken_by(|_, barrier| {
        barrier.abort().unwrap();
        assert!(barrier.is_broken().unwrap());
        assert_eq!(barrier.passing().unwrap().wait(late()).unwrap(), Err(Broken));
        barrier.reset().unwrap();
        assert!(!barrier.is_broken().unwrap());
    });
    broken_by(|_, barrier| barrier.reset().unwrap());
    broken_by(|_, barrier| assert_eq!(barrier.passing().unwrap().wait(soon()).unwrap(), Err(Broken)));
}

#[test]
fn who_dies_in_it_breaks_it() {
    broken_by(|memory, barrier| {
        let other = theirs(memory);
        let same = Barrier::at(&other, barrier.name()).unwrap().unwrap();
        let mut passing = same.passing().unwrap();
        assert!(passing.look().is_err());
        std::mem::forget(passing);
        other.leave_now();
        until(|| barrier.is_broken().unwrap());
    });
    // Nor does one that has been there before, or never was.
    let memory = memory();
    let barrier = Barrier::create(&memory, 1).unwrap().unwrap();
    let other = theirs(&memory);
    let same = Barrier::at(&other, barrier.name()).unwrap().unwrap();
    let mut passing = same.passing().unwrap();
    assert!(passing.wait(late()).unwrap().unwrap().last);
    passing.open().unwrap();
    drop((passing, same, other));
    assert!(!barrier.is_broken().unwrap());
}

#[test]
fn the_last_one_that_does_not_open_it_breaks_it() {
    broken_by(|_, barrier| {
        assert!(barrier.passing().unwrap().look().is_err_and(|_| true));
        let mut last = barrier.passing().unwrap();
        let passed = last.wait(late()).unwrap().unwrap();
        assert_eq!(passed, Passed { index: 2, last: true });
        // While it sees to something, those that come wait for the next phase.
        let mut early = barrier.passing().unwrap();
        assert!(early.look().is_err());
        drop(last);
        assert_eq!(early.wait(late()).unwrap(), Err(Broken));
    });
}
