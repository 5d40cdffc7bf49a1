//! The scheduler of one pool: told what happened, it says what to do. It reads no clock, does no I/O, knows no Python
//! and holds no lock; the shell around it carries the actions out, and a test can be that shell.
//!
//! The world it decides about:
//! - The parent publishes tasks into one claim ring of `window` slots. Workers claim by themselves, so a task is sent
//!   to the ring and not to a worker. What does not fit waits in a queue in the parent, oldest first.
//! - Workers are started one by one as tasks find none idle, up to `max_workers`, may die at any moment, are replaced
//!   while there is work, and can be replaced after so many tasks, when they have grown, and when the shell dooms them,
//!   that is, stops the task they run.
//!
//! Promises, which the simulation beside this file checks at every step:
//! - Each task ends exactly once: it is finished, cancelled, or handed back as lost.
//! - Tasks are sent in the order of submission; one whose worker died goes before those that still wait.
//! - At most `max_workers` workers serve, at most [`Config::worker_ids`] exist, at most `window` slots are taken. (One
//!   that is doomed or was told to stop may still run its last task, beside the worker that took its place.)
//! - The place of a doomed worker is filled at once, if an id is free; one that has grown claims until its replacement does.
//! - A task is tried once more than it has retries, if nothing else ends it.
//! - While workers can be started no task waits for ever; when none can, every task comes back to the caller.
//! - Submitting and finishing take constant time, whatever is queued, and do not allocate once the tables have grown. A
//!   death takes time for the tasks it held, whoever else is dying.
//!
//! What the shell owes in return:
//! - It publishes what is to be sent, in that order, before it counts the ring's free slots or lets another event be
//!   reported.
//! - While tasks are [`queued`](Scheduler::queued), it calls [`Scheduler::on_window`] after each batch of events and,
//!   as slots can become free without an event, now and then. In a ring that frees slots in their order the first is
//!   enough if the window has [`Config::worker_ids`] slots: some worker tells something before the others run dry. A
//!   retracted task, or a worker that was stopped while it copied its task, can hold up slots behind its own.
//! - When a slot that should have been free is held up in this way, it reports [`Scheduler::on_full`].
//! - It reports the end of every worker once, after it has drained the worker's answers, and drops whatever still comes
//!   from that life.
//! - A worker that it reports doomed claims nothing more and ends, if need be by force.

mod action;
mod config;
mod health;
mod line;
mod queue;
mod staffing;
mod tasks;
mod workers;

// Not under Miri: time.
#[cfg(all(test, not(miri)))]
mod dispatch_cost;
#[cfg(test)]
mod reference;
// Not under Miri: time.
#[cfg(all(test, not(miri)))]
mod simulation;
#[cfg(test)]
mod tests;

use plait_trace::{TaskId, WorkerId};

pub use action::{Action, Cancel, Counts, Lost, Raised, Refusal, Refused};
pub use config::{Config, ConfigError};

use health::Health;
use queue::Queue;
use tasks::{TaskState, Tasks};
use workers::{WorkerState, Workers};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    ShutDown,
    Broken,
}

/// See the head of this module. `J` is what the caller wants back when a task ends.
pub struct Scheduler<J> {
    tasks: Tasks<J>,
    queue: Queue,
    workers: Workers,
    health: Health,
    /// Slots of the ring that should be free; workers free more without telling.
    room: usize,
    /// At most so many slots are taken though their task was retracted, because an older task still waits in the ring.
    holes: usize,
    window: usize,
    phase: Phase,
}

impl<J> Scheduler<J> {
    /// A scheduler with an empty ring and no worker.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let ids = u16::try_from(config.worker_ids()).expect("plait bug: a checked config has ids of 16 bits");
        Ok(Self {
            tasks: Tasks::new(),
            queue: Queue::new(),
            workers: Workers::new(ids, config.max_workers, config.max_tasks_per_child),
            health: Health::new(config.start_attempts, config.max_workers),
            room: config.window,
            holes: 0,
            window: config.window,
            phase: Phase::Open,
        })
    }

    /// A new task, with `retries` tries beyond the first.
    #[inline]
    pub fn submit(&mut self, job: J, retries: u32, actions: &mut Vec<Action>) -> Result<TaskId, Refused<J>> {
        match self.phase {
            Phase::Open => {}
            Phase::ShutDown => {
                return Err(Refused { job, reason: Refusal::ShutDown });
            }
            Phase::Broken => {
                return Err(Refused { job, reason: Refusal::Broken });
            }
        }
        Ok(self.admit(job, retries, actions))
    }

    /// As [`submit`](Self::submit), on behalf of a running task: taken after a shutdown, too, as long as a task is pending,
    /// since the workers stay until the last has ended.
    pub fn submit_inner(&mut self, job: J, retries: u32, actions: &mut Vec<Action>) -> Result<TaskId, Refused<J>> {
        if self.phase == Phase::ShutDown && !self.tasks.is_empty() {
            return Ok(self.admit(job, retries, actions));
        }
        self.submit(job, retries, actions)
    }

    #[inline]
    fn admit(&mut self, job: J, retries: u32, actions: &mut Vec<Action>) -> TaskId {
        let id = if self.tasks.queued() == 0 && self.has_room() {
            let id = self.tasks.insert(job, retries, TaskState::Sent);
            self.room -= 1;
            actions.push(Action::Send(id));
            id
        } else {
            let id = self.tasks.insert(job, retries, TaskState::Queued);
            self.queue.push_back(id);
            id
        };
        if self.workers.below_max() && self.tasks.len() > self.workers.serving() {
            self.start_workers(1, actions);
        }
        id
    }

    /// `worker` has answered `task`. `None`: no such task is running, the message is stale or a duplicate.
    #[inline]
    pub fn on_finished(&mut self, worker: WorkerId, task: TaskId, actions: &mut Vec<Action>) -> Option<J> {
        if !self.hear(worker, actions) {
            return None;
        }
        let job = self.tasks.remove(task, TaskState::Sent);
        self.count_answer(worker, actions);
        if job.is_none() {
            self.workers.on_stale_answer(worker);
        }
        job
    }

    /// `worker` has answered `task` with an exception, which costs the task a try.
    pub fn on_raised(&mut self, worker: WorkerId, task: TaskId, actions: &mut Vec<Action>) -> Raised<J> {
        if !self.hear(worker, actions) {
            return Raised::Stale;
        }
        let raised = if self.tasks.transition_to_queued_again(task) {
            self.queue.push_front(task);
            self.send_queued(actions);
            self.workers.on_failed_try(worker, task);
            Raised::Again
        } else {
            self.tasks.remove(task, TaskState::Sent).map_or(Raised::Stale, Raised::Failed)
        };
        self.count_answer(worker, actions);
        if matches!(raised, Raised::Stale) {
            self.workers.on_stale_answer(worker);
        }
        raised
    }

    /// The ring has `free_slots` free slots, counted after every earlier [`Action::Send`] was carried out.
    #[inline]
    pub fn on_window(&mut self, free_slots: usize, actions: &mut Vec<Action>) {
        self.room = free_slots.min(self.window);
        self.holes = self.holes.min(self.window - self.room);
        self.send_queued(actions);
    }

    /// `task` could not be published: the next slot is held up by a worker that still reads from it, though slots
    /// behind it are free. The task waits again, before all others, until [`on_window`](Self::on_window) finds room. Of
    /// several, report the youngest first.
    pub fn on_full(&mut self, task: TaskId) {
        if self.tasks.transition_to_unsent(task) {
            self.queue.push_front(task);
        }
        self.room = 0;
    }

    /// How many tasks wait for a slot: if any, [`on_window`](Self::on_window) is worth a call.
    #[inline]
    pub fn queued(&self) -> usize {
        self.tasks.queued()
    }

    /// How many tasks have not ended.
    #[inline]
    pub fn pending(&self) -> usize {
        self.tasks.len()
    }

    /// The caller no longer wants `task`.
    pub fn cancel(&mut self, task: TaskId, actions: &mut Vec<Action>) -> Cancel<J> {
        match self.tasks.state(task) {
            TaskState::Sent => Cancel::AskRing,
            TaskState::Queued => match self.tasks.remove(task, TaskState::Queued) {
                Some(job) => {
                    self.queue.on_removed(&self.tasks);
                    self.settle(actions);
                    Cancel::Removed(job)
                }
                None => Cancel::Unknown,
            },
            TaskState::Vacant => Cancel::Unknown,
        }
    }

    /// A sent task was taken out of the ring before a worker claimed it, or could not be put in.
    pub fn on_retracted(&mut self, task: TaskId, actions: &mut Vec<Action>) -> Option<J> {
        let job = self.tasks.remove(task, TaskState::Sent)?;
        self.holes += 1;
        self.settle(actions);
        Some(job)
    }

    /// Forgets the tries `task` has left: say it of a running task before its worker is doomed because nobody wants it
    /// any more. False: no such task.
    pub fn forbid_retries(&mut self, task: TaskId) -> bool {
        self.tasks.clear_retries(task)
    }

    /// How many tries `task` has beyond the one it waits for or runs; `None`: it has ended.
    pub fn tries_left(&self, task: TaskId) -> Option<u32> {
        self.tasks.retries(task)
    }

    /// Takes no task from now on. Those that were taken are run, and the workers stop after the last; with
    /// `cancel_pending` the queued ones come back at once, and the shell may retract what [`sent`](Self::sent) names.
    /// May be called again.
    pub fn shutdown(&mut self, cancel_pending: bool, actions: &mut Vec<Action>) -> Vec<(TaskId, J)> {
        if self.phase == Phase::Open {
            self.phase = Phase::ShutDown;
        }
        let cancelled = if cancel_pending { self.take_queued() } else { Vec::new() };
        self.settle(actions);
        cancelled
    }

    /// Declares the pool broken, as when an initializer raised: every task comes back, first those in the ring or with
    /// a worker, then the queued ones in their order, and all workers are stopped.
    pub fn break_pool(&mut self, actions: &mut Vec<Action>) -> Vec<(TaskId, J)> {
        self.phase = Phase::Broken;
        let sent: Vec<TaskId> = self.sent().collect();
        let mut jobs: Vec<_> =
            sent.into_iter().filter_map(|id| Some((id, self.tasks.remove(id, TaskState::Sent)?))).collect();
        jobs.append(&mut self.take_queued());
        self.settle(actions);
        jobs
    }

    /// Whether the pool was declared broken.
    pub fn is_broken(&self) -> bool {
        self.phase == Phase::Broken
    }

    /// Whether everything has ended: no task is pending, no worker exists, and none will.
    pub fn is_drained(&self) -> bool {
        self.phase != Phase::Open && self.tasks.is_empty() && self.workers.present() == 0
    }

    /// The job of a task that has not ended.
    pub fn job(&self, task: TaskId) -> Option<&J> {
        self.tasks.job(task)
    }

    /// The job of a task that has not ended, to be changed.
    pub fn job_mut(&mut self, task: TaskId) -> Option<&mut J> {
        self.tasks.job_mut(task)
    }

    /// The tasks in the ring or with a worker, in no particular order.
    pub fn sent(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.tasks.ids(TaskState::Sent)
    }

    /// Whether a task is in the ring or with a worker.
    pub fn is_sent(&self, task: TaskId) -> bool {
        self.tasks.state(task) == TaskState::Sent
    }

    /// How many answers a worker has given in its present life.
    pub fn answers(&self, worker: WorkerId) -> u64 {
        self.workers.answers(worker)
    }

    /// How much there is of everything.
    pub fn counts(&self) -> Counts {
        Counts {
            queued: self.tasks.queued(),
            sent: self.tasks.sent(),
            starting: self.workers.count(WorkerState::Starting),
            ready: self.workers.count(WorkerState::Ready),
            outgrown: self.workers.count(WorkerState::Outgrown),
            leaving: self.workers.count(WorkerState::Retiring) + self.workers.count(WorkerState::Stopping),
        }
    }

    /// Whether a slot should be free, for when no task waits and the shell therefore has not counted lately. What is known
    /// then is that each sent task which has not ended takes at most one; slots that are held up are not known, and are
    /// what `on_full` is for.
    #[inline]
    fn has_room(&mut self) -> bool {
        if self.room == 0 {
            if self.tasks.sent() == 0 {
                self.holes = 0;
            }
            self.room = self.window.saturating_sub(self.tasks.sent() + self.holes);
        }
        self.room > 0
    }

    fn send_queued(&mut self, actions: &mut Vec<Action>) {
        while self.room > 0 && self.tasks.queued() > 0 {
            let Some(id) = self.queue.pop_front(&self.tasks) else {
                return;
            };
            self.tasks.transition_to_sent(id);
            self.room -= 1;
            actions.push(Action::Send(id));
        }
    }

    fn take_queued(&mut self) -> Vec<(TaskId, J)> {
        let mut jobs = Vec::with_capacity(self.tasks.queued());
        while let Some(id) = self.queue.pop_front(&self.tasks) {
            jobs.extend(self.tasks.remove(id, TaskState::Queued).map(|job| (id, job)));
        }
        jobs
    }
}
