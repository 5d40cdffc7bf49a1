//! The scheduler alone: what a task costs it, by how many wait and how many workers there are, and what deaths cost it.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use plait_engine::scheduler::{Action, Config, Scheduler};
use plait_trace::{TaskId, WorkerId};

use crate::clock::{each, median, memory, timed};

const BATCH: usize = 1024;

/// A pool of so many workers, with a window in which each finds a task, beside those that are being replaced.
pub(crate) fn config(workers: usize) -> Config {
    let config = Config { max_workers: workers, window: workers, max_tasks_per_child: None, start_attempts: 3 };
    Config { window: config.worker_ids().next_power_of_two().max(BATCH), ..config }
}

/// The scheduler, with jobs of one word, and what it has sent.
pub(crate) struct Bare {
    scheduler: Scheduler<NonZeroU64>,
    actions: Vec<Action>,
    sent: VecDeque<TaskId>,
    starts: Vec<WorkerId>,
    workers: usize,
    next: usize,
    submitted: u64,
    pub(crate) ended: u64,
}

/// What one size of the table came to, in nanoseconds for each task and bytes for each.
pub(crate) struct Cost {
    pub(crate) fill: f64,
    pub(crate) steady: f64,
    pub(crate) against: f64,
    pub(crate) empty: f64,
    pub(crate) bytes: f64,
}

/// What a crowd of deaths came to.
pub(crate) struct Deaths {
    pub(crate) lost: usize,
    pub(crate) redone: usize,
    pub(crate) time: Duration,
}

impl Bare {
    pub(crate) fn new(config: Config) -> Self {
        let mut bare = Self {
            scheduler: Scheduler::new(config).expect("the configuration is sound"),
            actions: Vec::new(),
            sent: VecDeque::new(),
            starts: Vec::new(),
            workers: config.max_workers,
            next: 0,
            submitted: 0,
            ended: 0,
        };
        bare.fill(config.window);
        bare.start();
        bare
    }

    /// Half of the tasks, of each neighbourhood, may be tried twice.
    fn submit(&mut self) {
        self.submitted += 1;
        let job = NonZeroU64::new(self.submitted).expect("it was counted up");
        let submitted = self.scheduler.submit(job, self.submitted.count_ones() % 2, &mut self.actions);
        submitted.expect("the pool is open");
        self.carry_out();
    }

    /// So many more wait.
    pub(crate) fn fill(&mut self, tasks: usize) {
        (0..tasks).for_each(|_| self.submit());
    }

    fn carry_out(&mut self) {
        for action in self.actions.drain(..) {
            match action {
                Action::Send(task) => self.sent.push_back(task),
                Action::StartWorker(worker) => self.starts.push(worker),
                Action::StopWorker(_) => {}
            }
        }
    }

    /// All workers that were asked for are there.
    fn start(&mut self) {
        while let Some(worker) = self.starts.pop() {
            self.scheduler.on_worker_ready(worker, &mut self.actions);
            self.carry_out();
        }
    }

    /// The oldest tasks are answered, by one worker after the other.
    fn answer(&mut self, count: usize) -> usize {
        let mut answered = 0;
        while answered < count
            && let Some(task) = self.sent.pop_front()
        {
            let worker = WorkerId((self.next % self.workers) as u16);
            self.next += 1;
            let job = self.scheduler.on_finished(worker, task, &mut self.actions);
            self.ended += u64::from(job.is_some());
            answered += 1;
        }
        if self.scheduler.queued() > 0 {
            self.scheduler.on_window(answered, &mut self.actions);
        }
        self.carry_out();
        answered
    }

    /// As the shell does it: a batch of answers, a look at the ring, new tasks. Nanoseconds for each task.
    fn round(&mut self) -> f64 {
        let ((), time) = timed(|| {
            self.answer(BATCH);
            (0..BATCH).for_each(|_| self.submit());
        });
        each(time, BATCH)
    }

    /// Of `tasks` that wait at a time: the filling of the queue, work beside it, and its emptying. The middle is measured in
    /// turns with the `reference`, so that a busy moment of the machine falls on both.
    pub(crate) fn cost(tasks: usize, workers: usize, reference: &mut Self, visits: usize) -> Cost {
        let mut bare = Self::new(config(workers));
        let before = memory();
        let ((), fill) = timed(|| bare.fill(tasks));
        let bytes = memory().saturating_sub(before) as f64 / tasks as f64;
        let rounds = |bare: &mut Self| median((0..15).map(|_| bare.round()).collect());
        rounds(&mut bare);
        let pairs: Vec<_> = (0..visits).map(|_| (rounds(&mut bare), rounds(reference))).collect();
        let left = bare.scheduler.pending();
        let ((), empty) = timed(|| while bare.answer(BATCH) > 0 {});
        assert_eq!((bare.scheduler.pending(), bare.ended), (0, bare.submitted), "each task has ended once");
        Cost {
            fill: each(fill, tasks),
            steady: median(pairs.iter().map(|(cost, _)| *cost).collect()),
            against: median(pairs.iter().map(|(cost, other)| cost / other).collect()),
            empty: each(empty, left),
            bytes,
        }
    }

    /// Each worker has a task, and `dying` of them are gone at one moment: the time until all is sent again and every
    /// replacement is there.
    pub(crate) fn deaths(workers: usize, dying: usize, leaving: bool, backlog: usize) -> Deaths {
        let mut bare = Self::new(config(workers));
        bare.fill(backlog);
        if leaving {
            // They wait for their replacements, in a line that the deaths have to be taken out of.
            for worker in 0..workers {
                bare.scheduler.retire(WorkerId(worker as u16), &mut bare.actions);
            }
            bare.carry_out();
        }
        let held: Vec<TaskId> = bare.sent.drain(..workers).collect();
        // Every so many, from the youngest: as a line sees it, from all over.
        let step = workers / dying;
        let dead: Vec<usize> = (0..dying).map(|nth| workers - 1 - nth * step).collect();
        let (mut lost, mut redone) = (0, 0);
        let ((), time) = timed(|| {
            for &worker in &dead {
                let task = [held[worker]];
                let end = bare.scheduler.on_worker_lost(WorkerId(worker as u16), &task, &mut bare.actions);
                lost += end.failed.len();
                redone += usize::from(bare.scheduler.job(task[0]).is_some());
                bare.carry_out();
            }
            bare.start();
        });
        bare.ended += lost as u64;
        let survivors = (0..workers).filter(|worker| !dead.contains(worker)).map(|worker| held[worker]);
        bare.sent.extend(survivors);
        while bare.answer(BATCH) > 0 {}
        assert_eq!((bare.scheduler.pending(), bare.ended), (0, bare.submitted), "each task has ended once");
        Deaths { lost, redone, time }
    }
}
