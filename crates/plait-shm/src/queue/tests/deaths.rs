use std::thread;

use super::words::CLOSED;
use super::*;
use crate::queue::position::Position;
use crate::sync::Ordering;

/// One that dies with the guard of an end, after so many of the stores of a change.
fn die_publishing(queue: &Queue, stores: u32) {
    let other = theirs(queue);
    let ends = other.ends().unwrap();
    let words = &other.words;
    words.enter_entry(ends.roster, ends.me);
    let tail = words.tail();
    // SAFETY: this has the guard, and the queue is not full.
    unsafe { ends.ring.write(tail, super::ring::Label { kind: 7, is_block: false }, b"mine") };
    words.die_publishing(tail.behind(1), words.entry.put.load(Ordering::Relaxed) + 4, stores);
    other.memory().leave_now();
}

#[test]
fn who_dies_while_it_puts_has_put_all_or_nothing() {
    for stores in 0..6 {
        let queue = queue(0, 0);
        put(&queue, b"before");
        die_publishing(&queue, stores);
        put(&queue, b"after");
        let all: Vec<_> = std::iter::from_fn(|| next(&queue)).collect();
        let there: &[&[u8]] = if stores < 3 { &[b"before", b"after"] } else { &[b"before", b"mine", b"after"] };
        assert_eq!(all, there, "after {stores} stores");
        assert_eq!(queue.weight().unwrap(), 0, "after {stores} stores");
    }
}

#[test]
fn who_dies_while_it_takes_has_taken_all_or_nothing() {
    for stores in 0..8 {
        let queue = queue(0, 0);
        for bytes in [b"first", b"other"] {
            put(&queue, bytes);
        }
        let other = theirs(&queue);
        let ends = other.ends().unwrap();
        other.words.enter_exit(ends.roster, ends.me, &[]);
        let mut change = other.words.as_it_is(ends.me.seat().unwrap());
        change.ledger = u64::from(ends.me.0) << 32 | 1;
        change.got += 5;
        change.head = Position(other.words.head.load(Ordering::Relaxed)).behind(1);
        other.words.die_committing(change, stores);
        other.memory().leave_now();
        let all: Vec<_> = std::iter::from_fn(|| next(&queue)).collect();
        if stores < 1 {
            assert_eq!(all, [b"first", b"other"], "after {stores} stores");
        } else {
            assert_eq!(all, [b"other"], "after {stores} stores");
        }
        let lost = u32::from(stores >= 1);
        assert_eq!((queue.lost().unwrap(), queue.weight().unwrap()), (lost, 0), "after {stores} stores");
        assert!((0..2 - lost).all(|_| queue.done().unwrap()) && !queue.done().unwrap());
    }
}

/// Nobody takes or says anything afterwards: who asks how many are open ends what it began.
#[test]
fn who_dies_while_it_says_done_has_said_all_or_nothing() {
    for stores in 0..6 {
        let queue = queue(0, 0);
        put(&queue, b"only");
        let other = theirs(&queue);
        assert!(next(&other).is_some());
        let ends = other.ends().unwrap();
        other.words.enter_exit(ends.roster, ends.me, &[]);
        let mut change = other.words.as_it_is(ends.me.seat().unwrap());
        change.ledger -= 1;
        change.done += 1;
        other.words.die_committing(change, stores);
        other.memory().leave_now();
        wait(&mut queue.joining(), late()).unwrap().unwrap();
        assert_eq!(queue.lost().unwrap(), u32::from(stores == 0), "after {stores} stores");
        assert!(!queue.done().unwrap());
    }
}

#[test]
fn the_blocks_of_the_dead_are_freed_unless_they_are_items() {
    let queue = queue(0, 0);
    let other = theirs(&queue);
    put(&other, &message(1, 100_000));
    std::mem::forget(other.pack(7, 200_000, std::iter::empty()).unwrap());
    put(&other, &message(2, 300_000));
    let third = theirs(&queue);
    let Taken::Message { parcel: Some(held), .. } = third.take(&mut Vec::new()).unwrap() else { panic!() };
    assert_eq!(queue.pages_used(), 2 + 4 + 5);
    other.memory().leave_now();
    queue.memory().settle().unwrap();
    assert_eq!(content(&held), message(1, 100_000), "its taker lives");
    // Whoever allocates next looks for what the dead have left.
    drop(queue.pack(7, 1, std::iter::empty()).unwrap());
    assert_eq!(queue.pages_used(), 2 + 5);
    std::mem::forget(held);
    third.memory().leave_now();
    queue.memory().settle().unwrap();
    drop(queue.pack(7, 1, std::iter::empty()).unwrap());
    assert_eq!(queue.pages_used(), 5);
    assert_eq!(next(&queue), Some(message(2, 300_000)));
    assert_eq!(queue.pages_used(), 0);
}

#[test]
fn who_waits_for_all_to_be_done_hears_of_a_death() {
    let queue = queue(0, 0);
    put(&queue, b"1");
    put(&queue, b"2");
    let other = theirs(&queue);
    assert!(next(&other).is_some() && next(&queue).is_some() && queue.done().unwrap());
    let waiting = theirs(&queue);
    let waiter = thread::spawn(move || wait(&mut waiting.joining(), late()).unwrap().unwrap());
    other.memory().leave_now();
    waiter.join().unwrap();
    assert_eq!((queue.open().unwrap(), queue.lost().unwrap()), (0, 1));
}

/// It changed the queue, and died before it woke anybody.
#[test]
fn who_waits_is_woken_when_the_one_dies_who_was_to_do_so() {
    let queue = queue(0, 0);
    let waiting = theirs(&queue);
    let waiter = thread::spawn(move || wait(&mut waiting.getting(), late()).unwrap().unwrap());
    while queue.words.items.0.0.load(Ordering::Relaxed) & 1 == 0 {
        thread::yield_now();
    }
    let other = theirs(&queue);
    let ends = other.ends().unwrap();
    other.words.enter_entry(ends.roster, ends.me);
    other.words.entry.state.store(CLOSED, Ordering::Release);
    other.memory().leave_now();
    assert!(waiter.join().unwrap().is_none());
}
