//! The loop: what is due when, on one clock for all processes.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use plait_trace::{Began, Count, Dropped, Ended, Gap, Kind, Nanos, ProcessKey, Record, Subject};
use rustix::time::{ClockId, clock_gettime};

use super::disturbance::Disturbance;
use super::keys::Keys;
use super::lateness::Lateness;
use super::outbox::Outbox;
use super::target::Target;
use super::{Progress, RecordOptions, Refusals};
use crate::births::{Births, Listed};
use crate::clock::Clock;
use crate::identity::{Identity, Stat};
use crate::memory::ask_for_short_slices;
use crate::observer::Turns;
use crate::{Finder, Pid, Reason, WatchOptions, counts, tree};

/// A look that comes later than so many periods after the one before leaves a gap in between.
const GAP_PERIODS: u32 = 5;
/// Threads that are idle, and processes without a Python, are looked at so often.
const IDLE_PERIOD: Duration = Duration::from_millis(20);
/// And threads that have been idle for long, once in so many of those turns: who wants to run Python code again is seen as
/// soon as it has the GIL.
pub(super) const CALM_TURNS: u64 = 5;
/// But at each look no more than one in so many of them, however seldom looks are.
const IDLE_LOOKS: u64 = 4;
/// How often what changes slowly is read: threads, interpreters, figures.
const REFRESH_PERIOD: Nanos = 100_000_000;
/// How often records go out.
const SEND_PERIOD: Nanos = 250_000_000;
/// Stacks of idle threads are read once in so many turns of the stacks of busy ones.
const IDLE_STACKS: u64 = 50;
/// Processes that are watched at once.
const MOST_PROCESSES: usize = 512;

/// Where parts of the observer get their keys and put their records.
pub(super) struct Desk {
    pub keys: Keys,
    pub outbox: Outbox,
    pub dropped: Dropped,
    pub options: RecordOptions,
    /// `CLOCK_MONOTONIC` when the recording began.
    pub origin: Nanos,
    pub births: Births,
    pub disturbance: Disturbance,
    /// GILs and their threads are all that is wanted, and here is put why a process has none.
    refusals: Option<Refusals>,
}

impl Desk {
    /// Whether nothing is wanted but what threads do that need a GIL.
    pub fn on_gils_alone(&self) -> bool {
        self.refusals.is_some()
    }

    /// Takes note of why there is no GIL to be seen in a process; or of none, for now there is.
    pub fn refuse(&self, process: ProcessKey, why: Option<Reason>) {
        let Some(refusals) = &self.refusals else { return };
        // A map of reasons is whole whatever its last user died of.
        let mut refusals = refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(reason) => refusals.insert(process, reason),
            None => refusals.remove(&process),
        };
    }

    /// The present moment of the recording.
    pub fn now(&self) -> Nanos {
        monotonic().saturating_sub(self.origin)
    }
}

/// The observer.
pub(super) struct Run {
    root: Pid,
    desk: Desk,
    finder: Finder,
    listed: Listed,
    targets: Vec<Target>,
    lateness: Lateness,
    looks: u64,
    late: u64,
    root_has_ended: bool,
}

impl Run {
    pub fn new(root: Pid, mut options: RecordOptions, outbox: Outbox, refusals: Option<Refusals>) -> Self {
        options.period = options.period.clamp(Duration::from_micros(200), Duration::from_secs(1));
        options.stack_period = options.stack_period.clamp(Duration::from_millis(1), Duration::from_secs(10));
        let (keys, dropped) = (Keys::default(), Dropped::default());
        let desk = Desk {
            keys,
            outbox,
            dropped,
            options,
            origin: monotonic(),
            births: Births::new(),
            disturbance: Disturbance::new(),
            refusals,
        };
        Self {
            root,
            desk,
            finder: Finder::default(),
            listed: Listed::default(),
            targets: Vec::new(),
            lateness: Lateness::new(),
            looks: 0,
            late: 0,
            root_has_ended: false,
        }
    }

    pub fn run(mut self, turns: &mut Turns, progress: &Progress) -> Ended {
        let options = WatchOptions { period: self.desk.options.period, max_cpu_share: self.desk.options.max_cpu_share };
        // Timers of other threads are late by 50 µs, to save power.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        ask_for_short_slices();
        self.begin();
        self.scan();
        self.refresh(true);
        self.desk.outbox.send();
        turns.ready();
        let mut clock = Clock::new(options, Instant::now(), turns.tell_cost());
        let mut last = self.desk.now();
        let (mut refresh_due, mut send_due) = (last + REFRESH_PERIOD, last + SEND_PERIOD);
        let (mut stacks_due, mut stack_turn) = (last, 0);
        let mut turn = 0_u64;
        while turns.wait_until(clock.due) {
            let at = self.desk.now();
            self.lateness.note(Instant::now().saturating_duration_since(clock.due).as_nanos() as Nanos);
            if at - last > nanos(clock.period) * Nanos::from(GAP_PERIODS) {
                self.gap(last, at);
            }
            let idle_every = (IDLE_PERIOD.as_nanos() / clock.period.as_nanos().max(1)) as u64;
            let idle_every = idle_every.max(IDLE_LOOKS);
            // Looks that took long show different moments as if they were one.
            if self.look(turn, idle_every, nanos(clock.period)) {
                self.looks += 1;
                progress.looks.store(self.looks, Ordering::Relaxed);
                last = at;
            } else {
                self.late += 1;
            }
            turn += 1;
            self.targets.iter_mut().for_each(|target| target.meet_strangers(&mut self.desk));
            if at >= stacks_due && !self.desk.on_gils_alone() {
                stacks_due = at + nanos(self.desk.options.stack_period);
                self.stacks(stack_turn % IDLE_STACKS == 0);
                stack_turn += 1;
            }
            if at >= refresh_due {
                refresh_due = at + REFRESH_PERIOD;
                self.refresh(stack_turn % IDLE_STACKS < 5);
            }
            if at >= send_due {
                send_due = at + SEND_PERIOD;
                self.targets.iter_mut().for_each(|target| target.cut(at, &mut self.desk));
                self.desk.outbox.send();
            }
            if Instant::now() >= clock.scan_due {
                let before = turns.tell_cost();
                let attaching = self.scan();
                // What is new costs once; how often the tree is walked is a matter of what that costs.
                clock.on_scan(Instant::now(), before + attaching, turns.tell_cost());
                if self.root_has_ended {
                    progress.over.store(true, Ordering::Release);
                }
            }
            self.late += clock.on_tick(Instant::now());
        }
        self.end(last, turns)
    }

    fn begin(&mut self) {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let began = Began {
            unix: nanos(unix),
            monotonic: self.desk.origin,
            plait: env!("CARGO_PKG_VERSION").to_owned(),
            what: self.desk.options.what.clone(),
            root: self.root,
            period: nanos(self.desk.options.period),
            processors: counts::processors(),
        };
        self.desk.outbox.put(Record::Began(began));
    }

    /// Looks at everything once; false if that took too long to be one moment.
    fn look(&mut self, turn: u64, idle_every: u64, period: Nanos) -> bool {
        let mut in_time = true;
        for target in &mut self.targets {
            in_time &= target.look(turn, idle_every, period, &mut self.desk);
        }
        in_time
    }

    fn gap(&mut self, from: Nanos, to: Nanos) {
        self.desk.outbox.put(Record::Gap(Gap { from, to }));
        for target in &mut self.targets {
            target.gap(from, to, &mut self.desk);
        }
    }

    fn stacks(&mut self, idle_ones: bool) {
        self.targets.iter_mut().for_each(|target| target.take_stacks(idle_ones, &mut self.desk));
    }

    fn refresh(&mut self, names: bool) {
        for target in &mut self.targets {
            target.refresh(names, &mut self.desk);
        }
        if self.desk.on_gils_alone() {
            return;
        }
        if let Some(value) = counts::pressure() {
            let at = self.desk.now();
            self.desk.outbox.put(Record::Count(Count { of: Subject::Machine, kind: Kind::Pressure, at, value }));
        }
    }

    /// Walks the tree: attaches to what is new, lets go of what ended or became another program. Tells the processor time
    /// that attaching took.
    fn scan(&mut self) -> Duration {
        let pids = if self.listed.is_whole(self.desk.births.last()) {
            self.targets.iter().map(Target::pid).collect()
        } else {
            self.list()
        };
        let alive: HashMap<Pid, Identity> = pids
            .iter()
            .filter_map(|&pid| Some((pid, Stat::of(pid).filter(|stat| stat.state != b'Z')?.identity)))
            .collect();
        self.root_has_ended = !alive.contains_key(&self.root);
        let at = self.desk.now();
        let desk = &mut self.desk;
        self.targets.retain_mut(|target| {
            let stays = alive.get(&target.pid()).is_some_and(|identity| target.is_still(*identity));
            if !stays {
                target.end(at, desk);
            }
            stays
        });
        let before = thread_time();
        for pid in pids {
            let Some(&identity) = alive.get(&pid) else { continue };
            if let Some(target) = self.targets.iter_mut().find(|target| target.pid() == pid) {
                target.try_again(&mut self.finder, &mut self.desk);
            } else if identity.is_there() && self.targets.len() < MOST_PROCESSES {
                let parent =
                    Stat::of(pid).and_then(|stat| self.targets.iter().find(|known| known.pid() == stat.parent));
                let parent = parent.map(Target::key);
                self.targets.push(Target::attach(pid, identity, parent, &mut self.finder, &mut self.desk));
            }
        }
        thread_time() - before
    }

    /// All processes that there are to look at, parents before their children: not the one that looks, unless it is meant.
    fn list(&self) -> Vec<Pid> {
        let mut pids = if self.desk.options.children { tree(self.root) } else { vec![self.root] };
        // Whose parent ended goes on, though it is under the root no more.
        for target in &self.targets {
            if !pids.contains(&target.pid()) {
                pids.extend(tree(target.pid()).into_iter().filter(|pid| !pids.contains(pid)).collect::<Vec<_>>());
            }
        }
        let own = std::process::id();
        pids.retain(|&pid| pid != own || pid == self.root);
        pids
    }

    fn end(mut self, last: Nanos, turns: &mut Turns) -> Ended {
        let at = self.desk.now();
        if at - last > nanos(self.desk.options.period) * Nanos::from(GAP_PERIODS) {
            self.gap(last, at);
        }
        for target in &mut self.targets {
            target.close(at, &mut self.desk);
        }
        let ended = Ended {
            at,
            looks: self.looks,
            late: self.late,
            lateness_p50: self.lateness.quantile(0.5),
            lateness_p99: self.lateness.quantile(0.99),
            cost: nanos(turns.tell_cost()),
            dropped: self.desk.dropped,
        };
        self.desk.outbox.put(Record::Ended(ended));
        self.desk.outbox.send();
        ended
    }
}

pub(super) fn nanos(time: Duration) -> Nanos {
    time.as_nanos().min(u128::from(Nanos::MAX)) as Nanos
}

fn monotonic() -> Nanos {
    nanos(read(ClockId::Monotonic))
}

fn thread_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
