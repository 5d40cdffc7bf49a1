//! A run of lines in the books: who refers to it, what was sent of it, and the lists that it may be in. See `books`, which has the guard.

use super::roster::{Holder, SEATS};
use crate::sync::{AtomicU32, AtomicU64, Ordering, Shareable};

/// It was sent.
pub(super) const PASSED: u32 = 1;
/// It is in a row.
pub(super) const ASIDE: u32 = 2;
/// One reference that was sent and has not arrived.
const SENT: u32 = 1 << 16;
/// So many are not counted any more.
const UNCOUNTED: u32 = u32::MAX / SENT * SENT;

/// What the books say of the run that begins in a line: see their table.
#[repr(C)]
pub(crate) struct Page {
    pub(super) refs: [AtomicU64; SEATS.div_ceil(64)],
    pub(super) count: AtomicU32,
    pub(super) generation: AtomicU32,
    pub(super) flags: AtomicU32,
    pub(super) next: AtomicU32,
}

// SAFETY: atomics.
unsafe impl Shareable for Page {}

impl Page {
    pub(super) fn is_referred_to(&self) -> bool {
        self.refs.iter().any(|refs| refs.load(Ordering::Relaxed) != 0)
    }

    pub(super) fn refer(&self, me: Holder) {
        let seat = me.seat().unwrap_or(0);
        self.refs[seat / 64].fetch_or(1 << (seat % 64), Ordering::Relaxed);
    }

    /// True: it did refer to it.
    pub(super) fn forget(&self, who: Holder) -> bool {
        let seat = who.seat().unwrap_or(0);
        self.refs[seat / 64].fetch_and(!(1 << (seat % 64)), Ordering::Relaxed) >> (seat % 64) & 1 == 1
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Another reference is sent.
    pub(super) fn send(&self) {
        let sent = |flags| Some(if flags < UNCOUNTED { flags + SENT } else { flags } | PASSED);
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sent);
    }

    /// It is awaited from now on, whatever arrives.
    pub(super) fn send_uncounted(&self) {
        self.flags.fetch_or(UNCOUNTED | PASSED, Ordering::Relaxed);
    }

    /// One has arrived: one of those that were sent, or one of them again.
    pub(super) fn arrive(&self) {
        let arrived = |flags| (SENT..UNCOUNTED).contains(&flags).then(|| flags - SENT);
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, arrived);
    }

    /// More references were sent than have arrived.
    pub(super) fn is_awaited(&self) -> bool {
        self.flags.load(Ordering::Relaxed) >= SENT
    }
}

/// Runs that are set aside, in the order in which they came: 0 is nothing, else the line plus one.
#[repr(C)]
pub(super) struct Row {
    oldest: AtomicU32,
    newest: AtomicU32,
    len: AtomicU32,
}

/// Lists of runs of a length.
#[repr(C)]
pub(super) struct Shelf {
    pub(super) count: AtomicU32,
    /// As in a [`Row`].
    pub(super) free: AtomicU32,
    /// Set aside, and not looked at since.
    pub(super) aside: Row,
    /// Was on its way yet when it was the oldest of these.
    pub(super) awaited: Row,
}

impl Row {
    pub(super) fn empty(&self) {
        for word in [&self.oldest, &self.newest, &self.len] {
            word.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed) as usize
    }

    pub(super) fn push(&self, line: usize, pages: &[Page]) {
        pages[line].next.store(0, Ordering::Relaxed);
        let at = line as u32 + 1;
        let newest = self.newest.swap(at, Ordering::Relaxed) as usize;
        match newest.checked_sub(1).and_then(|newest| pages.get(newest)) {
            Some(page) => page.next.store(at, Ordering::Relaxed),
            None => self.oldest.store(at, Ordering::Relaxed),
        }
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn pop(&self, pages: &[Page]) -> Option<usize> {
        let line = (self.oldest.load(Ordering::Relaxed) as usize).checked_sub(1).filter(|line| *line < pages.len())?;
        let next = pages[line].next.load(Ordering::Relaxed);
        self.oldest.store(next, Ordering::Relaxed);
        if next == 0 {
            self.newest.store(0, Ordering::Relaxed);
        }
        self.len.store(self.len.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        Some(line)
    }
}

impl Shelf {
    pub(super) fn empty(&self) {
        self.free.store(0, Ordering::Relaxed);
        self.aside.empty();
        self.awaited.empty();
    }
}
