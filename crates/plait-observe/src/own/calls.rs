//! The account of one function's calls: those that ended, added up, and those in flight.
//!
//! A call costs two looks at the clock and two short locks. The dear clocks (CPU, switches) are read for as many calls as
//! [`DEAR_SHARE`] of their time pays for, which is every call of a tenth of a millisecond; what they say is kept as a
//! rate, so that calls that were not looked at closely count as those that were.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::Timespec;

use super::clocks::{self, nanos_of, now};
use super::seat::{self, Seat, Seen};
use super::{forks, sampler};
use crate::{Pid, observer};

/// The part of the calls' time that reading dear clocks may take.
const DEAR_SHARE: f64 = 0.05;
/// What reading them at both ends of a call takes, in nanoseconds.
const DEAR: f64 = 6_000.0;
/// So many calls are looked at closely in any case.
const FIRST_CLOSELY: u64 = 4;

/// The account of a function's calls. All times are in nanoseconds.
#[derive(Debug)]
pub struct Calls {
    window: Option<Duration>,
    /// The thread that made it: what that one does meanwhile is its own business.
    maker: Pid,
    pub(super) state: Mutex<State>,
    /// Batches that began, and those that ended.
    begun: AtomicU32,
    ended: AtomicU32,
}

#[derive(Debug, Default)]
pub(super) struct State {
    forks: u64,
    pub first: Option<First>,
    pub calls: u64,
    pub failed: u64,
    pub wall: u64,
    pub longest: u64,
    pub close: Close,
    pub delay: Delay,
    pub seen: Seen,
    pub beside: Beside,
    pub period: Option<Period>,
    pub flights: Vec<Flight>,
    tickets: u64,
    credit: f64,
}

/// When the first call began, and how much memory the process had.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub began: u64,
    pub resident: Option<u64>,
}

/// Of the calls that were looked at closely, all together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Close {
    pub wall: u64,
    pub cpu: u64,
    pub switches: u64,
}

/// Time without a processor, of the calls for which it was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delay {
    pub wall: u64,
    pub waited: u64,
}

/// CPU time of other threads while calls ran, and for how long they did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside {
    pub wall: u64,
    pub cpu: u64,
}

/// A time in which at least one call is in flight, from the first one's beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    began: u64,
    process: u64,
    maker: Option<u64>,
    observers: u64,
    /// CPU time of calls that ended within it.
    calls: u64,
    /// Whether all its calls were looked at closely.
    whole: bool,
}

/// A call in flight, or a batch.
#[derive(Debug)]
pub(super) struct Flight {
    ticket: u64,
    pub seat: Option<&'static Seat>,
    pub began: u64,
    pub close: Option<Clocks>,
    pub seen: Seen,
    pub batch: Option<Arc<Progress>>,
}

/// The dear clocks at the beginning of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub cpu: u64,
    pub switches: u64,
    /// Read for batches only.
    pub delay: Option<u64>,
}

/// How far a batch is. One writer, many readers.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub calls: AtomicU64,
    pub wall: AtomicU64,
    pub longest: AtomicU64,
    /// When the call that runs now began.
    pub began: AtomicU64,
}

/// A call that was begun. Hand it back to [`Calls::end`].
#[derive(Debug)]
#[must_use]
pub struct Ticket(u64);

/// Several calls in a row on one thread; it ends when it is dropped.
#[derive(Debug)]
pub struct Batch<'a> {
    calls: &'a Calls,
    ticket: u64,
    progress: Arc<Progress>,
    started: u64,
    last: u64,
    done: u64,
    wall: u64,
    longest: u64,
    failed: u64,
}

impl Calls {
    /// An empty account. With `window` the sampler looks at the GIL for so long from the first call on.
    pub fn new(window: Option<Duration>) -> Self {
        Self {
            window,
            maker: clocks::own_tid(),
            state: Mutex::default(),
            begun: AtomicU32::new(0),
            ended: AtomicU32::new(0),
        }
    }

    /// A call begins on this thread, whose state in the interpreter lies at `thread_state`.
    pub fn begin(&self, thread_state: u64) -> Ticket {
        Ticket(self.take_off(thread_state, None))
    }

    /// It has ended, on the same thread.
    pub fn end(&self, ticket: Ticket, failed: bool) {
        let end = now();
        let mut state = self.lock();
        let Some(flight) = self.land(&mut state, ticket.0, end) else { return };
        let wall = end.saturating_sub(flight.began);
        state.count(1, u64::from(failed), wall, wall);
    }

    /// Calls in a row begin on this thread.
    pub fn batch(&self, thread_state: u64) -> Batch<'_> {
        self.begun.fetch_add(1, Ordering::AcqRel);
        let progress = Arc::new(Progress::default());
        progress.began.store(now(), Ordering::Relaxed);
        let ticket = self.take_off(thread_state, Some(Arc::clone(&progress)));
        let started = now();
        progress.began.store(started, Ordering::Relaxed);
        Batch { calls: self, ticket, progress, started, last: started, done: 0, wall: 0, longest: 0, failed: 0 }
    }

    /// Has the sampler look for so long from now on.
    ///
    /// # Errors
    /// The system's, if there is no thread to be had.
    pub fn sample(&self, window: Duration) -> std::io::Result<()> {
        sampler::look_for(window)
    }

    /// Sleeps until as many batches have ended as have begun, and one at least, or until `timeout` is over; tells which. It may
    /// return early when a signal came.
    pub fn wait(&self, timeout: Duration) -> bool {
        let ended = self.ended.load(Ordering::Acquire);
        if self.is_idle(ended) {
            return true;
        }
        let timeout =
            Timespec { tv_sec: timeout.as_secs().min(3600) as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        match futex::wait(&self.ended, futex::Flags::PRIVATE, ended, Some(&timeout)) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
            // No futex of this kind: a short sleep is as good.
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
        self.is_idle(self.ended.load(Ordering::Acquire))
    }

    fn is_idle(&self, ended: u32) -> bool {
        ended > 0 && ended == self.begun.load(Ordering::Acquire)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Sums are whole whatever their last user died of.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let forks = forks();
        if state.forks != forks {
            state.come_through_a_fork(forks);
        }
        state
    }

    fn take_off(&self, thread_state: u64, batch: Option<Arc<Progress>>) -> u64 {
        let seat = seat::mine();
        let mut state = self.lock();
        if state.first.is_none() {
            // The sampler is on its way when the call begins. Without a thread for it there are no looks, which the figures tell.
            let _ = self.window.map(sampler::look_for);
            state.first = Some(First { began: now(), resident: clocks::resident() });
        }
        state.tickets += 1;
        let ticket = state.tickets;
        let closely = batch.is_some() || state.tickets <= FIRST_CLOSELY || state.pays();
        let delay = batch.as_ref().and(seat).and_then(|seat| clocks::thread_delay(seat.tid()));
        if state.flights.is_empty() {
            state.period = closely.then(|| self.open_period(seat));
        } else if !closely && let Some(period) = &mut state.period {
            period.whole = false;
        }
        let close = closely.then(|| Clocks { switches: clocks::own_switches(), cpu: clocks::own_cpu(), delay });
        let seen = seat.map_or_else(Seen::default, |seat| {
            seat.enter(thread_state);
            seat.seen()
        });
        state.flights.push(Flight { ticket, seat, began: now(), close, seen, batch });
        ticket
    }

    fn land(&self, state: &mut State, ticket: u64, end: u64) -> Option<Flight> {
        let at = state.flights.iter().rposition(|flight| flight.ticket == ticket)?;
        let flight = state.flights.swap_remove(at);
        if let Some(seat) = flight.seat {
            seat.leave();
            state.seen.add(seat.seen().since(flight.seen));
        }
        let wall = end.saturating_sub(flight.began);
        if let Some(close) = flight.close {
            let cpu = clocks::own_cpu().saturating_sub(close.cpu);
            state.close.add(wall, cpu, clocks::own_switches().saturating_sub(close.switches));
            if let (Some(before), Some(seat)) = (close.delay, flight.seat)
                && let Some(after) = clocks::thread_delay(seat.tid())
            {
                state.delay.wall += wall;
                state.delay.waited += after.saturating_sub(before);
            }
            if let Some(period) = &mut state.period {
                period.calls += cpu;
            }
        }
        if state.flights.is_empty()
            && let Some(period) = state.period.take()
        {
            let beside = self.beside(&period, end, 0);
            state.beside.add(beside);
        }
        Some(flight)
    }

    fn open_period(&self, seat: Option<&'static Seat>) -> Period {
        let is_maker = seat.is_none_or(|seat| seat.tid() == self.maker);
        Period {
            maker: if is_maker { None } else { clocks::thread_cpu(self.maker) },
            observers: observer::own_cpu().as_nanos() as u64,
            process: clocks::process_cpu(),
            began: now(),
            calls: 0,
            whole: true,
        }
    }

    /// What ran beside the calls of `period` until `end`; `running` is the CPU time of those in flight.
    pub(super) fn beside(&self, period: &Period, end: u64, running: u64) -> Beside {
        if !period.whole {
            return Beside::default();
        }
        let process = clocks::process_cpu().saturating_sub(period.process);
        let maker = period.maker.and_then(|before| Some(clocks::thread_cpu(self.maker)?.saturating_sub(before)));
        let observers = (observer::own_cpu().as_nanos() as u64).saturating_sub(period.observers);
        let known = period.calls + running + maker.unwrap_or(0) + observers;
        Beside { wall: end.saturating_sub(period.began), cpu: process.saturating_sub(known) }
    }
}

impl State {
    pub fn count(&mut self, calls: u64, failed: u64, wall: u64, longest: u64) {
        self.calls += calls;
        self.failed += failed;
        self.wall += wall;
        self.longest = self.longest.max(longest);
        // Calls that nobody looked at closely must not save up for a long row of those.
        self.credit = (self.credit + wall as f64 * DEAR_SHARE).min(2.0 * DEAR);
    }

    /// Whether the next call may be looked at closely; if so, it is paid for.
    pub fn pays(&mut self) -> bool {
        let pays = self.credit >= DEAR;
        if pays {
            self.credit -= DEAR;
        }
        pays
    }

    /// Calls in flight on other threads are the parent's, and clocks of CPU time began anew.
    fn come_through_a_fork(&mut self, forks: u64) {
        self.forks = forks;
        self.period = None;
        let own = clocks::own_tid();
        self.flights.retain(|flight| flight.seat.is_some_and(|seat| seat.tid() == own));
        for flight in &mut self.flights {
            flight.close = None;
        }
    }
}

impl Close {
    pub fn add(&mut self, wall: u64, cpu: u64, switches: u64) {
        self.wall += wall;
        // Reading the clocks takes time, too, which a thread alone cannot have had beside its call.
        self.cpu += cpu.min(wall);
        self.switches += switches;
    }
}

impl Beside {
    pub fn add(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
    }
}

impl Batch<'_> {
    /// One more call has ended; tells for how long the batch has run.
    pub fn done(&mut self, failed: bool) -> Duration {
        let end = nanos_of(Instant::now());
        let wall = end.saturating_sub(self.last);
        self.last = end;
        self.done += 1;
        self.failed += u64::from(failed);
        self.wall += wall;
        self.longest = self.longest.max(wall);
        self.progress.calls.store(self.done, Ordering::Relaxed);
        self.progress.wall.store(self.wall, Ordering::Relaxed);
        self.progress.longest.store(self.longest, Ordering::Relaxed);
        self.progress.began.store(end, Ordering::Relaxed);
        Duration::from_nanos(end.saturating_sub(self.started))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        {
            let mut state = self.calls.lock();
            let _ = self.calls.land(&mut state, self.ticket, self.last);
            state.count(self.done, self.failed, self.wall, self.longest);
        }
        self.calls.ended.fetch_add(1, Ordering::AcqRel);
        // The count has changed, so a waiter that comes now does not sleep; without one there is nobody to wake.
        let _ = futex::wake(&self.calls.ended, futex::Flags::PRIVATE, u32::MAX);
    }
}
