//! Tasks that workers submit to their own pool: taken from notes, run like any other, their answers sent back as replies.
//!
//! Nobody's interpreter is needed for it: whichever thread drains acts on the notes. A task that nobody has begun goes back
//! to its worker when that asks for it, because it waits; so no task waits for workers that all wait themselves. Promises:
//! each task that was taken is answered once, or its worker is gone; a worker that died takes with it what it had
//! submitted and nobody had begun; a block that was lent to a worker is freed when that gives it back, or is buried.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use plait_shm::{ArenaError, Block, StreamWriter, WriteError};
use plait_trace::TaskId;

use crate::heap::{Heap, Piece, table_of};
use crate::wire::inner::{self, Refusal, Reply, Submit, note};
use crate::wire::table::{self, HAS_TABLE};
use crate::wire::{Garbled, Kind, Place, Verdict};

use super::Pool;
use super::function::Function;
use super::link::Link;
use super::notes::Note;
use super::outcome::Ticket;
use super::state::{Shared, locked};
use super::submit::{NewTask, Refused};

/// Answers up to this size travel in the ring of replies, which they shall not fill; larger ones in the arena.
const IN_REPLY: usize = 1 << 10;

/// Functions of workers that are kept in place for the next task, and the bytes of their definitions.
const KEPT: usize = 1024;
const KEPT_BYTES: usize = 64 << 20;

/// The numbers of such functions have this bit, those of the binding have not.
const WORKERS_OWN: u64 = 1 << 63;

/// What the parent keeps of one worker's own tasks.
pub(super) struct Correspondence {
    replies: StreamWriter,
    /// Replies that found no room.
    waiting: VecDeque<Box<[u8]>>,
    /// Tasks that were not answered; without an id while one is being submitted.
    tasks: HashMap<u64, Option<TaskId>>,
    /// Blocks of the argument arena that the worker reads, by where they begin.
    lent: HashMap<u64, Block>,
    /// Beginnings of tasks that are too long for a note.
    parts: HashMap<u64, Vec<u8>>,
    gone: bool,
}

impl Correspondence {
    pub(super) fn new(replies: StreamWriter) -> Self {
        Self {
            replies,
            waiting: VecDeque::new(),
            tasks: HashMap::new(),
            lent: HashMap::new(),
            parts: HashMap::new(),
            gone: false,
        }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        while let Some(reply) = self.waiting.front() {
            self.replies.write(&[reply])?;
            self.waiting.pop_front();
        }
        Ok(())
    }
}

impl Link {
    fn letters(&self) -> MutexGuard<'_, Correspondence> {
        self.correspondence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the worker something; what finds no room goes when it says that there is some.
    fn write(&self, reply: &Reply<'_>, inner: u64) {
        let (head, used, rest) = reply.encode(inner);
        let mut letters = self.letters();
        if letters.gone {
            return;
        }
        let is_first = letters.waiting.is_empty();
        let written = if is_first { letters.replies.write(&[&head[..used], rest]) } else { Err(WriteError::Full) };
        if written.is_err() {
            letters.waiting.push_back([&head[..used], rest].concat().into());
        }
        drop(letters);
        self.note_written(written);
        self.memory.replied().ring();
    }

    /// Tells the worker that its task was not taken.
    fn refuse(&self, refused: &Refused, inner: u64) {
        let why = match refused {
            Refused::Closed => Refusal::Closed,
            Refused::Broken(_) => Refusal::Broken,
            Refused::Memory(_) => Refusal::Memory,
        };
        self.write(&Reply::Refused(why, &refused.to_string()), inner);
    }

    /// The worker has ended: gives its unanswered tasks, and the blocks it can have no use for.
    pub(super) fn close_correspondence(&self) -> (Vec<TaskId>, Vec<Block>) {
        let mut letters = self.letters();
        letters.gone = true;
        letters.waiting = VecDeque::new();
        letters.parts = HashMap::new();
        let tasks = letters.tasks.drain().filter_map(|(_, task)| task).collect();
        let lent = letters.lent.drain().map(|(_, block)| block).collect();
        (tasks, lent)
    }
}

/// The way back to the worker that submitted a task.
pub struct Relay {
    link: Arc<Link>,
    inner: u64,
    heap: Arc<Heap>,
    /// Counts those whom somebody waits for outside of this process.
    watched: Arc<AtomicUsize>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("worker", &self.link.worker).field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Relay {
    fn new<T: Ticket>(pool: &Arc<Shared<T>>, link: &Arc<Link>, inner: u64) -> Self {
        if pool.watched.fetch_add(1, Ordering::Relaxed) == 0 {
            // The collector may have gone to sleep because nobody waited outside.
            Shared::alert(pool);
        }
        let (link, heap, watched) = (Arc::clone(link), Arc::clone(&pool.heap), Arc::clone(&pool.watched));
        Self { link, inner, heap, watched }
    }

    /// Tells the worker how its task ended.
    pub fn answer(self, verdict: Verdict, kind: Kind, payload: &[u8], pieces: &[Piece]) {
        if !self.settle() {
            return;
        }
        if pieces.is_empty() {
            self.say(verdict, kind, payload);
        } else {
            self.link.grant(pieces);
            self.say(verdict, kind | HAS_TABLE, &[payload, &table_of(pieces)].concat());
        }
    }

    fn say(&self, verdict: Verdict, kind: Kind, payload: &[u8]) {
        if payload.len() <= IN_REPLY {
            self.link.write(&Reply::Answer { verdict, kind, place: Place::Inline, inline: payload }, self.inner);
            return;
        }
        let put = self.heap.arena().put(&[payload]);
        match put {
            Ok(block) => self.lend(block, verdict, kind),
            Err(error) => self.link.refuse(&error.into(), self.inner),
        }
    }

    /// Tells the worker that its task will never be run.
    pub fn cancelled(self) {
        if self.settle() {
            self.link.write(&Reply::Cancelled, self.inner);
        }
    }

    fn lend(&self, block: Block, verdict: Verdict, kind: Kind) {
        {
            let mut letters = self.link.letters();
            if letters.gone {
                drop(letters);
                self.heap.arena().release(block);
                return;
            }
            letters.lent.insert(block.offset, block);
        }
        self.link.write(&Reply::Answer { verdict, kind, place: Place::Arena(block), inline: &[] }, self.inner);
    }

    /// The task has ended; whether its worker is still to be told.
    fn settle(&self) -> bool {
        let mut letters = self.link.letters();
        letters.tasks.remove(&self.inner).is_some() && !letters.gone
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.watched.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The functions of workers that are in place.
#[derive(Default)]
pub(super) struct WorkersFunctions {
    known: HashMap<Box<[u8]>, Arc<Function>>,
    bytes: usize,
    last: u64,
}

impl WorkersFunctions {
    /// Starts anew when there are too many: what runs holds its own, and what is called again is placed again.
    fn bound(&mut self) {
        if self.known.len() >= KEPT || self.bytes > KEPT_BYTES {
            self.known.clear();
            self.bytes = 0;
        }
    }
}

impl<T: Ticket> Shared<T> {
    /// Acts on one of the engine's own notes.
    pub(super) fn run_errand(this: &Arc<Self>, note: &Note) {
        if Self::act(this, note).is_err() {
            note.link.set_overwritten();
            this.kill(&note.link);
        }
    }

    fn act(this: &Arc<Self>, note: &Note) -> Result<(), Garbled> {
        let Note { link, kind, bytes } = note;
        if *kind == note::RELEASE {
            let block = inner::released(bytes)?;
            let lent = link.letters().lent.remove(&block.offset);
            lent.map(|block| this.heap.arena().release(block));
            return Ok(());
        }
        let (inner, rest) = inner::number(bytes)?;
        match *kind {
            note::UNUSED => link.give_up_lease(inner),
            note::SUBMIT => return Self::submit_for(this, link, inner, rest),
            note::PART => {
                let mut letters = link.letters();
                if !letters.gone {
                    letters.parts.entry(inner).or_default().extend_from_slice(rest);
                }
            }
            note::TAKE_BACK => {
                let task = link.letters().tasks.get(&inner).copied().flatten();
                let taken = task.and_then(|task| Pool::visiting(this).cancel(task));
                let reply = if taken.is_some() {
                    link.letters().tasks.remove(&inner);
                    Reply::Yours
                } else {
                    Reply::Begun
                };
                drop(taken);
                link.write(&reply, inner);
            }
            note::STOP => {
                let task = link.letters().tasks.remove(&inner).flatten();
                task.map(|task| Pool::visiting(this).stop(task));
            }
            note::SYNC => link.write(&Reply::Synced, inner),
            note::ROOM => {
                let flushed = link.letters().flush();
                link.note_written(flushed);
                link.memory.replied().ring();
            }
            _ => return Err(Garbled),
        }
        Ok(())
    }

    /// Submits a task for a worker.
    fn submit_for(this: &Arc<Self>, link: &Arc<Link>, inner: u64, rest: &[u8]) -> Result<(), Garbled> {
        let begun = {
            let mut letters = link.letters();
            if letters.gone {
                return Ok(());
            }
            letters.tasks.insert(inner, None);
            letters.parts.remove(&inner)
        };
        let whole = begun.map(|mut bytes| {
            bytes.extend_from_slice(rest);
            bytes
        });
        let mut submit = Submit::decode(whole.as_deref().unwrap_or(rest))?;
        let mut pieces = Vec::new();
        if submit.kind & HAS_TABLE != 0 {
            let (body, entries) = table::split(submit.payload)?;
            submit.payload = body;
            pieces = link.accept(&entries)?;
        }
        let pool = Pool::visiting(this);
        let submitted = Self::workers_function(&pool, &submit).map_err(Refused::from).and_then(|function| {
            let Submit { timeout, retries, form, kind, payload, .. } = submit;
            let (kind, pieces) = (kind & !HAS_TABLE, &pieces);
            let task = NewTask {
                function: &function,
                form,
                kind,
                payload: &[payload],
                pieces,
                permit: None,
                retries,
                timeout,
            };
            pool.submit_inner(&task, T::relayed(Relay::new(this, link, inner))).map_err(|(_, refused)| refused)
        });
        match submitted {
            Ok(task) => {
                // Unless it was answered in the meantime.
                if let Some(known) = link.letters().tasks.get_mut(&inner) {
                    *known = Some(task);
                }
            }
            Err(refused) => {
                link.letters().tasks.remove(&inner);
                link.refuse(&refused, inner);
            }
        }
        Ok(())
    }

    /// The function of a worker's task, in place.
    fn workers_function(pool: &Pool<T>, submit: &Submit<'_>) -> Result<Arc<Function>, ArenaError> {
        let mut functions = locked(&pool.shared.workers_functions);
        if let Some(function) = functions.known.get(submit.definition) {
            return Ok(Arc::clone(function));
        }
        functions.bound();
        functions.last += 1;
        let function = pool.place(WORKERS_OWN | functions.last, submit.name, submit.definition, &[])?;
        functions.bytes += submit.definition.len();
        functions.known.insert(submit.definition.into(), Arc::clone(&function));
        Ok(function)
    }

    /// A worker has ended. What it submitted goes on unless it is `unwanted`, which is so if it died in the middle of its
    /// work: then what nobody has begun is taken back.
    pub(super) fn end_correspondence(this: &Arc<Self>, link: &Link, unwanted: bool) {
        let (tasks, lent) = link.close_correspondence();
        for block in lent {
            this.heap.arena().release(block);
        }
        if unwanted {
            let pool = Pool::visiting(this);
            for task in tasks {
                drop(pool.cancel(task));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::testing::link;
    use super::*;

    #[test]
    fn replies_that_find_no_room_come_later_and_in_order() {
        const MANY: u64 = 5000;
        let (link, _notes, worker) = link();
        let (mut replies, _note) = worker.side().unwrap();
        let inline = [7; IN_REPLY];
        let answer = Reply::Answer { verdict: Verdict::Returned, kind: 0, place: Place::Inline, inline: &inline };
        for inner in 0..MANY {
            link.write(&answer, inner);
        }
        assert!(!link.letters().waiting.is_empty());
        let mut seen = Vec::new();
        loop {
            let before = seen.len();
            while let Some((inner, reply)) =
                replies.read(|reply| Reply::decode(reply).map(|(n, r)| (n, r == answer))).unwrap().map(Result::unwrap)
            {
                assert!(reply);
                seen.push(inner);
            }
            if seen.len() == before {
                break;
            }
            let _ = link.letters().flush();
        }
        assert_eq!(seen, (0..MANY).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_said_to_a_worker_that_has_gone() {
        let (link, _notes, worker) = link();
        let (replies, _note) = worker.side().unwrap();
        link.letters().tasks.insert(1, Some(TaskId::from_bits(9)));
        link.letters().lent.insert(64, Block { offset: 64, len: 10 });
        let (tasks, lent) = link.close_correspondence();
        assert_eq!((tasks, lent), (vec![TaskId::from_bits(9)], vec![Block { offset: 64, len: 10 }]));
        link.write(&Reply::Yours, 1);
        assert!(replies.is_empty() && link.letters().waiting.is_empty());
    }
}
