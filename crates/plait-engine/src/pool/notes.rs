//! Notes: what workers tell their pool beside results.
//!
//! The thread that drains reads them together with the results: first a worker's results, then its notes, so that a note
//! which was written before a result is read with it at the latest. Those of the engine's own kinds (`relay`) are acted on
//! there and then. The others are the binding's, which may need an interpreter: they wait for the collector, or for the
//! thread that hands out a result and must not do so before the notes which came with it have been heard.
//!
//! Promises: the notes of one worker are handled in the order in which it wrote them, one batch at a time; log records and
//! all others each in theirs, so that a log handler that waits for a call does not wait for what it holds up itself. What
//! waits to be heard is bounded: a worker that writes faster than it is heard waits.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use plait_shm::{MAX_WORKERS, StreamReader};

use super::Pool;
use super::link::Link;
use super::outcome::Ticket;
use super::state::{Shared, locked};

/// The kind of a note that holds a log record.
pub const LOG: u8 = 1;

/// From here on kinds are the engine's own (`wire::inner::note`).
const ENGINE_KINDS: u8 = 2;

/// More notes than a ring holds at a time.
const PER_LOOK: usize = 1 << 16;

/// Bytes of log records that wait to be heard. What is more stays where the worker wrote it, and the worker waits.
const AHEAD: usize = 4 << 20;

/// Notes that are handled together; who waits for them sees how it goes on after each batch.
const BATCH: usize = 32;

/// How long a thread that has a result waits for another that is at the notes which came before it, each batch of them. What
/// that one runs may wait for this thread.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a worker told beside its results.
pub struct Note {
    pub(super) link: Arc<Link>,
    /// What it is about; the binding's business.
    pub kind: u8,
    /// The rest of it.
    pub bytes: Box<[u8]>,
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Note").field("kind", &self.kind).field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Note {
    /// How much of the room for notes it takes.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    /// The process id of the worker that wrote it.
    pub fn pid(&self) -> i32 {
        self.link.pid()
    }
}

/// Why a look at a worker's notes ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// There are no more.
    Empty,
    /// There may be more, for which there is no room.
    Full,
    /// The worker wrote what no worker writes.
    Garbled,
}

/// Reads the notes that are there, until they have used up `room`.
pub(super) fn read(link: &Arc<Link>, stream: &mut StreamReader, notes: &mut Vec<Note>, room: &mut usize) -> Look {
    for _ in 0..PER_LOOK {
        if *room == 0 {
            return if stream.is_empty() { Look::Empty } else { Look::Full };
        }
        let read = stream.read(|record| {
            let (&kind, bytes) = record.split_first()?;
            Some(Note { link: Arc::clone(link), kind, bytes: bytes.into() })
        });
        match read {
            Ok(None) => return Look::Empty,
            Ok(Some(Some(note))) => {
                *room = room.saturating_sub(note.weight());
                notes.push(note);
            }
            Ok(Some(None)) | Err(_) => return Look::Garbled,
        }
    }
    Look::Full
}

/// Notes for the binding that it has not heard: log records, which go through code that may take its time or wait for
/// other calls, and all else, which must not wait for that code.
#[derive(Default)]
pub(super) struct Unheard {
    records: Line,
    others: Line,
    /// The last look left notes in a ring, for want of room.
    behind: AtomicBool,
}

/// Notes that are handled one batch after the other.
#[derive(Default)]
struct Line {
    queue: Mutex<Queue>,
    /// Somebody has finished a batch.
    finished: Condvar,
    /// In the queue, or being handled.
    count: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    notes: VecDeque<Note>,
    weight: usize,
    handler: Option<ThreadId>,
}

impl Line {
    fn push(&self, notes: impl Iterator<Item = Note>) {
        let mut queue = locked(&self.queue);
        let before = queue.notes.len();
        for note in notes {
            queue.weight += note.weight();
            queue.notes.push_back(note);
        }
        self.count.fetch_add(queue.notes.len() - before, Ordering::Release);
    }

    fn is_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    fn is_waiting(&self) -> bool {
        self.is_any() && !locked(&self.queue).notes.is_empty()
    }

    /// Has a batch handled, or waits until another thread has finished with one.
    fn handle(&self, patience: Duration, handle: &mut impl FnMut(Vec<Note>)) -> Handled {
        let me = thread::current().id();
        let batch: Vec<Note> = {
            let mut queue = locked(&self.queue);
            if let Some(handler) = queue.handler {
                if handler == me {
                    return Handled::Stuck;
                }
                let waited = self.finished.wait_timeout(queue, patience).unwrap_or_else(PoisonError::into_inner);
                return if waited.1.timed_out() { Handled::Stuck } else { Handled::Some };
            }
            if queue.notes.is_empty() {
                return Handled::None;
            }
            queue.handler = Some(me);
            let many = queue.notes.len().min(BATCH);
            queue.notes.drain(..many).collect()
        };
        let weight = batch.iter().map(Note::weight).sum();
        let _handling = Handling { line: self, count: batch.len(), weight };
        handle(batch);
        Handled::Some
    }
}

/// What came of an attempt to have notes handled.
enum Handled {
    /// There were none.
    None,
    Some,
    /// Another thread takes its time over them, or this one is in the middle of it.
    Stuck,
}

/// The right to handle notes, and how many are at it; given back also while a panic unwinds.
struct Handling<'a> {
    line: &'a Line,
    count: usize,
    weight: usize,
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        let mut queue = locked(&self.line.queue);
        queue.handler = None;
        queue.weight -= self.weight;
        drop(queue);
        self.line.count.fetch_sub(self.count, Ordering::Release);
        self.line.finished.notify_all();
    }
}

impl Unheard {
    fn push(&self, notes: Vec<Note>) {
        let (records, others): (Vec<_>, Vec<_>) = notes.into_iter().partition(|note| note.kind == LOG);
        self.others.push(others.into_iter());
        self.records.push(records.into_iter());
    }

    /// For how many bytes of notes there is room.
    pub(super) fn room(&self) -> usize {
        if self.records.is_any() { AHEAD.saturating_sub(locked(&self.records.queue).weight) } else { AHEAD }
    }

    /// Notes whether notes were left in a ring.
    pub(super) fn set_behind(&self, behind: bool) {
        if self.behind.load(Ordering::Relaxed) != behind {
            self.behind.store(behind, Ordering::Release);
        }
    }

    /// Whether there is one that has not been handled to the end.
    pub(super) fn is_any(&self) -> bool {
        self.others.is_any() || self.records.is_any() || self.behind.load(Ordering::Acquire)
    }

    /// Whether one waits that nobody is at.
    pub(super) fn is_waiting(&self) -> bool {
        self.others.is_waiting() || self.records.is_waiting()
    }

    /// Has all of them handled, and waits until those that another thread is at are, too, but not longer than `patience`
    /// for a batch. A thread that comes here out of `handle` does not wait for itself. Whether all were handled.
    fn handle(&self, patience: Duration, mut handle: impl FnMut(Vec<Note>)) -> bool {
        let mut stuck = false;
        loop {
            if !stuck {
                match self.others.handle(patience, &mut handle) {
                    Handled::Some => continue,
                    Handled::None => {}
                    Handled::Stuck => stuck = true,
                }
            }
            match self.records.handle(patience, &mut handle) {
                Handled::Some => {}
                Handled::None => return !stuck,
                Handled::Stuck => return false,
            }
        }
    }
}

impl<T: Ticket> Shared<T> {
    /// Puts notes where they are handled; called with the readers held, so that their order is kept.
    pub(super) fn sort_notes(&self, notes: Vec<Note>) {
        if notes.is_empty() {
            return;
        }
        let (own, foreign): (Vec<_>, Vec<_>) = notes.into_iter().partition(|note| note.kind >= ENGINE_KINDS);
        for note in own {
            self.errands.push(note);
        }
        if !foreign.is_empty() {
            self.unheard.push(foreign);
            self.memory.pressure().poke();
        }
    }

    /// Has the binding hear what there is for it. Whether that was all of it.
    pub(super) fn handle_notes(this: &Arc<Self>) -> bool {
        let pool = Pool::visiting(this);
        this.unheard.handle(PATIENCE, |batch| T::on_notes(&pool, batch))
    }

    /// Reads notes, and nothing else.
    fn read_notes(this: &Arc<Self>) {
        let bad = {
            let mut readers = locked(&this.readers);
            let bad = readers.read_notes(&this.unheard);
            this.sort_notes(readers.take_notes());
            bad
        };
        Self::run_errands(this);
        for link in bad {
            this.kill(&link);
        }
    }
}

/// So many looks read more than all rings hold.
const LOOKS: usize = MAX_WORKERS * (1 << 20) / AHEAD + 2;

impl<T: Ticket> Pool<T> {
    /// Whether a worker wrote something that [`Ticket::on_notes`] has not finished with.
    #[inline]
    pub fn has_notes(&self) -> bool {
        self.shared.unheard.is_any()
    }

    /// Has [`Ticket::on_notes`] hear what workers wrote so far, on this thread, or waits a while for one that is at it. To
    /// be called before a result is handed out, while [`Pool::has_notes`], without the interpreter.
    pub fn take_notes(&self) {
        for _ in 0..LOOKS {
            let all = Shared::handle_notes(&self.shared);
            if !all || !self.shared.unheard.behind.load(Ordering::Acquire) {
                break;
            }
            Shared::read_notes(&self.shared);
        }
    }
}

#[cfg(test)]
mod tests;
