//! What becomes of a task, and the one trait through which a pool tells it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plait_shm::{Block, Malformed};

use crate::heap::{Hold, Piece};
use crate::nursery::Exit;
use crate::wire::{Garbled, Kind, Verdict, table};

use super::Pool;
use super::link::Link;
use super::notes::Note;
use super::relay::Relay;

/// How a task ended.
#[derive(Debug)]
pub enum Outcome {
    /// Its function was called and returned or raised.
    Called {
        /// Which of the two.
        verdict: Verdict,
        /// The value or the exception.
        payload: Payload,
        /// Nanoseconds the worker was busy with it.
        nanos: u64,
    },
    /// Its worker died while it ran.
    Lost(Box<Loss>),
    /// It took too long, and was stopped.
    TimedOut(Box<TimedOut>),
    /// The pool was shut down before it began.
    Cancelled,
    /// No worker can be started.
    Broken(Arc<str>),
}

/// The end of a worker that ran a task.
#[derive(Debug)]
pub struct Loss {
    /// What the task called.
    pub function: Arc<str>,
    /// How often it was tried.
    pub tries: u32,
    /// The worker's process id.
    pub pid: i32,
    /// How it ended.
    pub exit: Exit,
    /// The most memory it had in use, in bytes.
    pub peak: Option<u64>,
    /// What its memory had to do with its end.
    pub memory: MemoryCause,
    /// The stacks that it left, as text.
    pub stack: Option<String>,
    /// The last it printed, from the beginning of a line.
    pub output: String,
    /// Of a chunk: what it had finished.
    pub progress: Option<Finished>,
}

/// What a worker had finished of a chunk when it died.
pub struct Finished {
    /// So many items.
    pub items: u32,
    /// Their results, as the worker noted them.
    pub results: Payload,
    link: Arc<Link>,
    /// What of shared memory may belong to them, since the worker had it.
    _kept: Vec<Arc<Hold>>,
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished").field("items", &self.items).field("results", &self.results).finish_non_exhaustive()
    }
}

impl Finished {
    pub(super) fn new(items: u32, results: Payload, link: Arc<Link>, kept: Vec<Arc<Hold>>) -> Self {
        Self { items, results, link, _kept: kept }
    }

    /// The pieces of shared memory that a table in the results tells of.
    ///
    /// # Errors
    /// [`Garbled`] when it is not what a worker writes.
    pub fn pieces(&self, table: &[u8]) -> Result<Vec<Piece>, Garbled> {
        self.link.accept(&table::split(table)?.1)
    }
}

/// What memory had to do with the end of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryCause {
    /// Nothing that is known.
    None,
    /// The kernel killed it because there was no more.
    OutOfMemory,
    /// It wrote over what it shares with its pool.
    Overwritten,
    /// It used more than the pool allows, both in bytes.
    OverLimit {
        /// What is allowed.
        limit: u64,
        /// What it used when it was seen.
        used: u64,
    },
}

/// A call that took too long.
#[derive(Debug)]
pub struct TimedOut {
    /// What the task called.
    pub function: Arc<str>,
    /// How often it was tried.
    pub tries: u32,
    /// How long it was allowed to take.
    pub timeout: Duration,
    /// The process that ran it.
    pub pid: i32,
    /// The exception that its call ended with, if it ended by itself when asked to.
    pub raised: Option<Payload>,
    /// The stacks that its process left when it did not end, as text.
    pub stack: Option<String>,
}

/// An encoded value, as it came out of a worker.
pub struct Payload {
    /// How it is encoded.
    pub kind: Kind,
    bytes: Bytes,
    /// What of shared memory belongs to it; mostly nothing, so behind one word.
    pieces: Option<Box<[Piece]>>,
}

const SMALL: usize = 30;

enum Bytes {
    Small(u8, [u8; SMALL]),
    Owned(Box<[u8]>),
    Lent(Lent),
}

/// A block of a worker's arena, given back when this is dropped.
struct Lent {
    link: Arc<Link>,
    block: Block,
    /// So many of its bytes are the payload's.
    len: u64,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.link.release(self.block);
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("kind", &self.kind).field("len", &self.bytes().map(<[u8]>::len)).finish()
    }
}

impl Payload {
    /// A payload with a copy of these bytes.
    pub fn copied(kind: Kind, bytes: &[u8]) -> Self {
        let bytes = match bytes.len() {
            len @ 0..=SMALL => {
                let mut small = [0; SMALL];
                small[..len].copy_from_slice(bytes);
                Bytes::Small(len as u8, small)
            }
            _ => Bytes::Owned(bytes.into()),
        };
        Self { kind, bytes, pieces: None }
    }

    /// A payload of these bytes.
    pub fn owned(kind: Kind, bytes: Box<[u8]>) -> Self {
        Self { kind, bytes: Bytes::Owned(bytes), pieces: None }
    }

    pub(super) fn lent(kind: Kind, link: Arc<Link>, block: Block, len: u64) -> Self {
        Self { kind, bytes: Bytes::Lent(Lent { link, block, len }), pieces: None }
    }

    /// With what of shared memory belongs to it.
    #[must_use]
    pub fn with_pieces(mut self, pieces: Vec<Piece>) -> Self {
        self.pieces = (!pieces.is_empty()).then(|| pieces.into());
        self
    }

    /// What of shared memory belongs to it.
    pub fn pieces(&self) -> &[Piece] {
        self.pieces.as_deref().unwrap_or_default()
    }

    /// The bytes. Fails when they lie in the arena of a worker that told a place that does not exist.
    pub fn bytes(&self) -> Result<&[u8], Malformed> {
        match &self.bytes {
            Bytes::Small(len, small) => Ok(&small[..usize::from(*len)]),
            Bytes::Owned(bytes) => Ok(bytes),
            Bytes::Lent(lent) => lent.link.results.get(Block { len: lent.len, ..lent.block }),
        }
    }
}

/// What a submitter gets told through. The binding's future is one.
pub trait Ticket: Send + Sized + 'static {
    /// Takes the outcome, on whichever thread drains results: it must be quick, must not block, and must not
    /// call anything foreign. What wants more (callbacks) is handed back and comes again in [`Ticket::run_deferred`].
    fn complete(self, outcome: Outcome) -> Option<Self>;

    /// Does what [`Ticket::complete`] put off, on the pool's collector thread.
    fn run_deferred(batch: Vec<Self>);

    /// A ticket whose outcome is for a worker, which submitted the task.
    fn relayed(relay: Relay) -> Self;

    /// Hears what workers wrote beside their results ([`crate::worker::Desk::note`]): on the pool's collector thread, or
    /// on one that called [`Pool::take_notes`]. One batch at a time, the notes of each worker in their order.
    fn on_notes(pool: &Pool<Self>, batch: Vec<Note>);
}
