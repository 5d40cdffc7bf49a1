//! The books of a memory: which lines are handed out, and which processes refer to what stands there.
//!
//! Everything is behind `guard`, a lock word that is held for a moment. Any process hands lines out, and the last one that refers to
//! them takes them back: a process that dies refers to nothing any more. The shelves are derived from the pages, so whoever takes the
//! guard from a dead one counts anew.
//!
//! | word | meaning | who writes, when |
//! |---|---|---|
//! | `guard` | the lock of the others | see `word` |
//! | `end` | no line from here on was ever handed out | who has the guard, after `count` of the page there |
//! | `shelves` | lists of runs of a length: free ones, and those set aside | who has the guard |
//! | a page's `count` | how many lines the run has that begins there | who has the guard, once |
//! | `generation` | how often the run was taken back: the upper half of a [`Name`] | who has the guard |
//! | `flags` | [`PASSED`]: it was sent; [`ASIDE`]: it is set aside; above, how many references were sent more than arrived | PASSED, and the count: who refers to it; all: who has the guard |
//! | `refs` | a bit for each seat whose process refers to it | who has the guard |
//!
//! Promises: a line is somebody's as long as one process refers to it. What was sent and is referred to by nobody keeps its lines, for
//! who may come to refer to it: until [`PATIENT`] lines wait so, or [`SETTLED`] where as many references have arrived as were sent, so that
//! only what was sent once could arrive again; the oldest go first. A name is never that of something else.

use std::sync::Arc;

use super::memory::Kind;
use super::roster::{Holder, Roster};
use super::shelf::{ASIDE, PASSED, Page, Shelf};
use super::word::{LockWord, Taken};
use crate::commons::Commons;
use crate::sync::{AtomicU32, Ordering, Place, Shareable};

/// The lines that are set aside at most while others could be handed out, of what may be on its way.
const PATIENT: usize = 1 << 20;
/// The same of what has arrived.
const SETTLED: usize = 1 << 14;

/// How many lengths of runs there can be.
const SHELVES: usize = 12;

/// What something is called by, wherever it stands: its first line, and the line's generation in the upper half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(pub u64);

impl Name {
    pub(crate) fn new(line: usize, generation: u32) -> Self {
        Self(line as u64 | u64::from(generation) << 32)
    }

    pub(crate) fn line(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[repr(C, align(64))]
pub(crate) struct BookWords {
    guard: LockWord,
    end: AtomicU32,
    shelves: [Shelf; SHELVES],
}

// SAFETY: atomics.
unsafe impl Shareable for BookWords {}
/// The books of one memory, in this process.
pub(crate) struct Books {
    words: Place<BookWords>,
    pages: Place<[Page]>,
    /// For each line: the [`Kind`] of what begins there, or 0.
    kinds: Place<[AtomicU32]>,
    /// The file with the items of queues, and where these begin.
    store: (Arc<Commons>, u64),
}

/// The books while this process has the guard.
pub(crate) struct Open<'a>(&'a Books);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.words.guard.release();
    }
}

impl Books {
    pub(crate) fn new(
        words: Place<BookWords>,
        pages: Place<[Page]>,
        kinds: Place<[AtomicU32]>,
        store: (Arc<Commons>, u64),
    ) -> Self {
        Self { words, pages, kinds, store }
    }

    /// Does nobody but `me` refer to the line?
    pub(crate) fn is_alone(&self, line: usize, me: Holder) -> bool {
        let seat = me.seat().unwrap_or(0);
        let refs = self.pages[line].refs.iter().map(|refs| refs.load(Ordering::Relaxed)).enumerate();
        refs.map(|(at, refs)| if at == seat / 64 { refs & !(1 << (seat % 64)) } else { refs }).all(|refs| refs == 0)
    }

    pub(crate) fn lines(&self) -> usize {
        self.kinds.len()
    }

    /// No line from here on is in use.
    pub(crate) fn end(&self) -> usize {
        (self.words.end.load(Ordering::Acquire) as usize).min(self.lines())
    }

    /// Lets those go on who wait for a guard that a dead one has.
    pub(crate) fn poke(&self, roster: &Roster) {
        self.words.guard.poke(roster);
    }

    pub(crate) fn open(&self, roster: &Roster, me: Holder) -> Open<'_> {
        let taken = self.words.guard.take(roster, me);
        let open = Open(self);
        if let Taken::From(_) = taken {
            open.count_anew();
        }
        open
    }

    /// Says what stands in a line from now on.
    pub(crate) fn put(&self, line: usize, kind: Kind) {
        // SYNC POINT with `kind`.
        self.kinds[line].store(kind as u32, Ordering::Release);
    }

    /// What begins in a line.
    pub(crate) fn kind(&self, line: usize) -> Option<Kind> {
        // SYNC POINT with `put`.
        self.kinds.get(line).and_then(|kind| Kind::from_word(kind.load(Ordering::Acquire)))
    }

    /// Who has the guard.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn guarded_by(&self) -> Option<Holder> {
        self.words.guard.holder()
    }

    /// As if somebody had died who was about to write them.
    #[cfg(test)]
    pub(crate) fn forget_shelves(&self) {
        for shelf in &self.words.shelves {
            shelf.empty();
        }
    }

    /// A reference is sent. The caller refers to the line itself.
    pub(crate) fn pass(&self, line: usize) {
        self.pages[line].send();
    }

    /// References go to a forked child, which may tell of them late or never.
    pub(crate) fn pass_uncounted(&self, line: usize) {
        self.pages[line].send_uncounted();
    }

    /// A reference has arrived at the caller, who refers to the line.
    pub(crate) fn arrive(&self, line: usize) {
        self.pages[line].arrive();
    }
}

impl Open<'_> {
    /// Hands out `count` lines in a row to `me`; `None` when there are none. What stands there is not said yet.
    pub(crate) fn take(&self, count: usize, me: Holder) -> Option<Name> {
        let Books { words, pages, .. } = self.0;
        let line = self.find(count)?;
        debug_assert!(line + count <= words.end.load(Ordering::Relaxed) as usize);
        let page = &pages[line];
        page.flags.store(0, Ordering::Relaxed);
        page.refer(me);
        Some(Name::new(line, page.generation.load(Ordering::Relaxed)))
    }

    fn find(&self, count: usize) -> Option<usize> {
        let Books { words, pages, .. } = self.0;
        let shelf = self.shelf(count)?;
        if let Some(line) =
            (shelf.free.load(Ordering::Relaxed) as usize).checked_sub(1).filter(|line| *line < pages.len())
        {
            shelf.free.store(pages[line].next.load(Ordering::Relaxed), Ordering::Relaxed);
            return Some(line);
        }
        let end = self.0.end();
        let fits = count <= self.0.lines() - end;
        // What may be taken back, and what has to be where there are no others.
        let keep = |lines: usize| if fits { lines / count } else { 0 };
        if let Some(line) = self.settled(shelf, keep(SETTLED)).or_else(|| self.awaited(shelf, keep(PATIENT))) {
            return Some(line);
        }
        if !fits {
            return None;
        }
        pages[end].count.store(count as u32, Ordering::Relaxed);
        words.end.store((end + count) as u32, Ordering::Release);
        Some(end)
    }

    /// Takes back what has been aside for the longest time, while there are more than `keep`, and sorts out what may be on its way.
    fn settled(&self, shelf: &Shelf, keep: usize) -> Option<usize> {
        let pages = &self.0.pages;
        for _ in keep..shelf.aside.len().min(pages.len()) {
            let line = shelf.aside.pop(pages)?;
            if !pages[line].is_referred_to() && pages[line].is_awaited() {
                shelf.awaited.push(line, pages);
            } else if self.take_back(line) {
                return Some(line);
            }
        }
        None
    }

    /// Takes back what has been awaited for the longest time, while there are more than `keep`.
    fn awaited(&self, shelf: &Shelf, keep: usize) -> Option<usize> {
        let pages = &self.0.pages;
        for _ in keep..shelf.awaited.len().min(pages.len()) {
            let line = shelf.awaited.pop(pages)?;
            if self.take_back(line) {
                return Some(line);
            }
        }
        None
    }

    /// It is in no row any more. False: somebody has come for it since.
    fn take_back(&self, line: usize) -> bool {
        let page = &self.0.pages[line];
        page.flags.fetch_and(!ASIDE, Ordering::Relaxed);
        let is_free = !page.is_referred_to();
        if is_free {
            self.clear(line);
        }
        is_free
    }

    /// Has `me` refer to what is called so; false: that is no more.
    pub(crate) fn refer(&self, name: Name, me: Holder) -> bool {
        let Books { pages, .. } = self.0;
        let there = self.is(name);
        if there {
            pages[name.line()].refer(me);
        }
        there
    }

    fn is(&self, name: Name) -> bool {
        let there = self.0.kind(name.line()).is_some() && name.line() < self.0.end();
        there && self.0.pages[name.line()].generation.load(Ordering::Relaxed) == name.generation()
    }

    /// `who` refers to it no longer.
    pub(crate) fn forget(&self, line: usize, who: Holder) {
        let page = &self.0.pages[line];
        if page.forget(who) && !page.is_referred_to() {
            self.shelve(line);
        }
    }

    /// Nobody refers to it.
    fn shelve(&self, line: usize) {
        let page = &self.0.pages[line];
        let Some(shelf) = self.shelf(page.count.load(Ordering::Relaxed) as usize) else { return };
        if !page.has(PASSED) || self.0.kind(line).is_none() {
            self.clear(line);
            page.next.store(shelf.free.load(Ordering::Relaxed), Ordering::Relaxed);
            shelf.free.store(line as u32 + 1, Ordering::Relaxed);
            return;
        }
        if page.has(ASIDE) {
            return;
        }
        page.flags.fetch_or(ASIDE, Ordering::Relaxed);
        shelf.aside.push(line, &self.0.pages);
    }

    /// What stood there is no more, and its name is nobody's.
    fn clear(&self, line: usize) {
        // SYNC POINT with `Books::kind`.
        let kind = self.0.kinds[line].swap(0, Ordering::AcqRel);
        if kind == Kind::Queue as u32 {
            let (store, from) = &self.0.store;
            crate::queue::forget(store, *from, self.0.lines(), line);
        }
        if kind != 0 {
            self.0.pages[line].generation.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn shelf(&self, count: usize) -> Option<&Shelf> {
        let count = u32::try_from(count).ok().filter(|count| *count != 0)?;
        let shelf = self.0.words.shelves.iter().find(|shelf| {
            let its = shelf.count.load(Ordering::Relaxed);
            its == count || its == 0
        })?;
        shelf.count.store(count, Ordering::Relaxed);
        Some(shelf)
    }

    /// Somebody died with the guard: the shelves may be anything, the pages are right.
    fn count_anew(&self) {
        let Books { words, pages, .. } = self.0;
        for shelf in &words.shelves {
            shelf.empty();
        }
        let mut line = 0;
        while line < self.0.end() {
            let page = &pages[line];
            page.flags.fetch_and(!ASIDE, Ordering::Relaxed);
            if !page.is_referred_to() {
                self.shelve(line);
            }
            line += (page.count.load(Ordering::Relaxed) as usize).max(1);
        }
    }
}
