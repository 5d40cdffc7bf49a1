//! Which calls of thread pools wait for calls of thread pools, and which of them lend their place in their pool meanwhile.
//!
//! A call that waits for a call of its own pool, be it through calls of other pools, holds a thread that does nothing until
//! that one has ended: so its pool may have a thread more. Where it waits for other pools alone, it keeps its place, unless
//! all threads of these wait, too, for what only its own pool could run.
//!
//! Pure: told what waits and what has ended, it answers whose places change. Promises: a call lends one place at most; and
//! as long as any call is waited for that nobody has begun, some pool has a thread that does not wait, or a place for one.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// A call that waits, by the number that its thread gave it.
pub type Waiter = u64;

/// See the file's head. `C` names calls, `P` pools.
#[derive(Debug)]
pub struct Waits<C, P> {
    waiters: Vec<Waiting<C, P>>,
}

/// A pool, and how many places it has of its own.
#[derive(Debug, Clone, Copy)]
pub struct Pool<P> {
    /// The pool.
    pub name: P,
    /// At least 1.
    pub places: usize,
}

#[derive(Debug)]
struct Waiting<C, P> {
    number: Waiter,
    call: C,
    pool: Pool<P>,
    /// What it waits for, and where that is to run.
    awaited: HashMap<C, P>,
    /// How many of these each pool has to run.
    pools: HashMap<P, usize>,
    lends: bool,
}

/// What is to be done to the pool of a waiting call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Change {
    /// It gets a place more.
    Lend(Waiter),
    /// That place is taken back.
    TakeBack(Waiter),
}

/// What a new wait means.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Waited {
    /// Whether the call was not waiting for it before.
    pub is_new: bool,
    /// Whether a place was lent in the awaited call's pool, for which it is to come first.
    pub comes_first: bool,
    /// In this order.
    pub changes: Vec<Change>,
}

impl<C, P> Default for Waits<C, P> {
    fn default() -> Self {
        Self { waiters: Vec::new() }
    }
}

impl<C: Copy + Eq + Hash, P: Copy + Eq + Hash> Waits<C, P> {
    /// `call` of `pool`, known as `number`, waits for `awaited`, a call that has not ended and is to run in `other`.
    pub fn on_wait(&mut self, number: Waiter, (call, pool): (C, Pool<P>), (awaited, other): (C, P)) -> Waited {
        let at = self.waiters.iter().position(|waiter| waiter.number == number).unwrap_or_else(|| {
            let (awaited, pools) = (HashMap::new(), HashMap::new());
            self.waiters.push(Waiting { number, call, pool, awaited, pools, lends: false });
            self.waiters.len() - 1
        });
        let waiter = &mut self.waiters[at];
        let is_new = waiter.awaited.insert(awaited, other).is_none();
        let mut changes = Vec::new();
        if is_new {
            let count = waiter.pools.entry(other).or_default();
            *count += 1;
            if *count == 1 || self.is_call_of_waiter(awaited) {
                changes = self.changes();
            }
        }
        let comes_first = self.waiters.iter().any(|waiter| waiter.lends && waiter.pool.name == other);
        Waited { is_new, comes_first, changes }
    }

    /// A call that was waited for has ended.
    pub fn on_end(&mut self, awaited: C) -> Vec<Change> {
        let mut matters = self.is_call_of_waiter(awaited);
        for waiter in &mut self.waiters {
            matters |= waiter.forget(awaited);
        }
        if matters { self.changes() } else { Vec::new() }
    }

    /// One call does not wait for another any more, whether that has ended or not.
    pub fn on_given_up(&mut self, number: Waiter, awaited: C) -> Vec<Change> {
        let Some(waiter) = self.waiters.iter_mut().find(|waiter| waiter.number == number) else { return Vec::new() };
        let matters = waiter.forget(awaited);
        if matters || self.is_call_of_waiter(awaited) { self.changes() } else { Vec::new() }
    }

    /// A call that waited has ended itself.
    pub fn on_left(&mut self, number: Waiter) -> Vec<Change> {
        let Some(at) = self.waiters.iter().position(|waiter| waiter.number == number) else { return Vec::new() };
        let gone = self.waiters.swap_remove(at);
        let mut changes = if gone.lends { vec![Change::TakeBack(number)] } else { Vec::new() };
        changes.extend(self.changes());
        changes
    }

    fn is_call_of_waiter(&self, call: C) -> bool {
        self.waiters.iter().any(|waiter| waiter.call == call)
    }

    /// Looks at all who wait, which are no more than there are threads.
    fn changes(&mut self) -> Vec<Change> {
        let before: Vec<_> = self.waiters.iter_mut().map(|waiter| std::mem::take(&mut waiter.lends)).collect();
        for at in 0..self.waiters.len() {
            self.waiters[at].lends = self.waits_for_own_pool(at, false);
        }
        // Each of these is reason to look again: its pool has a place then for which others wait.
        let all = 0..self.waiters.len();
        while let Some(at) = all.clone().find(|&at| !self.waiters[at].lends && self.waits_for_own_pool(at, true)) {
            self.waiters[at].lends = true;
        }
        let changed = self.waiters.iter().zip(before).filter(|(waiter, before)| waiter.lends != *before);
        changed
            .map(|(waiter, _)| if waiter.lends { Change::Lend(waiter.number) } else { Change::TakeBack(waiter.number) })
            .collect()
    }

    /// Whether what it waits for leads back to its pool: by what is waited for, or also, with `queues`, by waiting in the
    /// queue of a pool whose threads all wait, as those of its own do.
    fn waits_for_own_pool(&self, at: usize, queues: bool) -> bool {
        let own = self.waiters[at].pool.name;
        if queues && !self.is_held(self.waiters[at].pool) {
            return false;
        }
        let (mut reached, mut next) = (HashSet::from([at]), vec![at]);
        while let Some(at) = next.pop() {
            let waiter = &self.waiters[at];
            if waiter.pools.contains_key(&own) {
                return true;
            }
            for (other, below) in self.waiters.iter().enumerate() {
                let is_asked = waiter.awaited.contains_key(&below.call);
                let is_before = || {
                    queues && !below.lends && waiter.pools.contains_key(&below.pool.name) && self.is_held(below.pool)
                };
                if (is_asked || is_before()) && reached.insert(other) {
                    next.push(other);
                }
            }
        }
        false
    }

    /// Whether all places of a pool are held by calls that wait and lend nothing.
    fn is_held(&self, pool: Pool<P>) -> bool {
        let waits =
            |waiter: &&Waiting<C, P>| waiter.pool.name == pool.name && !waiter.lends && !waiter.awaited.is_empty();
        self.waiters.iter().filter(waits).count() >= pool.places
    }
}

impl<C: Copy + Eq + Hash, P: Copy + Eq + Hash> Waiting<C, P> {
    /// Whether it needs a pool less now.
    fn forget(&mut self, awaited: C) -> bool {
        let Some(pool) = self.awaited.remove(&awaited) else { return false };
        let Some(count) = self.pools.get_mut(&pool) else { return false };
        *count -= 1;
        if *count == 0 {
            self.pools.remove(&pool);
        }
        !self.pools.contains_key(&pool)
    }
}

#[cfg(test)]
mod tests;
