//! Measures what a process tree uses between two moments: CPU time and the peak of its memory.
//!
//! Memory is sampled about twenty times a second, less often where that would cost more than a hundredth of a core, and once more
//! at the end; a peak that is shorter than the pause between two samples can be missed. The cost of all observers in this
//! process is known, and taken off when they are part of the tree that is measured.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use crate::identity::{Identity, Stat};
use crate::observer::{self, Observer, Turns};
use crate::usage::{TreeCpu, process_cpu, sum_pss, tree_cpu};
use crate::{Pid, Pss, tree};

const PERIOD: Duration = Duration::from_millis(50);
/// The share of one core that sampling may take.
const MAX_CPU_SHARE: f64 = 0.01;

/// What a process tree used between [`Meter::start`] and [`Meter::stop`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time of all processes of the tree, without that of plait's observers.
    ///
    /// To the nanosecond for living processes and threads that ended, to the microsecond for children that the
    /// calling process waited for, and up to 20 ms too little or too much for each other process that waited for children.
    /// Of a root that ended before the stop, what it had used when last seen.
    pub cpu_seconds: f64,
    /// The most memory seen at one time, the whole tree taken together.
    pub peak_pss_bytes: u64,
    /// How often memory was looked at.
    pub samples: u64,
    /// Whether that is, at least in part, resident instead of proportional set size.
    pub pss_is_rss: bool,
    /// CPU time of this meter itself.
    pub meter_cpu_seconds: f64,
}

/// A running measurement; dropped, it ends without a result.
///
/// ```
/// let meter = plait_observe::Meter::start(std::process::id())?;
/// let work: u64 = (0..1_000_000).map(std::hint::black_box).sum();
/// let usage = meter.stop();
/// assert!(usage.cpu_seconds > 0.0 && usage.peak_pss_bytes > 0);
/// # std::io::Result::Ok(())
/// ```
#[must_use = "the usage comes from stop()"]
pub struct Meter(Observer<Usage>);

impl Meter {
    /// Measures `root` and everything under it from now on.
    ///
    /// # Errors
    /// When no thread can be started. Of a process that does not exist the usage is zero, with no samples.
    pub fn start(root: Pid) -> io::Result<Self> {
        Observer::start("plait-meter", move |turns| Account::open(root).run(turns)).map(Self)
    }

    /// Ends the measurement.
    pub fn stop(self) -> Usage {
        // A fork of the process that started the meter has a handle to no thread.
        self.0.stop().unwrap_or_default()
    }
}

struct Account {
    root: Pid,
    usage: Usage,
    /// The tree when it was last read.
    last: Option<TreeCpu>,
    /// Every living process that was in the tree; of those that left it alive, the CPU time they last had.
    seen: HashMap<(Pid, u64), Option<Duration>>,
    /// The CPU time of those that left it alive and ended since.
    ended_outside: Duration,
}

impl Account {
    fn open(root: Pid) -> Self {
        Self { root, usage: Usage::default(), last: None, seen: HashMap::new(), ended_outside: Duration::ZERO }
    }

    fn run(mut self, turns: &mut Turns) -> Usage {
        self.sample();
        self.read_cpu();
        let at_start = self.total();
        let observers_at_start = self.observers(turns);
        turns.ready();
        let mut due = Instant::now() + PERIOD;
        while turns.wait_until(due) {
            let before = turns.tell_cost();
            self.read_cpu();
            self.sample();
            let pause = (turns.tell_cost() - before).div_f64(MAX_CPU_SHARE).max(PERIOD);
            due = Instant::now() + pause;
        }
        self.read_cpu();
        let used = self.total().saturating_sub(at_start);
        let observers = self.observers(turns).saturating_sub(observers_at_start);
        self.sample();
        self.usage.cpu_seconds = used.saturating_sub(observers).as_secs_f64();
        self.usage.meter_cpu_seconds = turns.tell_cost().as_secs_f64();
        self.usage
    }

    /// CPU time of the tree as last read, and of what was in it once.
    fn total(&self) -> Duration {
        let inside = self.last.as_ref().map_or(Duration::ZERO, |tree| tree.total);
        inside + self.seen.values().flatten().sum::<Duration>() + self.ended_outside
    }

    /// What observers have cost the tree so far: nothing, unless they are part of it.
    fn observers(&self, turns: &mut Turns) -> Duration {
        turns.tell_cost();
        match &self.last {
            Some(tree) if tree.pids.contains(&std::process::id()) => observer::own_cpu(),
            _ => Duration::ZERO,
        }
    }

    /// Reads the CPU time of the tree, and takes note of who is in it and who left it without ending. When the
    /// root has ended, what was read last stays.
    fn read_cpu(&mut self) {
        let Some(tree) = tree_cpu(self.root) else {
            return;
        };
        let started = |pid: Pid| Stat::of(pid).map(|Stat { identity: Identity { started, .. }, .. }| started);
        for entry in tree.pids.iter().filter_map(|&pid| Some((pid, started(pid)?))) {
            self.seen.insert(entry, None);
        }
        let ended_outside = &mut self.ended_outside;
        self.seen.retain(|(pid, began), left_with| {
            if tree.pids.contains(pid) {
                return true;
            }
            let lives = started(*pid) == Some(*began);
            if lives {
                *left_with = process_cpu(*pid).or(*left_with);
            } else {
                *ended_outside += left_with.unwrap_or_default();
            }
            lives
        });
        self.last = Some(tree);
    }

    fn sample(&mut self) {
        if let Some(Pss { bytes, is_rss }) = sum_pss(&tree(self.root)) {
            self.usage.samples += 1;
            self.usage.peak_pss_bytes = self.usage.peak_pss_bytes.max(bytes);
            self.usage.pss_is_rss |= is_rss;
        }
    }
}
