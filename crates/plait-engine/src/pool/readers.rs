//! The parent's reading ends of all its workers' rings.

use std::sync::Arc;

use plait_shm::StreamReader;

use crate::wire::{Garbled, ResultHead};

use super::link::Link;
use super::notes::{self, Look, Note, Unheard};
use super::outcome::Payload;

/// All of them, and what was read and not dealt with.
#[derive(Default)]
pub(crate) struct Readers {
    pub(super) list: Vec<Reader>,
    /// Records that were read and not dealt with: whose (by its place in the list), and what.
    pub(super) batch: Vec<(usize, ResultHead, Payload)>,
    notes: Vec<Note>,
}

/// Those of one worker.
pub(crate) struct Reader {
    pub(crate) link: Arc<Link>,
    pub(crate) stream: StreamReader,
    pub(crate) notes: StreamReader,
    /// Set when the worker wrote what no worker writes: it is killed, nothing more is read.
    pub(crate) garbled: bool,
}

impl Readers {
    /// One more worker.
    pub(crate) fn add(&mut self, link: Arc<Link>, stream: StreamReader, notes: StreamReader) {
        self.list.push(Reader { link, stream, notes, garbled: false });
    }

    /// Lets go of a worker.
    pub(crate) fn remove(&mut self, link: &Arc<Link>) {
        self.list.retain(|reader| !Arc::ptr_eq(&reader.link, link));
    }

    /// Whether no worker has told anything that was not read.
    pub(super) fn is_empty(&self) -> bool {
        self.list.iter().all(|reader| reader.garbled || (reader.stream.is_empty() && reader.notes.is_empty()))
    }

    /// Whether workers wrote notes that nobody has read.
    pub(super) fn has_notes(&self) -> bool {
        self.list.iter().any(|reader| !reader.garbled && !reader.notes.is_empty())
    }

    /// Hands out the notes that were read.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Reads what is there into the batch: of each worker first results, then notes. Gives the workers whose rings are
    /// garbled.
    pub(super) fn take(&mut self, limit: usize, unheard: &Unheard) -> Vec<Arc<Link>> {
        let Self { list, batch, .. } = self;
        let mut bad = Vec::new();
        for (at, reader) in list.iter_mut().enumerate() {
            reader.link.catch_up();
            if !reader.garbled && reader.link.is_overwritten() {
                bad.push(reader.distrust());
            }
            while !reader.garbled && batch.len() < limit {
                let link = &reader.link;
                let read = reader.stream.read(|record| {
                    let (head, inline) = ResultHead::decode(record)?;
                    Ok::<_, Garbled>((at, head, link.received(head.kind, head.place, inline)?))
                });
                match read {
                    Ok(Some(Ok(entry))) => batch.push(entry),
                    Ok(None) => break,
                    Ok(Some(Err(_))) | Err(_) => bad.push(reader.distrust()),
                }
            }
        }
        // After the results: a note that was written before one of them is there.
        if self.has_notes() {
            bad.extend(self.read_notes(unheard));
        }
        bad
    }

    /// Reads the notes that are there, as far as there is room. Gives the workers whose rings are garbled.
    pub(super) fn read_notes(&mut self, unheard: &Unheard) -> Vec<Arc<Link>> {
        let Self { list, notes, .. } = self;
        let (mut bad, mut behind, mut room) = (Vec::new(), false, unheard.room());
        for reader in list.iter_mut().filter(|reader| !reader.garbled) {
            match notes::read(&reader.link, &mut reader.notes, notes, &mut room) {
                Look::Empty => {}
                Look::Full => behind = true,
                Look::Garbled => bad.push(reader.distrust()),
            }
        }
        unheard.set_behind(behind);
        bad
    }

    /// Reads all the notes of a worker that has ended.
    pub(super) fn read_last_notes(&mut self, link: &Arc<Link>) {
        let Self { list, notes, .. } = self;
        if let Some(reader) = list.iter_mut().find(|reader| Arc::ptr_eq(&reader.link, link) && !reader.garbled) {
            let mut room = usize::MAX;
            if notes::read(link, &mut reader.notes, notes, &mut room) == Look::Garbled {
                // What else it may hold is of no use any more.
                reader.distrust();
            }
        }
    }

    /// Whether any other worker's results are not read any more, so that nobody knows which tasks it has ended.
    pub(super) fn distrusts_another(&self, link: &Arc<Link>) -> bool {
        self.list.iter().any(|reader| reader.garbled && !Arc::ptr_eq(&reader.link, link))
    }
}

impl Reader {
    /// Reads nothing of this worker any more.
    fn distrust(&mut self) -> Arc<Link> {
        self.garbled = true;
        self.link.set_overwritten();
        Arc::clone(&self.link)
    }
}
