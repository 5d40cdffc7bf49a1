//! Locks, and who takes part in their memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::*;

/// How often one of several threads takes a lock.
const EACH: u32 = if cfg!(miri) { 30 } else { 3_000 };

#[test]
fn a_lock_is_held_by_one() {
    let memory = memory();
    let other = theirs(&memory);
    let lock = Lock::create(&memory).unwrap().unwrap();
    let same = Lock::at(&other, lock.name()).unwrap().unwrap();
    assert_eq!(lock.try_acquire().unwrap(), Some(Acquired { died: None }));
    assert!(same.is_held() && same.try_acquire().unwrap().is_none());
    assert!(matches!(same.acquire(soon()), Err(WaitError::TimedOut)));
    assert_eq!(same.holder(), Some(std::process::id()));
    same.release().unwrap();
    assert!(!lock.is_held() && lock.holder().is_none());
    assert_eq!(lock.release(), Err(ReleaseError::NotHeld));
    assert_eq!(same.acquire(None).unwrap(), Acquired { died: None });
}

#[test]
fn who_leaves_leaves_its_locks_to_the_next() {
    let memory = memory();
    let lock = Lock::create(&memory).unwrap().unwrap();
    let other = theirs(&memory);
    let same = Lock::at(&other, lock.name()).unwrap().unwrap();
    assert!(same.acquire(None).unwrap().died.is_none());
    let waiter = thread::spawn({
        let lock = lock.clone();
        move || lock.acquire(late())
    });
    drop((same, other));
    assert!(waiter.join().unwrap().unwrap().died.is_some());
    lock.release().unwrap();
    assert!(lock.acquire(None).unwrap().died.is_none(), "it is told once");
}

#[test]
fn a_counter_under_a_lock_counts() {
    let memory = memory();
    let lock = Lock::create(&memory).unwrap().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (lock, count) = (lock.clone(), Arc::clone(&count));
            thread::spawn(move || {
                for _ in 0..EACH {
                    let _ = lock.acquire(late()).unwrap();
                    let seen = count.load(Ordering::Relaxed);
                    count.store(seen + 1, Ordering::Relaxed);
                    lock.release().unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(count.load(Ordering::Relaxed), 4 * u64::from(EACH));
}

#[test]
fn waiters_that_give_up_do_not_keep_others_asleep() {
    let memory = memory();
    let lock = Lock::create(&memory).unwrap().unwrap();
    let count = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..4)
        .map(|patient| {
            let (lock, count) = (lock.clone(), Arc::clone(&count));
            thread::spawn(move || {
                let mut got = 0;
                while got < EACH / 10 {
                    let until = if patient < 2 { late() } else { Some(Deadline::after(Duration::from_micros(30))) };
                    match lock.acquire(until) {
                        Ok(_) => {
                            count.fetch_add(1, Ordering::Relaxed);
                            thread::yield_now();
                            lock.release().unwrap();
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
    assert_eq!(count.load(Ordering::Relaxed), 4 * (EACH / 10));
}

#[test]
fn an_rlock_is_its_holders() {
    let memory = memory();
    let lock = RLock::create(&memory).unwrap().unwrap();
    assert_eq!(lock.release(1), Err(ReleaseError::NotHeld));
    assert!(lock.try_acquire(1).unwrap().is_some());
    assert!(lock.try_acquire(2).unwrap().is_none());
    assert!(lock.acquire(1, soon()).unwrap().died.is_none());
    assert_eq!(lock.release(2), Err(ReleaseError::NotMine));
    let other = theirs(&memory);
    let same = RLock::at(&other, lock.name()).unwrap().unwrap();
    assert_eq!(same.release(1), Err(ReleaseError::NotMine), "the same number in another process is another");
    lock.release(1).unwrap();
    assert!(lock.is_mine(1) && !lock.is_mine(2));
    let _ = lock.acquire(1, None).unwrap();
    assert_eq!(lock.release_all(1), Ok(2));
    assert!(!lock.is_held());
    let _ = same.acquire(2, None).unwrap();
    same.set_depth(2, 2).unwrap();
    same.release(2).unwrap();
    assert!(matches!(lock.acquire(1, soon()), Err(WaitError::TimedOut)));
    same.release(2).unwrap();
    assert!(lock.try_acquire(1).unwrap().is_some());
}

#[test]
fn seats_are_used_again_and_their_dead_stay_dead() {
    let memory = memory();
    let lock = Lock::create(&memory).unwrap().unwrap();
    let first = theirs(&memory);
    let dead = first.me().unwrap();
    assert!(Lock::at(&first, lock.name()).unwrap().unwrap().try_acquire().unwrap().is_some());
    drop(first);
    memory.settle().unwrap();
    let next = theirs(&memory);
    let me = next.me().unwrap();
    assert_eq!((me.seat(), me == dead), (dead.seat(), false));
    assert!(memory.roster().is_dead(dead) && !memory.roster().is_dead(me));
    assert!(Lock::at(&next, lock.name()).unwrap().unwrap().try_acquire().unwrap().unwrap().died.is_some());
}

#[test]
#[cfg_attr(miri, ignore = "time")]
fn more_processes_than_seats_are_refused() {
    let memory = memory();
    memory.join().unwrap();
    let others: Vec<_> = (1..roster::SEATS).map(|_| theirs(&memory)).collect();
    others.iter().for_each(|other| other.join().unwrap());
    let error = theirs(&memory).join().unwrap_err();
    assert!(error.to_string().contains("248 processes"), "{error}");
    drop(others);
    memory.settle().unwrap();
    drop(theirs(&memory));
}

#[test]
fn other_segments_are_refused() {
    let (_segment, fd) = crate::Segment::create("plait-test", 4096).unwrap();
    assert!(LockMemory::open(fd).is_err());
    let (_pool, _) = crate::PoolMemory::create(4).unwrap();
    assert!(LockMemory::open(_pool.fd().try_clone_to_owned().unwrap()).is_err());
}
