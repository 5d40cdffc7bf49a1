//! What the dead had taken, and not said to be done, comes back.

use std::thread;

use super::*;
use crate::queue::kept::{HELD, TAKEN};
use crate::queue::parcel::Taker;
use crate::queue::position::Position;
use crate::queue::ring::Label;
use crate::sync::Ordering;

/// The next message and how often it came back; it is forgotten at once, as by a taker that dies with it.
fn again(queue: &Queue) -> Option<(Vec<u8>, u32)> {
    let mut bytes = Vec::new();
    match queue.take(&mut bytes).unwrap() {
        Taken::Message { parcel: None, times, .. } => Some((bytes, times)),
        Taken::Message { parcel: Some(parcel), times, .. } => {
            let content = content(&parcel);
            std::mem::forget(parcel);
            Some((content, times))
        }
        Taken::Empty | Taken::Closed => None,
    }
}

#[test]
fn what_the_dead_had_taken_comes_back_before_all_others() {
    let queue = kept(0, 0);
    let texts = [0, 5, 16_000, 20_000, 200_000].map(|len| message(len, len));
    for text in &texts {
        put(&queue, text);
    }
    for times in 0..3 {
        let other = theirs(&queue);
        // Not the last one.
        for text in &texts[..4] {
            assert_eq!(again(&other), Some((text.clone(), times)));
        }
        assert_eq!((queue.len(), queue.weight().unwrap(), queue.open().unwrap()), (1, 200_000, 5));
        other.memory().leave_now();
        assert_eq!((queue.len(), queue.weight().unwrap(), queue.open().unwrap()), (5, 236_005, 5));
    }
    for text in &texts {
        let times = if text.len() < 200_000 { 3 } else { 0 };
        assert_eq!(again(&queue), Some((text.clone(), times)));
        assert!(queue.done().unwrap());
    }
    assert_eq!((queue.open().unwrap(), queue.lost().unwrap(), queue.done().unwrap()), (0, 0, false));
}

#[test]
fn what_was_done_does_not_come_back_and_leaves_no_memory() {
    let queue = kept(0, 0);
    let other = theirs(&queue);
    for len in [9, 70_000, 9, 70_000] {
        put(&queue, &message(1, len));
    }
    assert!(next(&other).is_some() && next(&other).is_some());
    assert_eq!(queue.pages_used(), 1 + 2 + 2, "what was looked at stays until it is done");
    assert!(other.done().unwrap() && other.done().unwrap());
    assert_eq!(queue.pages_used(), 2);
    let mut bytes = Vec::new();
    assert!(again(&other).is_some());
    let Taken::Message { parcel: Some(parcel), .. } = other.take(&mut bytes).unwrap() else { panic!() };
    assert!(other.done().unwrap() && other.done().unwrap());
    assert_eq!(content(&parcel), message(1, 70_000), "and what is done stays while it is looked at");
    assert_eq!(queue.pages_used(), 2);
    drop(parcel);
    assert_eq!(queue.pages_used(), 0);
    other.memory().leave_now();
    assert!(next(&queue).is_none() && !queue.done().unwrap());
}

#[test]
fn done_is_said_of_what_the_thread_took() {
    let queue = kept(0, 0);
    put(&queue, b"of the other");
    put(&queue, b"of this one");
    let other = theirs(&queue);
    let same = other.clone();
    thread::spawn(move || assert_eq!(again(&same), Some((b"of the other".to_vec(), 0)))).join().unwrap();
    assert!(again(&other).is_some() && other.done().unwrap());
    other.memory().leave_now();
    assert_eq!(again(&queue), Some((b"of the other".to_vec(), 1)));
    // Nobody but this process has taken anything: another may say it.
    assert!(theirs(&queue).done().unwrap());
    assert_eq!((queue.open().unwrap(), queue.pages_used()), (0, 0));
}

#[test]
fn what_came_back_counts_for_the_bounds() {
    for queue in [kept(2, 0), kept(0, 10)] {
        put(&queue, b"five1");
        put(&queue, b"five2");
        let other = theirs(&queue);
        assert!(again(&other).is_some());
        put(&queue, b"five3");
        other.memory().leave_now();
        assert_eq!(queue.len(), 3);
        assert!(queue.is_full().unwrap());
        assert!(again(&queue).is_some_and(|(text, _)| text == b"five1"));
        assert_eq!(queue.offer(7, b"five4").unwrap(), Offer::Full);
        assert!(again(&queue).is_some());
        put(&queue, b"five4");
    }
}

#[test]
fn who_waits_gets_what_comes_back() {
    for len in [7, 100_000] {
        let queue = kept(0, 0);
        put(&queue, &message(1, len));
        let other = theirs(&queue);
        assert!(again(&other).is_some());
        let waiting = theirs(&queue);
        let waiter = thread::spawn(move || wait(&mut waiting.getting(), late()).unwrap().unwrap().unwrap().times);
        while queue.words.items.0.0.load(Ordering::Relaxed) & 1 == 0 {
            thread::yield_now();
        }
        other.memory().leave_now();
        assert_eq!(waiter.join().unwrap(), 1);
    }
}

#[test]
fn what_is_shut_gives_back_what_comes_back_unless_it_is_dropped() {
    for drop_all in [false, true] {
        let queue = kept(0, 0);
        for len in [1, 100_000, 2] {
            put(&queue, &message(len, len));
        }
        let (first, second) = (theirs(&queue), theirs(&queue));
        assert!(again(&first).is_some() && again(&second).is_some());
        first.memory().leave_now();
        assert_eq!(queue.len(), 2);
        queue.close(drop_all).unwrap();
        second.memory().leave_now();
        assert_eq!(queue.len(), if drop_all { 0 } else { 3 });
        let rest: Vec<_> = std::iter::from_fn(|| next(&queue)).map(|text| text.len()).collect();
        assert_eq!(rest, if drop_all { vec![] } else { vec![1, 100_000, 2] });
        assert_eq!(queue.open().unwrap(), rest.len() as u32);
        assert_eq!(queue.lost().unwrap(), u32::from(drop_all), "what was taken when the others were dropped");
        assert!(rest.iter().all(|_| queue.done().unwrap()) && !queue.done().unwrap());
        assert!(matches!(queue.take(&mut Vec::new()).unwrap(), Taken::Closed));
    }
}

/// It dies with the exit's guard, while it takes an item, after the journal was written and so many stores.
#[test]
fn who_dies_while_it_takes_has_taken_nothing_or_gives_it_back() {
    for stores in 0..8 {
        let queue = kept(0, 0);
        for bytes in [b"first", b"other"] {
            put(&queue, bytes);
        }
        let other = theirs(&queue);
        let ends = other.ends().unwrap();
        ends.enter_exit();
        let head = Position(other.words.head.load(Ordering::Relaxed));
        let taker = Taker { heap: other.heap(), me: ends.me, thread: 1 };
        let label = Label { kind: 7, is_block: false };
        let fresh = crate::queue::kept::Fresh { label, body: b"first", reference: None, at: head };
        let page = crate::queue::kept::Store::take_over(&taker, fresh).unwrap().unwrap();
        let mut change = ends.mine();
        change.ledger += 1;
        change.got += 5;
        change.head = head.behind(1);
        change.mark(page, other.heap().kept()[page as usize].mark());
        other.words.die_committing(change, stores);
        other.memory().leave_now();
        // If the journal was begun, whoever comes next ends it.
        let times = u32::from(stores >= 1);
        assert_eq!(again(&queue), Some((b"first".to_vec(), times)), "after {stores} stores");
        assert_eq!(again(&queue), Some((b"other".to_vec(), 0)), "after {stores} stores");
        assert_eq!((again(&queue), queue.weight().unwrap()), (None, 0), "after {stores} stores");
        assert!(queue.done().unwrap() && queue.done().unwrap() && !queue.done().unwrap());
        // What it had begun is swept by whoever allocates next.
        queue.memory().settle().unwrap();
        drop(queue.pack(7, 1, std::iter::empty()).unwrap());
        assert_eq!(queue.pages_used(), 0, "after {stores} stores");
    }
}

/// It dies after the guard's death was seen, when some of what it had taken was marked as having come back.
#[test]
fn who_dies_while_it_gives_back_leaves_the_rest_to_the_next() {
    let queue = kept(0, 0);
    for bytes in [b"1", b"2", b"3"] {
        put(&queue, bytes);
    }
    let (taker, giver) = (theirs(&queue), theirs(&queue));
    assert!((0..3).all(|_| again(&taker).is_some()));
    taker.memory().leave_now();
    let ends = giver.ends().unwrap();
    ends.enter_exit();
    let docket = &giver.heap().kept()[1];
    assert_eq!(docket.state.load(Ordering::Relaxed) & (TAKEN | HELD), TAKEN);
    docket.state.store(crate::queue::kept::BACK | crate::queue::kept::TIMES, Ordering::Relaxed);
    giver.memory().leave_now();
    assert_eq!(queue.len(), 3);
    for bytes in [b"1", b"2", b"3"] {
        assert_eq!(again(&queue), Some((bytes.to_vec(), 1)));
    }
}
