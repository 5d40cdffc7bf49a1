//! Where idle workers sleep, and how the parent wakes the one that went to sleep last.
//!
//! Each worker has a seat: a bit in a map, a futex word of its own and the ticket it drew when it sat down. Promises: a task
//! that is pushed while a worker sits wakes one, and two tasks wake two; waking is a fence and a look at one cache
//! line when nobody sits; a worker that dies on or beside its seat leaves nothing behind that `leave` does not repair.
//!
//! One promise needs the workers: a worker that `park` has let go tries to claim before it does anything long, for its waking
//! may have been meant for a task.

use std::time::Duration;

use plait_trace::WorkerId;

use crate::MAX_WORKERS;
use crate::bell::Wake;
#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU32, AtomicU64, Futex, Line, Ordering, Slept, fence};

/// How many seats there are; three in the model, whose every word costs time.
const SEATS: usize = if cfg!(loom) { 3 } else { MAX_WORKERS };
const MAPS: usize = SEATS.div_ceil(64);

/// The seats of one pool.
///
/// | word | meaning | who writes, when |
/// |---|---|---|
/// | bit w of `sitting` | w sleeps or is about to, and nobody has been sent to wake it | w sets it before its last look and clears it when it gets up; the parent clears it when it decides to wake w |
/// | `seats[w]` | how often w was woken | the parent, after it cleared the bit |
/// | `tickets[w]` | when w sat down last, in tickets drawn | w, before it sets its bit |
/// | `drawn` | tickets drawn so far | any worker that sits down |
/// | `looking` | 0, or w + 1: w is about to look for a task, so nobody need be woken for one | w, from 0 and back to it; the parent, from w + 1 to 0 when w is dead |
#[repr(C)]
pub(crate) struct Seats {
    sitting: Line<[AtomicU64; MAPS]>,
    drawn: Line<AtomicU32>,
    looking: Line<AtomicU32>,
    tickets: Line<[AtomicU32; SEATS]>,
    seats: [Line<Futex>; SEATS],
}

// SAFETY: atomics; every value of every word is handled.
#[cfg(not(loom))]
unsafe impl Shareable for Seats {}

impl Seats {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self {
            sitting: Line(std::array::from_fn(|_| AtomicU64::new(0))),
            drawn: Line(AtomicU32::new(0)),
            looking: Line(AtomicU32::new(0)),
            tickets: Line(std::array::from_fn(|_| AtomicU32::new(0))),
            seats: std::array::from_fn(|_| Line(Futex::new(0))),
        }
    }

    fn bit(&self, worker: WorkerId) -> (&AtomicU64, u64) {
        (&self.sitting[worker.index() / 64], 1 << (worker.index() % 64))
    }

    /// Sits down, looks once more, and sleeps until the parent wakes this worker or the time is over.
    pub(crate) fn park(&self, me: WorkerId, mut ready: impl FnMut() -> bool, timeout: Option<Duration>) -> Wake {
        if ready() {
            return Wake::Ready;
        }
        let seat = &self.seats[me.index()];
        let (map, bit) = self.bit(me);
        let woken_before = seat.load(Ordering::Relaxed);
        let ticket = self.drawn.fetch_add(1, Ordering::Relaxed);
        self.tickets[me.index()].store(ticket, Ordering::Relaxed);
        // Release: who sees the bit sees the ticket.
        map.fetch_or(bit, Ordering::Release);
        // SYNC POINT with `Seats::wake_last` and `Seats::wake`: either they see the bit, or this last look sees the change.
        fence(Ordering::SeqCst);
        if ready() {
            map.fetch_and(!bit, Ordering::Acquire);
            return Wake::Ready;
        }
        let slept = seat.sleep(woken_before, timeout);
        // SYNC POINT with the fence before `Seats::get_up`: a worker that was woken sees what for. If it could see nothing
        // and sit down again, the next task would be its too, and another worker would sleep on beside a task.
        let was_sitting = map.fetch_and(!bit, Ordering::Acquire) & bit != 0;
        match slept {
            // The parent had decided to wake us before the sleep ended by itself.
            Slept::TimedOut | Slept::Interrupted if !was_sitting => Wake::Rung,
            slept => slept.into(),
        }
    }

    /// Lets `me` look for a task, for as long as `look` takes, while pushes wake nobody: `None` when another worker does so already,
    /// else what `look` says. Whatever comes, `me` tries to claim at once; and when it has claimed one and sees more, it
    /// wakes another worker for them, since who pushed them may not have.
    pub(crate) fn look(&self, me: WorkerId, look: impl FnOnce() -> bool) -> Option<bool> {
        let mine = u32::from(me.0) + 1;
        self.looking.compare_exchange(0, mine, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        let found = look();
        self.looking.store(0, Ordering::Relaxed);
        // SYNC POINT with `Seats::wake_last`: either it sees that nobody looks, or the claim that follows sees the task.
        fence(Ordering::SeqCst);
        Some(found)
    }

    /// Wakes the worker that sat down last, if any sits and none looks. The caller has just published what it is to find.
    pub(crate) fn wake_last(&self) -> Option<WorkerId> {
        // SYNC POINT with `Seats::park` and `Seats::look`.
        fence(Ordering::SeqCst);
        if self.looking.load(Ordering::Relaxed) != 0 {
            return None;
        }
        self.wake_sleeper()
    }

    /// Wakes the worker that sat down last, if any sits, also while another looks: for tasks that have waited a while.
    pub(crate) fn wake_sleeper(&self) -> Option<WorkerId> {
        loop {
            let worker = self.last()?;
            if self.get_up(worker) {
                return Some(worker);
            }
        }
    }

    /// Wakes `worker` if it sits. The caller has just published what it is to find.
    pub(crate) fn wake(&self, worker: WorkerId) {
        // SYNC POINT with `Seats::park`.
        fence(Ordering::SeqCst);
        self.get_up(worker);
    }

    /// Takes `worker`, known to be dead, off its seat.
    pub(crate) fn leave(&self, worker: WorkerId) {
        let (map, bit) = self.bit(worker);
        map.fetch_and(!bit, Ordering::Relaxed);
        let its = u32::from(worker.0) + 1;
        let _ = self.looking.compare_exchange(its, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// How many workers sit.
    pub(crate) fn count(&self) -> usize {
        self.sitting.iter().map(|map| map.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    /// Decides to wake `worker`: true when it sat and nobody else had decided so. The caller has passed its fence.
    fn get_up(&self, worker: WorkerId) -> bool {
        let (map, bit) = self.bit(worker);
        // SYNC POINT with the end of `Seats::park`: the caller's fence releases what it has published.
        if map.load(Ordering::Relaxed) & bit == 0 || map.fetch_and(!bit, Ordering::Relaxed) & bit == 0 {
            return false;
        }
        let seat = &self.seats[worker.index()];
        seat.fetch_add(1, Ordering::Relaxed);
        seat.wake_all();
        true
    }

    /// The sitting worker with the latest ticket.
    fn last(&self) -> Option<WorkerId> {
        let mut last: Option<(u32, usize)> = None;
        for (index, map) in self.sitting.iter().enumerate() {
            let mut sitting = map.load(Ordering::Acquire);
            while sitting != 0 {
                let worker = index * 64 + sitting.trailing_zeros() as usize;
                sitting &= sitting - 1;
                // A bit beyond the last seat is nobody's: only a wild write sets it.
                let Some(ticket) = self.tickets.get(worker) else {
                    break;
                };
                let ticket = ticket.load(Ordering::Relaxed);
                // Tickets wrap; two that count are less than half the range apart.
                if last.is_none_or(|(latest, _)| ticket.wrapping_sub(latest) as i32 >= 0) {
                    last = Some((ticket, worker));
                }
            }
        }
        last.map(|(_, worker)| WorkerId(worker as u16))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Sits down without sleeping, as a worker does between its announcement and its sleep.
    fn sit(seats: &Seats, worker: u16) {
        let mut looks = 0;
        let wake = seats.park(
            WorkerId(worker),
            || {
                looks += 1;
                if looks == 2 {
                    let ticket = seats.tickets[worker as usize].load(Ordering::Relaxed);
                    assert_eq!(ticket.wrapping_add(1), seats.drawn.load(Ordering::Relaxed));
                }
                false
            },
            Some(Duration::ZERO),
        );
        assert_eq!(wake, Wake::TimedOut);
        let (map, bit) = seats.bit(WorkerId(worker));
        map.fetch_or(bit, Ordering::Relaxed);
    }

    #[test]
    fn the_last_to_sit_is_the_first_to_be_woken() {
        let seats = Seats::new();
        // Near the point where tickets wrap.
        seats.drawn.store(u32::MAX - 1, Ordering::Relaxed);
        for worker in [3, 200, 77, 239, 0] {
            sit(&seats, worker);
        }
        assert_eq!(seats.count(), 5);
        let woken: Vec<_> = std::iter::from_fn(|| seats.wake_last()).map(|worker| worker.0).collect();
        assert_eq!(woken, [0, 239, 77, 200, 3]);
        assert_eq!(seats.count(), 0);
    }

    #[test]
    fn waking_one_worker_leaves_the_others_seated() {
        let seats = Seats::new();
        sit(&seats, 1);
        sit(&seats, 2);
        seats.wake(WorkerId(1));
        seats.wake(WorkerId(7));
        assert_eq!(seats.wake_last(), Some(WorkerId(2)));
        assert_eq!(seats.wake_last(), None);
    }

    #[test]
    fn the_dead_leave_their_seats() {
        let seats = Seats::new();
        sit(&seats, 1);
        sit(&seats, 2);
        seats.leave(WorkerId(2));
        seats.leave(WorkerId(2));
        assert_eq!(seats.count(), 1);
        assert_eq!(seats.wake_last(), Some(WorkerId(1)));
    }

    #[test]
    fn while_one_looks_nobody_is_woken() {
        let seats = Seats::new();
        sit(&seats, 1);
        let woken = seats.look(WorkerId(2), || {
            assert_eq!(seats.look(WorkerId(3), || unreachable!("one at a time")), None);
            seats.wake_last().is_some()
        });
        assert_eq!(woken, Some(false));
        assert_eq!(seats.wake_last(), Some(WorkerId(1)));
    }

    #[test]
    fn the_dead_do_not_look() {
        let seats = Seats::new();
        sit(&seats, 1);
        seats.looking.store(3, Ordering::Relaxed);
        seats.leave(WorkerId(5));
        assert_eq!(seats.wake_last(), None);
        seats.leave(WorkerId(2));
        assert_eq!(seats.wake_last(), Some(WorkerId(1)));
    }

    #[test]
    fn bits_of_nobody_are_passed_over() {
        let seats = Seats::new();
        seats.sitting[3].store(u64::MAX << 48, Ordering::Relaxed);
        assert_eq!(seats.wake_last(), None);
    }

    #[test]
    fn a_worker_asleep_is_woken() {
        let shared = Arc::new((Seats::new(), AtomicU32::new(0)));
        let other = Arc::clone(&shared);
        let worker = std::thread::spawn(move || {
            while other.1.load(Ordering::Relaxed) == 0 {
                other.0.park(WorkerId(5), || other.1.load(Ordering::Relaxed) != 0, None);
            }
        });
        while shared.0.count() == 0 {
            std::thread::yield_now();
        }
        shared.1.store(1, Ordering::Relaxed);
        shared.0.wake_last();
        worker.join().unwrap();
        assert_eq!(shared.0.count(), 0);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
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
                if self.seats.look(WorkerId(me), || self.waiting.load(Ordering::Relaxed) > 0).is_some()
                    && self.try_claim()
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
}
