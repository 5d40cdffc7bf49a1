//! One simulated run: a shell that carries out what the scheduler says in a made-up world, draws what happens next from
//! a seed, and compares the scheduler with the ledger after every event.

use std::collections::VecDeque;
use std::fmt;

use plait_trace::{TaskId, WorkerId};

use super::ledger::{Ledger, Place};
use super::random::Random;
use super::world::{Life, Message, World};
use crate::scheduler::{Action, Config, Scheduler};

/// What may go wrong, each so many times in ten thousand chances.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) failed_start: u32,
    pub(super) idle_death: u32,
    pub(super) death_holding: u32,
    pub(super) death_after_answer: u32,
    pub(super) raise: u32,
    pub(super) cancel: u32,
    /// A task that was to be cancelled runs: its worker is doomed.
    pub(super) stop_running: u32,
    /// A task runs into its deadline: its worker is doomed.
    pub(super) overrun: u32,
    /// The scheduler hears of a doom when other things have happened.
    pub(super) late_doom: u32,
    /// The parent looks at a worker, and finds it grown.
    pub(super) grow: u32,
    pub(super) stale_message: u32,
    /// The news that a worker is ready takes another way than its answers, and comes after the first.
    pub(super) late_ready: u32,
    /// A worker is slow to copy its task out of the ring.
    pub(super) slow_claim: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) config: Config,
    pub(super) tasks: usize,
    /// Tasks have up to so many retries.
    pub(super) retries: usize,
    /// Every so manieth task runs until its worker is doomed; 0: none.
    pub(super) endless: usize,
    pub(super) faults: Faults,
    /// Submits only while fewer tasks are pending, so that workers have nothing to do at times.
    pub(super) most_pending: usize,
    /// From this task on no worker starts any more.
    pub(super) no_start_after: Option<usize>,
    /// Shut down after so many submissions; `true`: and cancel what waits.
    pub(super) shutdown: Option<(usize, bool)>,
}

impl Scenario {
    pub(super) const fn is_endless(&self, task: usize) -> bool {
        self.endless > 0 && task.is_multiple_of(self.endless)
    }
}

#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "printed when a run fails")]
pub(super) enum Event {
    Submit(usize, TaskId),
    Did(Action),
    Booted(WorkerId),
    Claimed(WorkerId, usize),
    Published(WorkerId, Message),
    Doomed(WorkerId),
    ToldDoom(WorkerId),
    Retired(WorkerId, bool),
    Died(WorkerId),
    Heard(WorkerId, Message),
    Buried(WorkerId, Option<usize>),
    Cancel(usize),
    Stale(WorkerId, TaskId),
    Full(TaskId),
    Window(usize),
    Shutdown(bool),
}

/// How many of the last events a failure prints.
const TRACE: usize = 80;

pub(super) struct Run {
    pub(super) scenario: Scenario,
    pub(super) random: Random,
    pub(super) scheduler: Scheduler<usize>,
    pub(super) world: World,
    pub(super) ledger: Ledger,
    pub(super) actions: Vec<Action>,
    pub(super) shut_down: bool,
    /// A task was retracted, a worker was slow to read one, or more workers hold one than the ring has slots for: slots
    /// become free in other ways than the scheduler counts on.
    pub(super) unsteady: bool,
    pub(super) trace: VecDeque<Event>,
    pub(super) steps: u64,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}\nafter {} steps, the last events were", self.scenario, self.steps)?;
        self.trace.iter().try_for_each(|event| writeln!(f, "  {event:?}"))?;
        writeln!(f, "{:?}", self.scheduler.counts())
    }
}

impl Run {
    pub(super) fn new(scenario: Scenario, seed: u64) -> Self {
        let config = scenario.config;
        Self {
            scenario,
            random: Random::new(seed),
            scheduler: Scheduler::new(config).expect("the scenario is possible"),
            world: World::new(config.window, config.worker_ids()),
            ledger: Ledger::default(),
            actions: Vec::new(),
            shut_down: false,
            unsteady: false,
            trace: VecDeque::with_capacity(TRACE),
            steps: 0,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.scheduler.is_broken()
    }

    /// Runs to the end, which has to come.
    pub(super) fn run(&mut self) {
        let enough = 1000 * (self.scenario.tasks + self.scenario.config.max_workers) as u64 + 1_000_000;
        while !self.scheduler.is_drained() {
            self.step();
            self.check();
            self.steps += 1;
            assert!(self.steps < enough, "somebody starves: {} tasks are pending", self.ledger.pending);
        }
        assert_eq!(self.ledger.pending, 0);
        assert_eq!(self.world.present(), 0);
        assert!(!self.world.ring.has_task());
        assert_eq!(self.world.surplus, 0);
        let Ledger { finished, raised, cancelled, lost, abandoned, .. } = self.ledger;
        assert_eq!(finished + raised + cancelled + lost + abandoned, self.ledger.len());
    }

    pub(super) fn note(&mut self, event: Event) {
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        self.trace.push_back(event);
    }

    fn step(&mut self) {
        let submitted = self.ledger.len();
        if !self.shut_down {
            let due = self.scenario.shutdown.filter(|(after, _)| submitted >= *after);
            if due.is_some() || submitted >= self.scenario.tasks || self.scheduler.is_broken() {
                self.shutdown(due.is_some_and(|(_, cancel)| cancel));
                return;
            }
        }
        match self.random.below(16) {
            0..3 if !self.shut_down => {
                // Mostly single tasks, at times more than the ring holds.
                let burst = if self.random.one_in(20) { self.random.below(2 * self.scenario.config.window) } else { 1 };
                let room = self.scenario.most_pending.saturating_sub(self.ledger.pending);
                for _ in 0..burst.min(room).min(self.scenario.tasks - submitted) {
                    self.submit();
                }
            }
            0..12 => self.worker_turn(),
            12..15 => self.parent_turn(),
            _ => self.mishap(),
        }
    }

    fn submit(&mut self) {
        let task = self.ledger.len();
        let retries = self.random.below(self.scenario.retries + 1) as u32;
        let Ok(id) = self.scheduler.submit(task, retries, &mut self.actions) else {
            assert!(self.scheduler.is_broken(), "an open pool refused a task");
            return;
        };
        self.ledger.on_submitted(task, id, retries);
        self.note(Event::Submit(task, id));
        self.carry_out();
    }

    pub(super) fn carry_out(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        let mut unsent = Vec::new();
        for action in actions.drain(..) {
            self.note(Event::Did(action));
            match action {
                Action::Send(id) => {
                    let task = *self.scheduler.job(id).expect("a task that is sent is known");
                    if self.world.ring.push(task) {
                        self.ledger.on_sent(task, id);
                    } else {
                        assert!(self.unsteady, "the ring has no slot for task {task}");
                        unsent.push(id);
                    }
                }
                Action::StartWorker(id) => self.world.on_start(id),
                Action::StopWorker(id) => self.world.on_stop(id),
            }
        }
        self.actions = actions;
        for id in unsent.into_iter().rev() {
            self.note(Event::Full(id));
            self.scheduler.on_full(id);
        }
    }

    /// Something happens to, or in, one worker.
    fn worker_turn(&mut self) {
        if self.world.living.is_empty() {
            return;
        }
        let id = self.world.living[self.random.below(self.world.living.len())];
        let faults = self.scenario.faults;
        let max_tasks = self.scenario.config.max_tasks_per_child.unwrap_or(u64::MAX);
        let worker = self.world.worker_mut(id);
        match (worker.life, worker.holds) {
            (Life::Booting, _) => {
                let impossible = self.scenario.no_start_after.is_some_and(|after| self.ledger.len() >= after);
                if impossible || self.random.one_in(faults.failed_start) {
                    self.die(id);
                } else {
                    worker.life = Life::Alive;
                    worker.owes_ready = true;
                    self.note(Event::Booted(id));
                    if !self.random.one_in(faults.late_ready) {
                        self.tell_ready(id);
                    }
                }
            }
            (_, Some(task)) if self.random.one_in(faults.death_holding) => {
                assert!(matches!(self.ledger.entry(task).place, Place::Held(_) | Place::Ended));
                self.die(id);
            }
            (_, Some(_)) if worker.reads.is_some() => {
                let position = worker.reads.take();
                position.into_iter().for_each(|position| self.world.ring.let_go(position));
            }
            (_, Some(task)) => {
                if !self.overruns(id, task) {
                    self.answer(id, task);
                }
            }
            (_, None) if worker.owes_ready && worker.ran > 0 => self.tell_ready(id),
            (_, None) if worker.told_to_stop || worker.doomed || self.random.one_in(faults.idle_death) => self.die(id),
            (_, None) => {
                if worker.is_idle(max_tasks)
                    && let Some((task, position)) = self.world.ring.claim()
                {
                    self.ledger.relocate(task, |place| place == Place::Ring, Place::Held(id));
                    let slow = self.random.one_in(faults.slow_claim);
                    self.unsteady |= slow;
                    let worker = self.world.worker_mut(id);
                    worker.holds = Some(task);
                    worker.noted = Some(task);
                    if slow {
                        worker.reads = Some(position);
                    } else {
                        self.world.ring.let_go(position);
                    }
                    self.note(Event::Claimed(id, task));
                } else if self.world.worker_mut(id).owes_ready {
                    self.tell_ready(id);
                }
            }
        }
    }

    fn answer(&mut self, id: WorkerId, task: usize) {
        let faults = self.scenario.faults;
        // A pool that broke has given up on what a leaving worker still runs.
        if self.ledger.entry(task).place != Place::Ended {
            self.ledger.relocate(task, |place| place == Place::Held(id), Place::Answered);
        }
        let doomed = self.world.worker_mut(id).doomed;
        let raises = if doomed {
            // The exception that is to stop it may come too late.
            self.scenario.is_endless(task) || self.random.below(4) > 0
        } else {
            self.random.one_in(faults.raise)
        };
        let message = if raises { Message::Raised(task) } else { Message::Finished(task) };
        self.note(Event::Published(id, message));
        self.world.publish(id, message);
        let dies = self.random.one_in(faults.death_after_answer);
        let worker = self.world.worker_mut(id);
        worker.holds = None;
        worker.ran += 1;
        if !dies || self.random.below(2) == 0 {
            worker.noted = None;
            worker.ended += 1;
        }
        if dies {
            self.die(id);
        }
    }

    fn tell_ready(&mut self, id: WorkerId) {
        self.world.worker_mut(id).owes_ready = false;
        self.world.publish(id, Message::Ready);
    }

    pub(super) fn die(&mut self, id: WorkerId) {
        self.world.die(id);
        self.note(Event::Died(id));
    }

    /// What holds after every event.
    fn check(&self) {
        let counts = self.scheduler.counts();
        let config = self.scenario.config;
        assert_eq!(counts.pending(), self.ledger.pending);
        assert_eq!(counts.sent, self.ledger.in_ring + self.ledger.held + self.ledger.answered);
        assert!(counts.starting + counts.ready <= config.max_workers);
        assert!(counts.ready + counts.outgrown <= config.max_workers);
        assert_eq!(counts.starting + counts.ready + counts.outgrown + counts.leaving, self.world.present());
        assert!(self.world.present() <= config.worker_ids());
        self.check_places();
        if self.scenario.faults.stale_message == 0 {
            // A worker that false reports sent into retirement early may still run its last task.
            let allowed = config.max_workers + self.world.surplus;
            assert!(self.ledger.held <= allowed, "more tasks run than workers are allowed");
        }
        let told_everything = self.world.bells.is_empty() && self.world.dead.is_empty() && self.world.dooms.is_empty();
        if told_everything && counts.pending() > 0 {
            assert!(self.world.present() > 0, "nobody is there to work");
            if counts.queued > 0 && !self.unsteady && self.steps.is_multiple_of(16) && !self.world.ring.has_task() {
                let max_tasks = config.max_tasks_per_child.unwrap_or(u64::MAX);
                let mut workers = self.world.living.iter().filter_map(|id| self.world.worker(*id));
                let idle = workers.any(|worker| worker.is_idle(max_tasks));
                assert!(!idle, "a worker idles while {} tasks wait in the parent", counts.queued);
            }
        }
    }
}
