//! The memory that the parent shares with one worker process: its status, the control ring to it, the result ring from it.
//!
//! A fresh segment for each process, so that nothing an earlier worker wrote is ever read as a later one's. Promises:
//! what the worker noted of its running task can be read at any instant, also after it was killed; everything else is the
//! streams' promise (see `stream`).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use plait_trace::TaskId;

use crate::error::OpenError;
use crate::ident::Ident;
use crate::segment::Segment;
use crate::stream::{StreamReader, StreamWords, StreamWriter};
use crate::sync::{Area, AtomicU32, AtomicU64, Line, Ordering, Place, Shareable, fence};

const MAGIC: &[u8; 8] = b"plaitwrk";

#[repr(C)]
struct WorkerWords {
    ident: Ident,
    status: WorkerStatus,
    control: StreamWords,
    results: StreamWords,
}

// SAFETY: made of types that are.
unsafe impl Shareable for WorkerWords {}

const AREAS_AT: usize = size_of::<WorkerWords>().next_multiple_of(4096);
const MIN_RING: usize = 4096;
const MAX_RING: usize = 1 << 40;

/// What a worker runs, as it notes it down for the parent.
///
/// | word | meaning | who writes, when |
/// |---|---|---|
/// | `turns` | twice the tasks ended, plus one while a task runs | the worker, in `begin` and `end` |
/// | `task`, `since` | the task that runs, and since when | the worker, in `begin`, while `turns` is even |
/// | `item` | which item of the task's chunk runs | the worker, in `begin` (0) and `set_item` |
/// | `stop` | the worker is to end after its task | the parent, once |
#[repr(C)]
pub struct WorkerStatus {
    noted: Line<Noted>,
    stop: Line<AtomicU32>,
}

#[repr(C)]
struct Noted {
    turns: AtomicU64,
    task: AtomicU64,
    since: AtomicU64,
    item: AtomicU32,
}

// SAFETY: atomics.
unsafe impl Shareable for WorkerStatus {}

impl WorkerStatus {
    /// The worker begins `task` at `now_ns` of the clock that it shares with the parent. To be called in `ClaimConsumer::claim`'s
    /// `on_claim`.
    pub fn begin(&self, task: TaskId, now_ns: u64) {
        let noted = &self.noted;
        let turns = noted.turns.load(Ordering::Relaxed);
        debug_assert!(turns.is_multiple_of(2), "a worker runs one task at a time");
        // SYNC POINT with the fence in `current`: who reads a word written below sees that the turn before has ended.
        fence(Ordering::Release);
        noted.task.store(task.bits(), Ordering::Relaxed);
        noted.since.store(now_ns, Ordering::Relaxed);
        noted.item.store(0, Ordering::Relaxed);
        // SYNC POINT with the first load in `current`.
        noted.turns.store(turns | 1, Ordering::Release);
    }

    /// The worker has ended its task; to be called after the result was published.
    pub fn end(&self) {
        let noted = &self.noted;
        let turns = noted.turns.load(Ordering::Relaxed);
        debug_assert!(!turns.is_multiple_of(2), "only a task that runs can end");
        // SYNC POINT with `tasks_done`: who counts the task sees what was published before.
        noted
            .turns
            .store(turns.next_multiple_of(2), Ordering::Release);
    }

    /// Which task the worker runs, and since when.
    ///
    /// Exact once the worker is dead. While it lives, `None` can also mean that tasks change too fast to be read.
    pub fn current(&self) -> Option<(TaskId, u64)> {
        let noted = &self.noted;
        // A task shorter than these loads hides the next one for one attempt; a live worker cannot hold the parent here.
        for _ in 0..16 {
            // SYNC POINT with the store in `begin`.
            let turns = noted.turns.load(Ordering::Acquire);
            if turns.is_multiple_of(2) {
                return None;
            }
            let task = noted.task.load(Ordering::Relaxed);
            let since = noted.since.load(Ordering::Relaxed);
            // SYNC POINT with the fence in `begin`.
            fence(Ordering::Acquire);
            if noted.turns.load(Ordering::Relaxed) == turns {
                return Some((TaskId::from_bits(task), since));
            }
        }
        None
    }

    /// How many tasks the worker has ended.
    pub fn tasks_done(&self) -> u64 {
        // SYNC POINT with `end`.
        self.noted.turns.load(Ordering::Acquire) / 2
    }

    /// The worker goes on to item `i` of its task's chunk.
    pub fn set_item(&self, i: u32) {
        self.noted.item.store(i, Ordering::Relaxed);
    }

    /// Which item of its task's chunk the worker runs.
    pub fn item(&self) -> u32 {
        self.noted.item.load(Ordering::Relaxed)
    }

    /// The parent asks the worker to end after its task; then wakes it.
    pub fn set_stop(&self) {
        self.stop.store(1, Ordering::Release);
    }

    /// Has the parent asked the worker to end?
    pub fn stop(&self) -> bool {
        self.stop.load(Ordering::Acquire) != 0
    }
}

/// The memory shared with one worker process, in the parent or in that worker.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::WorkerMemory;
///
/// let (parent, mut control, mut results) = WorkerMemory::create(4096, 65536)?;
/// let (worker, mut orders, mut answers) = WorkerMemory::open(parent.fd().try_clone_to_owned()?)?;
///
/// control.write(&[b"import ", b"numpy"])?;
/// assert_eq!(orders.read(|order| order.to_vec())?, Some(b"import numpy".to_vec()));
/// answers.write(&[b"done"])?;
/// assert_eq!(results.read(|answer| answer.len())?, Some(4));
/// parent.status().set_stop();
/// assert!(worker.status().stop());
/// # Ok(())
/// # }
/// ```
pub struct WorkerMemory {
    words: Place<WorkerWords>,
    segment: Arc<Segment>,
}

impl WorkerMemory {
    /// Makes the memory for a worker that is to be started: gives the writer of its control ring and the reader of its results.
    ///
    /// Sizes are rounded up to a power of two of at least 4096 bytes. Memory is used as it is touched.
    ///
    /// # Errors
    /// Those of [`Segment::create`]; `InvalidInput` for a ring over 1 TiB.
    pub fn create(
        control_bytes: usize,
        result_bytes: usize,
    ) -> io::Result<(Arc<Self>, StreamWriter, StreamReader)> {
        if control_bytes.max(result_bytes) > MAX_RING {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a ring has at most 1 TiB",
            ));
        }
        let [control, results] =
            [control_bytes, result_bytes].map(|size| size.max(MIN_RING).next_power_of_two());
        let segment = Arc::new(Segment::create(
            "plait-worker",
            AREAS_AT + control + results,
        )?);
        let memory = Self {
            words: Place::new(&segment, 0),
            segment,
        };
        memory
            .words
            .ident
            .write(MAGIC, [control as u64, results as u64]);
        let (control_area, result_area) = memory.areas(control, results);
        let writer = StreamWriter::new(memory.words.map(|words| &words.control), control_area);
        let reader = StreamReader::new(memory.words.map(|words| &words.results), result_area);
        Ok((Arc::new(memory), writer, reader))
    }

    /// Opens its memory in the worker process: gives the reader of its control ring and the writer of its results.
    ///
    /// # Errors
    /// [`OpenError`] when `fd` is not the memory of a worker made by this version of plait, was opened before, or cannot
    /// be mapped.
    pub fn open(fd: OwnedFd) -> Result<(Arc<Self>, StreamReader, StreamWriter), OpenError> {
        let segment = Arc::new(Segment::open(fd)?);
        let found = segment.len();
        if found < AREAS_AT {
            return Err(OpenError::Alien);
        }
        let memory = Self {
            words: Place::new(&segment, 0),
            segment,
        };
        let sizes = memory.words.ident.check(MAGIC)?;
        let [control, results] = sizes.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let expected = AREAS_AT.saturating_add(control).saturating_add(results);
        let sound = |ring: usize| ring.is_power_of_two() && (MIN_RING..=MAX_RING).contains(&ring);
        if expected != found || !sound(control) || !sound(results) {
            return Err(OpenError::Length { found, expected });
        }
        if !memory.words.ident.take() {
            return Err(OpenError::Taken);
        }
        let (control_area, result_area) = memory.areas(control, results);
        let reader = StreamReader::new(memory.words.map(|words| &words.control), control_area);
        let writer = StreamWriter::new(memory.words.map(|words| &words.results), result_area);
        Ok((Arc::new(memory), reader, writer))
    }

    fn areas(&self, control: usize, results: usize) -> (Area, Area) {
        let segment = &self.segment;
        (
            Area::new(segment, AREAS_AT, control),
            Area::new(segment, AREAS_AT + control, results),
        )
    }

    /// The file descriptor, to be handed to the worker.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.segment.fd()
    }

    /// What the worker runs, and whether it is to stop.
    pub fn status(&self) -> &WorkerStatus {
        &self.words.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_one_workers() {
        let (parent, _control, _results) = WorkerMemory::create(1, 5000).unwrap();
        let fd = || parent.fd().try_clone_to_owned().unwrap();
        let (_worker, _orders, answers) = WorkerMemory::open(fd()).unwrap();
        assert_eq!(answers.capacity(), 8192);
        assert!(matches!(WorkerMemory::open(fd()), Err(OpenError::Taken)));
    }

    #[test]
    fn what_is_not_a_workers_is_refused() {
        let (pool, _producer) = crate::PoolMemory::create(64).unwrap();
        assert!(matches!(
            WorkerMemory::open(pool.fd().try_clone_to_owned().unwrap()),
            Err(OpenError::Alien)
        ));
        let (parent, ..) = WorkerMemory::create(4096, 4096).unwrap();
        for sizes in [[u64::MAX, u64::MAX], [8192, 0], [4096, 8192], [6144, 2048]] {
            parent.words.ident.write(MAGIC, sizes);
            let opened = WorkerMemory::open(parent.fd().try_clone_to_owned().unwrap());
            assert!(matches!(opened, Err(OpenError::Length { .. })));
        }
        assert!(WorkerMemory::create(0, MAX_RING + 1).is_err());
    }

    #[test]
    fn the_status_tells_what_runs() {
        let (parent, ..) = WorkerMemory::create(0, 0).unwrap();
        let (worker, ..) = WorkerMemory::open(parent.fd().try_clone_to_owned().unwrap()).unwrap();
        let (noted, seen) = (worker.status(), parent.status());
        assert_eq!((seen.current(), seen.tasks_done()), (None, 0));
        noted.begin(TaskId::new(3, 4), 99);
        noted.set_item(17);
        assert_eq!(
            (seen.current(), seen.tasks_done(), seen.item()),
            (Some((TaskId::new(3, 4), 99)), 0, 17)
        );
        noted.end();
        assert_eq!((seen.current(), seen.tasks_done()), (None, 1));
        noted.begin(TaskId::new(5, 6), 100);
        assert_eq!(
            (seen.current(), seen.item()),
            (Some((TaskId::new(5, 6), 100)), 0)
        );
    }

    /// The two words of a note come from one `begin`, however fast tasks change.
    #[test]
    fn a_note_is_never_half_old() {
        let (parent, ..) = WorkerMemory::create(0, 0).unwrap();
        let (worker, ..) = WorkerMemory::open(parent.fd().try_clone_to_owned().unwrap()).unwrap();
        let writer = std::thread::spawn(move || {
            for i in 0..300_000 {
                worker.status().begin(TaskId::from_bits(i), !i);
                worker.status().end();
            }
        });
        while parent.status().tasks_done() < 300_000 {
            if let Some((task, since)) = parent.status().current() {
                assert_eq!(task.bits(), !since);
            }
        }
        writer.join().unwrap();
    }
}
