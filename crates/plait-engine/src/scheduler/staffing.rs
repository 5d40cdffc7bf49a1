//! The half of the scheduler that is about workers: which to start, which to stop, and what their deaths mean.

use plait_trace::{TaskId, WorkerId};

use super::action::{Action, Lost};
use super::tasks::TaskState;
use super::workers::WorkerState;
use super::{Phase, Scheduler};

impl<J> Scheduler<J> {
    /// `worker` has started and claims tasks from now on.
    pub fn on_worker_ready(&mut self, worker: WorkerId, actions: &mut Vec<Action>) {
        if self.workers.transition_to_ready(worker) {
            self.health.on_ready();
            // Whichever worker comes takes the place of the one that has waited longest to be replaced: so never fewer
            // claim than did, and never more than may.
            actions.extend(self.workers.transition_to_stopping_outgrown().map(Action::StopWorker));
            self.heal(actions);
            self.settle(actions);
        }
    }

    /// The shell has made sure that `worker` claims no other task than the one it runs, and will end it if it does not
    /// end by itself: a deadline passed, or nobody wants the task any more (then say
    /// [`forbid_retries`](Self::forbid_retries) as well).
    ///
    /// It no longer serves, and its replacement starts at once if there is a task for it. It is not told to stop. It may
    /// still answer its task; its end is reported by [`on_worker_lost`](Self::on_worker_lost) as any other, costs a task
    /// that it held a try, and is no sign of ill health.
    pub fn on_worker_doomed(&mut self, worker: WorkerId, actions: &mut Vec<Action>) {
        // Who runs a task has started, though the news of it may be late.
        if self.hear(worker, actions) && self.workers.transition_to_stopping(worker) {
            self.heal(actions);
        }
    }

    /// `worker` has grown too large: it claims tasks until its replacement is ready, and is stopped then; at once, if
    /// ready workers are enough for all tasks, or there is no task. Where workers fail to start, it goes on.
    ///
    /// False, and no change, if the worker is not ready: it has not started, or is on its way out already.
    pub fn retire(&mut self, worker: WorkerId, actions: &mut Vec<Action>) -> bool {
        let was_ready = self.workers.transition_to_outgrown(worker);
        if was_ready {
            self.heal(actions);
            self.settle(actions);
        }
        was_ready
    }

    /// `worker` has ended, or could not be started. `held` are the tasks it had claimed and not answered, oldest first.
    /// A worker can end after an answer and before it notes that its task has ended: [`has_answered`](Self::has_answered)
    /// tells. A task that has ended may be named.
    ///
    /// A held task with a try left waits again, before all others; one without comes back. When the last worker
    /// fails to start, as `start_attempts` others in a row did, the pool is broken: every task comes back.
    pub fn on_worker_lost(&mut self, worker: WorkerId, held: &[TaskId], actions: &mut Vec<Action>) -> Lost<J> {
        self.lose(worker, held, true, actions)
    }

    /// As [`on_worker_lost`](Self::on_worker_lost), for a worker that could not be started for a cause that was counted
    /// with another worker: what keeps many from starting at once is one failed start. The last of them breaks the pool if
    /// that one was once too often.
    pub fn on_worker_unborn(&mut self, worker: WorkerId, actions: &mut Vec<Action>) -> Lost<J> {
        self.lose(worker, &[], false, actions)
    }

    fn lose(&mut self, worker: WorkerId, held: &[TaskId], counts: bool, actions: &mut Vec<Action>) -> Lost<J> {
        let mut lost = Lost { failed: Vec::new(), abandoned: Vec::new() };
        let used = self.workers.answers(worker) > 0 || !held.is_empty();
        let was = self.workers.transition_to_absent(worker);
        if was == WorkerState::Absent {
            return lost;
        }
        for &task in held.iter().rev() {
            if self.tasks.transition_to_queued_again(task) {
                self.queue.push_front(task);
            } else if let Some(job) = self.tasks.remove(task, TaskState::Sent) {
                lost.failed.push((task, job));
            }
        }
        lost.failed.reverse();
        let hopeless = match was {
            WorkerState::Starting if !used && counts => self.health.on_failed_start(),
            WorkerState::Starting if !used => self.health.exhausted(),
            WorkerState::Ready | WorkerState::Outgrown if !used && !self.tasks.is_empty() => {
                self.health.on_unused_death()
            }
            _ => {
                self.health.on_useful_death();
                false
            }
        };
        if hopeless && self.workers.useful() == 0 && !self.tasks.is_empty() {
            lost.abandoned = self.break_pool(actions);
            return lost;
        }
        self.send_queued(actions);
        self.heal(actions);
        self.settle(actions);
        lost
    }

    /// Whether `worker`, which died and had noted down that `ended` tasks had ended and that it ran `task`, had answered
    /// that task before. It then holds it no longer, though its note says so: the task is on its way to its next try, or
    /// already with another worker.
    pub fn has_answered(&self, worker: WorkerId, task: TaskId, ended: u64) -> bool {
        self.workers.has_answered(worker, task, ended)
    }

    /// Whether `worker` exists; its first message may overtake the news that it is ready, and says so too.
    #[inline]
    pub(super) fn hear(&mut self, worker: WorkerId, actions: &mut Vec<Action>) -> bool {
        match self.workers.state(worker) {
            WorkerState::Ready | WorkerState::Outgrown | WorkerState::Retiring | WorkerState::Stopping => true,
            WorkerState::Starting => {
                self.on_worker_ready(worker, actions);
                true
            }
            WorkerState::Absent => false,
        }
    }

    /// Every answer counts, also a stale one: the worker counts them as well, and would claim nothing more while it is
    /// thought to serve.
    #[inline]
    pub(super) fn count_answer(&mut self, worker: WorkerId, actions: &mut Vec<Action>) {
        let retired = self.workers.on_answer(worker);
        let pause_ended = self.health.on_answer();
        if retired || pause_ended {
            self.heal(actions);
            self.settle(actions);
        } else if self.phase != Phase::Open || self.workers.count(WorkerState::Outgrown) > 0 {
            self.settle(actions);
        }
    }

    /// Starts as many workers as there are tasks for, within the limits.
    fn heal(&mut self, actions: &mut Vec<Action>) {
        let wanted = self.tasks.len().min(self.workers.max_serving());
        self.start_workers(wanted.saturating_sub(self.workers.serving()), actions);
    }

    pub(super) fn start_workers(&mut self, count: usize, actions: &mut Vec<Action>) {
        for _ in 0..count {
            // A pause is for those who have other workers to wait for.
            if self.health.paused() && self.workers.useful() > 0 {
                return;
            }
            let Some(id) = self.workers.transition_to_starting() else {
                return;
            };
            actions.push(Action::StartWorker(id));
        }
    }

    /// Stops the workers that have no reason to stay.
    pub(super) fn settle(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Open && self.tasks.is_empty() {
            self.workers.transition_all_to_stopping(|id| actions.push(Action::StopWorker(id)));
            return;
        }
        while let Some(id) = self.workers.transition_to_stopping_unreplaced() {
            actions.push(Action::StopWorker(id));
        }
        while self.outgrown_is_surplus()
            && let Some(id) = self.workers.transition_to_stopping_outgrown()
        {
            actions.push(Action::StopWorker(id));
        }
    }

    /// Whether an outgrown worker has none to wait for, and the ready ones are enough for all tasks. The last worker is
    /// not let go on the hope that another will start, when that has just failed.
    fn outgrown_is_surplus(&self) -> bool {
        let count = |state| self.workers.count(state);
        let ready = count(WorkerState::Ready);
        count(WorkerState::Outgrown) > count(WorkerState::Starting)
            && ready >= self.tasks.len().min(self.workers.max_serving())
            && (ready > 0 || !self.health.doubtful())
    }
}
