use std::thread;

use super::*;

fn get(queue: &Queue, deadline: Option<Deadline>) -> Result<Option<Item>, Left> {
    wait(&mut queue.getting(), deadline).map(|item| item.unwrap())
}

#[test]
fn who_waits_gets_what_comes() {
    let queue = queue(1, 0);
    assert!(matches!(get(&queue, soon()), Err(Left::TimedOut)));
    let other = theirs(&queue);
    let waiter = thread::spawn(move || get(&other, late()).unwrap().unwrap());
    put(&queue, b"here");
    assert_eq!(waiter.join().unwrap().bytes, b"here");
    put(&queue, b"1");
    let full = Message::Bytes { kind: 7, bytes: b"2".to_vec() };
    assert!(matches!(wait(&mut queue.putting(full), soon()), Err(Left::TimedOut)));
    let other = theirs(&queue);
    let waiter = thread::spawn(move || {
        let parcel = other.pack(7, 100_000, [message(2, 100_000).as_slice()].into_iter()).unwrap();
        wait(&mut other.putting(Message::Parcel(parcel)), late()).unwrap().unwrap()
    });
    assert_eq!(get(&queue, late()).unwrap().unwrap().bytes, b"1");
    assert!(waiter.join().unwrap());
    let last = get(&queue, late()).unwrap().unwrap();
    assert_eq!(content(last.parcel.as_ref().unwrap()), message(2, 100_000));
}

/// Items of one producer.
const EACH: u32 = if cfg!(miri) { 20 } else { 2000 };

#[test]
fn many_of_both_sides_lose_and_double_nothing() {
    for bytes in [0, 40] {
        let queue = queue(3, bytes);
        let producers: Vec<_> = (0..3_u32)
            .map(|who| {
                let queue = theirs(&queue);
                thread::spawn(move || {
                    for number in 0..EACH {
                        let message = Message::Bytes { kind: 7, bytes: [who, number].map(u32::to_le_bytes).concat() };
                        assert!(wait(&mut queue.putting(message), late()).unwrap().unwrap());
                    }
                })
            })
            .collect();
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                let queue = theirs(&queue);
                thread::spawn(move || {
                    let mut got = Vec::new();
                    while let Some(item) = get(&queue, late()).unwrap() {
                        got.push(item.bytes);
                        assert!(queue.done().unwrap());
                    }
                    got
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        wait(&mut queue.joining(), late()).unwrap().unwrap();
        queue.close(false).unwrap();
        let all: Vec<Vec<Vec<u8>>> = consumers.into_iter().map(|consumer| consumer.join().unwrap()).collect();
        for got in &all {
            for who in 0..3_u32 {
                let numbers = got.iter().filter(|bytes| bytes[..4] == who.to_le_bytes());
                let numbers: Vec<u32> = numbers.map(|b| u32::from_le_bytes(b[4..].try_into().unwrap())).collect();
                assert!(numbers.is_sorted(), "each sees another's in order");
            }
        }
        let mut all = all.concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3 * EACH as usize);
    }
}

#[test]
fn all_who_wait_are_told_of_the_end() {
    let (empty, full) = (queue(0, 0), queue(1, 0));
    put(&full, b"1");
    let waiters: Vec<_> = (0..4)
        .map(|who| {
            let (empty, full) = (theirs(&empty), theirs(&full));
            thread::spawn(move || match who % 2 {
                0 => assert!(get(&empty, late()).unwrap().is_none()),
                _ => {
                    let message = Message::Bytes { kind: 7, bytes: vec![] };
                    assert!(!wait(&mut full.putting(message), late()).unwrap().unwrap());
                }
            })
        })
        .collect();
    empty.close(false).unwrap();
    full.close(false).unwrap();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

/// One that gives up may have been the one that was woken.
#[test]
fn who_leaves_passes_its_wake_up_on() {
    let queue = queue(0, 0);
    let hasty: Vec<_> = (0..2)
        .map(|_| {
            let queue = theirs(&queue);
            thread::spawn(move || while get(&queue, soon()).is_err() {})
        })
        .collect();
    let patient = theirs(&queue);
    let patient = thread::spawn(move || get(&patient, late()).unwrap().unwrap());
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(3));
        put(&queue, b"one");
    }
    assert_eq!(patient.join().unwrap().bytes, b"one");
    hasty.into_iter().for_each(|waiter| waiter.join().unwrap());
}
