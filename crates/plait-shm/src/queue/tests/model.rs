//! Any sequence of steps, by three processes, beside a `VecDeque`.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    Take,
    Done,
    Look,
    Close(bool),
    /// The process dies, and another comes.
    Die,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop_oneof![0..40_usize, 1000..1100_usize, 60_000..140_000_usize].prop_map(Step::Put),
        8 => Just(Step::Take),
        3 => Just(Step::Done),
        2 => Just(Step::Look),
        1 => Just(Step::Die),
        1 => any::<bool>().prop_map(Step::Close),
    ]
}

#[derive(Default)]
struct Model {
    /// Each with its number: what comes back is before all that came later.
    items: VecDeque<(usize, Vec<u8>)>,
    open: usize,
    closed: bool,
    lost: usize,
    /// Taken and not done, by each process.
    held: [Vec<(usize, Vec<u8>)>; 3],
    dropped: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 60 }, ..ProptestConfig::default() })]
    #[test]
    fn it_is_a_queue(
        items in 0..6_u32,
        bytes in prop_oneof![Just(0_u64), 100..200_000_u64],
        redeliver: bool,
        steps in prop::collection::vec((0..3_usize, step()), 1..if cfg!(miri) { 20 } else { 120 }),
    ) {
        let memory = LockMemory::create(2048).unwrap();
        let first = Queue::create(&memory, Bounds { items, bytes, redeliver }).unwrap().unwrap();
        let mut sides = [theirs(&first), theirs(&first), theirs(&first)];
        let mut model = Model::default();
        for (number, (who, step)) in steps.into_iter().enumerate() {
            let side = &sides[who];
            match step {
                Step::Put(len) => {
                    let text = message(number, len);
                    let weight: usize = model.items.iter().map(|item| item.1.len()).sum();
                    // A parcel has a byte at least.
                    let over = bytes != 0 && !model.items.is_empty() && (weight + len) as u64 > bytes;
                    let expected = if model.closed {
                        Offer::Closed
                    } else if over || (items != 0 && model.items.len() >= items as usize) {
                        Offer::Full
                    } else {
                        model.items.push_back((number, text.clone()));
                        model.open += 1;
                        Offer::Done
                    };
                    prop_assert_eq!(side.offer(7, &text).unwrap(), expected);
                }
                Step::Take => {
                    let expected = model.items.pop_front();
                    model.held[who].extend(expected.clone());
                    prop_assert!(next(side) == expected.map(|item| item.1));
                }
                Step::Done => {
                    let is_open = model.open > 0;
                    if is_open && model.held[who].is_empty() && model.held.iter().any(|held| !held.is_empty()) {
                        // Which other's it is counted as is not told; seats are in the order of coming, so ask only for one's own.
                        continue;
                    }
                    if is_open {
                        model.open -= 1;
                        let oldest = (0..model.held[who].len()).min_by_key(|at| model.held[who][*at].0);
                        oldest.map(|at| model.held[who].remove(at));
                    }
                    prop_assert_eq!(side.done().unwrap(), is_open);
                }
                Step::Look => {
                    let weight: usize = model.items.iter().map(|item| item.1.len()).sum();
                    prop_assert_eq!(side.len(), model.items.len());
                    prop_assert_eq!(side.weight().unwrap(), weight as u64);
                    prop_assert_eq!(side.open().unwrap() as usize, model.open);
                    prop_assert_eq!(side.lost().unwrap() as usize, model.lost);
                    prop_assert_eq!(side.is_closed().unwrap(), model.closed);
                }
                Step::Close(drop_all) => {
                    side.close(drop_all).unwrap();
                    model.closed = true;
                    if drop_all {
                        model.open = model.open.saturating_sub(model.items.len());
                        model.items.clear();
                        model.dropped = true;
                    }
                }
                Step::Die => {
                    sides[who].memory().leave_now();
                    sides[who] = theirs(&first);
                    // What was said to be done before it was taken is counted when somebody looks.
                    let _ = first.lost().unwrap();
                    let held = std::mem::take(&mut model.held[who]);
                    if redeliver && !model.dropped {
                        model.items.extend(held);
                        model.items.make_contiguous().sort_by_key(|item| item.0);
                    } else {
                        let lost = held.len().min(model.open);
                        model.lost += lost;
                        model.open -= lost;
                    }
                }
            }
        }
    }
}
