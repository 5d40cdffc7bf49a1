//! Watches a process tree for GIL waits while it runs; workers that are born on the way are found and watched, too.
//!
//! A [`Recorder`](crate::Recorder) that looks at nothing but the GILs and their threads, and whose records are added up at once
//! instead of kept: what threads did is a matter of `lanes`, and of nobody else. Processes without a GIL are
//! not looked at. Time in which nobody looked, as on a busy machine, counts for nothing. The looks get fewer when the watch
//! costs more than it may.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plait_trace::Ended;

use crate::recorder::{Outcome, RecordOptions, Recorder, Refusals};
use crate::{Pid, Reason};

mod queue;
mod sums;
mod waits;

use sums::{MOST_LISTED, Sums, Total};
pub use waits::{ProcessWaits, ThreadWaits, Waits};

/// Fewer looks than this tell nothing.
const FEWEST_TICKS: u64 = 20;

/// How closely to watch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WatchOptions {
    /// The mean time between two looks, 1 ms unless told, at least 0.2 ms; longer when that would cost too much.
    pub period: Duration,
    /// The CPU time that the watch may use, as a share of one core: 0.03 unless told.
    pub max_cpu_share: f64,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { period: Duration::from_millis(1), max_cpu_share: 0.03 }
    }
}

/// A running watch; dropped, it ends without a report.
///
/// ```
/// use plait_observe::{Reason, Watch};
///
/// let watch = Watch::start(std::process::id())?;
/// // … the work …
/// let report = watch.stop();
/// match &report.gil_wait {
///     Ok(share) => println!("threads that wanted to run spent {:.0} % waiting for the GIL", share * 100.0),
///     Err(reason) => println!("{reason}"), // as for this program, which is no Python
/// }
/// # assert!(matches!(report.gil_wait, Err(Reason::NotPython { .. })));
/// # std::io::Result::Ok(())
/// ```
#[must_use = "the report comes from stop()"]
pub struct Watch {
    root: Pid,
    recorder: Recorder,
    sums: Arc<Mutex<Option<Sums>>>,
    begun: Instant,
}

/// What a watch saw.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchReport {
    /// [`Waits::share`] of the whole tree: which part of the time in which threads wanted to run they waited for the GIL.
    ///
    /// With `n` threads that run nothing but Python code in one process it is `(n - 1) / n`; with one it is 0. Processes
    /// that could not be read, or are no Python, are left out; it is an error only if none could be read.
    pub gil_wait: Result<f64, Reason>,
    /// Seconds that threads waited for the GIL, added up over all threads: the mean number of waiting threads
    /// times `elapsed_seconds`. Time in which nobody looked is taken to have been like the rest.
    pub waited_seconds: f64,
    /// From start to stop.
    pub elapsed_seconds: f64,
    /// Looks that count.
    pub ticks: u64,
    /// Looks that were due but came too late to count.
    pub late: u64,
    /// CPU time of the watch itself.
    pub own_cpu_seconds: f64,
    /// What all threads did, as far as it was seen.
    pub waits: Waits,
    /// The most threads of one process at one time that could not be watched for want of file descriptors.
    pub unwatched_threads: u64,
    /// Process by process, at most 4,096 of them, those that could not be read included.
    pub processes: Vec<ProcessWaits>,
}

impl Watch {
    /// Watches `root` and everything under it, about a thousand times a second.
    ///
    /// # Errors
    /// When no thread can be started. That nothing can be watched is told by the report.
    pub fn start(root: Pid) -> io::Result<Self> {
        Self::start_with(root, WatchOptions::default())
    }

    /// The same, as closely as `options` say.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start_with(root: Pid, options: WatchOptions) -> io::Result<Self> {
        let refusals = Refusals::default();
        let sums = Arc::new(Mutex::new(Some(Sums::new(Arc::clone(&refusals)))));
        let adds = Arc::clone(&sums);
        let add = Box::new(move |records: &[_]| {
            if let Some(sums) = &mut *adds.lock().unwrap_or_else(PoisonError::into_inner) {
                sums.add(records);
            }
        });
        let WatchOptions { period, max_cpu_share } = options;
        let options = RecordOptions { period, max_cpu_share, ..RecordOptions::default() };
        let recorder = Recorder::start_on_gils(root, options, refusals, add)?;
        Ok(Self { root, recorder, sums, begun: Instant::now() })
    }

    /// How many looks have counted so far.
    pub fn ticks(&self) -> u64 {
        self.recorder.looks()
    }

    /// Ends the watch.
    pub fn stop(self) -> WatchReport {
        let elapsed = self.begun.elapsed();
        let outcome = self.recorder.stop();
        // In a fork of the process that started the watch nobody has looked, and nobody will ever unlock what was locked then.
        let total = match self.sums.try_lock().map(|mut sums| sums.take()) {
            Ok(Some(sums)) if outcome.ended != Ended::default() => sums.finish(),
            _ => Total { refusal: Some(Reason::TooFewSamples { ticks: 0 }), ..Total::default() },
        };
        report(self.root, elapsed, &outcome, total)
    }
}

fn report(root: Pid, elapsed: Duration, outcome: &Outcome, total: Total) -> WatchReport {
    let Total { waits, processes, refusal, unseen } = total;
    let nothing_there = processes.is_empty().then_some(Reason::Gone { pid: root });
    let ended = outcome.ended;
    WatchReport {
        gil_wait: share(waits, ended.looks, refusal.or(nothing_there)),
        waited_seconds: waited(waits.waiting, elapsed, unseen).as_secs_f64(),
        elapsed_seconds: elapsed.as_secs_f64(),
        ticks: ended.looks,
        late: ended.late,
        own_cpu_seconds: Duration::from_nanos(ended.cost).as_secs_f64(),
        waits,
        unwatched_threads: ended.dropped.threads,
        processes,
    }
}

/// For how long threads waited in all, if they did so whenever nobody looked as they did the rest of the time.
fn waited(seen: Duration, elapsed: Duration, unseen: Duration) -> Duration {
    let looked = elapsed.saturating_sub(unseen);
    if looked.is_zero() { seen } else { seen.mul_f64(elapsed.div_duration_f64(looked)) }
}

impl WatchReport {
    /// This watch and a later one as if they were one, as for several rounds of the same work.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.waited_seconds += later.waited_seconds;
        self.elapsed_seconds += later.elapsed_seconds;
        self.ticks += later.ticks;
        self.late += later.late;
        self.own_cpu_seconds += later.own_cpu_seconds;
        self.waits += later.waits;
        self.unwatched_threads = self.unwatched_threads.max(later.unwatched_threads);
        self.processes.extend(later.processes);
        self.processes.truncate(MOST_LISTED);
        let refusal = match (self.gil_wait, later.gil_wait) {
            (Err(one), Err(other)) => Some(if other.weight() > one.weight() { other } else { one }),
            (Err(one), _) | (_, Err(one)) => Some(one),
            _ => None,
        };
        self.gil_wait = share(self.waits, self.ticks, refusal);
        self
    }
}

/// The share, if there was something to look at and it was looked at often enough.
fn share(waits: Waits, ticks: u64, refusal: Option<Reason>) -> Result<f64, Reason> {
    let saw_nothing = waits.seen().is_zero();
    match refusal {
        _ if !saw_nothing && ticks >= FEWEST_TICKS => Ok(waits.share()),
        Some(reason) if saw_nothing => Err(reason),
        _ => Err(Reason::TooFewSamples { ticks }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn waits(waiting: u32, running: u32) -> Waits {
        Waits { waiting: waiting * MS, running: running * MS, blocked: Duration::ZERO }
    }

    #[test]
    fn a_share_needs_looks_and_says_why_there_is_none() {
        let waits = waits(30, 10);
        let denied = Reason::Denied { pid: 7 };
        assert_eq!(share(waits, 20, None), Ok(0.75));
        assert_eq!(share(waits, 20, Some(denied.clone())), Ok(0.75));
        assert_eq!(share(waits, 19, None), Err(Reason::TooFewSamples { ticks: 19 }));
        assert_eq!(share(Waits::default(), 500, Some(denied.clone())), Err(denied));
        assert_eq!(share(Waits::default(), 500, None), Err(Reason::TooFewSamples { ticks: 500 }));
    }

    #[test]
    fn time_in_which_nobody_looked_is_taken_to_have_been_like_the_rest() {
        assert_eq!(waited(30 * MS, 100 * MS, 40 * MS), 50 * MS);
        assert_eq!(waited(30 * MS, 100 * MS, Duration::ZERO), 30 * MS);
        assert_eq!(waited(30 * MS, 100 * MS, 200 * MS), 30 * MS, "it began late");
    }

    #[test]
    fn rounds_add_up() {
        let round = |waiting, running| {
            let outcome = Outcome { ended: Ended { looks: 10, ..Ended::default() }, failure: None };
            report(7, 10 * MS, &outcome, Total { waits: waits(waiting, running), ..Total::default() })
        };
        assert_eq!(round(5, 5).gil_wait, Err(Reason::TooFewSamples { ticks: 10 }));
        let both = round(10, 0).and(round(5, 5));
        assert_eq!((both.gil_wait, both.ticks, both.waited_seconds), (Ok(0.75), 20, 0.015));
    }
}
