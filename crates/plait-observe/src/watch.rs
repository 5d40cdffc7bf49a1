//! Watches a process tree for GIL waits while it runs; workers that are born on the way are found and watched, too.
//!
//! One thread, one clock. At each turn every thread of every Python process is looked at once. A turn that comes, or ends, more
//! than a period late is counted as late and as nothing else: a busy machine wakes us just when a thread went to sleep, so
//! what a late look shows is not what went on. About twenty times a second the tree is walked again. The
//! periods grow when the watch costs more than it may.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::identity::{Identity, Stat};
use crate::observer::{Observer, Turns};
use crate::waiters::Target;
use crate::{Finder, Pid, ProcessWaits, Reason, Waits, tree};

/// Fewer turns than this tell nothing.
const FEWEST_TICKS: u64 = 20;
/// How often attaching is tried again where it may yet succeed.
const MOST_TRIES: u32 = 20;
/// Processes that get an entry of their own in a report; its totals count all.
const MOST_LISTED: usize = 4096;

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
    observer: Observer<WatchReport>,
    ticks: Arc<AtomicU64>,
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
    /// times `elapsed_seconds`. Time of late ticks is taken to have been like the rest.
    pub waited_seconds: f64,
    /// From start to stop.
    pub elapsed_seconds: f64,
    /// Looks that count.
    pub ticks: u64,
    /// Looks that were due but came too late to count.
    pub late: u64,
    /// CPU time of the watch itself.
    pub own_cpu_seconds: f64,
    /// What all threads did.
    pub waits: Waits,
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
        let ticks = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&ticks);
        let observer = Observer::start("plait-watch", move |turns| Sampler::new(root, options).run(turns, &told))?;
        Ok(Self { observer, ticks })
    }

    /// How many looks have counted so far.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// Ends the watch.
    pub fn stop(self) -> WatchReport {
        // A fork of the process that started the watch has a handle to no thread.
        self.observer.stop().unwrap_or_else(|| WatchReport::empty(Reason::TooFewSamples { ticks: 0 }))
    }
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

    fn empty(reason: Reason) -> Self {
        Self {
            gil_wait: Err(reason),
            waited_seconds: 0.0,
            elapsed_seconds: 0.0,
            ticks: 0,
            late: 0,
            own_cpu_seconds: 0.0,
            waits: Waits::default(),
            processes: Vec::new(),
        }
    }
}

/// The share, if there was something to look at and it was looked at often enough.
fn share(waits: Waits, ticks: u64, refusal: Option<Reason>) -> Result<f64, Reason> {
    match refusal {
        _ if waits.samples > 0 && ticks >= FEWEST_TICKS => Ok(waits.share()),
        Some(reason) if waits.samples == 0 => Err(reason),
        _ => Err(Reason::TooFewSamples { ticks }),
    }
}

/// A process of the tree.
struct Known {
    identity: Identity,
    what: Looked,
}

enum Looked {
    Watched(Box<Target>),
    Refused { reason: Reason, tries: u32 },
}

struct Sampler {
    root: Pid,
    options: WatchOptions,
    finder: Finder,
    known: HashMap<Pid, Known>,
    /// Of processes that ended.
    waits: Waits,
    processes: Vec<ProcessWaits>,
    ticks: u64,
    late: u64,
}

impl Sampler {
    fn new(root: Pid, options: WatchOptions) -> Self {
        Self {
            root,
            options,
            finder: Finder::default(),
            known: HashMap::new(),
            waits: Waits::default(),
            processes: Vec::new(),
            ticks: 0,
            late: 0,
        }
    }

    fn run(mut self, turns: &mut Turns, told: &AtomicU64) -> WatchReport {
        let begun = Instant::now();
        self.scan();
        turns.ready();
        let mut clock = Clock::new(self.options, Instant::now(), turns.tell_cost());
        while turns.wait_until(clock.due) {
            let (due, period) = (clock.due, clock.period);
            // Waking late by more than a period costs no look; a look that took too long is not counted.
            if Instant::now() <= due + period {
                self.look();
            }
            let now = Instant::now();
            let in_time = now <= due + period;
            if in_time {
                self.count();
                told.store(self.ticks, Ordering::Relaxed);
            }
            if now >= clock.scan_due {
                let before = turns.tell_cost();
                self.scan();
                clock.on_scan(Instant::now(), before, turns.tell_cost());
            }
            self.late += u64::from(!in_time) + clock.on_tick(Instant::now());
        }
        self.report(begun.elapsed(), turns.tell_cost())
    }

    fn look(&mut self) {
        self.targets().for_each(Target::look);
    }

    fn count(&mut self) {
        self.ticks += 1;
        self.targets().for_each(Target::count);
    }

    fn targets(&mut self) -> impl Iterator<Item = &mut Target> {
        self.known.values_mut().filter_map(|known| match &mut known.what {
            Looked::Watched(target) => Some(&mut **target),
            Looked::Refused { .. } => None,
        })
    }

    /// Walks the tree: attaches to what is new, lets go of what ended or became another program.
    fn scan(&mut self) {
        let alive: HashMap<Pid, Identity> = tree(self.root)
            .into_iter()
            .filter_map(|pid| Some((pid, Stat::of(pid).filter(|stat| stat.state != b'Z')?.identity)))
            .collect();
        let ended: HashSet<Pid> = self
            .known
            .iter()
            .filter(|(pid, known)| alive.get(pid) != Some(&known.identity))
            .map(|(&pid, _)| pid)
            .collect();
        for pid in ended {
            let known = self.known.remove(&pid).expect("it was just listed");
            self.let_go(pid, known);
        }
        for (pid, identity) in alive {
            let tries = match self.known.get_mut(&pid).map(|known| &mut known.what) {
                Some(Looked::Watched(target)) => {
                    // Refused now after it was allowed: a process that changed its user. What was seen stays.
                    let _ = target.refresh();
                    continue;
                }
                Some(Looked::Refused { reason, tries }) if !reason.may_pass() || *tries >= MOST_TRIES => {
                    continue;
                }
                // A long start is no reason to give up.
                Some(Looked::Refused { reason: Reason::NotReady { .. }, .. }) | None => 0,
                Some(Looked::Refused { tries, .. }) => *tries,
            };
            let what = match Target::attach(pid, &mut self.finder) {
                Ok(target) => Looked::Watched(Box::new(target)),
                Err(reason) => Looked::Refused { reason, tries: tries + 1 },
            };
            self.known.insert(pid, Known { identity, what });
        }
    }

    fn let_go(&mut self, pid: Pid, known: Known) {
        let report = match known.what {
            Looked::Watched(target) => {
                self.waits += target.total();
                target.into_report()
            }
            Looked::Refused { reason, .. } => {
                ProcessWaits { pid, waits: Err(reason), threads: Vec::new(), unwatched_threads: 0 }
            }
        };
        if self.processes.len() < MOST_LISTED {
            self.processes.push(report);
        }
    }

    fn report(mut self, elapsed: Duration, cost: Duration) -> WatchReport {
        let mut left: Vec<(Pid, Known)> = self.known.drain().collect();
        left.sort_by_key(|(pid, _)| *pid);
        for (pid, known) in left {
            self.let_go(pid, known);
        }
        let refusals = self.processes.iter().filter_map(|process| process.waits.as_ref().err());
        let refusal = refusals.max_by_key(|reason| reason.weight()).cloned();
        let nothing_there = self.processes.is_empty().then_some(Reason::Gone { pid: self.root });
        let elapsed_seconds = elapsed.as_secs_f64();
        WatchReport {
            gil_wait: share(self.waits, self.ticks, refusal.or(nothing_there)),
            waited_seconds: self.waits.waiting as f64 / self.ticks.max(1) as f64 * elapsed_seconds,
            elapsed_seconds,
            ticks: self.ticks,
            late: self.late,
            own_cpu_seconds: cost.as_secs_f64(),
            waits: self.waits,
            processes: self.processes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_needs_samples_and_says_why_there_is_none() {
        let waits = Waits { samples: 40, waiting: 30, running: 10, blocked: 0 };
        let denied = Reason::Denied { pid: 7 };
        assert_eq!(share(waits, 20, None), Ok(0.75));
        assert_eq!(share(waits, 20, Some(denied.clone())), Ok(0.75));
        assert_eq!(share(waits, 19, None), Err(Reason::TooFewSamples { ticks: 19 }));
        assert_eq!(share(Waits::default(), 500, Some(denied.clone())), Err(denied));
    }

    #[test]
    fn rounds_add_up() {
        let round = |waiting, running| WatchReport {
            gil_wait: Err(Reason::TooFewSamples { ticks: 10 }),
            ticks: 10,
            waits: Waits { samples: waiting + running, waiting, running, blocked: 0 },
            ..WatchReport::empty(Reason::Gone { pid: 7 })
        };
        let both = round(10, 0).and(round(5, 5));
        assert_eq!((both.gil_wait, both.ticks), (Ok(0.75), 20));
    }
}
