//! Queues in one process: its threads, and handles that leave as if their process had died. Real deaths are in
//! `tests/queue_torture.rs`.

use std::time::Duration;

use super::*;
use crate::locks::{Deadline, Left, LockMemory, wait};

mod deaths;
mod model;
mod returns;
mod steps;
mod waits;

fn soon() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_millis(2)))
}

/// Far beyond what anything takes.
fn late() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_secs(60)))
}

fn queue(items: u32, bytes: u64) -> Queue {
    let memory = LockMemory::create(2048).unwrap();
    Queue::create(&memory, Bounds { items, bytes, redeliver: false }).unwrap().unwrap()
}

/// One whose items come back.
fn kept(items: u32, bytes: u64) -> Queue {
    let memory = LockMemory::create(2048).unwrap();
    Queue::create(&memory, Bounds { items, bytes, redeliver: true }).unwrap().unwrap()
}

/// The same queue as another process has it.
fn theirs(queue: &Queue) -> Queue {
    let memory = LockMemory::open(queue.memory().fd().try_clone_to_owned().unwrap()).unwrap();
    Queue::at(&memory, queue.name()).unwrap().unwrap()
}

fn put(queue: &Queue, bytes: &[u8]) {
    assert_eq!(queue.offer(7, bytes).unwrap(), Offer::Done);
}

/// The next message, whichever way it lies; nothing if there is none.
fn next(queue: &Queue) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    match queue.take(&mut bytes).unwrap() {
        Taken::Message { kind: 7, parcel: None, .. } => Some(bytes),
        Taken::Message { kind: 7, parcel: Some(parcel), .. } => Some(content(&parcel)),
        Taken::Message { kind, .. } => panic!("another label: {kind}"),
        Taken::Empty | Taken::Closed => None,
    }
}

fn content(parcel: &Parcel) -> Vec<u8> {
    let mapped = parcel.map().unwrap();
    // SAFETY: so many bytes are mapped, and nobody writes to the snapshot.
    unsafe { std::slice::from_raw_parts(mapped.as_ptr(), mapped.len()) }.to_vec()
}

/// A message whose bytes tell its number and its length.
fn message(number: usize, len: usize) -> Vec<u8> {
    let byte = |at: usize| (number * 31 + at * 7 + (at >> 8)) as u8;
    if cfg!(miri) {
        // Byte by byte would take minutes.
        let mut bytes = vec![byte(1); len];
        (0..len).step_by(251).for_each(|at| bytes[at] = byte(at));
        return bytes;
    }
    (0..len).map(byte).collect()
}
