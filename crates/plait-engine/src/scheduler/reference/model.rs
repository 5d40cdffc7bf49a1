//! The scheduler again, written for the eye: flat lists, searched from end to end, and no care for speed.

use plait_trace::{TaskId, WorkerId};

use crate::scheduler::{Action, Config, Lost};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Duty {
    Starting,
    Ready,
    Outgrown,
    Retiring,
    Stopping,
}

impl Duty {
    fn claims(self) -> bool {
        matches!(self, Self::Ready | Self::Outgrown)
    }
}

pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) job: usize,
    pub(super) retries: u32,
    pub(super) sent: bool,
}

pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) duty: Duty,
    pub(super) answers: u64,
    /// Answers that were about a task, and the last of those tasks that is to be tried again.
    pub(super) accepted: u64,
    pub(super) again: Option<TaskId>,
}

/// `tasks` holds those that are sent first, in any order, and then those that wait, in theirs; `workers` those
/// that exist, in the order in which they took up their present duty.
pub(super) struct Model {
    pub(super) config: Config,
    pub(super) tasks: Vec<Task>,
    pub(super) workers: Vec<Worker>,
    pub(super) room: usize,
    pub(super) holes: usize,
    pub(super) open: bool,
    pub(super) broken: bool,
    pub(super) failed_starts: u32,
    pub(super) unused_deaths: u64,
    pub(super) pause: u32,
    /// What the scheduler did; the model takes the worker ids from here, for which of the free ones is used is no rule.
    pub(super) actions: std::vec::IntoIter<Action>,
}

impl Model {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            tasks: Vec::new(),
            workers: Vec::new(),
            room: config.window,
            holes: 0,
            open: true,
            broken: false,
            failed_starts: 0,
            unused_deaths: 0,
            pause: 0,
            actions: Vec::new().into_iter(),
        }
    }

    pub(super) fn count(&self, duty: Duty) -> usize {
        self.workers.iter().filter(|worker| worker.duty == duty).count()
    }

    pub(super) fn serving(&self) -> usize {
        self.count(Duty::Starting) + self.count(Duty::Ready)
    }

    pub(super) fn useful(&self) -> usize {
        self.serving() + self.count(Duty::Outgrown)
    }

    pub(super) fn sent(&self) -> usize {
        self.tasks.iter().filter(|task| task.sent).count()
    }

    pub(super) fn expect(&mut self, action: Action) {
        assert_eq!(self.actions.next(), Some(action));
    }

    pub(super) fn set(&mut self, at: usize, duty: Duty) {
        let mut worker = self.workers.remove(at);
        worker.duty = duty;
        self.workers.push(worker);
    }

    pub(super) fn start(&mut self, wanted: usize) {
        for _ in 0..wanted {
            if self.serving() == self.config.max_workers
                || self.workers.len() == self.config.worker_ids()
                || (self.pause > 0 && self.useful() > 0)
            {
                return;
            }
            let Some(Action::StartWorker(id)) = self.actions.next() else { panic!("no worker was started") };
            assert!(id.index() < self.config.worker_ids());
            assert!(self.workers.iter().all(|worker| worker.id != id), "{id:?} is in use");
            self.workers.push(Worker { id, duty: Duty::Starting, answers: 0, accepted: 0, again: None });
        }
    }

    pub(super) fn heal(&mut self) {
        let wanted = self.tasks.len().min(self.config.max_workers);
        self.start(wanted.saturating_sub(self.serving()));
    }

    /// No task waits, so the shell has not counted: each sent task takes at most a slot.
    pub(super) fn guess_room(&mut self) {
        if self.room == 0 {
            if self.sent() == 0 {
                self.holes = 0;
            }
            self.room = self.config.window.saturating_sub(self.sent() + self.holes);
        }
    }

    pub(super) fn send(&mut self) {
        while let Some(at) = self.tasks.iter().position(|task| !task.sent) {
            if self.room == 0 {
                return;
            }
            self.room -= 1;
            self.tasks[at].sent = true;
            self.expect(Action::Send(self.tasks[at].id));
        }
    }

    pub(super) fn settle(&mut self) {
        if !self.open && self.tasks.is_empty() {
            let mut serving: Vec<_> = self.workers.iter_mut().filter(|worker| worker.duty != Duty::Stopping).collect();
            serving.sort_by_key(|worker| worker.id);
            let ids: Vec<_> = serving.iter().map(|worker| worker.id).collect();
            serving.iter_mut().for_each(|worker| worker.duty = Duty::Stopping);
            ids.into_iter().for_each(|id| self.expect(Action::StopWorker(id)));
        }
        while self.count(Duty::Retiring) > self.count(Duty::Starting) {
            self.stop_first(Duty::Retiring);
        }
        while self.count(Duty::Outgrown) > self.count(Duty::Starting)
            && self.count(Duty::Ready) >= self.tasks.len().min(self.config.max_workers)
            && (self.count(Duty::Ready) > 0 || self.failed_starts == 0)
        {
            self.stop_first(Duty::Outgrown);
        }
    }

    pub(super) fn stop_first(&mut self, duty: Duty) {
        if let Some(at) = self.workers.iter().position(|worker| worker.duty == duty) {
            self.expect(Action::StopWorker(self.workers[at].id));
            self.set(at, Duty::Stopping);
        }
    }

    pub(super) fn find(&self, id: WorkerId) -> Option<usize> {
        self.workers.iter().position(|worker| worker.id == id)
    }

    pub(super) fn ready(&mut self, id: WorkerId) {
        let Some(at) = self.find(id).filter(|at| self.workers[*at].duty == Duty::Starting) else {
            return;
        };
        self.set(at, Duty::Ready);
        self.failed_starts = 0;
        self.pause = 0;
        self.stop_first(Duty::Outgrown);
        self.heal();
        self.settle();
    }

    pub(super) fn doomed(&mut self, id: WorkerId) {
        self.ready(id);
        if let Some(at) = self.find(id).filter(|at| self.workers[*at].duty != Duty::Stopping) {
            self.set(at, Duty::Stopping);
            self.heal();
        }
    }

    pub(super) fn retire(&mut self, id: WorkerId) -> bool {
        let Some(at) = self.find(id).filter(|at| self.workers[*at].duty == Duty::Ready) else {
            return false;
        };
        self.set(at, Duty::Outgrown);
        self.heal();
        self.settle();
        true
    }

    pub(super) fn answered(&mut self, id: WorkerId, accepted: bool) {
        let at = self.find(id).unwrap();
        self.workers[at].answers += 1;
        self.workers[at].accepted += u64::from(accepted);
        let limit = self.config.max_tasks_per_child.unwrap_or(u64::MAX);
        let retires = self.workers[at].answers >= limit && self.workers[at].duty.claims();
        if retires {
            self.set(at, Duty::Retiring);
        }
        self.unused_deaths = 0;
        let resumes = self.pause == 1;
        self.pause = self.pause.saturating_sub(1);
        if retires || resumes {
            self.heal();
        }
        self.settle();
    }

    /// Removes a task that is sent, or one that waits.
    pub(super) fn remove(&mut self, id: TaskId, sent: bool) -> Option<usize> {
        let at = self.tasks.iter().position(|task| task.id == id && task.sent == sent)?;
        Some(self.tasks.remove(at).job)
    }

    /// Puts a sent task that has a try left before all that wait.
    pub(super) fn again(&mut self, id: TaskId) -> bool {
        let Some(at) = self.tasks.iter().position(|task| task.id == id && task.sent && task.retries > 0) else {
            return false;
        };
        let mut task = self.tasks.remove(at);
        task.sent = false;
        task.retries -= 1;
        self.tasks.insert(self.sent(), task);
        true
    }

    pub(super) fn lost(&mut self, id: WorkerId, held: &[TaskId], counts: bool) -> Lost<usize> {
        let mut lost = Lost { failed: Vec::new(), abandoned: Vec::new() };
        let Some(at) = self.find(id) else { return lost };
        let worker = self.workers.remove(at);
        for &task in held.iter().rev() {
            if !self.again(task)
                && let Some(job) = self.remove(task, true)
            {
                lost.failed.insert(0, (task, job));
            }
        }
        let unused = worker.answers == 0 && held.is_empty();
        let start = unused && worker.duty == Duty::Starting;
        if start {
            self.failed_starts += u32::from(counts);
        } else if unused && worker.duty.claims() && !self.tasks.is_empty() {
            self.unused_deaths += 1;
        } else {
            self.pause = 0;
        }
        let attempts = self.config.start_attempts;
        let exhausted = self.failed_starts >= attempts
            || self.unused_deaths >= u64::from(attempts) * self.config.max_workers as u64;
        let death = unused && worker.duty.claims() && !self.tasks.is_empty();
        if (start && counts || death) && exhausted {
            self.pause = 1 << self.failed_starts;
        }
        if (start || death) && exhausted && self.useful() == 0 && !self.tasks.is_empty() {
            lost.abandoned = self.break_pool();
            return lost;
        }
        self.send();
        self.heal();
        self.settle();
        lost
    }

    pub(super) fn shutdown(&mut self, cancel: bool) -> Vec<(TaskId, usize)> {
        self.open = false;
        let waiting = self.tasks.extract_if(.., |task| cancel && !task.sent);
        let cancelled = waiting.map(|task| (task.id, task.job)).collect();
        self.settle();
        cancelled
    }

    pub(super) fn break_pool(&mut self) -> Vec<(TaskId, usize)> {
        (self.open, self.broken) = (false, true);
        let mut all: Vec<_> = self.tasks.drain(..).collect();
        // Which of the sent ones comes first is no rule; the table's order is as good as any.
        all.sort_by_key(|task| if task.sent { task.id.slot() } else { u32::MAX });
        self.settle();
        all.into_iter().map(|task| (task.id, task.job)).collect()
    }
}
