//! Every interleaving and stale read of small cases, on loom's words.

use super::*;
use crate::{model, model_of};
use loom::thread;
use std::sync::Arc;

/// A count of waiting tasks stands for the ring, so that the model's states are those of the seats.
struct Pool {
    seats: Seats,
    waiting: AtomicU32,
    told: AtomicU32,
}

impl Pool {
    fn new() -> Arc<Self> {
        Arc::new(Self { seats: Seats::new(), waiting: AtomicU32::new(0), told: AtomicU32::new(0) })
    }
    fn push(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.seats.wake_last();
    }
    fn try_claim(&self) -> bool {
        let mut waiting = self.waiting.load(Ordering::Relaxed);
        while waiting > 0 {
            match self.waiting.compare_exchange(waiting, waiting - 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => waiting = now,
            }
        }
        false
    }
    /// The same by a worker that looks before it sits down.
    fn claim_looking(&self, me: u16) {
        while !self.try_claim() {
            if self.seats.look(WorkerId(me), || self.waiting.load(Ordering::Relaxed) > 0).is_some() && self.try_claim()
            {
                if self.waiting.load(Ordering::Relaxed) > 0 {
                    self.seats.wake_last();
                }
                return;
            }
            self.seats.park(WorkerId(me), || self.waiting.load(Ordering::Relaxed) > 0, None);
        }
    }
    /// One task, however long it takes to come.
    fn claim(&self, me: u16) {
        while !self.try_claim() {
            self.seats.park(WorkerId(me), || self.waiting.load(Ordering::Relaxed) > 0, None);
        }
    }
}

#[test]
fn a_push_is_never_slept_through() {
    model(|| {
        let pool = Pool::new();
        let other = Arc::clone(&pool);
        let worker = thread::spawn(move || other.claim(0));
        pool.push();
        worker.join().unwrap();
        assert_eq!(pool.seats.count(), 0);
    });
}

/// Each worker takes one task and then is busy for ever: both tasks run only if both workers are woken.
#[test]
fn two_pushes_wake_two_workers() {
    model_of(2, || {
        let pool = Pool::new();
        let workers = [0, 1].map(|me| {
            let other = Arc::clone(&pool);
            thread::spawn(move || other.claim(me))
        });
        pool.push();
        pool.push();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

/// A worker that sits, asleep, since before the model begins; no thread of the model plays it.
fn seat_a_sleeper(pool: &Pool, worker: u16) {
    let (map, bit) = pool.seats.bit(WorkerId(worker));
    map.fetch_or(bit, Ordering::SeqCst);
    pool.seats.tickets[worker as usize].store(pool.seats.drawn.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
}

/// A worker that is woken for one task must not be woken for the next one too, as it could if it were let see nothing and
/// sat down again: when it is busy with one task, the other has woken the sleeper.
#[test]
fn a_woken_worker_sees_its_task() {
    model(|| {
        let pool = Pool::new();
        seat_a_sleeper(&pool, 0);
        let other = Arc::clone(&pool);
        let parent = thread::spawn(move || {
            other.push();
            other.push();
        });
        pool.claim(1);
        parent.join().unwrap();
        assert_eq!((pool.waiting.load(Ordering::Relaxed), pool.seats.count()), (1, 0));
    });
}

#[test]
fn a_push_beside_a_look_is_never_slept_through() {
    model(|| {
        let pool = Pool::new();
        let other = Arc::clone(&pool);
        let worker = thread::spawn(move || other.claim_looking(0));
        pool.push();
        worker.join().unwrap();
    });
}

/// A worker that looks takes one task and is busy for ever: the sleeper must have been woken for the other.
#[test]
fn who_looked_leaves_no_task_beside_a_sleeper() {
    model(|| {
        let pool = Pool::new();
        seat_a_sleeper(&pool, 0);
        let other = Arc::clone(&pool);
        let parent = thread::spawn(move || {
            other.push();
            other.push();
        });
        pool.claim_looking(1);
        parent.join().unwrap();
        assert_eq!((pool.waiting.load(Ordering::Relaxed), pool.seats.count()), (1, 0));
    });
}

/// The same for a worker that a message lets go before it sleeps.
#[test]
fn a_message_does_not_use_up_a_wake_up() {
    model(|| {
        let pool = Pool::new();
        seat_a_sleeper(&pool, 0);
        let other = Arc::clone(&pool);
        let parent = thread::spawn(move || {
            other.push();
            other.push();
        });
        // The message is what the last look of the first park finds, whether it also finds a task or not.
        let mut looks = 0;
        while !pool.try_claim() {
            let ready = || {
                looks += 1;
                looks == 2 || pool.waiting.load(Ordering::Relaxed) > 0
            };
            pool.seats.park(WorkerId(1), ready, None);
        }
        parent.join().unwrap();
        assert_eq!((pool.waiting.load(Ordering::Relaxed), pool.seats.count()), (1, 0));
    });
}

#[test]
fn a_message_to_one_worker_is_never_slept_through() {
    model(|| {
        let pool = Pool::new();
        let other = Arc::clone(&pool);
        let worker = thread::spawn(move || {
            while other.told.load(Ordering::Relaxed) == 0 {
                other.seats.park(WorkerId(1), || other.told.load(Ordering::Relaxed) != 0, None);
            }
        });
        pool.told.store(1, Ordering::Relaxed);
        pool.seats.wake(WorkerId(1));
        worker.join().unwrap();
    });
}
