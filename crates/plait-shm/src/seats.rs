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

    /// Wakes all who sleep on a seat, sitting or not as far as the map tells.
    pub(crate) fn rouse(&self) {
        fence(Ordering::SeqCst);
        for seat in &self.seats {
            seat.fetch_add(1, Ordering::Relaxed);
            seat.wake_all();
        }
    }

    /// Are all bits and `looking` those of seats that there are?
    pub(crate) fn is_sound(&self) -> bool {
        let spare = (MAPS * 64 - SEATS) as u32;
        let last = self.sitting[MAPS - 1].load(Ordering::Relaxed);
        last.checked_shr(64 - spare).unwrap_or(0) == 0 && self.looking.load(Ordering::Relaxed) as usize <= SEATS
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
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
