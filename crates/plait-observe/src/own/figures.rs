//! What is told of an account: means per call, of calls that ended and of those in flight so far.

use std::sync::atomic::Ordering;

use super::calls::{Calls, Close, Delay, Flight};
use super::clocks::{self, now};

/// Calls in flight of which the kernel is asked; of more, some stand for all.
const MOST_ASKED: usize = 16;
/// Of calls in flight for less time than this, in nanoseconds, only the clocks are read: asking for more would cost more than it tells.
const WORTH_ASKING: u64 = 300_000;

/// What is known of a function's calls at one moment. Times are in seconds, and means per call unless said otherwise; what
/// cannot be told is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallFigures {
    /// Calls that ended.
    pub calls: u64,
    /// Of those, calls that raised.
    pub failed: u64,
    /// Calls in flight; several in a row count as one.
    pub running: u64,
    /// Whether a call in flight is part of the means: because none has ended, or because it takes longer than they did.
    pub unfinished: bool,
    /// How long a call takes.
    pub wall: f64,
    /// How long the longest took, or takes so far.
    pub longest: f64,
    /// CPU time of the calling thread.
    pub cpu: Option<f64>,
    /// For how long it could have run and had no processor.
    pub delay: Option<f64>,
    /// For how long it held the GIL.
    pub held: Option<f64>,
    /// For how long it waited for the GIL.
    pub wanted: Option<f64>,
    /// How often it gave its processor away by itself.
    pub switches: Option<f64>,
    /// How many processors other threads of this process used meanwhile: those without a call of this account, the one
    /// that made the account left out.
    pub native: Option<f64>,
    /// By how many bytes the process grew since the first call began.
    pub memory: Option<i64>,
    /// Since the first call began.
    pub seconds: f64,
    /// How long all calls took, added up, those in flight so far included.
    pub busy: f64,
    /// The share of the looks in which any thread held the GIL.
    pub gil_held_by_any: Option<f64>,
    /// How often the GIL was looked at while a call was in flight; a look counts once for each call.
    pub samples: u64,
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 * 1e-9
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

impl Calls {
    /// What is known by now. Never waits for a call.
    pub fn figures(&self) -> CallFigures {
        let resident = clocks::resident();
        let state = self.lock();
        let now = now();
        let (mut calls, mut wall, mut longest) = (state.calls, state.wall, state.longest);
        let (mut close, mut delay, mut seen) = (state.close, state.delay, state.seen);
        let (mut so_far, mut cpu_in_flight) = (Vec::with_capacity(state.flights.len()), 0);
        for (number, flight) in state.flights.iter().enumerate() {
            let mut began = flight.began;
            if let Some(batch) = &flight.batch {
                calls += batch.calls.load(Ordering::Relaxed);
                wall += batch.wall.load(Ordering::Relaxed);
                longest = longest.max(batch.longest.load(Ordering::Relaxed));
                began = batch.began.load(Ordering::Relaxed);
            }
            so_far.push(now.saturating_sub(began));
            if let Some(seat) = flight.seat {
                seen.add(seat.seen().since(flight.seen));
            }
            if number < MOST_ASKED {
                cpu_in_flight += ask(flight, now, &mut close, &mut delay);
            }
        }
        let mut beside = state.beside;
        if let Some(period) = state.period.filter(|_| state.flights.len() <= MOST_ASKED) {
            beside.add(self.beside(&period, now, cpu_in_flight));
        }
        let busy = wall + so_far.iter().sum::<u64>();
        let mut counted = calls;
        let mut unfinished = false;
        for so_far in so_far {
            longest = longest.max(so_far);
            if counted == 0 || so_far > wall / counted {
                wall += so_far;
                counted += 1;
                unfinished = true;
            }
        }
        let mean = seconds(wall) / counted.max(1) as f64;
        let of_mean = |share: Option<f64>| share.map(|share| share * mean);
        // Not every look without the GIL was a close one; those that were stand for the others.
        let without = seen.looks - seen.held;
        let waiting = if without == 0 { Some(0.0) } else { share(seen.waiting, seen.asked) };
        CallFigures {
            calls,
            failed: state.failed,
            running: state.flights.len() as u64,
            unfinished,
            wall: mean,
            longest: seconds(longest),
            cpu: of_mean(share(close.cpu, close.wall)),
            delay: of_mean(share(delay.waited, delay.wall).map(|share| share.min(1.0))),
            held: of_mean(share(seen.held, seen.looks)),
            wanted: of_mean(share(without, seen.looks).zip(waiting).map(|(without, waiting)| without * waiting)),
            switches: share(close.switches, close.wall).map(|rate| rate * mean * 1e9),
            native: share(beside.cpu, beside.wall),
            memory: state.first.and_then(|first| Some(resident? as i64 - first.resident? as i64)),
            seconds: state.first.map_or(0.0, |first| seconds(now.saturating_sub(first.began))),
            busy: seconds(busy),
            gil_held_by_any: share(seen.held + seen.other, seen.looks),
            samples: seen.looks,
        }
    }
}

/// Adds what the kernel tells of a call in flight, and gives its CPU time, in nanoseconds.
fn ask(flight: &Flight, now: u64, close: &mut Close, delay: &mut Delay) -> u64 {
    let (Some(seat), Some(before)) = (flight.seat, flight.close) else { return 0 };
    let Some(cpu) = clocks::thread_cpu(seat.tid()) else { return 0 };
    let cpu = cpu.saturating_sub(before.cpu);
    let wall = now.saturating_sub(flight.began);
    if wall < WORTH_ASKING {
        close.add(wall, cpu, 0);
    } else {
        let switches = clocks::thread_switches(seat.tid()).unwrap_or(before.switches);
        close.add(wall, cpu, switches.saturating_sub(before.switches));
        if let (Some(before), Some(after)) = (before.delay, clocks::thread_delay(seat.tid())) {
            delay.wall += wall;
            delay.waited += after.saturating_sub(before);
        }
    }
    cpu
}
