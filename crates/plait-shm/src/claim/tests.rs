//! The claim ring against a model, one step at a time; and against wild writes. Threads are loom's and the torture test's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use proptest::prelude::*;

use super::*;
use crate::segment::Segment;

const WORKERS: u16 = 3;
const SLOT: usize = Slots::STATE_BYTES + Slots::TASK_BYTES;

struct Ring {
    segment: Arc<Segment>,
    slots: u64,
    producer: ClaimProducer,
    consumers: Vec<ClaimConsumer>,
}

impl Ring {
    fn new(slots: usize) -> Self {
        let segment = Arc::new(Segment::create("plait-test", 64 + slots * SLOT).unwrap().0);
        let producer = ClaimProducer::new(Self::all(&segment, slots), Place::new(&segment, 0));
        let consumer = |me| ClaimConsumer::new(Self::all(&segment, slots), Place::new(&segment, 0), WorkerId(me));
        let consumers = (0..WORKERS).map(consumer).collect();
        Self { slots: slots as u64, producer, consumers, segment }
    }

    fn all(segment: &Arc<Segment>, slots: usize) -> Slots {
        let tasks_at = 64 + slots * Slots::STATE_BYTES;
        Slots::new(Place::slice(segment, 64, slots), Place::slice(segment, tasks_at, slots))
    }

    fn claim(&mut self, me: u16) -> Option<(TaskId, Vec<u8>)> {
        let mut body = [0xee; INLINE];
        let mut told = None;
        let (task, len) = self.consumers[me as usize].claim(&mut body, |task| told = Some(task))?;
        assert_eq!(told, Some(task));
        Some((task, body[..len].to_vec()))
    }

    /// Claims, and is killed before the slot is freed.
    fn die_claiming(&mut self, me: u16) -> Option<TaskId> {
        let mut told = None;
        let mut body = [0; INLINE];
        let consumer = &mut self.consumers[me as usize];
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            consumer.claim(&mut body, |task| {
                told = Some(task);
                std::panic::resume_unwind(Box::new(()));
            })
        }));
        assert_eq!(died.is_err(), told.is_some());
        if told.is_some() {
            // A new process under the same id.
            let (all, hint) = (Self::all(&self.segment, self.slots as usize), Place::new(&self.segment, 0));
            self.consumers[me as usize] = ClaimConsumer::new(all, hint, WorkerId(me));
        }
        told
    }
}

fn body(n: u64) -> Vec<u8> {
    (0..n as usize * 37 % (INLINE + 1)).map(|i| (n as usize + i) as u8).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Push,
    Claim(u16),
    DieClaiming(u16),
    Recover(u16),
    Retract(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Push),
        6 => (0..WORKERS).prop_map(Step::Claim),
        1 => (0..WORKERS).prop_map(Step::DieClaiming),
        1 => (0..WORKERS).prop_map(Step::Recover),
        2 => any::<usize>().prop_map(Step::Retract),
    ];
    proptest::collection::vec(step, 1..if cfg!(miri) { 40 } else { 300 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]

    #[test]
    fn each_task_goes_one_way(slots in 1_u32..5, steps in steps()) {
        let slots = 1_usize << slots;
        let mut ring = Ring::new(slots);
        let mut pushed = 0_u64;
        let mut waiting: VecDeque<(u64, Position)> = VecDeque::new();
        let mut positions = Vec::new();
        // The tasks that stick in slots, by their worker.
        let mut stuck: Vec<Vec<TaskId>> = vec![Vec::new(); WORKERS as usize];
        for step in steps {
            match step {
                Step::Push => {
                    let free = ring.producer.free();
                    let data = body(pushed);
                    let (a, b) = data.split_at(data.len() / 3);
                    match ring.producer.push(TaskId::from_bits(pushed), &[a, b]) {
                        Ok(at) => {
                            prop_assert!(free > 0);
                            prop_assert!(!ring.producer.is_taken(at));
                            waiting.push_back((pushed, at));
                            positions.push(at);
                            pushed += 1;
                        }
                        Err(Full) => prop_assert_eq!(free, 0),
                    }
                }
                Step::Claim(me) => {
                    prop_assert_eq!(ring.consumers[me as usize].is_empty(), waiting.is_empty());
                    let expected = waiting.pop_front().map(|(n, at)| (at, (TaskId::from_bits(n), body(n))));
                    let claimed = ring.claim(me);
                    if let Some((at, _)) = &expected {
                        prop_assert!(ring.producer.is_taken(*at));
                    }
                    prop_assert_eq!(claimed, expected.map(|(_, task)| task));
                }
                Step::DieClaiming(me) => {
                    let expected = waiting.pop_front().map(|(n, _)| TaskId::from_bits(n));
                    prop_assert_eq!(ring.die_claiming(me), expected);
                    stuck[me as usize].extend(expected);
                }
                Step::Recover(me) => {
                    prop_assert_eq!(ring.producer.recover(WorkerId(me)), std::mem::take(&mut stuck[me as usize]));
                }
                Step::Retract(which) if !positions.is_empty() => {
                    let at = positions[which % positions.len()];
                    let place = waiting.iter().position(|(_, other)| *other == at);
                    prop_assert_eq!(ring.producer.retract(at), place.is_some());
                    if let Some(place) = place {
                        waiting.remove(place);
                    }
                }
                Step::Retract(_) => {}
            }
            prop_assert!(ring.producer.is_sound());
            let told = ring.producer.waiting();
            prop_assert!(told >= waiting.len());
            prop_assert!(!waiting.is_empty() || told == 0);
        }
    }
}

#[test]
fn a_slot_that_sticks_stops_pushes_until_it_is_recovered() {
    let mut ring = Ring::new(2);
    let push = |ring: &mut Ring, n| ring.producer.push(TaskId::from_bits(n), &[]);
    push(&mut ring, 1).unwrap();
    push(&mut ring, 2).unwrap();
    assert_eq!(ring.die_claiming(0), Some(TaskId::from_bits(1)));
    assert_eq!(ring.claim(1).unwrap().0, TaskId::from_bits(2));
    assert_eq!(push(&mut ring, 3), Err(Full));
    assert_eq!(ring.producer.recover(WorkerId(1)), []);
    assert_eq!(ring.producer.recover(WorkerId(0)), [TaskId::from_bits(1)]);
    assert_eq!(ring.producer.recover(WorkerId(u16::MAX)), []);
    assert_eq!(ring.producer.free(), 2);
    push(&mut ring, 3).unwrap();
}

#[test]
#[should_panic(expected = "a task's body has 225 bytes, its slot holds 224")]
fn bodies_have_a_limit() {
    let _ = Ring::new(2).producer.push(TaskId::from_bits(0), &[&[0; 200], &[0; 25]]);
}

#[test]
fn a_hint_that_went_back_costs_one_round_and_not_all() {
    let mut ring = Ring::new(8);
    for n in 0..1000 {
        ring.producer.push(TaskId::from_bits(n), &[]).unwrap();
        ring.claim(0).unwrap();
    }
    // Worker 1 was held up between its look at the hint and its store.
    ring.consumers[1].hint.store(3, Ordering::Relaxed);
    ring.producer.push(TaskId::from_bits(1000), &[]).unwrap();
    assert_eq!(ring.claim(2).unwrap().0, TaskId::from_bits(1000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]

    /// Whatever is written anywhere into the ring: no panic, no endless walk, and recovered ids are ids that were pushed.
    #[test]
    fn wild_writes_lead_nowhere(wild in proptest::collection::vec((0..64 + 4 * SLOT, any::<u8>()), 1..40)) {
        let mut ring = Ring::new(4);
        let bytes = Place::<[Byte]>::slice(&ring.segment, 0, 64 + 4 * SLOT);
        for round in 0..4_u64 {
            for (at, value) in wild.iter().skip(round as usize * 10).take(10) {
                bytes[*at].0.store(*value, Ordering::Relaxed);
            }
            for n in 0..3 {
                let _ = ring.producer.push(TaskId::from_bits(round << 8 | n), &[&[7; 100]]);
            }
            let (waiting, free) = (ring.producer.waiting(), ring.producer.free());
            prop_assert!(waiting <= ring.producer.tail as usize && free <= 4);
            for me in 0..WORKERS {
                let _ = ring.claim(me);
                for task in ring.producer.recover(WorkerId(me)) {
                    prop_assert!(task.bits() & 0xff < 3 && task.bits() >> 8 <= round);
                }
            }
        }
    }
}

/// A ring of four: one slot was freed, one is taken, one waits, one was never pushed.
fn in_every_state() -> Ring {
    let mut ring = Ring::new(4);
    for n in 0..3 {
        ring.producer.push(TaskId::from_bits(n), &[]).unwrap();
    }
    ring.claim(0).unwrap();
    ring.die_claiming(1).unwrap();
    ring
}

#[test]
fn a_word_that_was_written_over_is_noticed() {
    let words = |ring: &Ring| Place::<[AtomicU64]>::slice(&ring.segment, 0, (64 + 4 * Slots::STATE_BYTES) / 8);
    for slot in 0..4 {
        for wild in [0, u64::MAX, 1, 2, 1 << 63, 0x0101_0101_0101_0101, 64 << 8, 64 << 8 | READY] {
            let ring = in_every_state();
            assert!(ring.producer.is_sound());
            let same = words(&ring)[8 + slot * 8].swap(wild, Ordering::Relaxed) == wild;
            assert_eq!(ring.producer.is_sound(), same, "{wild:x} in the word of slot {slot}");
        }
    }
    let ring = in_every_state();
    for (hint, fine) in [(0, true), (2, true), (3, false), (4, false), (u64::MAX, false)] {
        ring.producer.hint.store(hint, Ordering::Relaxed);
        assert_eq!(ring.producer.is_sound(), fine, "a hint of {hint}, where the task at 2 waits");
    }
}

#[test]
fn a_task_is_copied_when_its_slot_was_freed() {
    let mut ring = Ring::new(2);
    let at = ring.producer.push(TaskId::from_bits(7), &[]).unwrap();
    assert!(!ring.producer.is_copied(at));
    ring.die_claiming(0).unwrap();
    assert!(!ring.producer.is_copied(at) && ring.producer.is_taken(at));
    ring.producer.recover(WorkerId(0));
    assert!(ring.producer.is_copied(at));
}

#[repr(transparent)]
struct Byte(AtomicU8);

// SAFETY: an atomic.
unsafe impl Shareable for Byte {}
