//! The claim ring against a model, one step at a time; and against wild writes. Threads are loom's and the torture test's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use proptest::prelude::*;

use super::*;
use crate::segment::Segment;

const WORKERS: u16 = 3;

struct Ring {
    segment: Arc<Segment>,
    slots: u64,
    producer: ClaimProducer,
    consumers: Vec<ClaimConsumer>,
}

impl Ring {
    fn new(slots: usize) -> Self {
        let segment = Arc::new(Segment::create("plait-test", 64 + slots * 256).unwrap().0);
        let place = || Place::slice(&segment, 64, slots);
        let producer = ClaimProducer::new(place());
        let consumers =
            (0..WORKERS).map(|me| ClaimConsumer::new(place(), Place::new(&segment, 0), WorkerId(me))).collect();
        Self { slots: slots as u64, producer, consumers, segment }
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
            let slots = self.slots as usize;
            let (place, hint) = (Place::slice(&self.segment, 64, slots), Place::new(&self.segment, 0));
            self.consumers[me as usize] = ClaimConsumer::new(place, hint, WorkerId(me));
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
    proptest::collection::vec(step, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

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
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is written anywhere into the ring: no panic, no endless walk, and recovered ids are ids that were pushed.
    #[test]
    fn wild_writes_lead_nowhere(wild in proptest::collection::vec((0..64 + 4 * 256_usize, any::<u8>()), 1..40)) {
        let mut ring = Ring::new(4);
        let bytes = Place::<[Byte]>::slice(&ring.segment, 0, 64 + 4 * 256);
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

#[repr(transparent)]
struct Byte(AtomicU8);

// SAFETY: an atomic.
unsafe impl Shareable for Byte {}
