//! The draft of a chunk's answer: the results of its items as they come, where the parent finds them whatever happens.
//!
//! A chunk is one task with many results. Its worker puts each into a block of its arena as soon as it has it, then notes
//! in its status how many there are. What of shared memory belongs to them is held here until the answer is told.
//! Promises: a result that is noted survives the worker's death, however it comes; what the status says is true at every
//! moment; an answer that goes by the arena is the draft itself, not a copy of it.

use plait_shm::{Arena, ArenaError, Block, WorkerStatus};

use super::{Claimed, IN_RING, TellError, Worker, write_record};
use crate::heap::Piece;
use crate::wire::table::HAS_TABLE;
use crate::wire::{Kind, Place, Verdict};

/// The least room of a draft. Only the pages that are written take memory.
const ROOM: usize = 1 << 20;

/// Room that no result may take, for the error that ends a chunk whose next result found no memory.
const LAST_WORDS: usize = 4 << 10;

/// By how much a draft that became too short grows, at least: what it holds is copied, so seldom.
const GROWTH: usize = 4;

/// What a worker has written of the answer to the chunk in hand.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Where it is written, all of the room; `None` when the last one was told itself. Kept from chunk to chunk.
    room: Option<Block>,
    items: u32,
    bytes: usize,
    pieces: Vec<Piece>,
}

impl Worker {
    /// Adds the encoded result of the next item of the chunk in hand, which also says what `pieces` belong to it
    /// ([`crate::heap::table_of`]). From then on it survives the end of this process.
    ///
    /// # Errors
    /// [`ArenaError`] when there is no shared memory for it; what was noted before stays.
    #[inline]
    pub fn note_item(&mut self, result: &[u8], pieces: Vec<Piece>) -> Result<(), ArenaError> {
        self.draft.note(&mut self.out, self.mine.status(), result)?;
        self.draft.pieces.extend(pieces);
        Ok(())
    }

    /// Adds how the chunk in hand ended, when it was not by its last item.
    ///
    /// # Errors
    /// [`ArenaError`] when there is no shared memory for it.
    pub fn note_end(&mut self, end: &[u8]) -> Result<(), ArenaError> {
        self.draft.close(&mut self.out, self.mine.status(), end)
    }

    /// Tells what was noted as the answer of the chunk in hand. When the ring is full, nothing has happened.
    ///
    /// # Errors
    /// [`TellError`].
    pub fn tell_noted(&mut self, task: &Claimed, verdict: Verdict, kind: Kind) -> Result<(), TellError> {
        let told = self.borrowed.table(&self.draft.pieces);
        let (table, kind) = if told.is_empty() { (&[][..], kind) } else { (told.bytes(), kind | HAS_TABLE) };
        match self.draft.block() {
            Some(_) if self.draft.bytes + table.len() > IN_RING => {
                let items = self.draft.bytes;
                self.draft.close(&mut self.out, self.mine.status(), table).map_err(TellError::Memory)?;
                let place = self.draft.block().map_or(Place::Inline, Place::Arena);
                let written = write_record(&mut self.results, task, verdict, kind, place, [&[], &[]]);
                if let Err(error) = written {
                    self.draft.bytes = items;
                    return Err(error);
                }
                // The parent's from now on.
                self.draft.room = None;
            }
            block => {
                let noted = block.map_or(&[][..], |block| written(&self.out, block));
                write_record(&mut self.results, task, verdict, kind, Place::Inline, [noted, table])?;
            }
        }
        told.was_told(self.desk.heap(), &self.draft.pieces);
        self.on_told();
        Ok(())
    }
}

impl Draft {
    /// The answer was told: nothing is written of the next one.
    pub(super) fn reset(&mut self) {
        self.items = 0;
        self.bytes = 0;
        self.pieces.clear();
    }

    /// Appends the result of the next item, and notes that it is there.
    #[inline]
    pub(super) fn note(&mut self, arena: &mut Arena, status: &WorkerStatus, result: &[u8]) -> Result<(), ArenaError> {
        self.write(arena, status, result, LAST_WORDS)?;
        if self.items == 0
            && let Some(room) = self.room
        {
            status.set_draft(room);
        }
        self.items += 1;
        status.set_progress(self.items, self.bytes as u64);
        Ok(())
    }

    /// Appends what is nobody's result: how the chunk ended. It counts only if the draft is told.
    pub(super) fn close(&mut self, arena: &mut Arena, status: &WorkerStatus, end: &[u8]) -> Result<(), ArenaError> {
        self.write(arena, status, end, 0)
    }

    /// The whole of it, where it lies.
    fn block(&self) -> Option<Block> {
        self.room.map(|room| Block { offset: room.offset, len: self.bytes as u64 })
    }

    #[inline]
    fn write(
        &mut self,
        arena: &mut Arena,
        status: &WorkerStatus,
        bytes: &[u8],
        spare: usize,
    ) -> Result<(), ArenaError> {
        let needed = self.bytes.saturating_add(bytes.len()).saturating_add(spare);
        let room = match self.room {
            Some(room) if needed as u64 <= room.len => room,
            room => self.make_room(arena, status, room, needed)?,
        };
        arena.write_at(room, self.bytes as u64, bytes)?;
        self.bytes += bytes.len();
        Ok(())
    }

    /// A block for `needed` bytes that holds what the old one held; the status names the old one until it does.
    #[cold]
    fn make_room(
        &mut self,
        arena: &mut Arena,
        status: &WorkerStatus,
        old: Option<Block>,
        needed: usize,
    ) -> Result<Block, ArenaError> {
        let ample = if old.is_some() { needed.saturating_mul(GROWTH) } else { needed };
        // Where the address space or a limit does not allow for more, what is needed may still be had.
        let new = arena.reserve(ample.max(ROOM)).or_else(|_| arena.reserve(needed))?;
        if let Some(block) = self.block() {
            let copy = written(arena, block).to_vec();
            if let Err(error) = arena.write_at(new, 0, &copy) {
                arena.release(new);
                return Err(error);
            }
        }
        status.set_draft(new);
        self.room = Some(new);
        if let Some(old) = old {
            arena.release(old);
        }
        Ok(new)
    }
}

/// The bytes of a draft, up to where it is written.
fn written(arena: &Arena, draft: Block) -> &[u8] {
    arena.get(draft).expect("a draft is live, and all of these bytes were written")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plait_shm::{ArenaView, Commons, Region, WorkerMemory};
    use plait_trace::TaskId;

    use super::*;

    const RESERVE: u64 = 1 << 30;

    fn arena(len: u64) -> (Arena, ArenaView, Region) {
        let commons = Commons::create(2 << 30).unwrap();
        let region = commons.take_region(len).unwrap();
        (Arena::in_region(&commons, region).unwrap(), ArenaView::of(&commons, region).unwrap(), region)
    }

    /// A worker's side, and what its parent sees.
    struct Both {
        arena: Arena,
        view: ArenaView,
        memory: Arc<WorkerMemory>,
        draft: Draft,
    }

    impl Both {
        fn new() -> Self {
            let (arena, view, region) = arena(RESERVE);
            let memory = WorkerMemory::create(0, 0, [region; 2]).unwrap().0;
            Self { arena, view, memory, draft: Draft::default() }
        }

        fn begin(&mut self, task: u32) {
            self.memory.status().begin(TaskId::new(task, 0), 1);
            self.draft.reset();
        }

        fn note(&mut self, result: &[u8]) {
            self.draft.note(&mut self.arena, self.memory.status(), result).unwrap();
        }

        /// What the parent would find if the worker died now.
        fn found(&self) -> Option<(u32, &[u8])> {
            let progress = self.memory.status().progress()?;
            Some((progress.items, self.view.get(progress.block).unwrap()))
        }
    }

    #[test]
    fn what_was_noted_is_found_at_every_moment() {
        let mut both = Both::new();
        both.begin(1);
        assert_eq!(both.found(), None);
        let mut all = Vec::new();
        // Through several rooms, in steps of all sizes.
        for item in 1..400_u32 {
            let result = vec![item as u8; (item * item / 8) as usize];
            all.extend(&result);
            both.note(&result);
            assert_eq!(both.found(), Some((item, &all[..])));
        }
        assert!(all.len() > 2 * ROOM);
        // The rooms that became too short were given back.
        assert!(both.arena.used() < 2 * GROWTH * all.len());
    }

    #[test]
    fn the_next_task_has_the_room_and_none_of_the_results() {
        let mut both = Both::new();
        both.begin(1);
        both.note(b"first");
        let used = both.arena.used();
        assert!(both.memory.status().end());
        both.begin(2);
        assert_eq!(both.found(), None);
        both.note(b"2nd");
        assert_eq!((both.found(), both.arena.used()), (Some((1, &b"2nd"[..])), used));
    }

    #[test]
    fn how_a_chunk_ended_is_nobodys_result() {
        let mut both = Both::new();
        both.begin(1);
        both.note(b"result");
        both.draft.close(&mut both.arena, both.memory.status(), b" and error").unwrap();
        assert_eq!(both.found(), Some((1, &b"result"[..])));
        assert_eq!(both.view.get(both.draft.block().unwrap()).unwrap(), b"result and error");
    }

    #[test]
    fn without_memory_there_is_room_for_last_words() {
        let mut both = Both::new();
        // The smallest arena: room for the least draft is not there, and what is asked for is tried then.
        (both.arena, both.view, _) = arena(64 << 10);
        both.begin(1);
        both.note(&[1; 40 << 10]);
        let Both { arena, memory, draft, .. } = &mut both;
        assert!(matches!(draft.note(arena, memory.status(), &[2; 40 << 10]), Err(ArenaError::Full { .. })));
        draft.close(arena, memory.status(), &[3; LAST_WORDS]).unwrap();
        assert_eq!(both.found(), Some((1, &[1; 40 << 10][..])));
    }
}
