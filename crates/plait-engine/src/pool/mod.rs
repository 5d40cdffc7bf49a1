//! A pool of worker processes: the shell around the pure scheduler.
//!
//! Tasks go out through one claim ring, results come back through a ring per worker. Nobody's thread is needed in
//! between: the thread that waits for a result drains the rings itself ([`Pool::wait`]); a collector thread does it
//! when nobody waits but somebody wants to be told (callbacks), or when tasks wait for room in the ring.
//!
//! Lock order, outermost first: `role`, `readers`, `state`, `arena`, a link's outbox and correspondence, the
//! queues of notes. Tickets are completed
//! with none of them held but `role`.

mod collector;
mod distrust;
mod drive;
mod epitaph;
mod errands;
mod function;
mod leases;
mod link;
mod notes;
mod outcome;
mod overseer;
mod process_id;
mod readers;
mod relay;
mod reserve;
mod staff;
mod state;
mod submit;
mod workers;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use event_listener::Event;
use plait_shm::{MAX_WORKERS, PoolMemory};

use crate::heap::Heap;
use crate::machine::cpu_count;
use crate::nursery::Nursery;
use crate::scheduler::{Config, ConfigError, Scheduler};
use crate::spin::Spinner;
use crate::tally::Tally;

pub use drive::Awaited;
pub(crate) use drive::WORKER_READY;
pub use function::Function;
pub(crate) use link::Link;
pub use notes::{LOG, Note};
pub use outcome::{Finished, Loss, MemoryCause, Outcome, Payload, Ticket, TimedOut};
pub use overseer::Limits;
pub use relay::Relay;
pub(crate) use reserve::Reserves;
pub use staff::describe;
pub use submit::{NewTask, Refused};
pub use workers::WorkerNow;

use epitaph::OomWatch;
use errands::Errands;
use notes::Unheard;
use overseer::Overseer;
use readers::Readers;
use state::{Shared, State, locked};

/// Slots of the claim ring: tasks that are on their way to workers. More than that wait in the parent.
const WINDOW: u32 = 1024;

/// Makes the main thread of a worker raise an exception in the task that it runs.
pub const STOP_SIGNAL: i32 = 50;

/// Makes a worker note down the stacks of its threads.
pub const DUMP_SIGNAL: i32 = 51;

/// So many workers in a row must fail to start before the pool gives up.
const START_ATTEMPTS: u32 = 3;

/// What a pool is made of.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The most worker processes, at least 1.
    pub max_workers: usize,
    /// Tasks after which a worker is replaced; `None`: never.
    pub max_tasks_per_child: Option<u64>,
    /// What workers are held to.
    pub limits: Limits,
    /// Bytes each worker is given at its start; the binding's business.
    pub setup: Vec<u8>,
}

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NewPoolError {
    /// Its settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Worker ids are a byte in the claim ring, and recycling needs some to spare.
    #[error("{asked} workers are more than a pool can have; 192 are always possible")]
    TooManyWorkers {
        /// The workers that were asked for.
        asked: usize,
    },
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
    /// Workers that were asked for, and whose processes nobody has told of.
    pub expected: usize,
    /// Workers that died unexpectedly so far.
    pub deaths: u64,
    /// Why it takes no more tasks, if it is broken.
    pub broken: Option<Arc<str>>,
}

/// A pool of worker processes. Dropping it lets the pending tasks end first.
pub struct Pool<T: Ticket> {
    shared: Arc<Shared<T>>,
    /// False: it belongs to somebody else, and ends when that one's does.
    owned: bool,
}

impl<T: Ticket> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl<T: Ticket> Pool<T> {
    /// Makes a pool over the program's heap; workers start when there is work. `nursery` is asked for the nursery at need, now and again
    /// if it should die.
    pub fn new(
        config: PoolConfig,
        heap: Arc<Heap>,
        nursery: impl Fn() -> io::Result<Arc<Nursery>> + Send + Sync + 'static,
    ) -> Result<Self, NewPoolError> {
        let sizes = Config {
            max_workers: config.max_workers,
            window: WINDOW as usize,
            max_tasks_per_child: config.max_tasks_per_child,
            start_attempts: START_ATTEMPTS,
        };
        if sizes.worker_ids() > MAX_WORKERS {
            return Err(NewPoolError::TooManyWorkers { asked: config.max_workers });
        }
        let scheduler = Scheduler::new(sizes)?;
        let (memory, claims) = PoolMemory::create(WINDOW)?;
        let reserves = Reserves::new(sizes.worker_ids(), heap.commons().len());
        let setup = staff::write_setup(config.max_tasks_per_child, heap.region(), &config.setup)?;
        let shared = Shared {
            memory,
            heap,
            setup,
            reserves,
            processors: cpu_count(),
            nursery: Mutex::new(nursery()?),
            relaunch: Box::new(nursery),
            state: Mutex::new(State {
                scheduler,
                claims,
                actions: Vec::new(),
                links: Vec::new(),
                stops: Vec::new(),
                closed: false,
                broken: None,
                deaths: 0,
                mourned: 0,
                given_up: false,
            }),
            readers: Mutex::new(Readers::default()),
            role: Mutex::new(Spinner::default()),
            wanted: AtomicUsize::new(0),
            standby: Mutex::new(Vec::new()),
            drains: AtomicU64::new(0),
            tally: Tally::new(sizes.worker_ids()),
            ended_tasks: AtomicU64::new(0),
            watched: Arc::new(AtomicUsize::new(0)),
            telling: AtomicUsize::new(0),
            backlog: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            deferred: Mutex::new(Vec::new()),
            unheard: Unheard::default(),
            errands: Errands::default(),
            workers_functions: Mutex::default(),
            collecting: AtomicBool::new(false),
            overseer: Overseer::new(config.limits),
            oom: Mutex::new(OomWatch::new()),
            ended: Event::new(),
        };
        Ok(Self { shared: Arc::new(shared), owned: true })
    }

    /// The pool as those see it whom it calls: dropping this does nothing.
    fn visiting(shared: &Arc<Shared<T>>) -> Self {
        Self { shared: Arc::clone(shared), owned: false }
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

    /// Gives up: takes no more tasks, cancels those that no worker has begun, tries none again, and sends all workers this
    /// signal.
    pub fn give_up(&self, signal: i32) {
        {
            let mut state = locked(&self.shared.state);
            state.given_up = true;
            let running: Vec<_> = state.scheduler.sent().collect();
            for task in running {
                state.scheduler.forbid_retries(task);
            }
        }
        Shared::shutdown(&self.shared, true);
        let keys: Vec<u64> = locked(&self.shared.state).links.iter().map(|link| link.key()).collect();
        let nursery = Arc::clone(&locked(&self.shared.nursery));
        for key in keys {
            nursery.signal(key, signal);
        }
    }

    /// Figures of this moment.
    pub fn stats(&self) -> Stats {
        let state = locked(&self.shared.state);
        let pids: Vec<_> = state.links.iter().map(|link| link.pid()).filter(|&pid| pid > 0).collect();
        Stats {
            submitted: self.shared.tally.count().submitted.load(Ordering::Relaxed),
            pending: state.scheduler.pending(),
            expected: state.links.len() - pids.len(),
            pids,
            deaths: state.deaths,
            broken: state.broken.clone(),
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
        if self.owned {
            Shared::shutdown(&self.shared, false);
        }
    }
}
