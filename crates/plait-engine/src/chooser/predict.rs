//! How long the remaining calls would take on each backend, with each number of workers.
//!
//! A prediction is the largest of a few lower bounds: rounds of calls by the workers there are, and what each shared
//! thing (the GIL, the processors, the parent) has to do for all calls; and what it takes to start.

use super::answer::Backend;
use super::call::{Call, Reached, THREAD_CALL};
use super::figures::{Bounds, Pool};
use super::words;

/// Threads that are thought of, at most: what more of them would reach, only the climber can tell.
pub const THREADS: usize = 64;

/// Threads to begin with, at most: more of them ask a lot of the other side of a connection, on the word of calls that were
/// made one by one. The climber doubles them as long as they end as quickly as one alone.
pub const FIRST_THREADS: usize = 16;

/// The most threads a run gets: half of the files that a process may usually have open.
pub const MOST_THREADS: usize = 512;

/// Processes to a core, at most, for calls that wait for a part of their time: each is a whole interpreter.
const PROCESSES_PER_CORE: f64 = 4.0;

/// Processes that are worth having for calls that wait where threads are no way out.
pub const MOST_PROCESSES: usize = 64;

/// The most workers that a pool of processes has.
const POOL: f64 = 192.0;

/// What starting a thread takes, in seconds: 15 to 20 ms for 256 of them.
const THREAD_START: f64 = 6e-5;

/// What a GIL costs that another thread has to be asked for, in seconds: two wake-ups.
const HANDOVER: f64 = 1.4e-5;

/// A call that holds the GIL for less than this share of its time lets go of it.
const LETS_GO: f64 = 0.95;

/// The first pool of a program, in seconds: 75 to 90 ms until the first result.
const COLD_START: f64 = 0.08;

/// A worker of it, in seconds: 0.5 to 1.6 ms.
const PROCESS_START: f64 = 1.2e-3;

/// A segment on a pool that is there, in seconds: 0.15 ms for ten calls, and the first chunks are small.
const WARM_START: f64 = 5e-4;

/// The first interpreters of a program, in seconds: what they need of the program's own is loaded in 10 to 15 ms.
const COLD_INTERPRETERS: f64 = 1.5e-2;

/// An interpreter of them, in seconds: 17 to 22 ms until it has made a call, each on a thread of its own.
const INTERPRETER_START: f64 = 2e-2;

/// The same for one that has made calls before, in seconds.
const WARM_INTERPRETER: f64 = 3e-4;

/// So many times as long as in a process a call takes there: 3 to 5 % more were seen of four kinds of calls.
const INTERPRETED: f64 = 1.04;

/// More workers than the processors have room for by less than this are within what figures can tell.
const NOISE: f64 = 1.2;

/// Fewer workers are taken where they are as fast but for so much.
const FEWER: f64 = 0.02;

/// Share of the free memory that workers may take together.
const MEMORY_SHARE: f64 = 0.8;

/// What one backend would make of the remaining calls.
#[derive(Clone, PartialEq, Debug)]
pub struct Prediction {
    /// The backend.
    pub backend: Backend,
    /// The workers with which it is best.
    pub workers: usize,
    /// Of these, to begin with.
    pub first: usize,
    /// Seconds for the remaining calls, the start included.
    pub seconds: f64,
    /// Seconds of that for the start.
    pub start: f64,
    /// What speaks against it whatever it takes.
    pub why_not: Option<String>,
    /// Whether the user ruled it out.
    pub closed: bool,
}

impl Prediction {
    /// Whether it can be chosen.
    pub const fn is_open(&self) -> bool {
        !self.closed && self.why_not.is_none()
    }
}

/// All that there are, the simplest first.
pub fn all(call: &Call, bounds: &Bounds) -> Vec<Prediction> {
    let mut predictions = vec![serial(call), threads(call, bounds), processes(call, bounds)];
    predictions.extend(call.interpreters.map(|pool| interpreters(call, bounds, pool)));
    for each in &mut predictions {
        if !bounds.allows(each.backend) {
            each.closed = true;
            let why = bounds.why.as_deref().unwrap_or("it was not asked for");
            each.why_not = Some(why.to_owned());
        }
    }
    predictions
}

/// The most workers that a run may get on this backend.
pub fn most_workers(backend: Backend, call: &Call, bounds: &Bounds) -> usize {
    match (backend, fixed(bounds)) {
        (Backend::Serial, _) => 1,
        (_, Some(workers)) => workers,
        (Backend::Threads, None) => fitting(call, call.thread_bytes, MOST_THREADS).max(1),
        (Backend::Processes, None) => fitting(call, call.process_bytes, processes_worth(call, bounds)).max(1),
        (Backend::Interpreters, None) => fitting(call, call.interpreter_bytes, interpreters_worth(call)).max(1),
    }
}

fn fixed(bounds: &Bounds) -> Option<usize> {
    bounds.workers.filter(|workers| *workers > 0)
}

/// How many workers of so many bytes have room, at most `most`.
pub fn fitting(call: &Call, bytes: f64, most: usize) -> usize {
    // A cast saturates.
    ((MEMORY_SHARE * call.memory / bytes) as usize).min(most)
}

fn serial(call: &Call) -> Prediction {
    Prediction {
        backend: Backend::Serial,
        workers: 1,
        first: 1,
        seconds: call.count * call.own,
        start: 0.0,
        why_not: None,
        closed: false,
    }
}

fn threads(call: &Call, bounds: &Bounds) -> Prediction {
    let known = call.figures.width.map_or(0, |width| (width as usize).min(MOST_THREADS));
    // Beyond twice what keeps all processors busy, more threads only take turns.
    let worth = (2.0 * call.cores * call.own / call.demand.max(1e-12)).ceil().max(1.0) as usize;
    let most = fitting(call, call.thread_bytes, THREADS.max(known)).min(worth).min(call.count as usize).max(1);
    let seconds = mended(|workers| threads_seconds(call, workers), call.count, call.ever_on(Backend::Threads));
    let (workers, seconds) = best(fixed(bounds), most, |workers| thread_start(workers) + seconds(workers));
    let first = match call.figures.width {
        // Fewer than there are processors have hardly been measured to be better.
        Some(width) => (width as usize).max(call.cores as usize),
        // The climber would learn late of calls that take longer than the measuring waits for one.
        None if call.figures.calls == 0 => THREADS,
        None => FIRST_THREADS,
    };
    Prediction {
        backend: Backend::Threads,
        workers,
        first: fixed(bounds).unwrap_or_else(|| workers.min(first).max(1)),
        seconds,
        start: thread_start(workers as f64),
        why_not: None,
        closed: false,
    }
}

fn thread_start(workers: f64) -> f64 {
    THREAD_START * workers
}

fn threads_seconds(call: &Call, workers: f64) -> f64 {
    let own = call.own + THREAD_CALL;
    if workers == 1.0 {
        return call.count * own;
    }
    let gil = if call.figures.gil {
        // The busier the GIL is, the more often it has to be asked for; who hands the calls out is one more.
        let asked = ((workers + 1.0) * (call.held + THREAD_CALL) / call.own).min(1.0);
        // Whoever lets go of it asks for it again, once at least, though alone that is no switch.
        let lets_go = if call.held < LETS_GO * call.own { 1.0 } else { 0.0 };
        call.held + HANDOVER * call.switches.max(lets_go) * asked
    } else {
        0.0
    };
    let narrow = (gil + THREAD_CALL).max(processors(call, workers));
    let fluid = soft(own / workers, narrow) * call.count;
    let last = call.count * (gil + THREAD_CALL) + call.blocked;
    let rounds = (call.count / workers).ceil() * own;
    fluid.max(last).max(rounds)
}

/// Seconds of all processors for a call, if so many workers can keep them all busy.
fn processors(call: &Call, workers: f64) -> f64 {
    if workers * call.demand > call.cores * call.own * NOISE { (call.demand / call.cores).min(call.own) } else { 0.0 }
}

/// The larger one, and a fifth more where both are alike: who queues for something busy sometimes waits while it idles.
fn soft(one: f64, other: f64) -> f64 {
    let (larger, smaller) = if one >= other { (one, other) } else { (other, one) };
    let ratio = smaller / larger;
    larger * (1.0 + ratio.powi(4)).sqrt().sqrt()
}

/// Seconds by number of workers, mended by what the backend reached in this run. Where that is less than was predicted,
/// what holds it up is not known, and no number of workers is thought to be faster.
fn mended(predicted: impl Fn(f64) -> f64, count: f64, reached: Option<Reached>) -> impl Fn(f64) -> f64 {
    let measured = reached.map(|reached| (count * reached.each, predicted(reached.workers)));
    move |workers| match measured {
        Some((measured, thought)) if measured >= thought => predicted(workers).max(measured),
        Some((measured, thought)) => predicted(workers) * (measured / thought),
        None => predicted(workers),
    }
}

/// How many processes can be kept busy. Many of them for calls that wait are for want of threads alone.
pub fn processes_worth(call: &Call, bounds: &Bounds) -> usize {
    let waits_with_the_gil = call.held >= 0.5 * call.own && call.cpu < 0.5 * call.own;
    let no_threads = waits_with_the_gil || !bounds.allows(Backend::Threads);
    // Of a first call that still runs it is not known what it does later: it may be one that loads things.
    let most = if call.figures.unfinished && call.figures.calls == 0 {
        call.cores
    } else if no_threads {
        call.cores.max(MOST_PROCESSES as f64)
    } else {
        call.cores * PROCESSES_PER_CORE
    };
    (call.cores * call.own / call.demand.max(1e-12)).ceil().clamp(1.0, most.min(POOL)) as usize
}

fn processes(call: &Call, bounds: &Bounds) -> Prediction {
    let fitting = fitting(call, call.process_bytes, usize::MAX);
    let most = fitting.min(processes_worth(call, bounds)).min(call.count as usize).max(1);
    let there = |workers| apart_seconds(call, workers, 1.0, [call.parent, call.worker]);
    let seconds = mended(there, call.count, call.ever_on(Backend::Processes));
    let (workers, seconds) = best(fixed(bounds), most, |workers| process_start(call, workers) + seconds(workers));
    // One for each core, if they can all be kept busy: later calls may be longer, and an idle worker costs little.
    let workers = fixed(bounds).unwrap_or_else(|| workers.max(most.min(call.cores as usize)));
    let why_not = call.not_to_be_sent().or_else(|| no_room(call, bounds, call.process_bytes));
    Prediction {
        backend: Backend::Processes,
        workers,
        first: workers,
        seconds,
        start: process_start(call, workers as f64),
        why_not,
        closed: false,
    }
}

fn process_start(call: &Call, workers: f64) -> f64 {
    if call.cold { COLD_START + PROCESS_START * workers } else { WARM_START + 0.1 * PROCESS_START * workers }
}

/// Interpreters that can be kept busy: calls that wait, and keep no processor busy, are no reason to have more of them.
fn interpreters_worth(call: &Call) -> usize {
    (call.cores * call.own / call.demand.max(1e-12)).ceil().clamp(1.0, call.cores.min(POOL)) as usize
}

fn interpreters(call: &Call, bounds: &Bounds, pool: Pool) -> Prediction {
    let fitting = fitting(call, call.interpreter_bytes, usize::MAX);
    let most = fitting.min(interpreters_worth(call)).min(call.count as usize).max(1);
    let there = |workers| apart_seconds(call, workers, INTERPRETED, [call.apart; 2]);
    let seconds = mended(there, call.count, call.ever_on(Backend::Interpreters));
    let start = |workers| interpreter_start(call, pool, workers);
    let (workers, seconds) = best(fixed(bounds), most, |workers| start(workers) + seconds(workers));
    Prediction {
        backend: Backend::Interpreters,
        workers,
        first: workers,
        seconds,
        start: start(workers as f64),
        why_not: call.not_for_interpreters().or_else(|| no_room(call, bounds, call.interpreter_bytes)),
        closed: false,
    }
}

fn interpreter_start(call: &Call, pool: Pool, workers: f64) -> f64 {
    // They start side by side, as far as there are processors.
    let each = (workers / call.cores).max(1.0);
    match pool {
        Pool::Cold => COLD_INTERPRETERS + INTERPRETER_START * each,
        Pool::Warm => WARM_START + WARM_INTERPRETER * each,
    }
}

/// Why there cannot be as many workers as were asked for, or any, of so many bytes each.
fn no_room(call: &Call, bounds: &Bounds, bytes: f64) -> Option<String> {
    let room = fitting(call, bytes, usize::MAX);
    (room < fixed(bounds).unwrap_or(1)).then(|| {
        format!("memory: a worker would need about {}, and {} are free", words::bytes(bytes), words::bytes(call.memory))
    })
}

/// Seconds on workers with a GIL each, where calls take so many times as long, and parent and worker do so much beside.
fn apart_seconds(call: &Call, workers: f64, times: f64, [parent, worker]: [f64; 2]) -> f64 {
    let own = times * call.own + worker;
    let all = times * (call.demand / call.cores).min(call.own) + (parent + worker) / call.cores;
    let fluid = call.count * (own / workers).max(all).max(parent);
    let rounds = (call.count / workers).ceil() * own + parent;
    let elsewhere = call.limited_elsewhere().map_or(0.0, |reached| call.count * reached.each);
    fluid.max(rounds).max(elsewhere)
}

/// The number of workers, and the seconds of the best one: the fewest that are as fast but for a trifle.
fn best(fixed: Option<usize>, most: usize, seconds: impl Fn(f64) -> f64) -> (usize, f64) {
    if let Some(workers) = fixed {
        return (workers, seconds(workers as f64));
    }
    let all: Vec<f64> = (1..=most).map(|workers| seconds(workers as f64)).collect();
    let fastest = all.iter().copied().fold(f64::INFINITY, f64::min);
    let at = all.iter().position(|each| *each <= fastest * (1.0 + FEWER)).unwrap_or(0);
    (at + 1, fastest)
}
