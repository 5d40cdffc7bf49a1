//! The parent's end of one worker: its memory, its control ring, and the result blocks it has lent.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use plait_shm::{ArenaView, Block, PoolMemory, StreamWriter, WorkerMemory, WriteError};
use plait_trace::{TaskId, WorkerId};

use crate::heap::{Heap, Regions};
use crate::machine::MemoryReader;
use crate::wire::Control;

use super::leases::Leases;
use super::process_id::ProcessId;
use super::relay::Correspondence;

/// Lives as long as anybody reads the worker's results, which may be longer than the worker.
pub(crate) struct Link {
    pub(crate) worker: WorkerId,
    pub(crate) memory: Arc<WorkerMemory>,
    pub(crate) results: ArenaView,
    /// The program's.
    pub(super) heap: Arc<Heap>,
    pub(super) leases: Mutex<Leases>,
    pool: Arc<PoolMemory>,
    control: Mutex<Outbox>,
    /// Whether messages wait for room in the control ring. Set under its lock.
    behind: AtomicBool,
    pub(super) correspondence: Mutex<Correspondence>,
    pub(super) process: ProcessId,
    key: AtomicU64,
    doomed: AtomicBool,
    overwritten: AtomicBool,
    stopping: AtomicBool,
    fate: Mutex<Option<Fate>>,
    statm: OnceLock<MemoryReader>,
    /// Given back when nobody reads anything in them any more.
    pub(super) regions: Regions,
}

/// Why a worker is to end, and how far that has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// What it ran then; it runs nothing else any more.
    pub(super) task: TaskId,
    pub(super) why: Why,
    pub(super) stage: Stage,
    /// When the next stage is due, in ns of the clock.
    pub(super) due: u64,
}

/// Why a worker is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its task took longer than this.
    TimedOut(Duration),
    /// Nobody wants its task any more.
    Cancelled,
    /// It used so much private memory, in bytes.
    OverMemory { limit: u64, used: u64 },
}

/// What was done last to make a doomed worker end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its main thread got an exception.
    Asked,
    /// Nothing more: its call has ended, and it is about to end as well.
    Leaving,
    /// It notes down where it is: so many bytes when that was last looked at. It is killed once they are no more than they were, and at
    /// this time at the latest, in ns of the clock.
    Dumping { written: usize, by: u64 },
    /// It was killed.
    Killed,
}

struct Outbox {
    ring: StreamWriter,
    waiting: VecDeque<Control>,
}

impl Outbox {
    /// Writes what waits, in order, as far as there is room.
    fn send(&mut self) -> Result<(), WriteError> {
        while let Some(message) = self.waiting.front() {
            self.ring.write(&[&message.encode()])?;
            self.waiting.pop_front();
        }
        Ok(())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("worker", &self.worker).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Link {
    #[expect(clippy::too_many_arguments, reason = "its parts")]
    pub(crate) fn new(
        worker: WorkerId,
        memory: Arc<WorkerMemory>,
        results: ArenaView,
        heap: Arc<Heap>,
        regions: Regions,
        pool: Arc<PoolMemory>,
        ring: StreamWriter,
        replies: StreamWriter,
    ) -> Self {
        let control = Mutex::new(Outbox { ring, waiting: VecDeque::new() });
        Self {
            worker,
            memory,
            results,
            heap,
            leases: Mutex::default(),
            pool,
            control,
            behind: AtomicBool::new(false),
            correspondence: Mutex::new(Correspondence::new(replies)),
            process: ProcessId::default(),
            key: AtomicU64::new(0),
            doomed: AtomicBool::new(false),
            overwritten: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            fate: Mutex::new(None),
            statm: OnceLock::new(),
            regions,
        }
    }

    /// The worker's private memory, in bytes, if it lives and can be looked at.
    pub(super) fn private_memory(&self) -> Option<u64> {
        let reader = match self.statm.get() {
            Some(reader) => reader,
            // Not known at once: its first task may be faster than the news of its birth.
            None => {
                let reader = MemoryReader::open(self.pid())?;
                self.statm.get_or_init(|| reader)
            }
        };
        reader.private()
    }

    /// Why the worker is to end, if it is. A leaf among the locks.
    pub(super) fn fate(&self) -> MutexGuard<'_, Option<Fate>> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals the worker's fate.
    pub(super) fn set_fate(&self, fate: Fate) {
        *self.fate() = Some(fate);
        self.doomed.store(true, Ordering::Release);
    }

    /// Why this task of the worker's is to end, if it is.
    #[inline]
    pub(super) fn fate_of(&self, task: TaskId) -> Option<Why> {
        if !self.doomed.load(Ordering::Acquire) {
            return None;
        }
        self.fate().filter(|fate| fate.task == task).map(|fate| fate.why)
    }

    /// The worker's process id; 0 until it is known.
    pub(crate) fn pid(&self) -> i32 {
        self.process.known()
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

    /// Sends a control message; what finds the ring full goes first next time, or when the worker is heard of. The worker
    /// is not woken for it: it looks before it needs room.
    pub(crate) fn tell(&self, message: Control) {
        let mut outbox = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.waiting.push_back(message);
        self.send(&mut outbox);
    }

    fn send(&self, outbox: &mut Outbox) {
        let sent = outbox.send();
        self.behind.store(sent.is_err(), Ordering::Relaxed);
        self.note_written(sent);
    }

    /// What came of writing to one of the worker's rings, whose words it may have written over.
    pub(super) fn note_written(&self, written: Result<(), WriteError>) {
        if written == Err(WriteError::Malformed) {
            self.set_overwritten();
        }
    }

    /// The worker wrote over the memory that it shares with its pool. Whoever drains next has it killed.
    pub(super) fn set_overwritten(&self) {
        self.overwritten.store(true, Ordering::Relaxed);
    }

    /// Whether it did, as far as it shows.
    pub(super) fn is_overwritten(&self) -> bool {
        self.overwritten.load(Ordering::Relaxed)
    }

    /// Sends what found the ring full: whoever drops many results at once says more than it holds, and may say nothing more.
    #[inline]
    pub(super) fn catch_up(&self) {
        if self.behind.load(Ordering::Relaxed) {
            self.send(&mut self.control.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Asks the worker to end after the task it runs.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.memory.status().set_stop();
        self.pool.wake(self.worker);
    }
}

impl Link {
    /// Whether the worker was asked to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use plait_shm::StreamReader;

    /// The link to a worker that nobody started, and what that one would have of its memory.
    pub(crate) fn link() -> (Arc<Link>, StreamReader, Arc<WorkerMemory>) {
        let (link, notes, worker, _) = link_and_control();
        (link, notes, worker)
    }

    /// The same, and the worker's end of the control ring.
    pub(super) fn link_and_control() -> (Arc<Link>, StreamReader, Arc<WorkerMemory>, StreamReader) {
        let (pool, _claims) = PoolMemory::create(2).unwrap();
        let heap = Heap::new().unwrap();
        let regions = Regions::take(&heap, 1 << 20).unwrap();
        let (memory, control, _results, fd) = WorkerMemory::create(4096, 4096, regions.both()).unwrap();
        let (worker, told, _) = WorkerMemory::open(fd).unwrap();
        let results = regions.view().unwrap();
        let (notes, replies) = memory.side().unwrap();
        let link = Link::new(WorkerId(0), memory, results, heap, regions, pool, control, replies);
        (Arc::new(link), notes, worker, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_found_the_ring_full_is_sent_when_the_worker_is_heard_of() {
        const BLOCKS: u64 = 3000;
        let (link, _notes, _worker, mut control) = testing::link_and_control();
        let mut heard = Vec::new();
        let mut listen = || {
            let before = heard.len();
            while let Ok(Some(message)) = control.read(Control::decode) {
                let Ok(Control::Release(block)) = message else { panic!("no message of a parent") };
                heard.push(block.offset);
            }
            heard.len() > before
        };
        (0..BLOCKS).for_each(|offset| link.release(Block { offset, len: 1 }));
        while listen() {
            link.catch_up();
        }
        assert_eq!(heard, (0..BLOCKS).collect::<Vec<_>>(), "each once, in order");
    }
}
