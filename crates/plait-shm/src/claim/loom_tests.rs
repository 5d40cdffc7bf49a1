//! The claim ring in every interleaving: small rings, so that slots are used again within few steps.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::{model, model_of};

fn ring(slots: u64, workers: u16) -> (ClaimProducer, Vec<ClaimConsumer>) {
    let slots = Slots::ring(slots);
    let hint: Arc<ClaimedUpTo> = Arc::new(Line(AtomicU64::new(0)));
    let consumer = |me| ClaimConsumer::new(slots.clone(), Arc::clone(&hint).into(), WorkerId(me));
    (ClaimProducer::new(slots.clone(), Arc::clone(&hint).into()), (0..workers).map(consumer).collect())
}

fn push(producer: &mut ClaimProducer, n: u64) -> Option<Position> {
    producer.push(TaskId::from_bits(n), &[&n.to_le_bytes()]).ok()
}

/// The task's number, which its body must tell too.
fn claim(consumer: &mut ClaimConsumer) -> Option<u64> {
    let mut body = [0; INLINE];
    let (task, len) = consumer.claim(&mut body, |_| ())?;
    assert_eq!(body[..len], task.bits().to_le_bytes());
    Some(task.bits())
}

/// Two workers race for three tasks in two slots; the third push reuses the slot that one of them frees.
#[test]
fn each_task_is_claimed_once_and_whole() {
    model_of(2, || {
        let (mut producer, consumers) = ring(2, 2);
        push(&mut producer, 1).unwrap();
        let workers: Vec<_> = consumers
            .into_iter()
            .map(|mut consumer| thread::spawn(move || (claim(&mut consumer), claim(&mut consumer), consumer)))
            .collect();
        push(&mut producer, 2).unwrap();
        let third = push(&mut producer, 3);
        let mut claimed = Vec::new();
        let mut last = None;
        for worker in workers {
            let (first, second, consumer) = worker.join().unwrap();
            claimed.extend([first, second].into_iter().flatten());
            last = Some(consumer);
        }
        let mut last = last.unwrap();
        claimed.extend(std::iter::from_fn(|| claim(&mut last)));
        claimed.sort_unstable();
        let pushed: &[u64] = if third.is_some() { &[1, 2, 3] } else { &[1, 2] };
        assert_eq!(claimed, pushed);
    });
}

#[test]
fn a_task_is_retracted_or_claimed() {
    model(|| {
        let (mut producer, mut consumers) = ring(2, 1);
        let at = push(&mut producer, 1).unwrap();
        let mut consumer = consumers.remove(0);
        let worker = thread::spawn(move || (claim(&mut consumer), consumer));
        let retracted = producer.retract(at);
        // The slot is used again at once, also while the worker looks at it.
        push(&mut producer, 2).unwrap();
        push(&mut producer, 3);
        let (claimed, mut consumer) = worker.join().unwrap();
        let claimed: Vec<_> = claimed.into_iter().chain(std::iter::from_fn(|| claim(&mut consumer))).collect();
        assert_eq!(claimed.contains(&1), !retracted);
        assert!(claimed.contains(&2));
    });
}

/// What `on_claim` wrote is seen by a parent that sees the slot free again; and the slot's bytes are the parent's again.
///
/// The worker runs in the model's first thread: loom overlooks races with a thread that loads a word before it stores it.
#[test]
fn the_slot_is_free_after_the_claim_was_noted() {
    model(|| {
        let (mut producer, mut consumers) = ring(2, 1);
        push(&mut producer, 1).unwrap();
        let noted = Arc::new(AtomicU64::new(0));
        let note = Arc::clone(&noted);
        let parent = thread::spawn(move || {
            if producer.free() == 2 {
                assert_eq!(noted.load(Ordering::Relaxed), 1);
                push(&mut producer, 2).unwrap();
                push(&mut producer, 3).unwrap();
            }
        });
        let mut body = [0; INLINE];
        consumers[0].claim(&mut body, |task| note.store(task.bits(), Ordering::Relaxed));
        parent.join().unwrap();
    });
}
