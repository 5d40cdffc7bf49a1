//! Long messages as blocks of a queue's heap, and short ones that are kept there until they are done.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::heap::{Heap, PAGE};
use super::kept::{Docket, Fresh, Store};
use super::reference::Reference;
use crate::block::Block;
use crate::locks::Holder;
use crate::mapped::{Access, Mapped};
use crate::sync::Ordering;
use crate::system::{Files, Here};

/// A message in a queue's memory: one that is about to be put, or one that was taken. Dropped, it is freed.
pub struct Parcel {
    pub(crate) heap: Arc<Heap>,
    pub(crate) reference: Reference,
    pub(crate) kind: u8,
    /// It has become an item.
    pub(crate) is_gone: bool,
}

impl Parcel {
    /// Writes the parts of a message, one after the other.
    pub(crate) fn pack<'a>(
        heap: &Arc<Heap>,
        kind: u8,
        len: u64,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<Self> {
        let (page, is_warm) = heap.allocate(len.max(1))?;
        let parcel =
            Self { heap: Arc::clone(heap), reference: Reference { page, len: len.max(1) }, kind, is_gone: false };
        if is_warm && let Some(window) = heap.window(page, len) {
            let mut at = 0;
            for part in parts {
                if part.len() as u64 > len - at as u64 {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                // SAFETY: the block is this process's until it is an item, so nobody else accesses it; all its pages have memory.
                unsafe { window.area.write(window.at + at, part) };
                at += part.len();
            }
            return Ok(parcel);
        }
        let (mut at, end) = (parcel.block().offset, parcel.block().offset + len);
        for part in parts {
            if part.len() as u64 > end - at {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            heap.write(part, at)?;
            at += part.len() as u64;
        }
        Ok(parcel)
    }

    /// The parcel that a reference names; `None` if it lies outside of the heap.
    pub(crate) fn of(heap: &Arc<Heap>, kind: u8, reference: Reference) -> Option<Self> {
        let end = u64::from(reference.page).checked_add(reference.len.div_ceil(PAGE))?;
        let inside = reference.len > 0 && end <= heap.table.len() as u64;
        inside.then(|| Self { heap: Arc::clone(heap), reference, kind, is_gone: false })
    }

    /// What it was labelled with.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Its length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "no parcel is empty")]
    pub fn len(&self) -> u64 {
        self.reference.len
    }

    /// Which file it lies in: a number that no other memory's has.
    pub fn file_number(&self) -> u64 {
        self.heap.memory().identity() as u64
    }

    /// Where in that file.
    pub fn block(&self) -> Block {
        let offset = self.heap.offset + u64::from(self.reference.page) * PAGE;
        Block { offset, len: self.reference.len }
    }

    /// Its memory, where what is written stays this process's. The parcel has to be kept for as long.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn map(&self) -> io::Result<Mapped> {
        self.heap.memory().store().0.map(self.block(), Access::Snapshot)
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if !self.is_gone {
            self.heap.free(self.reference.page);
        }
    }
}

impl Heap {
    /// Writes bytes at a place of the file.
    fn write(&self, part: &[u8], at: u64) -> io::Result<()> {
        Here::write(self.memory().fd(), part, at)
    }

    /// Where a page lies in the file.
    fn place(&self, page: u32) -> u64 {
        self.offset + u64::from(page) * PAGE
    }
}

/// A heap as a thread that takes an item has it.
pub(crate) struct Taker<'a> {
    pub(crate) heap: &'a Heap,
    pub(crate) me: Holder,
    pub(crate) thread: u32,
}

impl Taker<'_> {
    fn claim(&self, page: u32) {
        if let Some(word) = self.heap.table.get(page as usize) {
            word.store(self.me.0, Ordering::Release);
        }
    }

    /// A block with the bytes of a message that lay in the ring.
    fn copy(&self, body: &[u8]) -> io::Result<u32> {
        let len = body.len().max(1) as u64;
        let (page, is_warm) = self.heap.allocate_now(len, self.me)?;
        if is_warm && let Some(window) = self.heap.window(page, len) {
            // SAFETY: the block is this process's, and nobody else accesses it; all its pages have memory.
            unsafe { window.area.write(window.at, body) };
        } else if let Err(error) = self.heap.write(body, self.heap.place(page)) {
            self.heap.free(page);
            return Err(error);
        }
        Ok(page)
    }
}

impl Store for Taker<'_> {
    fn take_over(&self, fresh: Fresh<'_>) -> io::Result<Option<u32>> {
        if let Some(Reference { page, .. }) = fresh.reference {
            self.claim(page);
        }
        if self.heap.kept().is_empty() {
            return Ok(None);
        }
        let page = fresh.reference.map_or_else(|| self.copy(fresh.body), |reference| Ok(reference.page))?;
        if let Some(docket) = self.heap.kept().get(page as usize) {
            docket.fill(fresh, self.me, self.thread);
        }
        Ok(Some(page))
    }

    fn bring_back(&self, page: u32, docket: &Docket, body: &mut Vec<u8>) -> io::Result<()> {
        let len = docket.len();
        if docket.is_short() {
            let start = body.len();
            body.resize(start + len as usize, 0);
            Here::read(self.heap.memory().fd(), &mut body[start..], self.heap.place(page))?;
        } else {
            body.extend_from_slice(&Reference { page, len }.to_bytes());
        }
        self.claim(page);
        docket.given_to(self.me, self.thread);
        Ok(())
    }
}

/// A number of this thread, below 2³¹, which no other of its process has.
pub fn this_thread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    thread_local! {
        static NUMBER: u32 = NEXT.fetch_add(1, Ordering::Relaxed) & (u32::MAX >> 1);
    }
    NUMBER.with(|number| *number)
}
