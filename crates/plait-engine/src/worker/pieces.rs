//! What a task has of shared memory: what came with it, what of that stays in use here, and what goes with its result.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};

use plait_shm::Block;

use super::{Claimed, Desk, Worker, WorkerError};
use crate::heap::{Heap, Hold, Owner, Piece};
use crate::pool::Payload;
use crate::wire::table::{self, Entry, HAS_TABLE};
use crate::wire::{Garbled, Kind, Place, TaskHead};

/// The parent's blocks that came with the task in hand.
#[derive(Debug, Default)]
pub(super) struct Borrowed(Vec<Weak<Hold>>);

/// What is told of shared memory beside a result.
#[derive(Debug, Default)]
pub(super) struct Told {
    table: Vec<u8>,
    kept: Vec<Arc<Hold>>,
    was_told: bool,
}

impl Borrowed {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The table behind a result with these pieces: it says which blocks are still in use here, too.
    #[inline]
    pub(super) fn table(&self, pieces: &[Piece]) -> Told {
        if self.0.is_empty() && pieces.is_empty() {
            return Told::default();
        }
        let kept: Vec<_> = self.0.iter().filter_map(Weak::upgrade).filter(|hold| hold.keep()).collect();
        let mut entries: Vec<_> = pieces.iter().map(Piece::entry).collect();
        entries.extend(kept.iter().map(|hold| Entry::Kept(hold.block().offset)));
        let mut table = Vec::new();
        if !entries.is_empty() {
            table::append(&mut table, &entries);
        }
        Told { table, kept, was_told: false }
    }
}

impl Told {
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.table
    }

    /// The parent has it: blocks of this worker's are lent from now on.
    pub(super) fn was_told(mut self, heap: &Heap, pieces: &[Piece]) {
        self.was_told = true;
        heap.lend(pieces);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.was_told {
            for hold in &self.kept {
                hold.unkeep();
            }
        }
    }
}

impl Worker {
    /// The arguments of a claimed task, and what of shared memory belongs to them.
    ///
    /// # Errors
    /// [`WorkerError::Garbled`].
    pub fn payload(&mut self, task: &Claimed) -> Result<(&[u8], Vec<Piece>), WorkerError> {
        let bytes = match task.head.place {
            Place::Inline => &self.message[TaskHead::LEN..task.len],
            Place::Arena(block) => self.args.get(block)?,
        };
        if task.head.kind & HAS_TABLE == 0 {
            return Ok((bytes, Vec::new()));
        }
        let (body, entries) = table::split(bytes)?;
        let pieces = borrow(&self.desk, &mut self.borrowed, &entries);
        Ok((body, pieces))
    }

    /// The pickled function of a claimed task, and what of shared memory belongs to it.
    ///
    /// # Errors
    /// [`WorkerError::Garbled`].
    pub fn definition(&mut self, task: &Claimed) -> Result<(&[u8], Vec<Piece>), WorkerError> {
        let (body, entries) = table::split(self.args.get(task.head.definition)?)?;
        let pieces = borrow(&self.desk, &mut self.borrowed, &entries);
        Ok((body, pieces))
    }
}

impl Desk {
    /// The answer to a task that this worker submitted, with what of shared memory belongs to it. The parent keeps that for
    /// this process.
    ///
    /// # Errors
    /// [`Garbled`].
    pub fn received(&self, kind: Kind, bytes: &[u8]) -> Result<Payload, Garbled> {
        if kind & HAS_TABLE == 0 {
            return Ok(Payload::copied(kind, bytes));
        }
        let (body, entries) = table::split(bytes)?;
        let pieces = borrow(self, &mut Borrowed::default(), &entries);
        for Piece { hold, .. } in &pieces {
            if hold.is_own() {
                // It came home.
                self.give_back(hold.block().offset);
            } else {
                hold.grant();
            }
        }
        Ok(Payload::copied(kind & !HAS_TABLE, body).with_pieces(pieces))
    }
}

fn borrow(desk: &Desk, borrowed: &mut Borrowed, entries: &[Entry]) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Entry::Piece { base, at, shared } = *entry {
            let hold = hold(desk, base);
            borrowed.0.push(Arc::downgrade(&hold));
            pieces.push(Piece::of(hold, at, shared));
        }
    }
    pieces
}

impl Desk {
    /// What a table names that the parent gave each worker at its start. The parent keeps that for as long as there are workers.
    ///
    /// # Errors
    /// [`Garbled`].
    pub fn given(&self, table: &[u8]) -> Result<Vec<Piece>, Garbled> {
        let (_, entries) = table::split(table)?;
        Ok(borrow(self, &mut Borrowed::default(), &entries))
    }
}

/// A hold on a block that the parent has told of.
fn hold(desk: &Desk, base: Block) -> Arc<Hold> {
    let owner = || Owner::Parent { desk: desk.clone(), grants: AtomicU32::new(0) };
    desk.heap().find_or_learn(base, owner).0
}
