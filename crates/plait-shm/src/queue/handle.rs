//! The queue as it is used.

use std::io;
use std::sync::{Arc, OnceLock};

use super::ends::{Ends, Put, Took};
use super::heap::{Heap, PAGE};
use super::kept::Docket;
use super::lot::{LEAST_RING, Lot, MOST_RING, table_len};
use super::outcome::{Offer, PutError, TakeError, Taken};
use super::parcel::{Parcel, Taker, this_thread};
use super::position::{Position, UNIT};
use super::reference::Reference;
use super::ring::{Label, Ring};
use super::words::QueueWords;
use crate::block::Block;
use crate::error::Malformed;
use crate::locks::{JoinError, Kind, LockMemory, Name, Tenancy};
use crate::segment::Segment;
use crate::sync::{Area, Ordering, Place};

/// How many lines its words take.
pub(crate) const LINES: usize = size_of::<QueueWords>() / 64;

/// Longer messages become parcels: to copy them twice costs more.
const INLINE: usize = 16 << 10;

/// Longer rings give the memory behind the head back, in stretches of so many bytes.
const STRETCH: usize = 1 << 20;

/// How large a queue may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The most items; 0: as many as there is room for, which is 1 GiB of messages of up to 16 KiB, and 64 GiB of longer ones.
    pub items: u32,
    /// The most bytes of messages; 0: any. A message that is longer by itself goes in alone.
    pub bytes: u64,
    /// Messages that a process had taken, and had not said to be done when it died, are given again, before all others.
    pub redeliver: bool,
}

/// A queue of messages, which are bytes with a label.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::{Bounds, LockMemory, Offer, Queue, Taken};
///
/// let memory = LockMemory::create(1024)?;
/// let queue = Queue::create(&memory, Bounds { items: 1, ..Bounds::default() })?.unwrap();
/// // In another process, which was given the descriptor and the name:
/// let theirs = LockMemory::open(memory.fd().try_clone_to_owned()?)?;
/// let same = Queue::at(&theirs, queue.name())?.unwrap();
/// assert_eq!(queue.offer(0, b"whole")?, Offer::Done);
/// assert_eq!(queue.offer(0, b"no room")?, Offer::Full);
/// let mut bytes = Vec::new();
/// assert!(matches!(same.take(&mut bytes)?, Taken::Message { kind: 0, parcel: None, .. }));
/// assert_eq!(bytes, b"whole");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Queue {
    pub(crate) words: Place<QueueWords>,
    ring: Ring,
    heap: Arc<Heap>,
}

impl Queue {
    /// A new queue; `None` when the memory has no room for it.
    ///
    /// # Errors
    /// [`PutError`]: this process cannot take part, or the system has no addresses for it.
    pub fn create(memory: &Arc<LockMemory>, bounds: Bounds) -> Result<Option<Self>, PutError> {
        let Some(tenancy) = Tenancy::take(memory, LINES).map_err(PutError::Join)? else { return Ok(None) };
        let words: Place<QueueWords> = tenancy.words();
        let Some(lot) = lot_of(&tenancy) else { return Ok(None) };
        let wanted = if bounds.items == 0 { MOST_RING } else { (bounds.items as usize).saturating_mul(64) };
        let ring = lot.ring(wanted);
        let there = &words.bounds;
        there.items.store(bounds.items, Ordering::Relaxed);
        there.bytes.store(bounds.bytes, Ordering::Relaxed);
        there.ring_units.store((ring / UNIT) as u32, Ordering::Relaxed);
        there.offset.store(lot.region.offset, Ordering::Relaxed);
        let pages = lot.pages(ring);
        // The dockets take less than a page for so many.
        let pages = if bounds.redeliver { pages - pages / 1024 - 1 } else { pages };
        there.pages.store(pages as u32, Ordering::Relaxed);
        there.redeliver.store(bounds.redeliver.into(), Ordering::Relaxed);
        tenancy.put(Kind::Queue);
        Self::over(tenancy)
    }

    /// The queue that is called so; `None` if it is no more, or never was.
    ///
    /// # Errors
    /// As [`Queue::create`].
    pub fn at(memory: &Arc<LockMemory>, name: Name) -> Result<Option<Self>, PutError> {
        let tenancy = Tenancy::of(memory, name, Kind::Queue).map_err(PutError::Join)?;
        tenancy.map_or(Ok(None), Self::over)
    }

    fn over(tenancy: Arc<Tenancy>) -> Result<Option<Self>, PutError> {
        let words: Place<QueueWords> = tenancy.words();
        let ring = words.bounds.ring_units.load(Ordering::Relaxed) as usize * UNIT;
        let pages = u64::from(words.bounds.pages.load(Ordering::Relaxed));
        let table = table_len(pages);
        let redeliver = words.bounds.redeliver.load(Ordering::Relaxed) != 0;
        let dockets = if redeliver { pages as usize * size_of::<Docket>() } else { 0 };
        let front = (ring + table + dockets).next_multiple_of(PAGE as usize) as u64;
        let Some(Lot { region }) = lot_of(&tenancy) else { return Ok(None) };
        let sound = ring.is_power_of_two() && (LEAST_RING..=MOST_RING).contains(&ring);
        if !sound || front + pages * PAGE > region.len {
            return Ok(None);
        }
        let segment = Segment::part(tenancy.memory.fd(), region.offset, front as usize).map_err(PutError::Io)?;
        let segment = Arc::new(segment);
        let ring_area = Ring(Area::new(&segment, 0, ring));
        let heap = Heap {
            words: words.clone(),
            ring: ring_area.clone(),
            table: Place::slice(&segment, ring, pages as usize),
            dockets: redeliver.then(|| Place::slice(&segment, ring + table, pages as usize)),
            offset: region.offset + front,
            window: OnceLock::new(),
            tenancy,
        };
        Ok(Some(Self { words, ring: ring_area, heap: Arc::new(heap) }))
    }

    /// The name by which other processes find it: it is sent from now on, and stays for who gets it.
    pub fn name(&self) -> Name {
        self.heap.tenancy.pass()
    }

    /// The memory in which it lies.
    pub fn memory(&self) -> &Arc<LockMemory> {
        self.heap.memory()
    }

    pub(crate) fn ends(&self) -> Result<Ends<'_>, JoinError> {
        let me = self.memory().me()?;
        let spared = if self.is_long() { 2 * (STRETCH / UNIT) as u32 } else { 0 };
        Ok(Ends {
            words: &self.words,
            ring: &self.ring,
            roster: self.memory().roster(),
            me,
            spared,
            kept: self.heap.kept(),
        })
    }

    fn is_long(&self) -> bool {
        self.ring.units() as usize * UNIT > 4 * STRETCH
    }

    /// Puts a message, if there is room. `kind` is below 128.
    ///
    /// # Errors
    /// [`PutError`]; nothing was put.
    pub fn offer(&self, kind: u8, bytes: &[u8]) -> Result<Offer, PutError> {
        let ends = self.ends().map_err(PutError::Join)?;
        if bytes.len() <= INLINE {
            match ends.put(Label { kind, is_block: false }, bytes, bytes.len() as u64) {
                Put::Done => return Ok(Offer::Done),
                Put::Full => return Ok(Offer::Full),
                Put::Closed => return Ok(Offer::Closed),
                Put::TooLong => {}
            }
        }
        let mut parcel = self.pack(kind, bytes.len() as u64, [bytes].into_iter()).map_err(PutError::Io)?;
        self.offer_parcel(&mut parcel)
    }

    /// Makes a message a parcel, which is not in the queue yet: `len` bytes, in parts that follow each other.
    ///
    /// # Errors
    /// ENOSPC when there is no room in the queue's memory, other errors of `pwrite` when the system has none; `InvalidInput` for more than
    /// `len` bytes.
    pub fn pack<'a>(&self, kind: u8, len: u64, parts: impl Iterator<Item = &'a [u8]>) -> io::Result<Parcel> {
        Parcel::pack(&self.heap, kind, len, parts)
    }

    /// Puts a parcel of this queue, if there is room. If it is [`Offer::Done`], the parcel is of no use any more.
    ///
    /// # Errors
    /// [`PutError`]; nothing was put.
    ///
    /// # Panics
    /// For a parcel of another queue, and for one that was put.
    pub fn offer_parcel(&self, parcel: &mut Parcel) -> Result<Offer, PutError> {
        let same = parcel.heap.offset == self.heap.offset && Arc::ptr_eq(parcel.heap.memory(), self.memory());
        assert!(same && !parcel.is_gone, "a parcel is put once, into its queue");
        let ends = self.ends().map_err(PutError::Join)?;
        let label = Label { kind: parcel.kind, is_block: true };
        Ok(match ends.put(label, &parcel.reference.to_bytes(), parcel.reference.len) {
            Put::Done => {
                parcel.is_gone = true;
                Offer::Done
            }
            Put::Closed => Offer::Closed,
            Put::Full | Put::TooLong => Offer::Full,
        })
    }

    /// Takes the next message, if there is one.
    ///
    /// # Errors
    /// [`TakeError`]; nothing was taken.
    pub fn take(&self, bytes: &mut Vec<u8>) -> Result<Taken, TakeError> {
        self.take_as(this_thread(), bytes)
    }

    /// The same for one of this process's threads, or what else may take several at a time: a number, for [`Queue::done_as`].
    ///
    /// # Errors
    /// As [`Queue::take`].
    pub fn take_as(&self, who: u32, bytes: &mut Vec<u8>) -> Result<Taken, TakeError> {
        let ends = self.ends().map_err(TakeError::Join)?;
        let start = bytes.len();
        let taker = Taker { heap: &self.heap, me: ends.me, thread: who };
        match ends.take(bytes, &taker)? {
            Took::Empty => Ok(Taken::Empty),
            Took::Closed => Ok(Taken::Closed),
            Took::Item { label: Label { kind, is_block }, at, times } => {
                if let Some(at) = at {
                    self.trim(at, bytes.len() - start);
                }
                let mut parcel = None;
                if is_block {
                    let reference = Reference::from_bytes(&bytes[start..]);
                    bytes.truncate(start);
                    parcel = reference.and_then(|reference| Parcel::of(&self.heap, kind, reference));
                    parcel.as_ref().ok_or(TakeError::Malformed(Malformed))?;
                }
                Ok(Taken::Message { kind, parcel, times })
            }
        }
    }

    /// Gives the memory behind the head back, a stretch at a time: the ring of a queue without bound is long.
    fn trim(&self, at: Position, len: usize) {
        const UNITS: u32 = (STRETCH / UNIT) as u32;
        let end = at.units().wrapping_add(Ring::units_for(len));
        let Some(stretch) =
            (end / UNITS).checked_sub(1).filter(|_| self.is_long() && at.units() / UNITS != end / UNITS)
        else {
            return;
        };
        // Who puts spares two stretches behind the head, so nobody writes to this one before the head has left the next; which it does not
        // while this has the guard.
        let Ok(ends) = self.ends() else { return };
        ends.enter_exit();
        let head = self.words.head().units();
        if head / UNITS == end / UNITS {
            let from = stretch as usize * STRETCH % (self.ring.units() as usize * UNIT);
            let offset = self.words.bounds.offset.load(Ordering::Relaxed) + from as u64;
            self.memory().store().0.punch(Block { offset, len: STRETCH as u64 });
        }
        self.words.exit.guard.release_as(ends.me);
    }

    /// How many messages are in it.
    pub fn len(&self) -> usize {
        // As it will be found by who takes.
        let ends = self.ends().ok().filter(Ends::is_kept);
        ends.inspect(Ends::settle).map_or_else(|| self.ring_len(), |ends| ends.len()) as usize
    }

    fn ring_len(&self) -> u32 {
        let (head, tail) = self.words.ends();
        tail.items_since(head)
    }

    /// Is none in it?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Would any message have to wait?
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn is_full(&self) -> Result<bool, JoinError> {
        Ok(self.ends()?.is_full())
    }

    /// Was it shut?
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn is_closed(&self) -> Result<bool, JoinError> {
        Ok(self.ends()?.is_closed())
    }

    /// How large it may become.
    pub fn bounds(&self) -> Bounds {
        let there = &self.words.bounds;
        Bounds {
            items: there.items.load(Ordering::Relaxed),
            bytes: there.bytes.load(Ordering::Relaxed),
            redeliver: there.redeliver.load(Ordering::Relaxed) != 0,
        }
    }

    /// Bounds it by so many items from now on, or no longer, for 0: as far as there is room in its memory, which was made for what was
    /// asked for at first.
    pub fn set_most(&self, items: u32) {
        self.words.bounds.items.store(items, Ordering::Relaxed);
        self.words.room.ring(u32::MAX);
    }

    /// How many bytes the messages have that are in it.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn weight(&self) -> Result<u64, JoinError> {
        Ok(self.ends()?.weight())
    }

    /// One message that was taken is done; false: all are. Counted for the process that says so, if it has taken any that are not done;
    /// where messages come back, for that which this thread has taken first, if there is one.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn done(&self) -> Result<bool, JoinError> {
        self.done_as(this_thread())
    }

    /// The same of a message that was taken as `who`, if there is one.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn done_as(&self, who: u32) -> Result<bool, JoinError> {
        let ends = self.ends()?;
        ends.settle();
        let (was_open, left) = ends.done(who);
        if let Some(left) = left {
            self.heap.free_of(left, ends.me);
        }
        Ok(was_open)
    }

    /// How many messages were put and are neither done nor lost.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn open(&self) -> Result<u32, JoinError> {
        let ends = self.ends()?;
        ends.settle();
        Ok(ends.open())
    }

    /// How many messages are lost: taken by processes that have died and had not said that they were done.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn lost(&self) -> Result<u32, JoinError> {
        let ends = self.ends()?;
        ends.settle();
        Ok(self.words.exit.lost.load(Ordering::Relaxed))
    }

    /// Shuts it: nothing is put any more, and what is in it can still be taken, unless it is to be dropped, which counts as done.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn close(&self, drop_all: bool) -> Result<(), JoinError> {
        let ends = self.ends()?;
        let mut dropped = Vec::new();
        let left = ends.close(drop_all, |reference| {
            self.heap.claim(reference, ends.me);
            dropped.extend(Parcel::of(&self.heap, 0, reference));
        });
        // Freed now, as whoever took them would.
        drop(dropped);
        left.into_iter().for_each(|left| self.heap.free_of(left, ends.me));
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn heap(&self) -> &Heap {
        &self.heap
    }

    #[cfg(test)]
    pub(crate) fn pages_used(&self) -> usize {
        self.heap.used()
    }
}

fn lot_of(tenancy: &Tenancy) -> Option<Lot> {
    let (store, from) = tenancy.memory.store();
    Lot::of(store, from, tenancy.memory.inside().books.lines(), tenancy.name.line())
}
