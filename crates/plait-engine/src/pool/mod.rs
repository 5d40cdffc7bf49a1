//! A pool of worker processes: the shell around the pure scheduler.
//!
//! Tasks go out through one claim ring, results come back through a ring per worker. Nobody's thread is needed in
//! between: the thread that waits for a result drains the rings itself ([`Pool::wait`]); a collector thread does it
//! when nobody waits but somebody wants to be told (callbacks), or when tasks wait for room in the ring.
//!
//! Lock order, outermost first: `role`, `readers`, `state`, `arena`, a link's outbox. Tickets are completed
//! with none of them held but `role`.

mod collector;
mod drive;
mod function;
mod link;
mod outcome;
mod staff;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event;
use plait_shm::{Arena, ArenaError, Block, ClaimProducer, Full, PoolMemory, Position};
use plait_trace::TaskId;

use crate::nursery::Nursery;
use crate::scheduler::{Action, Cancel, Config, ConfigError, Refusal, Scheduler};
use crate::wire::{Form, Kind, Place, TaskHead};

pub use drive::Awaited;
pub(crate) use drive::WORKER_READY;
pub use function::Function;
pub use outcome::{Loss, Outcome, Payload, Ticket};
pub(crate) use staff::RESULT_RESERVE;
pub use staff::describe;

use drive::Readers;
use link::Link;

/// Slots of the claim ring: tasks that are on their way to workers. More than that wait in the parent.
const WINDOW: u32 = 1024;

/// Address space reserved for arguments; memory is used only for what is in flight.
pub(crate) const ARENA_RESERVE: usize = 1 << 40;

/// How often a submitter looks for results while tasks wait for room: often enough to keep the ring filled,
/// seldom enough to cost nothing.
const PUMP_EVERY: u64 = 64;

/// So many workers in a row must fail to start before the pool gives up.
const START_ATTEMPTS: u32 = 3;

/// What a pool is made of.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The most worker processes, at least 1.
    pub max_workers: usize,
    /// Tasks after which a worker is replaced; `None`: never.
    pub max_tasks_per_child: Option<u64>,
    /// Bytes each worker is given at its start; the binding's business.
    pub setup: Vec<u8>,
}

/// A task to be submitted.
#[derive(Debug)]
pub struct NewTask<'a> {
    /// The function.
    pub function: &'a Arc<Function>,
    /// What to do with the arguments; the binding's business.
    pub form: Form,
    /// How the arguments are encoded.
    pub kind: Kind,
    /// The arguments.
    pub payload: &'a [u8],
    /// How often it may be tried again when its worker dies.
    pub retries: u32,
}

/// Why a task was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The pool was shut down.
    #[error("cannot schedule new futures after shutdown")]
    Closed,
    /// The pool cannot start workers any more.
    #[error("{0}")]
    Broken(Arc<str>),
    /// The shared memory for arguments is used up.
    #[error("no shared memory for the arguments: {0}")]
    Memory(#[from] ArenaError),
}

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NewPoolError {
    /// Its settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Figures of a pool at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tasks submitted so far.
    pub submitted: u64,
    /// Tasks that have not ended.
    pub pending: usize,
    /// Process ids of the workers that live.
    pub pids: Vec<i32>,
    /// Workers that died unexpectedly so far.
    pub deaths: u64,
}

/// A pool of worker processes. Dropping it lets the pending tasks end first.
pub struct Pool<T: Ticket> {
    shared: Arc<Shared<T>>,
}

impl<T: Ticket> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// What a task takes with it through the scheduler.
pub(crate) struct Job<T> {
    ticket: T,
    /// Held so that its definition stays in place.
    _function: Arc<Function>,
    /// Arguments that lie in the arena.
    args: Option<Block>,
    /// The message, while it may have to be sent (again).
    message: Option<Box<[u8]>>,
    /// Where in the claim ring it was put.
    position: Option<Position>,
}

pub(crate) struct State<T> {
    scheduler: Scheduler<Job<T>>,
    claims: ClaimProducer,
    actions: Vec<Action>,
    links: Vec<Arc<Link>>,
    closed: bool,
    broken: Option<Arc<str>>,
    deaths: u64,
}

pub(crate) struct Shared<T: Ticket> {
    memory: Arc<PoolMemory>,
    arena: Arc<Mutex<Arena>>,
    setup: OwnedFd,
    nursery: Mutex<Arc<Nursery>>,
    relaunch: Box<dyn Fn() -> io::Result<Arc<Nursery>> + Send + Sync>,
    state: Mutex<State<T>>,
    readers: Mutex<Readers>,
    /// Held by the one thread that drains results for everybody, asleep or awake.
    role: Mutex<()>,
    /// Threads that would like to hold `role`.
    wanted: AtomicUsize,
    standby: Mutex<Vec<Arc<dyn Awaited>>>,
    /// Counts drains, so that the collector sees whether somebody else is at work.
    drains: AtomicU64,
    submitted: AtomicU64,
    /// Futures that somebody wants to hear of without waiting for them.
    watched: AtomicUsize,
    backlog: AtomicBool,
    closing: AtomicBool,
    deferred: Mutex<Vec<T>>,
    collecting: AtomicBool,
    /// Notified when the last worker has ended after a shutdown.
    ended: Event,
}

pub(crate) fn locked<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    // A panic under one of these locks is plait's own bug and has been reported; the data are still consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Ticket> Pool<T> {
    /// Makes a pool; workers start when there is work. `nursery` is asked for the nursery at need, now and again
    /// if it should die.
    pub fn new(
        config: PoolConfig,
        nursery: impl Fn() -> io::Result<Arc<Nursery>> + Send + Sync + 'static,
    ) -> Result<Self, NewPoolError> {
        let scheduler = Scheduler::new(Config {
            max_workers: config.max_workers,
            window: WINDOW as usize,
            max_tasks_per_child: config.max_tasks_per_child,
            start_attempts: START_ATTEMPTS,
        })?;
        let (memory, claims) = PoolMemory::create(WINDOW)?;
        let setup = staff::write_setup(config.max_tasks_per_child, &config.setup)?;
        let shared = Shared {
            memory,
            arena: Arc::new(Mutex::new(Arena::create("plait-args", ARENA_RESERVE)?)),
            setup,
            nursery: Mutex::new(nursery()?),
            relaunch: Box::new(nursery),
            state: Mutex::new(State {
                scheduler,
                claims,
                actions: Vec::new(),
                links: Vec::new(),
                closed: false,
                broken: None,
                deaths: 0,
            }),
            readers: Mutex::new(Readers::default()),
            role: Mutex::new(()),
            wanted: AtomicUsize::new(0),
            standby: Mutex::new(Vec::new()),
            drains: AtomicU64::new(0),
            submitted: AtomicU64::new(0),
            watched: AtomicUsize::new(0),
            backlog: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            deferred: Mutex::new(Vec::new()),
            collecting: AtomicBool::new(false),
            ended: Event::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Puts a function's definition into the pool's memory. `number` must be new to the pool.
    pub fn place(&self, number: u64, definition: &[u8]) -> Result<Arc<Function>, ArenaError> {
        let block = locked(&self.shared.arena).put(&[definition])?;
        Ok(Arc::new(Function::new(number, block, Arc::clone(&self.shared.arena))))
    }

    /// Submits a task. It is sent at once if the ring has room, and later otherwise; this never waits.
    pub fn submit(&self, task: &NewTask<'_>, ticket: T) -> Result<TaskId, (T, Refused)> {
        let shared = &*self.shared;
        let args = if task.payload.len() <= TaskHead::MAX_INLINE {
            None
        } else {
            match locked(&shared.arena).put(&[task.payload]) {
                Ok(block) => Some(block),
                Err(error) => return Err((ticket, error.into())),
            }
        };
        let head = TaskHead {
            function: task.function.number,
            definition: task.function.block,
            kind: task.kind,
            form: task.form,
            place: args.map_or(Place::Inline, Place::Arena),
        };
        let (head, used) = head.encode();
        let inline = if args.is_none() { task.payload } else { &[] };
        let parts: [&[u8]; 2] = [&head[..used], inline];

        let keep = task.retries > 0;
        let job = Job {
            ticket,
            _function: Arc::clone(task.function),
            args,
            message: keep.then(|| parts.concat().into_boxed_slice()),
            position: None,
        };
        let mut state = locked(&shared.state);
        let State { scheduler, actions, claims, broken, .. } = &mut *state;
        let id = match scheduler.submit(job, task.retries, actions) {
            Ok(id) => id,
            Err(refused) => {
                let reason = match (refused.reason, broken) {
                    (Refusal::Broken, Some(reason)) => Refused::Broken(Arc::clone(reason)),
                    _ => Refused::Closed,
                };
                drop(state);
                return Err((shared.dismantle(refused.job), reason));
            }
        };
        let mut starts = Vec::new();
        let mut sent = false;
        for action in actions.drain(..) {
            match action {
                Action::Send(task) if task == id => match claims.push(task, &parts) {
                    Ok(position) => {
                        if let Some(job) = scheduler.job_mut(id) {
                            job.position = Some(position);
                        }
                        sent = true;
                    }
                    Err(Full) => scheduler.on_full(task),
                },
                other => starts.push(other),
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
            shared.memory.wake_idle();
        }
        let number = shared.submitted.fetch_add(1, Ordering::Relaxed);
        if !sent {
            if !shared.backlog.swap(true, Ordering::Relaxed) {
                Shared::alert(&self.shared);
            }
            if number % PUMP_EVERY == 0 {
                Shared::pump(&self.shared);
            }
        }
        if !starts.is_empty() {
            Shared::perform(&self.shared, starts);
        }
        Ok(id)
    }

    /// Takes a task back if no worker has begun it. Then its ticket is handed out, uncompleted.
    pub fn cancel(&self, task: TaskId) -> Option<T> {
        let (job, rest) = {
            let mut state = locked(&self.shared.state);
            let State { scheduler, claims, actions, .. } = &mut *state;
            let job = match scheduler.cancel(task, actions) {
                Cancel::Removed(job) => Some(job),
                Cancel::AskRing => {
                    let position = scheduler.job(task).and_then(|job| job.position)?;
                    if claims.retract(position) { scheduler.on_retracted(task, actions) } else { None }
                }
                Cancel::Unknown => None,
            };
            (job, state.send().1)
        };
        Shared::perform(&self.shared, rest);
        Some(self.shared.dismantle(job?))
    }

    /// Whether a worker has begun the task (and, as far as this process knows, not ended it).
    pub fn is_running(&self, task: TaskId) -> bool {
        let state = locked(&self.shared.state);
        let position = state.scheduler.job(task).and_then(|job| job.position);
        position.is_some_and(|position| state.claims.is_taken(position))
    }

    /// Announces that somebody wants to be told of one more task's end without waiting for it.
    pub fn watch(&self) {
        self.shared.watched.fetch_add(1, Ordering::Relaxed);
        Shared::alert(&self.shared);
    }

    /// Takes back one [`Pool::watch`].
    pub fn unwatch(&self) {
        self.shared.watched.fetch_sub(1, Ordering::Relaxed);
    }

    /// Refuses new tasks from now on; workers end when the pending tasks have. With `cancel_pending`, tasks that no
    /// worker has begun are cancelled.
    pub fn shutdown(&self, cancel_pending: bool) {
        Shared::shutdown(&self.shared, cancel_pending);
    }

    /// Whether every worker has ended after a shutdown.
    pub fn is_ended(&self) -> bool {
        self.shared.is_ended()
    }

    /// The pool itself as something to wait for: its end after a shutdown.
    pub fn end(&self) -> Arc<dyn Awaited> {
        Arc::clone(&self.shared) as Arc<dyn Awaited>
    }

    /// Kills all workers at once; their running tasks are lost.
    pub fn kill_workers(&self) {
        let keys: Vec<u64> = locked(&self.shared.state).links.iter().map(|link| link.key()).collect();
        let nursery = Arc::clone(&locked(&self.shared.nursery));
        for key in keys {
            nursery.kill(key);
        }
    }

    /// Figures of this moment.
    pub fn stats(&self) -> Stats {
        let state = locked(&self.shared.state);
        Stats {
            submitted: self.shared.submitted.load(Ordering::Relaxed),
            pending: state.scheduler.pending(),
            pids: state.links.iter().map(|link| link.pid()).filter(|&pid| pid > 0).collect(),
            deaths: state.deaths,
        }
    }

    /// In a forked child of the process that made the pool: forgets it without a word to its workers, which are the
    /// parent's.
    pub fn abandon(self) {
        std::mem::forget(self);
    }
}

impl<T: Ticket> Drop for Pool<T> {
    fn drop(&mut self) {
        Shared::shutdown(&self.shared, false);
    }
}

impl<T> State<T> {
    /// Puts into the ring what the scheduler sent there; what is left for the shell is returned.
    fn send(&mut self) -> (usize, Vec<Action>) {
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
    /// Frees what a task held in shared memory.
    fn dismantle(&self, job: Job<T>) -> T {
        if let Some(block) = job.args {
            locked(&self.arena).release(block);
        }
        job.ticket
    }

    fn shutdown(this: &Arc<Self>, cancel_pending: bool) {
        let (cancelled, rest) = {
            let mut state = locked(&this.state);
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
            (cancelled, rest)
        };
        this.closing.store(true, Ordering::Release);
        this.complete(cancelled.into_iter().map(|(_, job)| (job, Outcome::Cancelled)));
        Self::perform(this, rest);
        if this.is_ended() {
            this.ended.notify(usize::MAX);
        } else {
            Self::alert(this);
        }
    }

    fn is_ended(&self) -> bool {
        let state = locked(&self.state);
        state.closed && state.links.is_empty() && state.scheduler.is_drained()
    }
}
