//! Wild writes into whole segments, and then all that the other side reads of them.
//!
//! An input is a list of writes: two bytes that say where, eight that are written there. Not for Miri: to it the padding between the words is
//! part of what only readers share, so that nobody may write there.

use std::time::Duration;

use plait_trace::fuzz::fuzz;
use plait_trace::{TaskId, WorkerId};

use crate::claim::INLINE;
use crate::sync::{AtomicU64, Ordering, Place};
use crate::{Block, PoolMemory, Region, Segment, WorkerMemory};

const HOME: &str = env!("CARGO_MANIFEST_DIR");
const WRITE: usize = 10;

/// Does the writes of `input` to the words at `places`, of which each is an offset and a count.
fn scribble(segment: &std::sync::Arc<Segment>, input: &[u8], places: &[(usize, usize)]) {
    let words = Place::<[AtomicU64]>::slice(segment, 0, segment.len() / 8);
    let total: usize = places.iter().map(|(_, count)| count).sum();
    for write in input.chunks_exact(WRITE) {
        let mut at = usize::from(u16::from_le_bytes([write[0], write[1]])) % total;
        for (offset, count) in places {
            if at < *count {
                let value = write[2..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                words[offset / 8 + at].store(value, Ordering::Relaxed);
                break;
            }
            at -= count;
        }
    }
}

/// Writes, as an input tells them.
fn writes(list: &[(u16, u64)]) -> Vec<u8> {
    list.iter().flat_map(|(at, value)| [&at.to_le_bytes()[..], &value.to_le_bytes()].concat()).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let whole = |value: u64| writes(&(0..600).map(|at| (at, value)).collect::<Vec<_>>());
    let few = [(0, 0), (8, u64::MAX), (16, 1), (24, 3), (32, 1 << 63), (40, 8), (48, 0xff), (56, 7), (64, 5)];
    vec![whole(0), whole(u64::MAX), writes(&few), writes(&[(3, 9)])]
}

#[test]
#[cfg_attr(miri, ignore = "padding")]
fn fuzz_worker_memory() {
    let regions = [(0, 1 << 20), (1 << 20, 1 << 20)].map(|(offset, len)| Region { offset, len });
    fuzz("worker_memory", HOME, &seeds(), |input| {
        let (parent, mut control, mut results, fd) = WorkerMemory::create(4096, 4096, regions).unwrap();
        let segment = std::sync::Arc::new(Segment::open(&fd).unwrap());
        let again = fd.try_clone().unwrap();
        let (worker, mut orders, mut answers) = WorkerMemory::open(fd).unwrap();
        let (mut notes, mut replies) = parent.side().unwrap();
        let (_, mut note) = worker.side().unwrap();
        worker.status().begin(TaskId::new(1, 1), 5);
        worker.status().set_draft(Block { offset: 64, len: 8 });
        worker.status().set_progress(2, 5);
        worker.tail().write(&[b'x'; 5000]);
        for len in [1, 300, 40] {
            answers.write(&[&vec![7; len]]).unwrap();
            note.write(&[&vec![8; len]]).unwrap();
            control.write(&[&vec![9; len]]).unwrap();
        }
        // The words of all parts, then the beginnings of the rings.
        let rings = segment.len() - (2 << 20) - (32 << 10) - 8192;
        scribble(&segment, input, &[(0, rings / 8), (rings, 60), (rings + 4096, 60), (rings + 8192, 60)]);

        for reader in [&mut results, &mut notes, &mut orders] {
            let (mut records, mut bytes) = (0, 0);
            while let Ok(Some(len)) = reader.read(<[u8]>::len) {
                (records, bytes) = (records + 1, bytes + len);
            }
            assert!(records <= 1 << 17 && bytes <= 1 << 20, "no more than the ring holds");
            let _ = reader.is_empty();
        }
        for writer in [&mut control, &mut replies] {
            let _ = (writer.write(&[&[1; 100]]), writer.used(), writer.wait_space(Some(Duration::ZERO)));
        }
        let status = parent.status();
        let _ = (status.current(), status.progress(), status.tasks_ended(), status.growth(), status.leaves());
        let _ = (status.is_doomed(), status.doom(TaskId::new(1, 1)), parent.is_sound());
        assert!(parent.tail().read().len() <= 4096 && parent.dump().len() <= 3 * (32 << 10));
        parent.replied().ring();
        let _ = WorkerMemory::open(again).is_ok();
    });
}

#[test]
#[cfg_attr(miri, ignore = "padding")]
fn fuzz_pool_memory() {
    const SLOTS: u64 = 4;
    fuzz("pool_memory", HOME, &seeds(), |input| {
        let (parent, mut producer) = PoolMemory::create(SLOTS as u32).unwrap();
        let segment = std::sync::Arc::new(Segment::open(parent.fd()).unwrap());
        let open = |me| PoolMemory::open(parent.fd().try_clone_to_owned().unwrap(), WorkerId(me));
        let (worker, mut consumer) = open(3).unwrap();
        let mut body = [0; INLINE];
        let mut push = |n: u64| producer.push(TaskId::from_bits(n), &[&[n as u8; 20]]);
        let positions = [1, 2, 3].map(|n| push(n).unwrap());
        consumer.claim(&mut body, |_| ()).unwrap();
        assert!(producer.is_sound() && parent.is_sound());
        let states = segment.len() - (64 << 10) - SLOTS as usize * 256;
        scribble(&segment, input, &[(0, 2200), (states.next_multiple_of(64 << 10), 8 * SLOTS as usize)]);

        let _ = (producer.is_sound(), parent.is_sound(), parent.spin(), parent.is_awaited());
        for n in 4..8 {
            let _ = producer.push(TaskId::from_bits(n), &[&[n as u8; 20]]);
            assert!(producer.free() as u64 <= SLOTS && producer.waiting() as u64 <= n);
        }
        for at in positions {
            let _ = (producer.is_taken(at), producer.is_copied(at), producer.retract(at));
        }
        for me in [0, 3, 239] {
            assert!(producer.recover(WorkerId(me)).iter().all(|task| (1..8).contains(&task.bits())));
            parent.wake(WorkerId(me));
            parent.leave_seat(WorkerId(me));
        }
        let _ = (parent.wake_idle(), parent.wake_sleeper(), parent.parked());
        parent.rouse();
        parent.bell().ring();
        // What a worker claims is a task that was pushed, or none: it cannot write what it reads.
        while let Some((task, len)) = consumer.claim(&mut body, |_| ()) {
            assert!(task.bits() < 8 && len <= 20);
        }
        worker.park(WorkerId(3), || true, Some(Duration::ZERO));
        let _ = open(5).is_ok();
    });
}
