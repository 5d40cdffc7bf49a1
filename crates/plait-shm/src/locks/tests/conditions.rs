//! Conditions.

use std::thread;

use super::*;

#[test]
fn so_many_are_notified_and_those_that_waited_longest() {
    let memory = memory();
    let condition = Condition::create(&memory).unwrap().unwrap();
    let mut waiting: Vec<Notified> = (0..5).map(|_| condition.begin().unwrap()).collect();
    assert_eq!((condition.waiting(), condition.notify(2)), (5, 2));
    let notified: Vec<bool> = waiting.iter_mut().map(|waiting| waiting.look().is_ok()).collect();
    assert_eq!(notified, [true, true, false, false, false]);
    let third = waiting.remove(2);
    assert!(!third.end(), "its time was over");
    assert!(waiting.remove(0).end());
    // It is never to have the lock: the next one is.
    drop(waiting.remove(0));
    assert!(waiting[0].look().is_ok() && waiting[1].look().is_err());
    assert_eq!(condition.notify(7), 1);
    assert_eq!(condition.notify(1), 0);
    assert!(waiting.into_iter().all(Notified::end));
    assert_eq!(condition.begin().unwrap().at(), 0, "places are used again");
}

#[test]
fn a_notification_wakes() {
    let memory = memory();
    let (lock, condition) = (Lock::create(&memory).unwrap().unwrap(), Condition::create(&memory).unwrap().unwrap());
    let _ = lock.acquire(None).unwrap();
    let waiter = thread::spawn({
        let other = theirs(&memory);
        let (lock, condition) = (
            Lock::at(&other, lock.name()).unwrap().unwrap(),
            Condition::at(&other, condition.name()).unwrap().unwrap(),
        );
        move || {
            let _ = lock.acquire(late()).unwrap();
            let mut waiting = condition.begin().unwrap();
            lock.release().unwrap();
            let ended = wait(&mut waiting, late());
            let _ = lock.acquire(late()).unwrap();
            assert!(waiting.end());
            lock.release().unwrap();
            ended
        }
    });
    lock.release().unwrap();
    until(|| condition.waiting() == 1);
    let _ = lock.acquire(late()).unwrap();
    assert_eq!(condition.notify(1), 1);
    lock.release().unwrap();
    waiter.join().unwrap().unwrap();
}

#[test]
fn who_dies_takes_no_notification_with_it() {
    let memory = memory();
    let condition = Condition::create(&memory).unwrap().unwrap();
    let other = theirs(&memory);
    let same = Condition::at(&other, condition.name()).unwrap().unwrap();
    let first = same.begin().unwrap();
    let silent = same.begin().unwrap();
    let mut mine = condition.begin().unwrap();
    assert_eq!(condition.notify(1), 1);
    // As the kernel would, without a word to the condition.
    std::mem::forget((first, silent));
    let waiter = thread::spawn(move || wait(&mut mine, late()).map(|()| mine.end()));
    other.leave_now();
    assert!(waiter.join().unwrap().unwrap());
    memory.settle().unwrap();
    assert_eq!((condition.waiting(), condition.notify(1)), (0, 0));
}

#[test]
#[cfg_attr(miri, ignore = "time")]
fn more_waiters_than_places_are_refused() {
    let memory = memory();
    let condition = Condition::create(&memory).unwrap().unwrap();
    let waiting: Vec<_> = (0..places::PLACES).map(|_| condition.begin().unwrap()).collect();
    assert!(condition.begin().err().unwrap().to_string().contains("1020 wait"));
    drop(waiting);
    assert!(condition.begin().is_ok());
}
