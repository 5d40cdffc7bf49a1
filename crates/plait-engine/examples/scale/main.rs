//! One parent with up to 10,000 workers and 10^8 tasks, in figures: what a task costs it, what a task and a worker take of its
//! memory, and how long it takes to deal with deaths. `make scale`, or
//! `cargo run --release -p plait-engine --example scale -- --quick`.
//!
//! The scheduler and all memory that is shared are those of a real pool; the workers have no processes, and call nothing. Times
//! are processor time of the parent. A real pool has up to 192 workers: what more would cost is told here, and not to be had.
#![forbid(unsafe_code)]

mod bare;
mod clock;
mod parent;
mod world;

use std::time::Duration;

use plait_trace::WorkerId;

use bare::{Bare, config};
use clock::{each, median, memory, timed};
use parent::Parent;

/// How large a run is.
struct Size {
    workers: &'static [usize],
    queues: &'static [usize],
    passes: &'static [usize],
    /// Passed by the fewest workers and by the most.
    longest: usize,
    most: usize,
    crowds: &'static [usize],
    backlog: usize,
    visits: usize,
}

const WHOLE: Size = Size {
    workers: &[1, 64, 1_000, 10_000],
    queues: &[1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000],
    passes: &[1_000, 100_000, 1_000_000, 10_000_000],
    longest: 100_000_000,
    most: 1_000_000,
    crowds: &[192, 1_000, 10_000],
    backlog: 1_000_000,
    visits: 41,
};

const QUICK: Size = Size {
    workers: &[1, 300],
    queues: &[1_000, 20_000],
    passes: &[1_000, 20_000],
    longest: 30_000,
    most: 5_000,
    crowds: &[100, 300],
    backlog: 5_000,
    visits: 3,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let size = match &arguments[..] {
        [] => WHOLE,
        [only] if only == "--quick" => QUICK,
        _ => {
            eprintln!("scale: takes --quick, or nothing");
            std::process::exit(2);
        }
    };
    println!("{} processors; times are processor time of the parent", plait_engine::machine::cpu_count());
    weights(&size);
    queues(&size);
    passes(&size);
    deaths(&size);
}

/// First of all: memory that was used before is not seen to be used again.
fn weights(size: &Size) {
    println!("\nMemory of the parent: bytes for each task that waits");
    let mut parent = Parent::new(config(1));
    let before = memory();
    for tasks in [size.most, 2 * size.most, 10 * size.most] {
        (parent.pending()..tasks).for_each(|_| parent.submit(0));
        println!("{tasks:>12} {:>8}", memory().saturating_sub(before) / tasks);
    }
    while parent.turn() > 0 {}
}

fn queues(size: &Size) {
    println!("\nThe scheduler alone, jobs of 8 bytes: ns to submit, send and finish a task, beside so many that wait");
    println!(
        "{:>12} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "wait", "workers", "filling", "between", "smallest", "emptying", "bytes"
    );
    let mut reference = Bare::new(config(size.workers[0]));
    reference.fill(size.queues[0]);
    for &tasks in size.queues {
        for &workers in size.workers {
            let cost = Bare::cost(tasks, workers, &mut reference, size.visits);
            println!(
                "{tasks:>12} {workers:>8} {:>9.1} {:>9.1} {:>8.2}x {:>9.1} {:>9}",
                cost.fill,
                cost.steady,
                cost.against,
                cost.empty,
                if tasks < 100_000 { "-".into() } else { format!("{:.0}", cost.bytes) },
            );
        }
    }
}

fn passes(size: &Size) {
    println!("\nAll that the parent does, up to {} tasks pending: ns for each task, and tasks a second", size.most);
    println!("{:>12} {:>8} {:>9} {:>12}", "tasks", "workers", "ns", "tasks/s");
    for &workers in size.workers {
        let before = memory();
        let mut parent = Parent::new(config(workers));
        let per_worker = memory().saturating_sub(before) / workers;
        let is_end = size.workers.first() == Some(&workers) || size.workers.last() == Some(&workers);
        for &tasks in size.passes.iter().chain(is_end.then_some(&size.longest)) {
            let (rounds, done) = ((size.most / tasks).clamp(1, 101) | 1, parent.done());
            let costs: Vec<f64> = (0..rounds).map(|_| each(parent.pass(tasks, size.most), tasks)).collect();
            assert_eq!(parent.done() - done, (rounds * tasks) as u64, "each task has ended once");
            let ns = median(costs);
            println!("{tasks:>12} {workers:>8} {ns:>9.1} {:>12.0}", 1e9 / ns);
        }
        let looks: Vec<f64> = (0..101).map(|_| each(timed(|| parent.drain()).1, 1)).collect();
        let look = median(looks) / 1e3;
        println!("{:>21} a look that finds nothing: {look:.1} µs; {per_worker} bytes for each worker", "");
    }
}

fn deaths(size: &Size) {
    println!("\nDeaths at one moment, {} tasks waiting; half of the tasks may be tried twice", size.backlog);
    println!(
        "{:>8} {:>7} {:>7} {:>7} {:>12} {:>12} {:>12} {:>12}",
        "workers", "die", "lost", "redone", "scheduler", "if leaving", "parent", "for each"
    );
    for &workers in size.crowds {
        for percent in [1, 10, 50] {
            let dying = (workers * percent / 100).max(1);
            let alone = Bare::deaths(workers, dying, false, size.backlog);
            let leaving = Bare::deaths(workers, dying, true, size.backlog);
            assert_eq!(alone.lost + alone.redone, dying, "a death costs the task in hand, and no other");
            assert_eq!(leaving.lost + leaving.redone, dying);
            let (lost, redone, parent) = storm(workers, dying, size.backlog);
            println!(
                "{workers:>8} {:>6}% {lost:>7} {redone:>7} {:>9.2} ms {:>9.2} ms {:>9.1} ms {:>9.1} µs",
                percent,
                millis(alone.time),
                millis(leaving.time),
                millis(parent),
                1e3 * millis(parent) / dying as f64,
            );
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// So many of a pool's workers are gone at one moment, each with a task in hand: what is lost, what goes out again, and the
/// parent's time until all is reassigned and every replacement is ready.
fn storm(workers: usize, dying: usize, backlog: usize) -> (usize, usize, Duration) {
    let mut parent = Parent::new(config(workers));
    let done = parent.done();
    (0..backlog as u32).for_each(|nth| parent.submit(nth.count_ones() % 2));
    parent.world.hold();
    let step = workers / dying;
    let dead: Vec<_> = (0..dying).map(|nth| WorkerId((workers - 1 - nth * step) as u16)).collect();
    dead.iter().for_each(|&worker| parent.world.end(worker));
    let (mut lost, mut redone) = (0, 0);
    let ((), buried) = timed(|| {
        for &worker in &dead {
            let (failed, again) = parent.bury(worker);
            lost += failed;
            redone += again;
        }
    });
    let parent_time = buried + parent.start();
    while parent.turn() > 0 {}
    assert_eq!(lost + redone, dying, "a death costs the task in hand, and no other");
    assert_eq!(parent.pending(), 0);
    assert_eq!(parent.done() - done, (backlog - lost) as u64, "all others have ended once");
    (lost, redone, parent_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The run checks its own books: each task ends once, and a death costs the one task in hand.
    #[test]
    fn a_small_run_adds_up() {
        weights(&QUICK);
        queues(&QUICK);
        passes(&QUICK);
        deaths(&QUICK);
    }
}
