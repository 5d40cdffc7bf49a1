//! Semaphores and events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::locks::permits::SemaphoreWords;
use crate::sync::Place;

#[test]
fn permits_are_taken_and_given_back() {
    let memory = memory();
    let semaphore = Semaphore::create(&memory, 2, true).unwrap().unwrap();
    let other = theirs(&memory);
    let same = Semaphore::at(&other, semaphore.name()).unwrap().unwrap();
    assert!(semaphore.try_acquire().unwrap() && same.try_acquire().unwrap());
    assert!(!same.try_acquire().unwrap());
    assert!(matches!(same.acquire(soon()), Err(WaitError::TimedOut)));
    let waiter = thread::spawn(move || same.acquire(late()));
    semaphore.release(1).unwrap().unwrap();
    waiter.join().unwrap().unwrap();
    assert_eq!(semaphore.value().unwrap(), 0);
    assert_eq!(semaphore.release(3).unwrap(), Err(TooMany));
    semaphore.release(2).unwrap().unwrap();
    assert_eq!(semaphore.release(1).unwrap(), Err(TooMany));
    assert_eq!(semaphore.value().unwrap(), 2);
}

#[test]
fn the_permits_of_one_that_leaves_come_back() {
    let memory = memory();
    let semaphore = Semaphore::create(&memory, 3, false).unwrap().unwrap();
    assert!(semaphore.try_acquire().unwrap());
    let other = theirs(&memory);
    let same = Semaphore::at(&other, semaphore.name()).unwrap().unwrap();
    assert!(same.try_acquire().unwrap() && same.try_acquire().unwrap());
    let waiter = thread::spawn({
        let semaphore = semaphore.clone();
        move || semaphore.acquire(late())
    });
    drop((same, other));
    waiter.join().unwrap().unwrap();
    assert_eq!(semaphore.value().unwrap(), 1);
    assert!(semaphore.try_acquire().unwrap() && !semaphore.try_acquire().unwrap());
}

#[test]
fn what_was_only_signalled_does_not_come_back() {
    let memory = memory();
    let semaphore = Semaphore::create(&memory, 0, false).unwrap().unwrap();
    let other = theirs(&memory);
    let same = Semaphore::at(&other, semaphore.name()).unwrap().unwrap();
    semaphore.release(5).unwrap().unwrap();
    for _ in 0..4 {
        same.acquire(late()).unwrap();
    }
    drop((same, other));
    assert_eq!(semaphore.value().unwrap(), 1, "the four were used up");
}

#[test]
fn no_more_than_there_are_permits_are_inside() {
    let memory = memory();
    let semaphore = Semaphore::create(&memory, 2, true).unwrap().unwrap();
    let inside = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..4)
        .map(|patient| {
            let (semaphore, inside) = (semaphore.clone(), Arc::clone(&inside));
            thread::spawn(move || {
                let mut got = 0;
                while got < if cfg!(miri) { 10 } else { 500 } {
                    let deadline = if patient < 2 { late() } else { Some(Deadline::after(Duration::from_micros(20))) };
                    match semaphore.acquire(deadline) {
                        Ok(()) => {
                            assert!(inside.fetch_add(1, Ordering::Relaxed) < 2);
                            thread::yield_now();
                            inside.fetch_sub(1, Ordering::Relaxed);
                            semaphore.release(1).unwrap().unwrap();
                            got += 1;
                        }
                        Err(WaitError::TimedOut) => assert!(patient >= 2, "nobody woke it"),
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(semaphore.value().unwrap(), 2);
}

/// Whoever changes the count is killed after any of its stores.
#[test]
fn what_a_dead_one_began_is_finished() {
    for stores in 0..=3 {
        let memory = memory();
        let semaphore = Semaphore::create(&memory, 5, true).unwrap().unwrap();
        let other = theirs(&memory);
        let same = Semaphore::at(&other, semaphore.name()).unwrap().unwrap();
        assert!(same.try_acquire().unwrap());
        let words: Place<SemaphoreWords> = other.inside().at(semaphore.name().line());
        words.die_taking(other.roster(), other.me().unwrap(), stores);
        drop((words, same, other));
        assert_eq!(semaphore.value().unwrap(), 5, "after {stores} stores");
        for _ in 0..5 {
            assert!(semaphore.try_acquire().unwrap());
        }
        assert!(!semaphore.try_acquire().unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 40 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Three processes take, release and leave; a count and a ledger in plain numbers say what must be.
    #[test]
    fn the_count_is_right(first in 0u32..4, bounded: bool, steps in prop::collection::vec((0usize..3, 0u8..8, 1u32..3), 1..60)) {
        let memory = memory();
        let semaphore = Semaphore::create(&memory, first, bounded).unwrap().unwrap();
        let line = semaphore.name();
        let mut handles: Vec<_> = (0..3).map(|_| theirs(&memory)).collect();
        let (mut free, mut held) = (first, [0u32; 3]);
        for (who, what, permits) in steps {
            let mine = Semaphore::at(&handles[who], line).unwrap().unwrap();
            match what {
                0..=3 => {
                    prop_assert_eq!(mine.try_acquire().unwrap(), free > 0);
                    if free > 0 {
                        free -= 1;
                        held[who] += 1;
                    }
                }
                4..=6 => {
                    let fits = !bounded || free + permits <= first;
                    prop_assert_eq!(mine.release(permits).unwrap().is_ok(), fits);
                    if fits {
                        free += permits;
                        held[who] = held[who].saturating_sub(permits);
                    }
                }
                _ => {
                    drop(mine);
                    handles[who] = theirs(&memory);
                    free = free.max(first.min(free + held[who]));
                    held[who] = 0;
                }
            }
            prop_assert_eq!(semaphore.value().unwrap(), free);
        }
    }
}

#[test]
fn an_event_lets_all_go_also_if_it_is_cleared_at_once() {
    let memory = memory();
    let event = Event::create(&memory).unwrap().unwrap();
    let other = theirs(&memory);
    let same = Event::at(&other, event.name()).unwrap().unwrap();
    assert!(!event.is_set() && matches!(event.wait(soon()), Err(WaitError::TimedOut)));
    let mut waiting: Vec<_> = [&event, &same].map(|event| event.watching().unwrap()).into();
    let threads: Vec<_> =
        waiting.drain(..).map(|mut watching| thread::spawn(move || wait(&mut watching, late()))).collect();
    same.set();
    same.clear();
    threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    assert!(!event.is_set());
    event.set();
    event.set();
    assert!(same.is_set());
    same.wait(None).unwrap();
}
