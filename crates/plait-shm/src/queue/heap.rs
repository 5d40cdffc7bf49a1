//! Where the long messages of a queue lie: pages of its own, each of whose words says whose it is.
//!
//! A message is a block, a run of pages. Its first page's word names the process that is responsible for it: who writes it, then
//! who took it; the others' say that they belong to the page before. Promises: a block is nobody else's until it is freed, which its
//! process does, or whoever looks after that one's death, unless the block is an item that nobody has taken yet; the bytes of a
//! message do not change while it is one.
//!
//! | word of a page | meaning | who writes, when |
//! |---|---|---|
//! | bits 0–7, 10–31 | the [`Holder`] whose block begins here | who has `heap.guard`; who takes the item |
//! | 8 | [`WARM`]: it is free, and has memory | who has `heap.guard` |
//! | 9 | [`MORE`]: it belongs to the block of the page before | the same |
//!
//! Pages are marked from the first on and freed from the last on, so what a dead process left half marked is a block, too.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use super::ends::Ends;
use super::kept::{BACK, Docket, Left, TAKEN};
use super::position::UNIT;
use super::reference::Reference;
use super::ring::Ring;
use super::words::{QueueWords, take};
use crate::block::Block;
use crate::locks::{Holder, LockMemory, Tenancy};
use crate::segment::Segment;
use crate::sync::{Area, AtomicU32, Ordering, Place};

/// Bytes of a page.
pub(crate) const PAGE: u64 = 64 << 10;

const WARM: u32 = 1 << 8;
const MORE: u32 = 1 << 9;

/// So many free pages keep their memory for the next message: what was written before is written several times as fast.
const KEEP_WARM: u32 = 512;

/// A block in this process's addresses.
pub(crate) struct Window<'a> {
    pub(crate) area: &'a Area,
    pub(crate) at: usize,
}

pub(crate) struct Heap {
    pub(crate) tenancy: Arc<Tenancy>,
    pub(crate) words: Place<QueueWords>,
    pub(crate) ring: Ring,
    pub(crate) table: Place<[AtomicU32]>,
    /// Where the items of the dead are given again.
    pub(crate) dockets: Option<Place<[Docket]>>,
    /// Where the first page lies in the file.
    pub(crate) offset: u64,
    /// The first pages, once they were asked for; nothing where there are no addresses for them.
    pub(crate) window: OnceLock<Option<Area>>,
}

impl Heap {
    pub(crate) fn memory(&self) -> &Arc<LockMemory> {
        &self.tenancy.memory
    }

    pub(crate) fn kept(&self) -> &[Docket] {
        self.dockets.as_deref().unwrap_or_default()
    }

    fn me(&self) -> io::Result<Holder> {
        self.memory().me().map_err(io::Error::other)
    }

    fn is_free(&self, page: usize) -> bool {
        let word = self.table[page].load(Ordering::Relaxed);
        Holder::of(word).is_nobody() && word & MORE == 0
    }

    /// A block for a message of `len` bytes, and whether all of it has memory.
    pub(crate) fn allocate(&self, len: u64) -> io::Result<(u32, bool)> {
        let joins = self.memory().roster().joins.load(Ordering::Acquire);
        if self.words.heap.swept.load(Ordering::Relaxed) != joins {
            self.sweep()?;
            self.words.heap.swept.store(joins, Ordering::Relaxed);
        }
        self.allocate_now(len, self.me()?)
    }

    /// The same, without a look for what the dead have left.
    pub(crate) fn allocate_now(&self, len: u64, me: Holder) -> io::Result<(u32, bool)> {
        let count = usize::try_from(len.div_ceil(PAGE)).unwrap_or(usize::MAX);
        let heap = &self.words.heap;
        take(&heap.guard, self.memory().roster(), me);
        let found = self.find(count);
        let mut warm = 0;
        if let Some(first) = found {
            if let Some(docket) = self.kept().get(first) {
                docket.state.store(0, Ordering::Relaxed);
            }
            for page in first..first + count {
                let word = if page == first { me.0 } else { MORE };
                let before = self.table[page].swap(word, Ordering::Release);
                warm += u32::from(before & WARM != 0);
            }
            heap.warm.store(heap.warm.load(Ordering::Relaxed).saturating_sub(warm), Ordering::Relaxed);
            heap.end.fetch_max((first + count) as u32, Ordering::Relaxed);
        }
        heap.guard.release_as(me);
        // As where memory is lacking.
        found.map(|first| (first as u32, warm as usize == count)).ok_or_else(|| Errno::NOSPC.into())
    }

    /// The first of so many free pages in a row.
    fn find(&self, count: usize) -> Option<usize> {
        let end = (self.words.heap.end.load(Ordering::Relaxed) as usize).min(self.table.len());
        let mut run = 0;
        for page in 0..end {
            run = if self.is_free(page) { run + 1 } else { 0 };
            if run == count {
                return Some(page + 1 - count);
            }
        }
        // What is free at the end goes on behind it.
        let first = end - run;
        (count <= self.table.len() - first).then_some(first)
    }

    /// Frees the block that begins at a page, whose holder may be `me` or dead. For who has the guard.
    fn free_inside(&self, first: usize) {
        let heap = &self.words.heap;
        let end = (heap.end.load(Ordering::Relaxed) as usize).min(self.table.len());
        let is_more = |page: &usize| self.table[*page].load(Ordering::Relaxed) & MORE != 0;
        let count = 1 + (first + 1..end).take_while(is_more).count();
        let warm = heap.warm.load(Ordering::Relaxed);
        let keeps = warm.saturating_add(count as u32) <= KEEP_WARM;
        if !keeps {
            // Before anybody else can have it.
            let at = Block { offset: self.offset + first as u64 * PAGE, len: count as u64 * PAGE };
            self.memory().store().0.punch(at);
        }
        for page in (first..first + count).rev() {
            self.table[page].store(if keeps { WARM } else { 0 }, Ordering::Release);
        }
        if keeps {
            heap.warm.store(warm + count as u32, Ordering::Relaxed);
        }
        if !keeps && first + count == end {
            heap.end.store(first as u32, Ordering::Relaxed);
        }
    }

    /// Frees a block if it is this process's, as a forked child's copies of its parent's are not, and no item that may come back.
    pub(crate) fn free(&self, first: u32) {
        let Ok(me) = self.me() else { return };
        let is_mine = self.table.get(first as usize).is_some_and(|word| Holder::of(word.load(Ordering::Relaxed)) == me);
        if is_mine && self.kept().get(first as usize).is_none_or(Docket::looked) {
            self.free_of((first, me), me);
        }
    }

    /// Frees a block if it is still this holder's.
    pub(crate) fn free_of(&self, (first, holder): Left, me: Holder) {
        let guard = &self.words.heap.guard;
        take(guard, self.memory().roster(), me);
        if Holder::of(self.table[first as usize].load(Ordering::Relaxed)) == holder {
            self.free_inside(first as usize);
        }
        guard.release_as(me);
    }

    fn of_the_dead(&self) -> Vec<usize> {
        let end = (self.words.heap.end.load(Ordering::Relaxed) as usize).min(self.table.len());
        let is_kept = self.words.exit.dropped.load(Ordering::Acquire) == 0;
        let stays = |docket: &Docket| docket.state.load(Ordering::Acquire) & (TAKEN | BACK) != 0;
        let comes_back = |page: usize| is_kept && self.kept().get(page).is_some_and(stays);
        let is_dead = |page: &usize| {
            let holder = Holder::of(self.table[*page].load(Ordering::Acquire));
            !holder.is_nobody() && self.memory().roster().is_dead(holder) && !comes_back(*page)
        };
        (0..end).filter(is_dead).collect()
    }

    /// Frees the blocks of the dead that are not items.
    fn sweep(&self) -> io::Result<()> {
        if self.of_the_dead().is_empty() {
            return Ok(());
        }
        // Other threads of a dying process may still do a few steps, such as making a block an item.
        std::thread::sleep(super::words::LAST_MOMENTS);
        let me = self.me()?;
        let roster = self.memory().roster();
        self.words.enter_entry(roster, me);
        self.words.enter_exit(roster, me, self.kept());
        take(&self.words.heap.guard, roster, me);
        let mut items = HashSet::new();
        let ends = Ends { words: &self.words, ring: &self.ring, roster, me, spared: 0, kept: self.kept() };
        ends.walk(&mut |reference| {
            items.insert(reference.page as usize);
        });
        for first in self.of_the_dead().into_iter().filter(|first| !items.contains(first)) {
            self.free_inside(first);
        }
        self.words.heap.guard.release_as(me);
        self.words.exit.guard.release_as(me);
        self.words.entry.guard.release_as(me);
        Ok(())
    }

    /// Makes a block this process's that was an item until now. For who has the exit's guard.
    pub(crate) fn claim(&self, reference: Reference, me: Holder) {
        if let Some(word) = self.table.get(reference.page as usize) {
            word.store(me.0, Ordering::Release);
        }
    }

    /// Where a block lies in this process's addresses, if it does: its first pages, through which what has memory is written several
    /// times as fast.
    pub(crate) fn window(&self, page: u32, len: u64) -> Option<Window<'_>> {
        let at = page as usize * PAGE as usize;
        let pages = (KEEP_WARM as usize * 2).min(self.table.len());
        let window = self.window.get_or_init(|| {
            let len = pages * PAGE as usize;
            let segment = Segment::part(self.memory().fd(), self.offset, len).ok()?;
            Some(Area::new(&Arc::new(segment), 0, len))
        });
        let area = window.as_ref().filter(|area| at + len as usize <= area.len())?;
        Some(Window { area, at })
    }

    /// How many pages are in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        (0..self.table.len().min(self.words.heap.end.load(Ordering::Relaxed) as usize))
            .filter(|page| !self.is_free(*page))
            .count()
    }
}

impl Drop for Heap {
    /// What nobody but this process refers to may be on its way to another, and wait for long: it keeps what is in it, and no more.
    fn drop(&mut self) {
        let Some(me) = self.memory().holder() else { return };
        if !self.memory().inside().books.is_alone(self.tenancy.name.line(), me) {
            return;
        }
        let roster = self.memory().roster();
        self.words.enter_entry(roster, me);
        self.words.enter_exit(roster, me, self.kept());
        take(&self.words.heap.guard, roster, me);
        if self.words.head() == self.words.tail() {
            let ring = u64::from(self.ring.units()) * UNIT as u64;
            self.memory()
                .store()
                .0
                .punch(Block { offset: self.words.bounds.offset.load(Ordering::Relaxed), len: ring });
        }
        for page in 0..(self.words.heap.end.load(Ordering::Relaxed) as usize).min(self.table.len()) {
            if self.table[page].load(Ordering::Relaxed) == WARM {
                self.memory().store().0.punch(Block { offset: self.offset + page as u64 * PAGE, len: PAGE });
                self.table[page].store(0, Ordering::Release);
            }
        }
        self.words.heap.warm.store(0, Ordering::Relaxed);
        self.words.heap.guard.release_as(me);
        self.words.exit.guard.release_as(me);
        self.words.entry.guard.release_as(me);
    }
}
