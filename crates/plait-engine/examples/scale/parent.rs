//! All that the parent of a pool does for a task, from `submit` to the end: the message, the scheduler, the claim ring, the
//! rings of answers, the counters. The shell of `plait_engine::pool` without its processes, futures and sleeping threads.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plait_engine::budget::Permit;
use plait_engine::heap::Piece;
use plait_engine::scheduler::{Action, Config, Scheduler};
use plait_engine::tally::{Counters, Tally};
use plait_engine::wire::{Place, ResultHead, TaskHead, Verdict};
use plait_shm::{Block, ClaimProducer, Full, PoolMemory, Position};
use plait_trace::{TaskId, WorkerId};

use crate::clock::timed;
use crate::world::{Reader, World};

/// As the pool has it.
const PER_DRAIN: usize = 4096;

/// Two small numbers, pickled.
const ARGUMENTS: [u8; 9] = [0x80, 0x05, 0x4b, 0x01, 0x4b, 0x02, 0x86, 0x94, 0x2e];

/// What a pool keeps of a task, word for word.
#[expect(dead_code, reason = "a task of this kind has none of them, and pays for their room")]
struct Job {
    ticket: u64,
    function: Arc<str>,
    args: Option<Block>,
    pieces: Box<[Piece]>,
    permit: Option<Arc<Permit>>,
    message: Option<Box<[u8]>>,
    position: Option<Position>,
    limits: Option<Box<(Option<Duration>, u32)>>,
}

struct State {
    scheduler: Scheduler<Job>,
    claims: ClaimProducer,
    actions: Vec<Action>,
}

/// The parent, and its world beside it.
pub(crate) struct Parent {
    memory: Arc<PoolMemory>,
    state: Mutex<State>,
    readers: Vec<Reader>,
    batch: Vec<(usize, ResultHead, [u8; 30])>,
    starts: Vec<WorkerId>,
    tally: Arc<Tally>,
    function: Arc<str>,
    each: usize,
    submitted: u64,
    pub(crate) world: World,
}

impl State {
    /// Puts into the ring what the scheduler sent there, and tells which workers are to be started.
    fn send(&mut self, starts: &mut Vec<WorkerId>) {
        let Self { scheduler, claims, actions } = self;
        let mut unsent = Vec::new();
        for action in actions.drain(..) {
            match action {
                Action::Send(task) => {
                    let job = scheduler.job_mut(task).expect("the scheduler sends only tasks it has");
                    let message = job.message.as_deref().expect("it was not sent at once");
                    match claims.push(task, &[message]) {
                        Ok(position) => job.position = Some(position),
                        Err(Full) => unsent.push(task),
                    }
                }
                Action::StartWorker(worker) => starts.push(worker),
                Action::StopWorker(_) => {}
            }
        }
        unsent.into_iter().rev().for_each(|task| scheduler.on_full(task));
    }
}

impl Parent {
    /// Of a pool whose workers are all there.
    pub(crate) fn new(config: Config) -> Self {
        let slots = u32::try_from(config.window).expect("a window of 2^20 at most");
        let (memory, claims) = PoolMemory::create(slots).expect("there is memory for a ring");
        let world = World::new(&memory, config.worker_ids());
        let scheduler = Scheduler::new(config).expect("the configuration is sound");
        let mut parent = Self {
            memory,
            state: Mutex::new(State { scheduler, claims, actions: Vec::new() }),
            readers: Vec::new(),
            batch: Vec::new(),
            starts: Vec::new(),
            tally: Tally::new(config.worker_ids()),
            function: "mathematics.add".into(),
            each: config.window / config.max_workers,
            submitted: 0,
            world,
        };
        (0..config.max_workers).for_each(|_| parent.submit(0));
        parent.start();
        while parent.turn() > 0 {}
        parent
    }

    pub(crate) fn pending(&self) -> usize {
        self.state.lock().expect("nobody panicked").scheduler.pending()
    }

    /// The tasks that have returned, as the pool counts them.
    pub(crate) fn done(&self) -> u64 {
        self.tally.counts().done
    }

    /// As `Pool::submit`: encoded without a lock, sent if there is room, kept as a message otherwise.
    pub(crate) fn submit(&mut self, retries: u32) {
        let definition = Block { offset: 4096, len: 200 };
        let head = TaskHead { function: 1, definition, kind: 0, form: 0, timed: false, place: Place::Inline }.encode();
        let parts: [&[u8]; 2] = [&head.0[..head.1], &ARGUMENTS];
        let keep = retries > 0;
        let job = Job {
            ticket: self.submitted,
            function: Arc::clone(&self.function),
            args: None,
            pieces: Box::new([]),
            permit: None,
            message: keep.then(|| parts.concat().into_boxed_slice()),
            position: None,
            limits: keep.then(|| Box::new((None, retries))),
        };
        let mut state = self.state.lock().expect("nobody panicked");
        let State { scheduler, claims, actions } = &mut *state;
        let id = scheduler.submit(job, retries, actions).unwrap_or_else(|_| unreachable!("the pool is open"));
        let mut sent = false;
        for action in actions.drain(..) {
            match action {
                Action::Send(task) => match claims.push(task, &parts) {
                    Ok(position) => {
                        if let Some(job) = scheduler.job_mut(id) {
                            job.position = Some(position);
                        }
                        sent = true;
                    }
                    Err(Full) => scheduler.on_full(task),
                },
                Action::StartWorker(worker) => self.starts.push(worker),
                Action::StopWorker(_) => {}
            }
        }
        if !sent
            && !keep
            && let Some(job) = scheduler.job_mut(id)
        {
            job.message = Some(parts.concat().into_boxed_slice());
        }
        drop(state);
        if sent {
            self.memory.wake_idle();
        }
        self.tally.count().submitted.fetch_add(1, Ordering::Relaxed);
        self.submitted += 1;
    }

    /// As the pool's `drain`: looks at every worker, and takes what is there. How many answers came.
    pub(crate) fn drain(&mut self) -> usize {
        let Self { readers, batch, .. } = self;
        for (at, reader) in readers.iter_mut().enumerate() {
            while batch.len() < PER_DRAIN {
                let read = reader.results.read(|record| {
                    let (head, value) = ResultHead::decode(record).expect("workers write answers");
                    let mut kept = [0; 30];
                    kept[..value.len()].copy_from_slice(value);
                    (at, head, kept)
                });
                let Some(answer) = read.expect("workers write whole records") else { break };
                batch.push(answer);
            }
        }
        assert!(readers.iter().all(|reader| reader.notes.is_empty()), "these workers write no notes");
        let taken = batch.len();
        let mut done = Vec::with_capacity(taken);
        let mut state = self.state.lock().expect("nobody panicked");
        for (at, head, value) in batch.drain(..) {
            let worker = readers[at].worker;
            if let Some(place) = self.tally.place(worker.index()) {
                place.hear();
            }
            let State { scheduler, actions, .. } = &mut *state;
            done.extend(scheduler.on_finished(worker, head.task, actions).map(|job| (job, head.verdict, value)));
        }
        state.send(&mut self.starts);
        let State { scheduler, claims, actions } = &mut *state;
        scheduler.on_window(claims.free(), actions);
        state.send(&mut self.starts);
        drop(state);
        for (_job, verdict, _value) in done {
            assert_eq!(verdict, Verdict::Returned);
            Counters::add(&self.tally.count().done);
        }
        taken
    }

    /// The parent's share of starting the workers that were asked for, and the news that they are ready.
    pub(crate) fn start(&mut self) -> Duration {
        let mut spent = Duration::ZERO;
        while let Some(worker) = self.starts.pop() {
            let ((reader, fd), time) = timed(|| World::reader(worker));
            self.world.begin(worker, &reader, fd);
            let ((), more) = timed(|| {
                self.readers.push(reader);
                let mut state = self.state.lock().expect("nobody panicked");
                let State { scheduler, actions, .. } = &mut *state;
                scheduler.on_worker_ready(worker, actions);
                state.send(&mut self.starts);
            });
            spent += time + more;
        }
        spent
    }

    /// As the pool's `bury`: what the worker told, what it had in hand, and what that means. The tasks that are lost, and the
    /// tasks that go out again.
    pub(crate) fn bury(&mut self, worker: WorkerId) -> (usize, usize) {
        while self.drain() > 0 {}
        let mut state = self.state.lock().expect("nobody panicked");
        let at = self.readers.iter().position(|reader| reader.worker == worker).expect("it was there");
        let status = self.readers[at].memory.status();
        let mut held = state.claims.recover(worker);
        if let Some((task, _)) = status.current()
            && !state.scheduler.has_answered(worker, task, status.tasks_ended())
        {
            held.push(task);
        }
        self.readers.retain(|reader| reader.worker != worker);
        let tried = |state: &State, task: &TaskId| state.scheduler.tries_left(*task).is_some_and(|tries| tries > 0);
        let redone = held.iter().filter(|task| tried(&state, task)).count();
        let State { scheduler, actions, .. } = &mut *state;
        let lost = scheduler.on_worker_lost(worker, &held, actions);
        state.send(&mut self.starts);
        let State { scheduler, claims, actions } = &mut *state;
        scheduler.on_window(claims.free(), actions);
        state.send(&mut self.starts);
        (lost.failed.len(), redone)
    }

    /// The workers do what is in the ring, and the parent hears of it.
    pub(crate) fn turn(&mut self) -> usize {
        self.world.work(self.each);
        let mut taken = 0;
        while let more @ 1.. = self.drain() {
            taken += more;
        }
        taken
    }

    /// Passes `tasks` through the pool, of which up to `most` are pending at a time; the parent's time for them.
    pub(crate) fn pass(&mut self, tasks: usize, most: usize) -> Duration {
        let first = tasks.min(most);
        let ((), mut spent) = timed(|| (0..first).for_each(|_| self.submit(0)));
        let mut left = tasks - first;
        while self.pending() > 0 {
            self.world.work(self.each);
            let ((), time) = timed(|| {
                while let taken @ 1.. = self.drain() {
                    let more = taken.min(left);
                    (0..more).for_each(|_| self.submit(0));
                    left -= more;
                }
            });
            spent += time;
        }
        spent
    }
}
