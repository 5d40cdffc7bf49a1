//! What the scheduler answers: actions for the shell, and what became of the tasks an event was about.

use plait_trace::{TaskId, WorkerId};

/// What the shell has to do.
#[must_use = "an action that is not carried out leaves a task or a worker waiting for ever"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Publish the task in the claim ring, where a slot is free for it.
    Send(TaskId),
    /// Start a worker under this id, and report it ready or lost.
    StartWorker(WorkerId),
    /// Tell the worker to end when it has nothing in hand, and report it lost when it has ended.
    StopWorker(WorkerId),
}

const _: () = assert!(size_of::<Action>() == 16);

/// Why a task was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// [`Scheduler::shutdown`](super::Scheduler::shutdown) was called.
    ShutDown,
    /// Workers cannot be started, or [`Scheduler::break_pool`](super::Scheduler::break_pool) was called.
    Broken,
}

/// A task that was not taken, given back.
#[derive(Debug)]
pub struct Refused<J> {
    /// What was submitted.
    pub job: J,
    /// Why it comes back.
    pub reason: Refusal,
}

/// What became of a task that raised.
#[must_use]
#[derive(PartialEq, Eq, Debug)]
pub enum Raised<J> {
    /// It had a try left and waits for its turn; the exception is to be dropped.
    Again,
    /// It has ended; the exception is its outcome.
    Failed(J),
    /// No such task is running: the message is to be ignored.
    Stale,
}

/// What a cancelled task was doing.
#[must_use]
#[derive(PartialEq, Eq, Debug)]
pub enum Cancel<J> {
    /// It waited in the parent, and has ended.
    Removed(J),
    /// It is in the ring: try to take it out there, and report
    /// [`Scheduler::on_retracted`](super::Scheduler::on_retracted) if that succeeded. If it did not, a worker has it,
    /// and the task goes on.
    AskRing,
    /// It has ended already.
    Unknown,
}

/// The tasks that ended with a worker.
#[must_use]
#[derive(PartialEq, Eq, Debug)]
pub struct Lost<J> {
    /// Held by the worker, and without a try left.
    pub failed: Vec<(TaskId, J)>,
    /// Everything else that was pending, sent or queued, if this death broke the pool.
    pub abandoned: Vec<(TaskId, J)>,
}

/// How much there is of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Tasks that wait in the parent.
    pub queued: usize,
    /// Tasks in the ring or with a worker.
    pub sent: usize,
    /// Workers asked for and not heard of yet.
    pub starting: usize,
    /// Workers that claim tasks.
    pub ready: usize,
    /// Workers that claim tasks until their replacement is ready.
    pub outgrown: usize,
    /// Workers that claim no more, or were told so, and have not ended yet.
    pub leaving: usize,
}

impl Counts {
    /// Tasks that have not ended.
    pub const fn pending(&self) -> usize {
        self.queued + self.sent
    }

    /// Workers that claim tasks and have nothing to run.
    pub const fn idle(&self) -> usize {
        (self.ready + self.outgrown).saturating_sub(self.sent)
    }
}
