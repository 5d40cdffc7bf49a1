//! The worker's side: claims tasks, tells results, sleeps when there is nothing to do.
//!
//! One task at a time, taken from the ring all workers share. The binding calls [`Worker::next_task`], runs the
//! function, and calls [`Worker::tell`]; everything here is quick but [`Worker::sit`] and [`Worker::wait_for_room`], around
//! which it lets go of the interpreter.

mod desk;
mod draft;
mod growth;
mod pieces;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use plait_shm::{
    Arena, ArenaError, ArenaView, ClaimConsumer, Commons, INLINE, Malformed, OpenError, PoolMemory, Region,
    StreamReader, StreamWriter, WorkerMemory, WriteError,
};
use plait_trace::{TaskId, WorkerId};
use rustix::time::{ClockId, clock_gettime};

use crate::heap::{Heap, Piece};
use crate::pool::WORKER_READY;
use crate::spin::Spinner;
use crate::wire::table::HAS_TABLE;
use crate::wire::{Control, Garbled, Kind, Place, ResultHead, TaskHead, Verdict};
pub use desk::{Desk, NoteError};
use draft::Draft;
use growth::Growth;
use pieces::Borrowed;

/// Results up to this size travel in the ring; larger ones go to the worker's arena.
const IN_RING: usize = 64 << 10;

/// Free blocks of the result arena are kept warm up to this many bytes.
const KEEP_WARM: usize = 64 << 20;

/// What a call may need beside its time limit to load its function and arguments, which may import modules.
const LOADING: Duration = Duration::from_secs(60);

/// What a worker fails with: its own end of the connection is unusable, it must exit.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The descriptors are not what a parent sends.
    #[error("bad descriptors: {0}")]
    Open(#[from] OpenError),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The parent's memory holds nonsense.
    #[error("the parent's memory is garbled")]
    Garbled,
}

impl From<WorkerError> for io::Error {
    /// What the system refused, as the system says it.
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Io(error) | WorkerError::Open(OpenError::Io(error)) => error,
            other => Self::other(other.to_string()),
        }
    }
}

impl From<Garbled> for WorkerError {
    fn from(_: Garbled) -> Self {
        Self::Garbled
    }
}

impl From<Malformed> for WorkerError {
    fn from(_: Malformed) -> Self {
        Self::Garbled
    }
}

/// A task a worker has claimed.
#[derive(Debug, Clone, Copy)]
pub struct Claimed {
    /// Its id.
    pub id: TaskId,
    /// Its head.
    pub head: TaskHead,
    len: usize,
    /// When it was claimed, in nanoseconds of `CLOCK_MONOTONIC`.
    pub started: u64,
}

/// Why a result could not be told.
#[derive(Debug)]
pub enum TellError {
    /// The ring is full: wait for room, then try again.
    Full,
    /// There is no shared memory for it.
    Memory(ArenaError),
    /// The parent's side of the ring holds nonsense: there is no way to tell anything.
    Garbled,
}

/// A worker process's connection to its pool.
pub struct Worker {
    pool: Arc<PoolMemory>,
    mine: Arc<WorkerMemory>,
    me: WorkerId,
    claims: ClaimConsumer,
    control: StreamReader,
    results: StreamWriter,
    args: Arc<ArenaView>,
    desk: Desk,
    out: Arena,
    draft: Draft,
    /// What the task in hand had of shared memory.
    borrowed: Borrowed,
    /// A copy of the message of the task in hand.
    message: Box<[u8; INLINE]>,
    /// There where the pool wants to know.
    growth: Option<Growth>,
    /// The last task was ended by order: this process may be killed at any moment.
    doomed: bool,
    /// Tasks it may still run; the pool counts as well, and has a replacement ready when the last is told.
    left: u64,
    /// The last thing it did was to look for a task, so that others were not woken.
    looked: bool,
    /// The last result was waited for, and the next task may be on its way.
    prompt: bool,
    spinner: Spinner,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("me", &self.me).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Worker {
    /// Opens the connection from the descriptors the nursery handed over: pool, own memory, the program's shared file,
    /// setup. Second: the setup's bytes.
    pub fn open(me: WorkerId, fds: Vec<OwnedFd>) -> Result<(Self, Vec<u8>), WorkerError> {
        let fds: [OwnedFd; 4] = fds
            .try_into()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a worker needs four descriptors"))?;
        let [pool, mine, commons, setup] = fds;
        let (pool, claims) = PoolMemory::open(pool, me)?;
        let (mine, control, results) = WorkerMemory::open(mine)?;
        let mut bytes = Vec::new();
        // By position: all workers share the descriptor's offset.
        let file = std::fs::File::from(setup);
        let mut numbers = [[0; 8]; 3];
        for (at, number) in numbers.iter_mut().enumerate() {
            file.read_exact_at(number, 8 * at as u64)?;
        }
        let [limit, offset, len] = numbers.map(u64::from_le_bytes);
        bytes.resize(usize::try_from(file.metadata()?.len().saturating_sub(24)).unwrap_or(0), 0);
        file.read_exact_at(&mut bytes, 24)?;
        let commons = Commons::open(commons)?;
        let args = Arc::new(ArenaView::of(&commons, Region { offset, len })?);
        let [messages, own] = mine.regions();
        let out = Arena::in_region(&commons, messages)?;
        let heap = Heap::of_worker(commons, own)?;
        let desk = Desk::new(Arc::clone(&pool), Arc::clone(&mine), Arc::clone(&args), heap).ok_or(OpenError::Taken)?;
        let worker = Self {
            desk,
            pool,
            mine,
            me,
            claims,
            control,
            results,
            args,
            out,
            draft: Draft::default(),
            borrowed: Borrowed::default(),
            message: Box::new([0; INLINE]),
            growth: None,
            doomed: false,
            left: limit,
            looked: false,
            prompt: false,
            spinner: Spinner::default(),
        };
        Ok((worker, bytes))
    }

    /// Tells the pool that this worker is ready, and which process it is, or why it will never be.
    pub fn greet(&mut self, failure: Option<&str>) {
        let verdict = if failure.is_some() { Verdict::Raised } else { Verdict::Returned };
        let head =
            ResultHead { task: TaskId::from_bits(WORKER_READY), verdict, kind: 0, place: Place::Inline, nanos: 0 };
        let (bytes, used) = head.encode();
        let pid = std::process::id().to_le_bytes();
        let told = failure.map_or(&pid[..], str::as_bytes);
        let told = &told[..told.len().min(IN_RING)];
        // The ring is empty and far larger than this.
        let _ = self.results.write(&[&bytes[..used], told]);
        self.ring(true);
    }

    /// Claims the next task, if there is one.
    pub fn next_task(&mut self) -> Result<Option<Claimed>, WorkerError> {
        if self.left == 0 || self.doomed {
            return Ok(None);
        }
        let started = now();
        let status = self.mine.status();
        let Some((id, len)) = self.claims.claim(&mut self.message, |task| status.begin(task, started)) else {
            return Ok(None);
        };
        self.left -= 1;
        self.borrowed.clear();
        if std::mem::take(&mut self.looked) && !self.claims.is_empty() {
            // Pushed while this worker looked, and so without waking anybody.
            self.pool.wake_idle();
        }
        let (head, _) = TaskHead::decode(&self.message[..len])?;
        if head.timed {
            status.set_since(started + LOADING.as_nanos() as u64);
        }
        Ok(Some(Claimed { id, head, len, started }))
    }

    /// Function and arguments are loaded, the call is about to be made: its time counts from here.
    pub fn call_begins(&self, task: &Claimed) {
        if task.head.timed {
            self.mine.status().set_since(now());
        }
    }

    /// Tells how a task ended, with what of shared memory belongs to the payload. When the ring is full, nothing has happened.
    ///
    /// # Errors
    /// [`TellError`].
    pub fn tell(
        &mut self,
        task: &Claimed,
        verdict: Verdict,
        kind: Kind,
        payload: &[&[u8]],
        pieces: &[Piece],
    ) -> Result<(), TellError> {
        let told = self.borrowed.table(pieces);
        let (table, kind) = if told.is_empty() { (&[][..], kind) } else { (told.bytes(), kind | HAS_TABLE) };
        let (mut place, mut inline) = (Place::Inline, [payload.first().copied().unwrap_or_default(), table]);
        let len = payload.iter().map(|part| part.len()).sum::<usize>() + table.len();
        if len > IN_RING || payload.len() > 1 {
            self.listen();
            let parts: Vec<_> = payload.iter().copied().chain([table]).collect();
            place = Place::Arena(self.out.put(&parts).map_err(TellError::Memory)?);
            inline = [&[], &[]];
        }
        if let Err(error) = write_record(&mut self.results, task, verdict, kind, place, inline) {
            if let Place::Arena(block) = place {
                self.out.release(block);
            }
            return Err(error);
        }
        told.was_told(self.desk.heap(), pieces);
        self.on_told();
        Ok(())
    }

    /// After the record: a worker that dies in between has told its result, and the parent sees that first.
    fn on_told(&mut self) {
        self.draft.reset();
        self.doomed = !self.mine.status().end();
        self.desk.pay();
        if let Some(growth) = &mut self.growth {
            growth.look(&self.mine);
        }
        self.prompt = self.pool.is_awaited();
        self.ring(false);
    }

    fn ring(&self, anyway: bool) {
        self.pool.bell().ring();
        if anyway || self.results.used() > self.results.capacity() / 2 {
            self.pool.pressure().ring();
        }
    }

    /// Sleeps until the parent has taken something out of the result ring (or a while has passed).
    pub fn wait_for_room(&mut self) {
        self.pool.bell().ring();
        self.pool.pressure().ring();
        self.results.wait_space(Some(Duration::from_millis(100)));
    }

    /// Whether the pool wants this worker to end.
    pub fn is_stopped(&self) -> bool {
        self.doomed || self.mine.status().stop()
    }

    /// From now on tells the pool by how much this process grows from task to task.
    pub fn watch_growth(&mut self) {
        self.growth = Growth::of_this_process();
    }

    /// Its number in its pool.
    pub fn id(&self) -> WorkerId {
        self.me
    }

    /// What other threads and signal handlers of this process need of it.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Sleeps until there is a task, or an order, or the time is over.
    pub fn sit(&mut self, timeout: Option<Duration>) {
        let Self { pool, mine, claims, control, left, spinner, prompt, .. } = self;
        let news = || (*left > 0 && !claims.is_empty()) || !control.is_empty() || mine.status().stop();
        // Without somebody who waits for each answer, tasks come in heaps; then sleeping lets a heap grow.
        if std::mem::take(prompt) && pool.look(self.me, |time| spinner.spin(time, news)) {
            self.looked = true;
            return;
        }
        pool.park(self.me, news, timeout);
    }

    /// Reads what the parent said on the control ring.
    pub fn listen(&mut self) {
        let mut released = false;
        while let Ok(Some(message)) = self.control.read(Control::decode) {
            match message {
                Ok(Control::Release(block)) => {
                    // A block of the one or of the other.
                    if self.out.release(block) {
                        released = true;
                    } else {
                        self.desk.heap().take_back(block);
                    }
                }
                Err(Garbled) => {}
            }
        }
        if released {
            self.out.trim(KEEP_WARM);
        }
    }

    /// Whether the parent said something on the control ring.
    pub fn is_told(&self) -> bool {
        !self.control.is_empty()
    }
}

/// Writes how a task ended into the ring of results.
fn write_record(
    results: &mut StreamWriter,
    task: &Claimed,
    verdict: Verdict,
    kind: Kind,
    place: Place,
    [inline, table]: [&[u8]; 2],
) -> Result<(), TellError> {
    let head = ResultHead { task: task.id, verdict, kind, place, nanos: now().saturating_sub(task.started) };
    let (bytes, used) = head.encode();
    results.write(&[&bytes[..used], inline, table]).map_err(|error| match error {
        WriteError::Full => TellError::Full,
        WriteError::TooLarge { .. } => unreachable!("a record in the ring is far below half of it"),
        WriteError::Malformed => TellError::Garbled,
    })
}

/// Nanoseconds on the clock all processes of this machine share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
