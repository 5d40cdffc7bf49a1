//! Which backend the rest of a map goes to, and with how many workers: from what its first calls measured.
//!
//! `choose` predicts how long the remaining calls would take one after the other, on each number of threads, of
//! processes, and of interpreters within this process where there are some (`predict`), and answers with the best of
//! them, its reasons in words, and what it was compared with. `revise` looks again while the run goes on, with what the
//! running backend really reached, and answers only when a switch pays for itself.
//!
//! Pure arithmetic: no clock, no I/O, no Python. Promises, for whatever was measured:
//! - The answer is one of the candidates that the user left open (serial if there is none), and every figure in it is
//!   finite.
//! - What cannot be sent, or changes state that the caller sees, never goes to processes by choice, nor to interpreters.
//! - Interpreters are no candidate unless the machine is said to have them, and never for what cannot be loaded there or
//!   takes so long that it would have to be stopped.
//! - More bytes to send never make it more likely that calls are sent, a larger share of holding the GIL never makes
//!   threads more likely, more processors never make serial more likely, and so many times as many calls never do either.
//! - Of candidates that are about as fast, the simpler one: serial before threads, threads before processes, and
//!   interpreters last.
//! - Where the number of calls is not known, the run is thought to last ten times what it has lasted, and
//!   [`SHORTEST_RUN`] at least: who has skied for long will probably ski on.
//!
//! Each call is taken for the mean of those that were measured. What that hides (a slow first call, a heavy tail) is the
//! business of `revise`, of `crate::climber` and of `crate::chunk`.

mod answer;
mod call;
mod figures;
mod predict;
mod reasons;
mod revise;
mod words;

pub use answer::{Backend, Candidate, Choice};
pub use figures::{Bounds, Figures, Machine, Pool, Tried};
pub use revise::{MOST_SWITCHES, revise};

use call::Call;
use predict::Prediction;

/// A run of unknown length is thought to last so many times what was measured of it.
pub const GOES_ON: f64 = 10.0;

/// And at least so long, in seconds: what was measured may be the first microseconds of hours.
pub const SHORTEST_RUN: f64 = 0.1;

/// The share by which a less simple backend must be faster: predictions are no better than that.
pub const SIMPLER: f64 = 0.05;

/// The same for threads on which a function would change state that it shares: they can race, serial calls cannot.
pub const SIMPLER_WHEN_SHARED: f64 = 0.25;

/// The share by which the backend may seem slower that an earlier run was moved to, by what it measured then.
pub const SETTLED: f64 = 0.25;

/// Seconds that a less simple backend must save: opening a segment on it takes as long.
pub const WORTH_A_START: f64 = 3e-4;

/// Answers where the remaining calls should go.
pub fn choose(figures: &Figures, machine: &Machine, bounds: &Bounds) -> Choice {
    let call = Call::of(figures, machine);
    let predictions = predict::all(&call, bounds);
    let chosen = best(&predictions, &call);
    answer(&call, bounds, &predictions, chosen)
}

/// The candidate to take: the simplest of those that are about as fast as the fastest, or the one of them on which an
/// earlier run settled.
fn best(predictions: &[Prediction], call: &Call) -> usize {
    let open = || predictions.iter().enumerate().filter(|(_, each)| each.is_open());
    let Some(fastest) = open().map(|(_, each)| each.seconds).min_by(f64::total_cmp) else {
        // Nothing can be taken without a problem: what the user left open, and serial first of all.
        return predictions.iter().position(|each| !each.closed).unwrap_or(0);
    };
    let near = |each: &Prediction| {
        let share = if each.backend == Backend::Serial && call.shares_state() { SIMPLER_WHEN_SHARED } else { SIMPLER };
        each.seconds <= fastest * (1.0 + share) || each.seconds - fastest < WORTH_A_START
    };
    let settled =
        |each: &Prediction| call.figures.settled == Some(each.backend) && each.seconds <= fastest * (1.0 + SETTLED);
    open().find(|(_, each)| settled(each)).or_else(|| open().find(|(_, each)| near(each))).map_or(0, |(at, _)| at)
}

fn answer(call: &Call, bounds: &Bounds, predictions: &[Prediction], chosen: usize) -> Choice {
    let taken = &predictions[chosen];
    let runner_up = predictions
        .iter()
        .enumerate()
        .filter(|(at, each)| *at != chosen && each.is_open())
        .min_by(|(_, one), (_, other)| one.seconds.total_cmp(&other.seconds))
        .map(|(_, each)| each);
    Choice {
        backend: taken.backend,
        workers: taken.first,
        most_workers: predict::most_workers(taken.backend, call, bounds),
        chunksize: bounds.chunksize.filter(|size| *size > 0),
        seconds: taken.seconds,
        runner_up: runner_up.map(|each| each.backend),
        margin: runner_up.map(|each| each.seconds.max(1e-9) / taken.seconds.max(1e-9)),
        reasons: reasons::tell(call, bounds, predictions, taken),
        candidates: predictions.iter().map(Candidate::from).collect(),
        left: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
