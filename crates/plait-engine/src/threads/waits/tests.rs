//! Tests of who lends its place: small tables, and whole lives of pools with chances drawn from a seed.

use super::Change::{Lend, TakeBack};
use super::*;

type Table = Waits<&'static str, char>;

fn one(name: char) -> Pool<char> {
    Pool { name, places: 1 }
}

fn quiet(waited: &Waited) -> bool {
    waited.changes.is_empty()
}

#[test]
fn who_waits_for_its_own_pool_lends_its_place_once() {
    let mut waits = Table::default();
    let first = waits.on_wait(1, ("outer", one('P')), ("a", 'P'));
    assert_eq!(first, Waited { is_new: true, comes_first: true, changes: vec![Lend(1)] });
    assert!(quiet(&waits.on_wait(1, ("outer", one('P')), ("b", 'P'))));
    let again = waits.on_wait(1, ("outer", one('P')), ("b", 'P'));
    assert_eq!(again, Waited { is_new: false, comes_first: true, changes: vec![] });
    assert_eq!(waits.on_end("a"), []);
    assert_eq!(waits.on_end("b"), [TakeBack(1)]);
    assert_eq!(waits.on_left(1), []);
}

#[test]
fn who_waits_for_another_pool_keeps_its_place() {
    let mut waits = Table::default();
    let waited = waits.on_wait(1, ("outer", one('P')), ("a", 'Q'));
    assert_eq!(waited, Waited { is_new: true, comes_first: false, changes: vec![] });
    assert_eq!(waits.on_end("a"), []);
}

#[test]
fn two_pools_that_wait_for_each_other_in_either_order() {
    let mut waits = Table::default();
    assert!(quiet(&waits.on_wait(1, ("p", one('P')), ("q", 'Q'))));
    assert_eq!(waits.on_wait(2, ("q", one('Q')), ("p2", 'P')).changes, [Lend(1)]);
    assert_eq!(waits.on_wait(3, ("p2", one('P')), ("q2", 'Q')).changes, [Lend(2)]);
    assert_eq!(waits.on_end("q2"), [TakeBack(2)]);
    assert_eq!(waits.on_end("p2"), [TakeBack(1)]);

    let mut waits = Table::default();
    assert!(quiet(&waits.on_wait(2, ("q", one('Q')), ("p2", 'P'))));
    let waited = waits.on_wait(1, ("p", one('P')), ("q", 'Q'));
    assert_eq!((waited.comes_first, waited.changes), (false, vec![Lend(1)]));
    assert_eq!(waits.on_left(2), [TakeBack(1)], "its call has ended, whatever it had asked for");
}

#[test]
fn who_only_stands_between_keeps_its_place() {
    let mut waits = Table::default();
    assert!(quiet(&waits.on_wait(1, ("p", one('P')), ("q", 'Q'))));
    assert!(quiet(&waits.on_wait(2, ("q", one('Q')), ("r", 'R'))));
    assert_eq!(waits.on_wait(3, ("r", one('R')), ("p2", 'P')).changes, [Lend(1)]);
    // A stranger to that chain waits for the same pool, and nobody waits for it.
    assert!(quiet(&waits.on_wait(4, ("s", one('S')), ("p3", 'P'))));
    assert_eq!(waits.on_given_up(3, "p2"), [TakeBack(1)]);
    assert_eq!(waits.on_given_up(9, "p2"), []);
}

#[test]
fn calls_that_were_handed_round_in_a_circle_are_looked_at_once() {
    let mut waits = Table::default();
    assert!(quiet(&waits.on_wait(1, ("p", one('P')), ("q", 'Q'))));
    assert_eq!(waits.on_wait(2, ("q", one('Q')), ("p", 'P')).changes, [Lend(1), Lend(2)]);
    assert_eq!(waits.on_left(1), [TakeBack(1), TakeBack(2)]);
    assert_eq!(waits.on_left(2), []);
}

#[test]
fn two_pools_whose_only_threads_wait_for_what_the_other_has_in_its_queue() {
    let mut waits = Table::default();
    assert!(quiet(&waits.on_wait(1, ("p", one('P')), ("queued in q", 'Q'))));
    let waited = waits.on_wait(2, ("q", one('Q')), ("queued in p", 'P'));
    assert_eq!((waited.comes_first, waited.changes), (true, vec![Lend(1)]), "one of them is enough");
    assert_eq!(waits.on_end("queued in p"), [TakeBack(1)]);
}

#[test]
fn a_pool_with_a_thread_that_does_not_wait_will_come_to_all_in_its_queue() {
    let (mut waits, two) = (Table::default(), Pool { name: 'Q', places: 2 });
    assert!(quiet(&waits.on_wait(1, ("p", one('P')), ("queued in q", 'Q'))));
    assert!(quiet(&waits.on_wait(2, ("q", two), ("queued in p", 'P'))));
    assert_eq!(waits.on_wait(3, ("other q", two), ("queued in p, too", 'P')).changes, [Lend(1)]);
    assert_eq!(waits.on_end("queued in p, too"), [TakeBack(1)]);
}

#[test]
fn a_stranger_may_take_the_place_that_was_lent_and_wait() {
    let mut waits = Table::default();
    assert!(quiet(&waits.on_wait(1, ("p", one('P')), ("q", 'Q'))));
    assert_eq!(waits.on_wait(2, ("q", one('Q')), ("p2", 'P')).changes, [Lend(1)]);
    assert_eq!(waits.on_wait(3, ("stranger", one('P')), ("queued in q", 'Q')).changes, [Lend(2)]);
}

/// Pools whose calls submit to any pool and wait for some of that, until nothing can go on: then nothing waits.
#[test]
fn whatever_waits_for_whatever_something_goes_on() {
    for seed in 0..if cfg!(miri) { 1 } else { 1000_u64 } {
        let mut life = Life::new(seed);
        while life.step() {}
        assert!(life.queues.iter().all(Vec::is_empty) && life.running.is_empty(), "seed {seed}: {life:?}");
    }
}

#[derive(Debug)]
struct Life {
    chance: u64,
    places: Vec<usize>,
    lent: Vec<usize>,
    waits: Waits<usize, usize>,
    queues: Vec<Vec<usize>>,
    running: Vec<Call>,
    /// The pool of each call that was ever made.
    made: Vec<usize>,
    ended: HashSet<usize>,
}

#[derive(Debug)]
struct Call {
    number: usize,
    pool: usize,
    steps: usize,
    asked: HashSet<usize>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut life = Self {
            chance: seed,
            places: Vec::new(),
            lent: Vec::new(),
            waits: Waits::default(),
            queues: Vec::new(),
            running: Vec::new(),
            made: Vec::new(),
            ended: HashSet::new(),
        };
        let pools = 1 + life.below(4);
        life.places = (0..pools).map(|_| 1 + life.below(2)).collect();
        (life.lent, life.queues) = (vec![0; pools], vec![Vec::new(); pools]);
        for _ in 0..6 {
            life.submit();
        }
        life
    }

    fn below(&mut self, end: usize) -> usize {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) as usize % end
    }

    fn submit(&mut self) -> usize {
        let pool = self.below(self.places.len());
        self.made.push(pool);
        let number = self.made.len() - 1;
        self.queues[pool].push(number);
        number
    }

    fn change(&mut self, changes: &[Change]) {
        for change in changes {
            let (Lend(number) | TakeBack(number)) = change;
            let pool = self.made[*number as usize];
            match change {
                Lend(_) => self.lent[pool] += 1,
                TakeBack(_) => self.lent[pool] -= 1,
            }
        }
    }

    /// Something that can go on does; false: nothing can.
    fn step(&mut self) -> bool {
        let pools = self.places.len();
        let free: Vec<_> = (0..pools)
            .filter(|&pool| {
                let present = self.running.iter().filter(|call| call.pool == pool).count();
                !self.queues[pool].is_empty() && present < self.places[pool] + self.lent[pool]
            })
            .collect();
        let active: Vec<_> = (0..self.running.len()).filter(|&at| self.running[at].asked.is_empty()).collect();
        let ways = free.len() + active.len();
        if ways == 0 {
            return false;
        }
        let way = self.below(ways);
        if let Some(&pool) = free.get(way) {
            // Anything in the queue: nothing here depends on what comes first.
            let at = self.below(self.queues[pool].len());
            let number = self.queues[pool].swap_remove(at);
            let steps = self.below(3);
            self.running.push(Call { number, pool, steps, asked: HashSet::new() });
            return true;
        }
        let at = active[way - free.len()];
        if self.running[at].steps == 0 || self.made.len() > 60 {
            let call = self.running.swap_remove(at);
            self.ended.insert(call.number);
            let mut changes = self.waits.on_left(call.number as Waiter);
            changes.extend(self.waits.on_end(call.number));
            self.change(&changes);
            for other in &mut self.running {
                other.asked.remove(&call.number);
            }
            return true;
        }
        self.running[at].steps -= 1;
        for _ in 0..1 + self.below(3) {
            let asked = self.submit();
            let call = &mut self.running[at];
            call.asked.insert(asked);
            let pool = Pool { name: call.pool, places: self.places[call.pool] };
            let waited = self.waits.on_wait(call.number as Waiter, (call.number, pool), (asked, self.made[asked]));
            self.change(&waited.changes);
        }
        true
    }
}
