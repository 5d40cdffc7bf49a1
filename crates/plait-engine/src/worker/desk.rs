//! What a worker's other threads and its signal handlers have to do with the pool: what it prints, where it is when it
//! crashes, whether the task that runs is to end, and what is said beside tasks and results: notes to the parent, and its
//! replies.
//!
//! Promises: any thread may use it at any time, and none waits for another but for the copying of a record. A note that was
//! written before a result was told has been read when that result is. A process that was forked from a worker is not
//! heard: it would write into the same memory.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plait_shm::{ArenaView, Block, Malformed, PoolMemory, StreamReader, StreamWriter, Wake, WorkerMemory, WriteError};
use rustix::process::{Pid, getpid};

use crate::clock::now;
use crate::heap::Heap;
use crate::wire::inner::note;

/// Why a note was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The parent has not read the last ones: wait for room, then try again.
    #[error("no room for another note, wait until the parent has read some")]
    Full,
    /// It would not fit into an empty ring either.
    #[error("the note is over {max} bytes")]
    TooLarge {
        /// The longest note, in bytes.
        max: usize,
    },
    /// The parent's side of the ring holds nonsense.
    #[error("the memory shared with the parent is garbled")]
    Garbled,
    /// This process was forked from a worker, and is none.
    #[error("this process was forked from a worker process, and is not known to its pool")]
    Forked,
}

/// A handle on what the worker shares with its parent, for any thread.
#[derive(Clone)]
pub struct Desk(Arc<Shared>);

struct Shared {
    pool: Arc<PoolMemory>,
    memory: Arc<WorkerMemory>,
    args: Arc<ArenaView>,
    notes: Mutex<StreamWriter>,
    replies: Mutex<StreamReader>,
    heap: Arc<Heap>,
    /// Blocks that are not used any more, and of which the parent is to be told when there is room.
    unused: Mutex<Vec<u64>>,
    owes: AtomicBool,
    pid: Pid,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("ordered_to_end", &self.is_ordered_to_end()).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// `None` when the worker has one already.
    pub(super) fn new(
        pool: Arc<PoolMemory>,
        memory: Arc<WorkerMemory>,
        args: Arc<ArenaView>,
        heap: Arc<Heap>,
    ) -> Option<Self> {
        let (replies, notes) = memory.side()?;
        let (notes, replies) = (Mutex::new(notes), Mutex::new(replies));
        let (unused, owes) = Default::default();
        let pid = getpid();
        Some(Self(Arc::new(Shared { pool, memory, args, notes, replies, heap, unused, owes, pid })))
    }

    /// Whether the task that runs is to end, and this process with it.
    pub fn is_ordered_to_end(&self) -> bool {
        self.0.memory.status().is_doomed()
    }

    /// Lets the time of the task that runs stand still: it never is over. How much of it was used, in ns; `None` where nothing
    /// runs, or its time stands still already.
    pub fn stop_clock(&self) -> Option<u64> {
        let status = self.0.memory.status();
        let (_, since) = status.current().filter(|&(_, since)| since != u64::MAX)?;
        status.set_since(u64::MAX);
        Some(now().saturating_sub(since))
    }

    /// Lets the time of the task that runs go on, of which so much was used.
    pub fn start_clock(&self, used: u64) {
        self.0.memory.status().set_since(now().saturating_sub(used));
    }

    /// Keeps the last of what is printed for the case that this process dies.
    pub fn keep(&self, printed: &[u8]) {
        self.0.memory.tail().write(printed);
    }

    /// The file that stacks are to be written to with `write` when it comes to the worst, at the position where it
    /// stands; it takes so many bytes from there on as are kept.
    pub fn dump_file(&self) -> std::io::Result<BorrowedFd<'_>> {
        self.0.memory.dump_file()
    }

    /// Whether this process was forked from the worker that the desk is of.
    pub fn is_forked(&self) -> bool {
        getpid() != self.0.pid
    }

    /// Writes a note for the parent, `parts` one after the other, and has it read soon, whether anybody waits there or not.
    ///
    /// # Errors
    /// [`NoteError`]; nothing was written then.
    pub fn note(&self, kind: u8, parts: &[&[u8]]) -> Result<(), NoteError> {
        if self.is_forked() {
            return Err(NoteError::Forked);
        }
        let head = [kind];
        let mut all: Vec<&[u8]> = Vec::with_capacity(1 + parts.len());
        all.push(&head);
        all.extend_from_slice(parts);
        locked(&self.0.notes).write(&all).map_err(|error| match error {
            WriteError::Full => NoteError::Full,
            WriteError::TooLarge { max } => NoteError::TooLarge { max: max - head.len() },
            WriteError::Malformed => NoteError::Garbled,
        })?;
        self.0.pool.bell().ring();
        self.0.pool.pressure().ring();
        Ok(())
    }

    /// The worker's memory for large data.
    pub fn heap(&self) -> &Arc<Heap> {
        &self.0.heap
    }

    /// Tells the parent that a block is not used here any more; if there is no room, later.
    pub(crate) fn give_back(&self, offset: u64) {
        locked(&self.0.unused).push(offset);
        self.0.owes.store(true, Ordering::Relaxed);
        self.pay();
    }

    /// Tells the parent what there was no room for.
    pub(super) fn pay(&self) {
        if !self.0.owes.load(Ordering::Relaxed) {
            return;
        }
        let mut unused = locked(&self.0.unused);
        while let Some(offset) = unused.last() {
            if self.note(note::UNUSED, &[&offset.to_le_bytes()]) == Err(NoteError::Full) {
                return;
            }
            unused.pop();
        }
        self.0.owes.store(false, Ordering::Relaxed);
    }

    /// The longest note that there can be, in bytes.
    pub fn longest_note(&self) -> usize {
        locked(&self.0.notes).max_record() - 1
    }

    /// Sleeps until the parent has read some notes, or a short while. Other notes wait meanwhile: to be called without
    /// the interpreter.
    pub fn wait_for_room(&self) {
        self.0.pool.bell().ring();
        self.0.pool.pressure().ring();
        locked(&self.0.notes).wait_space(Some(Duration::from_millis(20)));
    }

    /// Lends each reply that is there to `read`, which is to be quick; gives how many bytes they were.
    ///
    /// # Errors
    /// [`Malformed`] when the parent's memory holds nonsense.
    pub fn replies(&self, mut read: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        if self.is_forked() {
            return Ok(0);
        }
        let mut bytes = 0;
        let mut replies = locked(&self.0.replies);
        while let Some(len) = replies.read(|reply| {
            read(reply);
            reply.len()
        })? {
            bytes += len;
        }
        Ok(bytes)
    }

    /// Whether there are replies to read.
    pub fn has_replies(&self) -> bool {
        !locked(&self.0.replies).is_empty()
    }

    /// Sleeps until there is a reply, `ready` says so, somebody calls [`Desk::nudge`], or the time is over. `ready` is
    /// called up to two times.
    pub fn wait_reply(&self, mut ready: impl FnMut() -> bool, timeout: Option<Duration>) -> Wake {
        self.0.memory.replied().wait(|| ready() || self.has_replies(), timeout)
    }

    /// Wakes the threads of this process that wait for replies: what they wait for may have been read by this one.
    pub fn nudge(&self) {
        self.0.memory.replied().ring();
    }

    /// A copy of a block that the parent lent with a reply.
    ///
    /// # Errors
    /// [`Malformed`] when there is no such block.
    pub fn lent(&self, block: Block) -> Result<Vec<u8>, Malformed> {
        self.0.args.get(block).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Regions;
    use plait_shm::PoolMemory;

    fn desk() -> (Desk, StreamReader, StreamWriter, Arc<WorkerMemory>, Arc<PoolMemory>) {
        let (pool, _claims) = PoolMemory::create(2).unwrap();
        let heap = Heap::new().unwrap();
        let regions = Regions::take(&heap, 1 << 20).unwrap();
        let (parent, _control, _results, fd) = WorkerMemory::create(4096, 4096, regions.both()).unwrap();
        let (memory, ..) = WorkerMemory::open(fd).unwrap();
        let args = Arc::new(regions.view().unwrap());
        let new = || Desk::new(Arc::clone(&pool), Arc::clone(&memory), Arc::clone(&args), Arc::clone(&heap));
        let desk = new().unwrap();
        assert!(new().is_none());
        let (notes, replies) = parent.side().unwrap();
        (desk, notes, replies, parent, pool)
    }

    #[test]
    fn a_note_is_its_kind_and_its_parts() {
        let (desk, mut notes, ..) = desk();
        desk.note(7, &[b"a", b"", b"bc"]).unwrap();
        desk.note(8, &[]).unwrap();
        assert_eq!(notes.read(<[u8]>::to_vec), Ok(Some(b"\x07abc".to_vec())));
        assert_eq!(notes.read(<[u8]>::to_vec), Ok(Some(b"\x08".to_vec())));
        assert_eq!(notes.read(<[u8]>::to_vec), Ok(None));
    }

    #[test]
    fn a_full_ring_takes_notes_again_when_some_were_read() {
        let (desk, mut notes, ..) = desk();
        let max = desk.longest_note();
        assert_eq!(desk.note(1, &[&vec![0; max + 1]]), Err(NoteError::TooLarge { max }));
        desk.note(1, &[&vec![0; max]]).unwrap();
        desk.note(1, &[&vec![0; max - 64]]).unwrap();
        assert_eq!(desk.note(1, &[&[0; 100]]), Err(NoteError::Full));
        std::thread::scope(|scope| {
            let other = desk.clone();
            scope.spawn(move || {
                while other.note(2, &[&[1; 100]]) == Err(NoteError::Full) {
                    other.wait_for_room();
                }
            });
            let mut kinds = Vec::new();
            while kinds.last() != Some(&2) {
                kinds.extend(notes.read(|note| note[0]).unwrap());
            }
            assert_eq!(kinds, [1, 1, 2]);
        });
    }

    #[test]
    fn a_note_wakes_the_parents_driver_and_its_collector() {
        let (desk, notes, _replies, _parent, pool) = desk();
        let notes = Mutex::new(notes);
        std::thread::scope(|scope| {
            for bell in [pool.bell(), pool.pressure()] {
                let notes = &notes;
                scope.spawn(move || {
                    while locked(notes).is_empty() {
                        bell.wait(|| !locked(notes).is_empty(), None);
                    }
                });
            }
            desk.note(1, &[b"wake up"]).unwrap();
        });
    }

    #[test]
    fn what_one_thread_reads_for_another_wakes_it() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let (desk, _notes, mut replies, parent, _pool) = desk();
        let (desk, told) = (&desk, &AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    while !told.load(Ordering::Relaxed) {
                        desk.wait_reply(|| told.load(Ordering::Relaxed), None);
                        desk.replies(|reply| {
                            assert_eq!(reply, b"for you");
                            told.store(true, Ordering::Relaxed);
                        })
                        .unwrap();
                        desk.nudge();
                    }
                });
            }
            replies.write(&[b"for ", b"you"]).unwrap();
            parent.replied().ring();
        });
        assert!(!desk.has_replies());
    }
}
