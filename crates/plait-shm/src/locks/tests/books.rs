//! Who refers to what, and when its lines are somebody else's.

use super::*;

fn lock(memory: &Arc<LockMemory>) -> Lock {
    Lock::create(memory).unwrap().unwrap()
}

fn at(memory: &Arc<LockMemory>, name: Name) -> Option<Lock> {
    Lock::at(memory, name).unwrap()
}

#[test]
fn any_process_takes_lines_until_there_are_none() {
    let memory = LockMemory::create(4).unwrap();
    let other = theirs(&memory);
    let locks = [lock(&memory), lock(&other), lock(&memory), lock(&other)];
    assert_eq!(locks.each_ref().map(|lock| lock.name().line()), [0, 1, 2, 3]);
    assert!(Lock::create(&memory).unwrap().is_none() && Lock::create(&other).unwrap().is_none());
    assert!(at(&memory, Name(4)).is_none() && at(&memory, Name(u64::MAX)).is_none());
    assert!(Event::at(&memory, locks[0].name()).unwrap().is_none(), "there is a lock");
}

#[test]
fn a_line_is_given_back_by_the_last_that_refers_to_it() {
    let memory = LockMemory::create(1).unwrap();
    let other = theirs(&memory);
    let mine = lock(&memory);
    let same = at(&other, mine.name()).unwrap();
    let twice = mine.clone();
    let _ = mine.try_acquire().unwrap();
    drop(mine);
    drop(twice);
    assert!(Lock::create(&memory).unwrap().is_none());
    drop(same);
    let new = lock(&memory);
    assert!(!new.is_held(), "it is another lock");
}

#[test]
fn more_are_made_than_there_are_lines() {
    let memory = LockMemory::create(40).unwrap();
    for _ in 0..if cfg!(miri) { 60 } else { 1000 } {
        drop((lock(&memory), Semaphore::create(&memory, 1, true).unwrap().unwrap()));
        // Their names were sent, and nobody came.
        let _ = (lock(&memory).name(), Event::create(&memory).unwrap().unwrap().name());
    }
}

#[test]
fn what_was_sent_waits_for_who_gets_it() {
    let memory = LockMemory::create(4).unwrap();
    let other = theirs(&memory);
    let sent = lock(&memory).name();
    let kept = lock(&memory);
    let got = at(&other, sent).expect("it is there, though nobody had it meanwhile");
    drop(got);
    let again = at(&memory, sent).expect("it was sent once, and may come twice");
    // The oldest go when there is nothing else.
    let others = [lock(&memory), lock(&memory)];
    assert!(Lock::create(&memory).unwrap().is_none());
    drop(again);
    let new = lock(&memory);
    assert_eq!((new.name().line(), new.name() == sent), (sent.line(), false));
    assert!(at(&other, sent).is_none(), "a name is never another's");
    drop((kept, others));
}

#[test]
fn what_arrived_is_taken_back_before_what_is_on_its_way() {
    let memory = LockMemory::create(3).unwrap();
    let other = theirs(&memory);
    let awaited = lock(&memory).name();
    let twice = lock(&memory);
    let (arrived, _) = (twice.name(), twice.name());
    drop(twice);
    drop(at(&other, arrived));
    let settled = lock(&memory);
    let sent = settled.name();
    drop(at(&other, sent));
    drop(settled);
    // There is no fourth line, and all that was sent of this one has arrived.
    let new = lock(&memory);
    assert_eq!(new.name().line(), sent.line());
    drop((at(&other, awaited).expect("nobody came for it yet"), at(&other, arrived).expect("it was sent twice")));
    // Of the others the oldest goes.
    let newer = lock(&memory);
    assert_eq!(newer.name().line(), awaited.line());
    assert!(at(&other, awaited).is_none() && at(&other, arrived).is_some());
}

#[test]
#[cfg_attr(miri, ignore = "time")]
fn what_arrived_takes_a_bounded_share_of_the_lines() {
    let memory = LockMemory::create(1 << 21).unwrap();
    let other = theirs(&memory);
    let first = lock(&memory);
    for _ in 0..50_000 {
        let sent = lock(&memory);
        drop(at(&other, sent.name()).unwrap());
    }
    assert!(lock(&memory).name().line() <= first.name().line() + 16_384 + 2);
}

#[test]
fn the_dead_refer_to_nothing() {
    let memory = LockMemory::create(2).unwrap();
    let other = theirs(&memory);
    let theirs = lock(&other);
    let shared = lock(&other);
    let mine = at(&memory, shared.name()).unwrap();
    other.leave_now();
    memory.settle().unwrap();
    let new = lock(&memory);
    assert_eq!(new.name().line(), 0);
    assert!(Lock::create(&memory).unwrap().is_none(), "the other one is mine, too");
    drop(mine);
    // These handles of a dead process do nothing any more.
    std::mem::forget((theirs, shared));
}

#[test]
fn who_dies_with_the_books_leaves_them_right() {
    let memory = LockMemory::create(6).unwrap();
    let other = theirs(&memory);
    let kept = lock(&memory);
    drop(lock(&memory));
    let sent = lock(&memory).name();
    // It dies while it has the guard, and all lists are gone.
    std::mem::forget(other.inside().books.open(other.roster(), other.me().unwrap()));
    other.inside().books.forget_shelves();
    other.leave_now();
    memory.settle().unwrap();
    assert!(at(&memory, sent).is_some());
    let locks: Vec<Lock> = std::iter::from_fn(|| Lock::create(&memory).unwrap()).collect();
    let mut lines: Vec<usize> = locks.iter().chain([&kept]).map(|lock| lock.name().line()).collect();
    lines.sort_unstable();
    assert_eq!(lines, [0, 1, 2, 3, 4, 5], "each line is had once");
}

#[test]
fn memory_is_halved_where_it_is_too_much() {
    assert!(LockMemory::create(usize::MAX).is_ok());
    let one = LockMemory::create(1).unwrap();
    assert_ne!(one.identity(), LockMemory::create(1).unwrap().identity());
    assert_eq!(one.identity(), theirs(&one).identity());
}
