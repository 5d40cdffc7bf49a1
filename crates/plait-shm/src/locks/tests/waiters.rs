//! Waiting without blocking.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

use super::*;

#[test]
fn many_wait_for_one_lock_in_one_thread() {
    const MANY: u32 = if cfg!(miri) { 20 } else { 300 };
    let memory = memory();
    let lock = Lock::create(&memory).unwrap().unwrap();
    let _ = lock.acquire(None).unwrap();
    let waiters = Waiters::start().unwrap();
    let (tell, told) = mpsc::channel();
    let inside = Arc::new(AtomicU32::new(0));
    for number in 0..MANY {
        let (tell, lock, inside) = (tell.clone(), lock.clone(), Arc::clone(&inside));
        waiters.add(lock.acquiring().unwrap(), late(), move |acquired, _| {
            assert!(acquired.is_ok_and(|acquired| acquired.died.is_none()));
            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
            inside.fetch_sub(1, Ordering::Relaxed);
            tell.send(number).unwrap();
            lock.release().unwrap();
        });
    }
    lock.release().unwrap();
    let mut order: Vec<u32> = (0..MANY).map(|_| told.recv().unwrap()).collect();
    order.sort_unstable();
    assert_eq!(order, Vec::from_iter(0..MANY));
    until(|| !lock.is_held());
}

#[test]
fn each_wait_ends_once() {
    let memory = memory();
    let (lock, semaphore) =
        (Lock::create(&memory).unwrap().unwrap(), Semaphore::create(&memory, 0, false).unwrap().unwrap());
    let _ = lock.acquire(None).unwrap();
    let waiters = Waiters::start().unwrap();
    let (tell, told) = mpsc::channel();
    let add = |deadline| {
        let tell = tell.clone();
        waiters.add(semaphore.acquiring().unwrap(), deadline, move |ended, _| tell.send(ended).unwrap())
    };
    add(soon());
    assert_eq!(told.recv().unwrap(), Err(Left::TimedOut));
    let cancelled = add(None);
    waiters.cancel(cancelled);
    assert_eq!(told.recv().unwrap(), Err(Left::Cancelled));
    waiters.cancel(cancelled);
    add(None);
    semaphore.release(1).unwrap().unwrap();
    assert_eq!(told.recv().unwrap(), Ok(()));
    waiters.add(semaphore.acquiring().unwrap(), None, |_, _| panic!("a callback's own mistake"));
    semaphore.release(1).unwrap().unwrap();
    until(|| semaphore.value().unwrap() == 0);
    add(None);
    drop(waiters);
    assert_eq!(told.recv().unwrap(), Err(Left::Cancelled));
    drop(tell);
    assert!(told.recv().is_err(), "nothing else was told");
    assert_eq!(semaphore.value().unwrap(), 0);
}

/// The same for a thread that is told of changes, and for one that looks for them.
#[test]
fn all_kinds_are_waited_for_also_on_kernels_that_cannot() {
    for look in [false, true] {
        if look {
            LockMemory::look_instead();
        }
        let memory = memory();
        let (lock, event) = (Lock::create(&memory).unwrap().unwrap(), Event::create(&memory).unwrap().unwrap());
        let (condition, barrier) =
            (Condition::create(&memory).unwrap().unwrap(), Barrier::create(&memory, 2).unwrap().unwrap());
        let other = theirs(&memory);
        assert!(Lock::at(&other, lock.name()).unwrap().unwrap().try_acquire().unwrap().is_some());
        let waiters = Waiters::start().unwrap();
        let (tell, told) = mpsc::channel();
        let tells = || tell.clone();
        let to = tells();
        waiters.add(lock.acquiring().unwrap(), None, move |ended, _| to.send(ended.unwrap().died.is_some()).unwrap());
        drop(other);
        assert!(told.recv().unwrap(), "its holder has died");
        let to = tells();
        waiters.add(event.watching().unwrap(), None, move |ended, _| to.send(ended.is_ok()).unwrap());
        event.set();
        assert!(told.recv().unwrap());
        let to = tells();
        waiters.add(condition.begin().unwrap(), None, move |ended, notified| {
            to.send(ended.is_ok() && notified.end()).unwrap();
        });
        assert_eq!(condition.notify(1), 1);
        assert!(told.recv().unwrap());
        for _ in 0..2 {
            let to = tells();
            waiters.add(barrier.passing().unwrap(), None, move |ended, mut passing| {
                let passed = ended.unwrap().unwrap();
                to.send(!passed.last || passing.open().is_ok()).unwrap();
            });
        }
        assert!(told.recv().unwrap() && told.recv().unwrap());
    }
}
