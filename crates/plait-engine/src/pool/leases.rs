//! What a worker uses of shared memory beyond its tasks, and what its results use of its own.
//!
//! Promises: a block that a worker said it keeps stays as it is until the worker says that it is not used any more, or is
//! buried; a block of the worker's own that came with a result is given back to it once, when nobody here uses it.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use plait_shm::Block;

use crate::heap::{Hold, Owner, Piece};
use crate::wire::table::{self, Entry, HAS_TABLE};
use crate::wire::{Garbled, Kind, Place};

use super::link::Link;
use super::outcome::Payload;

/// The blocks that one worker keeps, by where they begin, and how often that was agreed on.
#[derive(Default)]
pub(super) struct Leases {
    held: HashMap<u64, (Arc<Hold>, u32)>,
    /// Given up before it was heard that they are kept: results and notes are different rings.
    given_up: HashMap<u64, u32>,
    gone: bool,
}

impl Link {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this worker's record holds, with all that belongs to it.
    ///
    /// # Errors
    /// [`Garbled`] when it is not what a worker writes.
    pub(super) fn received(self: &Arc<Self>, kind: Kind, place: Place, inline: &[u8]) -> Result<Payload, Garbled> {
        if kind & HAS_TABLE == 0 {
            return Ok(match place {
                Place::Inline => Payload::copied(kind, inline),
                Place::Arena(block) => Payload::lent(kind, Arc::clone(self), block, block.len),
            });
        }
        let kind = kind & !HAS_TABLE;
        match place {
            Place::Inline => {
                let (body, entries) = table::split(inline)?;
                Ok(Payload::copied(kind, body).with_pieces(self.accept(&entries)?))
            }
            Place::Arena(block) => {
                let (body, entries) = table::split(self.results.get(block).map_err(|_| Garbled)?)?;
                let payload = Payload::lent(kind, Arc::clone(self), block, body.len() as u64);
                Ok(payload.with_pieces(self.accept(&entries)?))
            }
        }
    }

    pub(super) fn accept(self: &Arc<Self>, entries: &[Entry]) -> Result<Vec<Piece>, Garbled> {
        let mut pieces = Vec::with_capacity(entries.len());
        for entry in entries {
            match *entry {
                Entry::Piece { base, at, shared } => pieces.push(Piece::of(self.hold(base)?, at, shared)),
                Entry::Kept(offset) => self.keep(offset),
            }
        }
        Ok(pieces)
    }

    /// A hold on a block that came with a result: of the worker's own, or one that it had from here.
    fn hold(self: &Arc<Self>, base: Block) -> Result<Arc<Hold>, Garbled> {
        if !self.regions.heap_has(base) {
            return self.heap.find(base.offset).filter(|hold| base == hold.block()).ok_or(Garbled);
        }
        let (hold, new) = self.heap.find_or_learn(base, || Owner::Worker(Arc::clone(self)));
        if hold.block() != base {
            return Err(Garbled);
        }
        if !new {
            // It was told of once more, and is given back as often as that.
            self.release(base);
        }
        Ok(hold)
    }

    fn keep(&self, offset: u64) {
        let Some(hold) = self.heap.find(offset) else { return };
        let mut leases = self.leases();
        if leases.gone {
            return;
        }
        if let Some(count) = leases.given_up.get_mut(&offset) {
            *count -= 1;
            if *count == 0 {
                leases.given_up.remove(&offset);
            }
            return;
        }
        leases.held.entry(offset).or_insert((hold, 0)).1 += 1;
    }

    /// Keeps the blocks of pieces that this worker is told of outside of a task; it says when it has no more use for them.
    pub(super) fn grant(&self, pieces: &[Piece]) {
        for piece in pieces {
            self.keep(piece.hold.block().offset);
        }
    }

    /// The worker does not use a block any more that it had kept.
    pub(super) fn give_up_lease(&self, offset: u64) {
        let mut leases = self.leases();
        let Leases { held, given_up, gone } = &mut *leases;
        let mut ended = None;
        match held.get_mut(&offset) {
            Some((_, count)) if *count > 1 => *count -= 1,
            Some(_) => ended = held.remove(&offset),
            None if *gone => {}
            None => *given_up.entry(offset).or_default() += 1,
        }
        drop(leases);
        // Without the lock: this may give a block back.
        drop(ended);
    }

    /// What it keeps.
    pub(super) fn leased(&self) -> Vec<Arc<Hold>> {
        self.leases().held.values().map(|(hold, _)| Arc::clone(hold)).collect()
    }

    /// The worker has ended, and uses nothing any more.
    pub(super) fn end_leases(&self) {
        let held = {
            let mut leases = self.leases();
            leases.gone = true;
            std::mem::take(&mut leases.held)
        };
        drop(held);
    }
}
