//! The overseer: a thread of the pool that ends what shall not go on: calls over their time, calls that were cancelled,
//! workers over their memory.
//!
//! It reads what workers note down in shared memory, so it needs no interpreter, neither here nor there, and a worker
//! whose interpreter is held by a C extension is overseen like any other. It exists only where there is something to
//! oversee, and sleeps while nothing with a limit is pending.
//!
//! How a worker is stopped, each step only if the one before did not end it:
//! 1. It is *doomed*: from here on it can end the task in question, and never claim another. So whatever happens to it,
//!    no other task is hit. Its replacement starts at this moment.
//! 2. It is signalled, and its main thread gets an exception (not for memory: there is no time).
//! 3. If its call has ended by that, it is given the time to end as any process does, which other programs rely on.
//!    Otherwise, after the grace period it is made to note down where it is.
//! 4. It is killed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use plait_trace::TaskId;

use crate::clock::now;
use crate::native;

use super::link::{Fate, Link, Stage, Why};
use super::outcome::Ticket;
use super::state::{Shared, State, locked};

/// What workers are held to, beside the time of each call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Private memory, in bytes, over which a worker is killed.
    pub memory: Option<u64>,
    /// Private memory, in bytes, that a worker may have gained when it has ended a task; with more it is replaced.
    pub growth: Option<u64>,
    /// How long a call that was asked to end may take for that.
    pub grace: Duration,
}

/// Memory of workers with a limit is looked at this often: at some GB/s, a few tens of MB.
const MEMORY_PERIOD: Duration = Duration::from_millis(10);

/// Growth is looked at this often.
const GROWTH_PERIOD: Duration = Duration::from_millis(50);

/// A cancelled task is looked for again until it has ended.
const CANCEL_PERIOD: Duration = Duration::from_millis(1);

/// The time that a worker has to end by itself, once the call that was to end has: what is registered for the exit runs then.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// The time between two looks at whether a worker has noted down where it is.
const DUMP_TIME: Duration = Duration::from_millis(5);

/// The time for all of that: on a busy machine the worker may have to wait for a processor, before it begins and in the middle.
const LONGEST_DUMP_TIME: Duration = Duration::from_millis(150);

/// The shortest rest between two looks for tasks that have begun.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// What the pool's threads say to the overseer.
pub(super) struct Overseer {
    limits: Limits,
    orders: Mutex<Orders>,
    news: Condvar,
    started: AtomicBool,
    /// Nothing with a limit was pending: it sleeps until it is told of something.
    resting: AtomicBool,
    /// The shortest time any call was ever allowed, in ns.
    shortest: AtomicU64,
}

#[derive(Default)]
struct Orders {
    cancelled: Vec<TaskId>,
    called: bool,
}

/// A worker to be signalled, and how.
enum Step {
    Ask(Arc<Link>),
    Dump(Arc<Link>),
    Kill(Arc<Link>),
}

impl Overseer {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            orders: Mutex::default(),
            news: Condvar::new(),
            started: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            shortest: AtomicU64::new(u64::MAX),
        }
    }

    /// Whether each task makes its worker worth a look.
    fn sees_memory(&self) -> bool {
        self.limits.memory.is_some() || self.limits.growth.is_some()
    }

    /// Sleeps until there are news, or until `until` ns of the clock; gives the tasks to cancel.
    fn rest(&self, until: Option<u64>) -> Vec<TaskId> {
        let mut orders = locked(&self.orders);
        while !orders.called {
            let wait = until.map(|until| Duration::from_nanos(until.saturating_sub(now())));
            match wait {
                Some(Duration::ZERO) => break,
                Some(wait) => {
                    orders = self.news.wait_timeout(orders, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
                None => orders = self.news.wait(orders).unwrap_or_else(PoisonError::into_inner),
            }
        }
        orders.called = false;
        std::mem::take(&mut orders.cancelled)
    }

    /// Wakes it.
    pub(super) fn call(&self) {
        locked(&self.orders).called = true;
        self.news.notify_one();
    }
}

impl<T: Ticket> Shared<T> {
    /// After a submit: the overseer must know of a task with a time limit, or in a pool whose memory is limited.
    #[inline]
    pub(super) fn oversee(this: &Arc<Self>, timeout: Option<Duration>) {
        let overseer = &this.overseer;
        if timeout.is_none() && !overseer.sees_memory() {
            return;
        }
        let allowed = timeout.map_or(u64::MAX, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        let shorter = overseer.shortest.fetch_min(allowed, Ordering::Relaxed) > allowed;
        if shorter || overseer.resting.load(Ordering::Relaxed) || !overseer.started.load(Ordering::Relaxed) {
            Self::call_overseer(this, None);
        }
    }

    /// Has a task stopped that a worker runs, or is about to run.
    pub(super) fn stop_task(this: &Arc<Self>, task: TaskId) {
        Self::call_overseer(this, Some(task));
    }

    fn call_overseer(this: &Arc<Self>, cancelled: Option<TaskId>) {
        let overseer = &this.overseer;
        locked(&overseer.orders).cancelled.extend(cancelled);
        if !overseer.started.swap(true, Ordering::Relaxed) {
            let pool = Arc::clone(this);
            let thread = thread::Builder::new().name("plait-overseer".into()).stack_size(128 << 10);
            if native::spawn(thread, move || Self::watch_over(&pool)).is_err() {
                // No thread to be had now: the next call tries again.
                overseer.started.store(false, Ordering::Relaxed);
            }
        }
        overseer.call();
    }

    fn watch_over(this: &Arc<Self>) {
        let mut cancelled: Vec<TaskId> = Vec::new();
        while !(this.closing.load(Ordering::Acquire) && this.is_ended()) {
            let next = Self::look(this, &mut cancelled);
            cancelled.extend(this.overseer.rest(next));
        }
    }

    /// Looks at every worker once, does what is due, and says when to look again.
    fn look(this: &Arc<Self>, cancelled: &mut Vec<TaskId>) -> Option<u64> {
        let overseer = &this.overseer;
        overseer.resting.store(true, Ordering::Relaxed);
        let mut round = Round { now: now(), next: None, steps: Vec::new() };
        let rest = {
            // What is submitted after this lock was held finds that the overseer rests.
            let mut state = locked(&this.state);
            let links = state.links.clone();
            for link in &links {
                if round.go_on(link) {
                    state.judge(link, overseer, cancelled, &mut round);
                }
            }
            // Until it has ended: a worker may not quite have begun it, or another may have it by now.
            cancelled.retain(|&task| state.scheduler.job(task).is_some());
            if !cancelled.is_empty() {
                round.again_in(CANCEL_PERIOD);
            }
            if state.scheduler.pending() > 0 {
                overseer.resting.store(false, Ordering::Relaxed);
                if overseer.limits.memory.is_some() {
                    round.again_in(MEMORY_PERIOD);
                }
                if overseer.limits.growth.is_some() {
                    round.again_in(GROWTH_PERIOD);
                }
                let shortest = overseer.shortest.load(Ordering::Relaxed);
                if shortest != u64::MAX {
                    // Often enough to see every call before its time is over.
                    round.again_in(Duration::from_nanos(shortest / 2).max(SHORTEST_REST));
                }
            }
            state.send().1
        };
        Self::perform(this, rest);
        let nursery = Arc::clone(&locked(&this.nursery));
        for step in &round.steps {
            match step {
                Step::Ask(link) => nursery.signal(link.key(), super::STOP_SIGNAL),
                Step::Dump(link) => nursery.signal(link.key(), super::DUMP_SIGNAL),
                Step::Kill(link) => nursery.kill(link.key()),
            }
        }
        round.next
    }
}

/// One look at all workers.
struct Round {
    now: u64,
    next: Option<u64>,
    steps: Vec<Step>,
}

impl Round {
    fn again_at(&mut self, at: u64) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    fn again_in(&mut self, time: Duration) {
        self.again_at(self.now.saturating_add(time.as_nanos() as u64));
    }

    /// Takes the next step with a doomed worker, if it is due; whether the worker is not doomed.
    fn go_on(&mut self, link: &Arc<Link>) -> bool {
        let mut fate = link.fate();
        let Some(fate) = &mut *fate else { return true };
        if self.now >= fate.due {
            match fate.stage {
                Stage::Asked | Stage::Dumping { .. } if link.memory.status().leaves() => {
                    fate.stage = Stage::Leaving;
                    fate.due = self.now + LEAVE_TIME.as_nanos() as u64;
                }
                Stage::Asked | Stage::Leaving => {
                    self.steps.push(Step::Dump(Arc::clone(link)));
                    fate.stage = self.dumping();
                    fate.due = self.now + DUMP_TIME.as_nanos() as u64;
                }
                Stage::Dumping { written, by } => {
                    let now_written = link.memory.dump().len();
                    if self.now >= by || (now_written > 0 && now_written <= written) {
                        self.steps.push(Step::Kill(Arc::clone(link)));
                        fate.stage = Stage::Killed;
                        return false;
                    }
                    fate.stage = Stage::Dumping { written: now_written, by };
                    fate.due = self.now + DUMP_TIME.as_nanos() as u64;
                }
                Stage::Killed => return false,
            }
        }
        self.again_at(fate.due);
        false
    }

    fn dumping(&self) -> Stage {
        Stage::Dumping { written: 0, by: self.now + LONGEST_DUMP_TIME.as_nanos() as u64 }
    }

    /// The worker is doomed: asks it to end, or leaves that out.
    fn begin(&mut self, link: &Arc<Link>, task: TaskId, why: Why, grace: Duration) {
        let (stage, wait) = match why {
            Why::OverMemory { .. } => {
                self.steps.push(Step::Dump(Arc::clone(link)));
                (self.dumping(), DUMP_TIME)
            }
            Why::TimedOut(_) | Why::Cancelled => {
                self.steps.push(Step::Ask(Arc::clone(link)));
                (Stage::Asked, grace)
            }
        };
        let due = self.now.saturating_add(wait.as_nanos() as u64);
        link.set_fate(Fate { task, why, stage, due });
        self.again_at(due);
    }
}

impl<T> State<T> {
    /// Whether what this worker does must end now.
    fn judge(&mut self, link: &Arc<Link>, overseer: &Overseer, cancelled: &[TaskId], round: &mut Round) {
        let status = link.memory.status();
        let limits = &overseer.limits;
        if let Some(growth) = limits.growth
            && status.growth() > growth
        {
            self.scheduler.retire(link.worker, &mut self.actions);
        }
        let Some((task, since)) = status.current() else { return };
        let why = if cancelled.contains(&task) {
            Some(Why::Cancelled)
        } else {
            let over_time = self.scheduler.job(task).and_then(|job| job.limits.as_ref()?.timeout).filter(|timeout| {
                let end = since.saturating_add(timeout.as_nanos() as u64);
                round.again_at(end.max(round.now));
                round.now >= end
            });
            over_time.map(Why::TimedOut).or_else(|| {
                let limit = limits.memory?;
                let used = link.private_memory()?;
                (used > limit).then_some(Why::OverMemory { limit, used })
            })
        };
        let Some(why) = why else { return };
        if status.doom(task) {
            self.scheduler.on_worker_doomed(link.worker, &mut self.actions);
            round.begin(link, task, why, limits.grace);
        }
    }
}
