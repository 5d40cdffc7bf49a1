//! The parent's end of one worker: its memory, its control ring, and the result blocks it has lent.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use plait_shm::{ArenaView, Block, PoolMemory, StreamWriter, WorkerMemory};
use plait_trace::WorkerId;

use crate::wire::Control;

/// Lives as long as anybody reads the worker's results, which may be longer than the worker.
pub(crate) struct Link {
    pub(crate) worker: WorkerId,
    pub(crate) memory: Arc<WorkerMemory>,
    pub(crate) results: ArenaView,
    pool: Arc<PoolMemory>,
    control: Mutex<Outbox>,
    pid: AtomicI32,
    key: AtomicU64,
}

struct Outbox {
    ring: StreamWriter,
    waiting: VecDeque<Control>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("worker", &self.worker).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(
        worker: WorkerId,
        memory: Arc<WorkerMemory>,
        results: ArenaView,
        pool: Arc<PoolMemory>,
        ring: StreamWriter,
    ) -> Self {
        let control = Mutex::new(Outbox { ring, waiting: VecDeque::new() });
        Self { worker, memory, results, pool, control, pid: AtomicI32::new(0), key: AtomicU64::new(0) }
    }

    /// The worker's process id; 0 until it is known.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.load(Ordering::Relaxed)
    }

    pub(crate) fn set_pid(&self, pid: i32) {
        self.pid.store(pid, Ordering::Relaxed);
    }

    /// The nursery's key of the worker; 0 until it is known.
    pub(crate) fn key(&self) -> u64 {
        self.key.load(Ordering::Relaxed)
    }

    pub(crate) fn set_key(&self, key: u64) {
        self.key.store(key, Ordering::Relaxed);
    }

    /// Gives a block back to the worker that allocated it.
    pub(crate) fn release(&self, block: Block) {
        self.tell(Control::Release(block));
    }

    /// Sends a control message; what finds the ring full goes first next time. The worker is not woken for it: it
    /// looks before it needs room.
    pub(crate) fn tell(&self, message: Control) {
        let mut outbox = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.waiting.push_back(message);
        while let Some(message) = outbox.waiting.pop_front() {
            if outbox.ring.write(&[&message.encode()]).is_err() {
                outbox.waiting.push_front(message);
                break;
            }
        }
    }

    /// Asks the worker to end after the task it runs.
    pub(crate) fn stop(&self) {
        self.memory.status().set_stop();
        self.pool.wake(self.worker);
    }
}
