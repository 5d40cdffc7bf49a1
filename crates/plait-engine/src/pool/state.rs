//! What a pool's threads share, and the scheduler among it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_listener::Event;
use plait_shm::{Block, ClaimProducer, Full, PoolMemory, Position};

use plait_trace::WorkerId;

use crate::budget::Permit;
use crate::heap::{Heap, Piece};
use crate::nursery::Nursery;
use crate::scheduler::{Action, Scheduler};
use crate::spin::Spinner;
use crate::tally::{Counters, Tally};
use crate::wire::Verdict;

use super::drive::Awaited;
use super::epitaph::OomWatch;
use super::errands::Errands;
use super::function::Function;
use super::link::Link;
use super::notes::Unheard;
use super::outcome::{Outcome, Ticket};
use super::overseer::Overseer;
use super::readers::Readers;
use super::relay::WorkersFunctions;
use super::reserve::Reserves;

/// What a task takes with it through the scheduler.
pub(super) struct Job<T> {
    pub(super) ticket: T,
    /// Held so that its definition stays in place.
    pub(super) function: Arc<Function>,
    /// Arguments that lie in the arena.
    pub(super) args: Option<Block>,
    /// Held so that what of shared memory belongs to them stays in place.
    pub(super) pieces: Box<[Piece]>,
    /// Given back with the arguments.
    pub(super) _permit: Option<Arc<Permit>>,
    /// The message, while it may have to be sent (again).
    pub(super) message: Option<Box<[u8]>>,
    /// Where in the claim ring it was put.
    pub(super) position: Option<Position>,
    /// What is asked of it beside its end; few tasks have any.
    pub(super) limits: Option<Box<TaskLimits>>,
}

/// What a task is held to.
pub(super) struct TaskLimits {
    pub(super) timeout: Option<Duration>,
    pub(super) retries: u32,
}

impl<T> Job<T> {
    /// How often it was tried, once it has no tries left.
    pub(super) fn tries(&self) -> u32 {
        self.limits.as_ref().map_or(1, |limits| limits.retries.saturating_add(1))
    }
}

pub(super) struct State<T> {
    pub(super) scheduler: Scheduler<Job<T>>,
    pub(super) claims: ClaimProducer,
    pub(super) actions: Vec<Action>,
    pub(super) links: Vec<Arc<Link>>,
    /// Workers to be stopped as soon as they are hired.
    pub(super) stops: Vec<WorkerId>,
    pub(super) closed: bool,
    pub(super) broken: Option<Arc<str>>,
    pub(super) deaths: u64,
    /// The number of the youngest nursery whose end was counted as a failed start; 0: of none.
    pub(super) mourned: u64,
    /// Its workers are being killed: no death counts any more.
    pub(super) given_up: bool,
}

pub(super) struct Shared<T: Ticket> {
    pub(super) memory: Arc<PoolMemory>,
    pub(super) heap: Arc<Heap>,
    pub(super) setup: OwnedFd,
    pub(super) reserves: Reserves,
    /// Processors this process may use.
    pub(super) processors: usize,
    pub(super) nursery: Mutex<Arc<Nursery>>,
    pub(super) relaunch: Box<dyn Fn() -> io::Result<Arc<Nursery>> + Send + Sync>,
    pub(super) state: Mutex<State<T>>,
    pub(super) readers: Mutex<Readers>,
    /// Held by the one thread that drains results for everybody, asleep or awake.
    pub(super) role: Mutex<Spinner>,
    /// Threads that would like to hold `role`.
    pub(super) wanted: AtomicUsize,
    pub(super) standby: Mutex<Vec<Arc<dyn Awaited>>>,
    /// Counts drains, so that the collector sees whether somebody else is at work.
    pub(super) drains: AtomicU64,
    /// What it counts, for those who ask.
    pub(super) tally: Arc<Tally>,
    pub(super) ended_tasks: AtomicU64,
    /// Futures that somebody wants to hear of without waiting for them here.
    pub(super) watched: Arc<AtomicUsize>,
    /// Threads that are about to tell tickets their outcome.
    pub(super) telling: AtomicUsize,
    pub(super) backlog: AtomicBool,
    pub(super) closing: AtomicBool,
    pub(super) deferred: Mutex<Vec<T>>,
    pub(super) unheard: Unheard,
    pub(super) errands: Errands,
    pub(super) workers_functions: Mutex<WorkersFunctions>,
    pub(super) collecting: AtomicBool,
    pub(super) overseer: Overseer,
    pub(super) oom: Mutex<OomWatch>,
    /// Notified when the last worker has ended after a shutdown.
    pub(super) ended: Event,
}

/// See [`Shared::telling`].
pub(super) struct Telling<'a>(&'a AtomicUsize);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

pub(super) fn locked<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    // A panic under one of these locks is plait's own bug and has been reported; the data are still consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> State<T> {
    /// Puts into the ring what the scheduler sent there; what is left for the shell is returned.
    pub(super) fn send(&mut self) -> (usize, Vec<Action>) {
        let Self { scheduler, claims, actions, .. } = self;
        let mut rest = Vec::new();
        let mut unsent = Vec::new();
        let mut sent = 0;
        for action in actions.drain(..) {
            let Action::Send(task) = action else {
                rest.push(action);
                continue;
            };
            let job = scheduler.job_mut(task).expect("the scheduler sends only tasks it has");
            let message = job.message.as_deref().expect("a task that was not sent at once keeps its message");
            match claims.push(task, &[message]) {
                Ok(position) => {
                    job.position = Some(position);
                    sent += 1;
                }
                Err(Full) => unsent.push(task),
            }
        }
        for task in unsent.into_iter().rev() {
            scheduler.on_full(task);
        }
        (sent, rest)
    }
}

impl<T: Ticket> Shared<T> {
    /// Frees what a task that has ended held in shared memory.
    pub(super) fn dismantle(&self, job: Job<T>) -> T {
        self.ended_tasks.fetch_add(1, Ordering::Relaxed);
        if let Some(block) = job.args {
            self.heap.arena().release(block);
        }
        job.ticket
    }

    /// Counts how a task ended; before anybody is told.
    #[inline]
    pub(super) fn count(&self, outcome: &Outcome) {
        let counters = self.tally.count();
        Counters::add(match outcome {
            Outcome::Called { verdict: Verdict::Returned, .. } => &counters.done,
            Outcome::Cancelled => &counters.cancelled,
            Outcome::Called { .. } | Outcome::Lost(_) | Outcome::TimedOut(_) | Outcome::Broken(_) => &counters.failed,
        });
    }

    pub(super) fn shutdown(this: &Arc<Self>, cancel_pending: bool) {
        let (cancelled, rest, telling) = {
            let mut state = locked(&this.state);
            let telling = this.telling();
            state.closed = true;
            let State { scheduler, claims, actions, .. } = &mut *state;
            let mut cancelled = scheduler.shutdown(cancel_pending, actions);
            if cancel_pending {
                let sent: Vec<_> = scheduler.sent().collect();
                for task in sent {
                    let position = scheduler.job(task).and_then(|job| job.position);
                    if position.is_some_and(|at| claims.retract(at)) {
                        cancelled.extend(scheduler.on_retracted(task, actions).map(|job| (task, job)));
                    }
                }
            }
            let (_, rest) = state.send();
            (cancelled, rest, telling)
        };
        this.closing.store(true, Ordering::Release);
        this.complete(cancelled.into_iter().map(|(_, job)| (job, Outcome::Cancelled)));
        drop(telling);
        Self::perform(this, rest);
        if this.is_ended() {
            this.on_ended();
        } else {
            Self::alert(this);
        }
    }

    /// Everything has ended: tells those who wait for it, and the pool's own threads, which keep its memory until they know.
    pub(super) fn on_ended(&self) {
        self.ended.notify(usize::MAX);
        self.memory.pressure().poke();
        self.overseer.call();
    }

    /// Whether it was shut down, no worker is left, and every ticket has been told.
    pub(super) fn is_ended(&self) -> bool {
        let state = locked(&self.state);
        state.closed
            && state.links.is_empty()
            && state.scheduler.is_drained()
            // SYNC POINT with the drop of `Telling`.
            && self.telling.load(Ordering::Acquire) == 0
    }

    /// To be held from before the lock of the state is released, under which tasks ended, until their tickets are told: the
    /// pool has not ended in between.
    pub(super) fn telling(&self) -> Telling<'_> {
        self.telling.fetch_add(1, Ordering::Relaxed);
        Telling(&self.telling)
    }
}
