//! Notes: what workers tell their pool beside results.
//!
//! The thread that drains reads them together with the results: first a worker's results, then its notes, so that a note
//! which was written before a result is read with it at the latest. They are the binding's, which may need an interpreter:
//! so they wait for the collector, or for the thread that hands out a result and must not do so before the notes which came with it have been heard.
//!
//! Promise: the notes of one worker are handled in the order in which it wrote them, one batch at a time.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use plait_shm::StreamReader;

use super::Pool;
use super::link::Link;
use super::outcome::Ticket;
use super::state::{Shared, locked};

/// The kind of a note that holds a log record.
pub const LOG: u8 = 1;

/// More notes than a ring holds at a time.
const PER_LOOK: usize = 1 << 16;

/// How long a thread that has a result waits for another that is at the notes which came before it. What that one runs may
/// wait for this thread.
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
    /// The process id of the worker that wrote it.
    pub fn pid(&self) -> i32 {
        self.link.pid()
    }

    /// Writes a reply to that worker, `parts` one after the other, and wakes whoever waits for one there. False: there is no
    /// room for it now.
    pub fn reply(&self, parts: &[&[u8]]) -> bool {
        self.link.reply(parts)
    }
}

/// Reads the notes that are there. False: the worker wrote what no worker writes.
pub(super) fn read(link: &Arc<Link>, stream: &mut StreamReader, notes: &mut Vec<Note>) -> bool {
    for _ in 0..PER_LOOK {
        let read = stream.read(|record| {
            let (&kind, bytes) = record.split_first()?;
            Some(Note { link: Arc::clone(link), kind, bytes: bytes.into() })
        });
        match read {
            Ok(None) => return true,
            Ok(Some(Some(note))) => notes.push(note),
            Ok(Some(None)) | Err(_) => return false,
        }
    }
    true
}

/// Notes for the binding that it has not heard.
#[derive(Default)]
pub(super) struct Unheard {
    queue: Mutex<Queue>,
    /// Somebody has finished a batch.
    finished: Condvar,
    /// In the queue, or being handled.
    count: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    notes: Vec<Note>,
    handler: Option<ThreadId>,
}

impl Unheard {
    fn push(&self, notes: Vec<Note>) {
        self.count.fetch_add(notes.len(), Ordering::Release);
        locked(&self.queue).notes.extend(notes);
    }

    /// Whether there is one that has not been handled to the end.
    pub(super) fn is_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Whether one waits that nobody is at.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_any() && !locked(&self.queue).notes.is_empty()
    }

    /// Has all of them handled, and waits until those that another thread is at are, too. A thread that comes here out of
    /// `handle` does nothing.
    fn handle(&self, patience: Duration, mut handle: impl FnMut(Vec<Note>)) {
        let me = thread::current().id();
        loop {
            let batch = {
                let mut queue = locked(&self.queue);
                while let Some(handler) = queue.handler {
                    if handler == me {
                        return;
                    }
                    let waited = self.finished.wait_timeout(queue, patience).unwrap_or_else(PoisonError::into_inner);
                    queue = waited.0;
                    if waited.1.timed_out() {
                        return;
                    }
                }
                if queue.notes.is_empty() {
                    return;
                }
                queue.handler = Some(me);
                std::mem::take(&mut queue.notes)
            };
            let _handling = Handling(self, batch.len());
            handle(batch);
        }
    }
}

/// The right to handle notes, and how many are at it; given back also while a panic unwinds.
struct Handling<'a>(&'a Unheard, usize);

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        locked(&self.0.queue).handler = None;
        self.0.count.fetch_sub(self.1, Ordering::Release);
        self.0.finished.notify_all();
    }
}

impl<T: Ticket> Shared<T> {
    /// Puts notes where they are handled; called with the readers held, so that their order is kept.
    pub(super) fn sort_notes(&self, notes: Vec<Note>) {
        if !notes.is_empty() {
            self.unheard.push(notes);
            self.memory.pressure().poke();
        }
    }

    /// Has the binding hear what there is for it.
    pub(super) fn handle_notes(this: &Arc<Self>) {
        let pool = Pool::visiting(this);
        this.unheard.handle(PATIENCE, |batch| T::on_notes(&pool, batch));
    }
}

impl<T: Ticket> Pool<T> {
    /// Whether a worker wrote something that [`Ticket::on_notes`] has not finished with.
    #[inline]
    pub fn has_notes(&self) -> bool {
        self.shared.unheard.is_any()
    }

    /// Has [`Ticket::on_notes`] hear what workers wrote so far, on this thread, or waits a while for one that is at it. To
    /// be called before a result is handed out, while [`Pool::has_notes`], without the interpreter.
    pub fn take_notes(&self) {
        Shared::handle_notes(&self.shared);
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::testing::link;
    use super::*;
    use std::sync::mpsc;

    fn note(link: &Arc<Link>, byte: u8) -> Note {
        Note { link: Arc::clone(link), kind: LOG, bytes: Box::new([byte]) }
    }

    #[test]
    fn notes_are_heard_once_and_in_order() {
        let (link, ..) = link();
        let unheard = Unheard::default();
        unheard.push(vec![note(&link, 1), note(&link, 2)]);
        unheard.push(vec![note(&link, 3)]);
        assert!(unheard.is_any() && unheard.is_waiting());
        let mut heard = Vec::new();
        unheard.handle(PATIENCE, |batch| heard.extend(batch.iter().map(|note| note.bytes[0])));
        unheard.handle(PATIENCE, |_| unreachable!("all were heard"));
        assert_eq!(heard, [1, 2, 3]);
        assert!(!unheard.is_any());
    }

    #[test]
    fn who_comes_while_another_is_at_the_notes_waits_until_they_are_heard() {
        let (link, ..) = link();
        let unheard = &Unheard::default();
        unheard.push(vec![note(&link, 1)]);
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                unheard.handle(PATIENCE, |_| {
                    begin.send(()).unwrap();
                    ended.recv().unwrap();
                    // From within, it is as if there were none.
                    unheard.handle(Duration::ZERO, |_| unreachable!("handled by this very thread"));
                });
            });
            begun.recv().unwrap();
            assert!(unheard.is_any() && !unheard.is_waiting());
            unheard.handle(Duration::ZERO, |_| unreachable!("out of patience"));
            assert!(unheard.is_any());
            end.send(()).unwrap();
            unheard.handle(Duration::MAX, |_| unreachable!("the other thread heard it"));
            assert!(!unheard.is_any());
        });
    }

    #[test]
    fn a_handler_that_panics_leaves_the_notes_to_others() {
        let (link, ..) = link();
        let unheard = Unheard::default();
        unheard.push(vec![note(&link, 1)]);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            unheard.handle(PATIENCE, |_| panic!("the binding's bug"));
        }));
        assert!(panicked.is_err() && !unheard.is_any());
        unheard.push(vec![note(&link, 2)]);
        let mut heard = 0;
        unheard.handle(Duration::ZERO, |batch| heard += batch.len());
        assert_eq!(heard, 1);
    }

    #[test]
    fn what_is_no_note_is_found_out() {
        let (link, mut stream, worker) = link();
        let (_orders, mut writer) = worker.side().unwrap();
        writer.write(&[&[LOG], b"record"]).unwrap();
        let mut notes = Vec::new();
        assert!(read(&link, &mut stream, &mut notes));
        assert_eq!((notes[0].kind, &*notes[0].bytes), (LOG, &b"record"[..]));
        writer.write(&[b""]).unwrap();
        assert!(!read(&link, &mut stream, &mut notes));
    }
}
