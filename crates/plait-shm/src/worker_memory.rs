//! The memory that the parent shares with one worker process: its status, the control ring to it, the result ring from it, two
//! rings for what is said beside tasks and results (notes from it, replies to it), the end of what it printed, and which regions
//! of the commons are its own.
//!
//! A fresh segment for each process, so that nothing an earlier worker wrote is ever read as a later one's. Its promises are
//! those of its parts, `status`, `stream`, `bell` and `tail`; and that a segment is opened by one worker only.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bell::Bell;
use crate::block::Region;
use crate::dump::{DUMP_BYTES, Dump};
use crate::error::OpenError;
use crate::ident::Ident;
use crate::segment::Segment;
use crate::status::WorkerStatus;
use crate::stream::{StreamReader, StreamWords, StreamWriter};
use crate::sync::{Area, AtomicU64, Line, Ordering, Place, Shareable};
use crate::tail::Tail;

const MAGIC: &[u8; 8] = b"plaitwrk";

/// Beside the words of its parts:
///
/// | word | meaning | who writes, when |
/// |---|---|---|
/// | `regions` | offset and length of each region | the parent, when it made the segment |
#[repr(C)]
struct WorkerWords {
    ident: Ident,
    regions: Line<[AtomicU64; 4]>,
    status: WorkerStatus,
    control: StreamWords,
    results: StreamWords,
    notes: StreamWords,
    replies: StreamWords,
    replied: Bell,
    tail: Tail,
}

// SAFETY: made of types that are.
unsafe impl Shareable for WorkerWords {}

const AREAS_AT: usize = size_of::<WorkerWords>().next_multiple_of(4096);
const MIN_RING: usize = 4096;
const MAX_RING: usize = 1 << 40;

/// The size of the ring of notes, and of that of replies. Like all of this, it takes memory as it is touched.
const NOTES: usize = 1 << 20;

/// The memory shared with one worker process, in the parent or in that worker.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::{Commons, WorkerMemory};
///
/// let commons = Commons::create(1 << 40)?;
/// let regions = [(); 2].map(|()| commons.take_region(1 << 30).unwrap());
/// let (parent, mut control, mut results, fd) = WorkerMemory::create(4096, 65536, regions)?;
/// let (worker, mut orders, mut answers) = WorkerMemory::open(fd)?;
///
/// assert_eq!(worker.regions(), regions);
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
    dump: Dump,
    /// In the worker, which writes its dump there. The parent needs none, and may have many workers and few descriptors.
    fd: Option<OwnedFd>,
    regions: [Region; 2],
    /// Of the rings of control messages and of results.
    sizes: [u64; 2],
    /// Where the rings of notes and replies lie, until this side's ends of them are taken.
    side: Mutex<Option<[Area; 2]>>,
}

/// The parent's ends of a new worker's memory: with its status and what is written there, the writer of its control ring, the
/// reader of its results, and the descriptor by which the worker opens it, which the parent closes once it has handed it over.
pub type NewWorkerMemory = (Arc<WorkerMemory>, StreamWriter, StreamReader, OwnedFd);

impl WorkerMemory {
    /// Makes the memory for a worker that is to be started, and to which these regions of the commons belong.
    ///
    /// Sizes are rounded up to a power of two of at least 4096 bytes. Memory is used as it is touched.
    ///
    /// # Errors
    /// Those of [`Segment::create`]; `InvalidInput` for a ring over 1 TiB.
    pub fn create(control_bytes: usize, result_bytes: usize, regions: [Region; 2]) -> io::Result<NewWorkerMemory> {
        if control_bytes.max(result_bytes) > MAX_RING {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a ring has at most 1 TiB"));
        }
        let [control, results] = [control_bytes, result_bytes].map(|size| size.max(MIN_RING).next_power_of_two());
        let areas = AREAS_AT + control + results + 2 * NOTES;
        let (segment, fd) = Segment::create("plait-worker", areas + DUMP_BYTES)?;
        let segment = Arc::new(segment);
        let memory = Self::new(&segment, areas, None, regions, [control as u64, results as u64]);
        let numbers = regions.iter().flat_map(|region| [region.offset, region.len]);
        memory.words.regions.iter().zip(numbers).for_each(|(to, number)| to.store(number, Ordering::Relaxed));
        // Last, as it releases the words above.
        memory.words.ident.write(MAGIC, [control as u64, results as u64]);
        let [control_area, result_area] = Self::rings(&segment, control, results);
        let writer = StreamWriter::new(memory.words.map(|words| &words.control), control_area);
        let reader = StreamReader::new(memory.words.map(|words| &words.results), result_area);
        Ok((Arc::new(memory), writer, reader, fd))
    }

    /// Opens its memory in the worker process: gives the reader of its control ring and the writer of its results.
    ///
    /// # Errors
    /// [`OpenError`] when `fd` is not the memory of a worker made by this version of plait, was opened before, or cannot
    /// be mapped.
    pub fn open(fd: OwnedFd) -> Result<(Arc<Self>, StreamReader, StreamWriter), OpenError> {
        let segment = Arc::new(Segment::open(&fd)?);
        let found = segment.len();
        if found < AREAS_AT {
            return Err(OpenError::Alien);
        }
        let words = Place::<WorkerWords>::new(&segment, 0);
        let sizes = words.ident.check(MAGIC)?;
        let [control, results] = sizes.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let areas = AREAS_AT.saturating_add(control).saturating_add(results).saturating_add(2 * NOTES);
        let expected = areas.saturating_add(DUMP_BYTES);
        let sound = |ring: usize| ring.is_power_of_two() && (MIN_RING..=MAX_RING).contains(&ring);
        if expected != found || !sound(control) || !sound(results) {
            return Err(OpenError::Length { found, expected });
        }
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| words.regions[i].load(Ordering::Relaxed));
        let regions = [Region { offset: a, len: b }, Region { offset: c, len: d }];
        if let Some(&wrong) = regions.iter().find(|region| region.end().is_none()) {
            return Err(OpenError::Region(wrong));
        }
        if !words.ident.take() {
            return Err(OpenError::Taken);
        }
        let memory = Self::new(&segment, areas, Some(fd), regions, sizes);
        let [control_area, result_area] = Self::rings(&segment, control, results);
        let reader = StreamReader::new(memory.words.map(|words| &words.control), control_area);
        let writer = StreamWriter::new(memory.words.map(|words| &words.results), result_area);
        Ok((Arc::new(memory), reader, writer))
    }

    /// Of the segment whose areas end at `areas`.
    fn new(segment: &Arc<Segment>, areas: usize, fd: Option<OwnedFd>, regions: [Region; 2], sizes: [u64; 2]) -> Self {
        Self {
            regions,
            sizes,
            words: Place::new(segment, 0),
            dump: Dump::new(segment, areas),
            fd,
            side: Mutex::new(Some([areas - 2 * NOTES, areas - NOTES].map(|at| Area::new(segment, at, NOTES)))),
        }
    }

    fn rings(segment: &Arc<Segment>, control: usize, results: usize) -> [Area; 2] {
        [Area::new(segment, AREAS_AT, control), Area::new(segment, AREAS_AT + control, results)]
    }

    /// The worker's regions of the commons: for results, and for what it makes on its heap of shared memory. Whether they
    /// lie within the commons is checked where they are used.
    pub fn regions(&self) -> [Region; 2] {
        self.regions
    }

    /// This side's ends of what is said beside tasks and results: the reader of what the other side says, the writer of what
    /// this one does. In the parent it reads notes and writes replies, after which it rings [`WorkerMemory::replied`]; in the
    /// worker the other way round. `None` from the second call on, since each end is one.
    pub fn side(&self) -> Option<(StreamReader, StreamWriter)> {
        let [notes_area, replies_area] = self.side.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let notes = self.words.map(|words| &words.notes);
        let replies = self.words.map(|words| &words.replies);
        Some(match self.fd {
            None => (StreamReader::new(notes, notes_area), StreamWriter::new(replies, replies_area)),
            Some(_) => (StreamReader::new(replies, replies_area), StreamWriter::new(notes, notes_area)),
        })
    }

    /// The parent rings it when it has written a reply; threads of the worker wait on it.
    pub fn replied(&self) -> &Bell {
        &self.words.replied
    }

    /// In the worker: where stacks are to be written with `write` when it comes to the worst. To be called once; the descriptor
    /// has to stay open, at its position.
    ///
    /// # Errors
    /// Those of `lseek`; `Unsupported` in the parent.
    pub fn dump_file(&self) -> io::Result<BorrowedFd<'_>> {
        self.dump.file(self.fd.as_ref().ok_or(io::ErrorKind::Unsupported)?)
    }

    /// What the worker has written there; all of it once the worker has ended.
    pub fn dump(&self) -> String {
        self.dump.read()
    }

    /// What the worker runs, and whether it is to stop.
    pub fn status(&self) -> &WorkerStatus {
        &self.words.status
    }

    /// In the parent: do the words that were written once, before the worker was there, still say the same? False means that it wrote
    /// over its memory.
    pub fn is_sound(&self) -> bool {
        let numbers = self.regions.iter().flat_map(|region| [region.offset, region.len]);
        self.words.ident.check(MAGIC).is_ok_and(|sizes| sizes == self.sizes)
            && self.words.regions.iter().zip(numbers).all(|(word, number)| word.load(Ordering::Relaxed) == number)
    }

    /// The last of what the worker printed, or of whatever else its binding writes there.
    pub fn tail(&self) -> &Tail {
        &self.words.tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [Region; 2] = [Region { offset: 0, len: 0 }; 2];

    #[test]
    fn a_segment_is_one_workers() {
        let (_parent, _control, _results, fd) = WorkerMemory::create(1, 5000, NONE).unwrap();
        let (_worker, _orders, answers) = WorkerMemory::open(fd.try_clone().unwrap()).unwrap();
        assert_eq!(answers.capacity(), 8192);
        assert!(matches!(WorkerMemory::open(fd), Err(OpenError::Taken)));
    }

    #[test]
    fn notes_go_up_and_replies_come_down() {
        let (parent, _control, _results, fd) = WorkerMemory::create(4096, 4096, NONE).unwrap();
        let (worker, ..) = WorkerMemory::open(fd).unwrap();
        let (mut notes, mut answer) = parent.side().unwrap();
        let (mut replies, mut note) = worker.side().unwrap();
        assert!(parent.side().is_none() && worker.side().is_none());
        note.write(&[b"may ", b"I?"]).unwrap();
        assert_eq!(notes.read(<[u8]>::to_vec), Ok(Some(b"may I?".to_vec())));
        let sleeper = std::thread::spawn(move || {
            while replies.is_empty() {
                worker.replied().wait(|| !replies.is_empty(), None);
            }
            replies.read(<[u8]>::to_vec)
        });
        answer.write(&[b"yes"]).unwrap();
        parent.replied().ring();
        assert_eq!(sleeper.join().unwrap(), Ok(Some(b"yes".to_vec())));
        assert_eq!(note.max_record(), NOTES / 2 - 8);
    }

    #[test]
    #[cfg_attr(any(miri, acted), ignore = "files")]
    fn what_a_worker_dumps_is_read_by_the_parent() {
        let (parent, _control, _results, fd) = WorkerMemory::create(4096, 4096, NONE).unwrap();
        let (worker, ..) = WorkerMemory::open(fd).unwrap();
        assert_eq!(parent.dump(), "");
        assert!(parent.dump_file().is_err());
        let file = worker.dump_file().unwrap();
        rustix::io::write(file, b"Fatal: ").unwrap();
        rustix::io::write(file, b"here").unwrap();
        assert_eq!(parent.dump(), "Fatal: here");
        // Where the file cannot be sealed it grows, and what does not fit is not seen.
        for _ in 0..=DUMP_BYTES / 4096 {
            let _ = rustix::io::write(file, &[b'x'; 4096]);
        }
        assert_eq!(parent.dump().len(), DUMP_BYTES);
    }

    #[test]
    fn what_is_not_a_workers_is_refused() {
        let (pool, _producer) = crate::PoolMemory::create(64).unwrap();
        assert!(matches!(WorkerMemory::open(pool.fd().try_clone_to_owned().unwrap()), Err(OpenError::Alien)));
        let (parent, _control, _results, fd) = WorkerMemory::create(4096, 4096, NONE).unwrap();
        for sizes in [[u64::MAX, u64::MAX], [8192, 0], [4096, 8192], [6144, 2048]] {
            parent.words.ident.write(MAGIC, sizes);
            let opened = WorkerMemory::open(fd.try_clone().unwrap());
            assert!(matches!(opened, Err(OpenError::Length { .. })));
        }
        assert!(WorkerMemory::create(0, MAX_RING + 1, NONE).is_err());
    }

    #[test]
    fn what_was_written_once_shows_whether_it_was_written_over() {
        let (parent, _control, _results, fd) = WorkerMemory::create(4096, 4096, NONE).unwrap();
        let (worker, ..) = WorkerMemory::open(fd).unwrap();
        assert!(parent.is_sound());
        worker.words.regions[3].store(4096, Ordering::Relaxed);
        assert!(!parent.is_sound());
        worker.words.regions[3].store(0, Ordering::Relaxed);
        worker.words.ident.write(MAGIC, [4096, 8192]);
        assert!(!parent.is_sound());
    }

    #[test]
    fn a_worker_learns_its_regions() {
        let regions = [(0, 1 << 20), (1 << 40, 1 << 30)].map(|(offset, len)| Region { offset, len });
        let (parent, _control, _results, fd) = WorkerMemory::create(0, 0, regions).unwrap();
        let again = fd.try_clone().unwrap();
        let (worker, ..) = WorkerMemory::open(fd).unwrap();
        assert_eq!((worker.regions(), parent.regions()), (regions, regions));
        parent.words.regions[0].store(4096, Ordering::Relaxed);
        assert_eq!((worker.regions(), parent.regions()), (regions, regions), "what was read once stays so");
        for (word, wrong) in [(0, 1), (1, 4097), (2, u64::MAX), (3, 1 << 63), (3, (1 << 63) - 4096)] {
            let before = parent.words.regions[word].swap(wrong, Ordering::Relaxed);
            let opened = WorkerMemory::open(again.try_clone().unwrap());
            assert!(matches!(opened, Err(OpenError::Region(_))), "{word} {wrong}");
            parent.words.regions[word].store(before, Ordering::Relaxed);
        }
    }
}
