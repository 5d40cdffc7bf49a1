//! The words of a queue: two ends, each behind a guard of its own, and what is told about its items.
//!
//! Producers write records at `tail`, one at a time behind `entry.guard`; consumers read them from `head` on, one at a time behind
//! `exit.guard`. What belongs together is changed by way of a journal, so that whoever takes a guard from a dead one finishes what that
//! one began, or finds that nothing was.
//!
//! | word | meaning | who writes, when |
//! |---|---|---|
//! | `tail` | the place behind the last record | who has `entry.guard` |
//! | `entry.put` | the weight of all items ever put, in bytes | the same |
//! | `entry.head_seen` | a place at which `head` was | the same |
//! | `entry.state` | 0, then [`CLOSED`] | the same |
//! | `head` | the place of the next record to be taken | who has `exit.guard` |
//! | `exit.got` | the weight of all items ever taken | the same |
//! | `exit.tail_seen` | a place at which `tail` was | the same |
//! | `exit.done` | how many items were done, were lost, or were dropped when the queue was shut | the same |
//! | `exit.lost` | how many were taken by processes that died before they were done | the same |
//! | `exit.returned`, `…_weight` | how many of these are in the queue again, and their weight: see `kept` | the same |
//! | `exit.dropped` | 1: the queue was shut, and what was in it dropped | the same |
//! | `exit.settled` | the roster's `joins` when the items of the dead were last looked for | any |
//! | `ledger[seat]` | the [`Holder`] in the upper half, how many items it has taken and not done in the lower | the same |
//! | `…next_…`, `…begun` | the journals | who has that guard |
//! | `items`, `room`, `idle` | where those sleep who wait for an item, for room, for all to be done | see `notice` |
//! | `bounds` | how large it may become, and where its memory is | who made it |

use super::kept::Docket;
use super::notice::Notice;
use super::position::Position;
use crate::locks::{Holder, LockWord, Roster, SEATS, Taken};
#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU32, AtomicU64, Line, Ordering};

/// No item is put any more.
pub(crate) const CLOSED: u32 = 1;

#[repr(C, align(64))]
pub(crate) struct Entry {
    pub(crate) guard: LockWord,
    pub(crate) state: AtomicU32,
    begun: AtomicU32,
    pub(crate) put: AtomicU64,
    pub(crate) head_seen: AtomicU64,
    next_tail: AtomicU64,
    next_put: AtomicU64,
}

#[repr(C, align(64))]
pub(crate) struct Exit {
    pub(crate) guard: LockWord,
    begun: AtomicU32,
    pub(crate) got: AtomicU64,
    pub(crate) tail_seen: AtomicU64,
    pub(crate) done: AtomicU32,
    pub(crate) lost: AtomicU32,
    pub(crate) returned: AtomicU32,
    pub(crate) dropped: AtomicU32,
    pub(crate) returned_weight: AtomicU64,
    pub(crate) settled: AtomicU32,
    next_head: AtomicU64,
    next_got: AtomicU64,
    next_done: AtomicU32,
    next_lost: AtomicU32,
    next_seat: AtomicU32,
    next_ledger: AtomicU64,
    next_returned: AtomicU32,
    next_dropped: AtomicU32,
    next_returned_weight: AtomicU64,
    /// A page and one, or 0; and what to make of its docket.
    next_page: AtomicU32,
    next_mark: AtomicU32,
}

/// See `heap`.
#[repr(C, align(64))]
pub(crate) struct HeapWords {
    pub(crate) guard: LockWord,
    /// No page from here on is in use.
    pub(crate) end: AtomicU32,
    /// How many free pages have memory.
    pub(crate) warm: AtomicU32,
    /// The roster's `joins` when the blocks of the dead were last looked for.
    pub(crate) swept: AtomicU32,
}

#[repr(C, align(64))]
pub(crate) struct Bounds {
    /// The most items, or 0.
    pub(crate) items: AtomicU32,
    pub(crate) ring_units: AtomicU32,
    /// The most bytes, or 0.
    pub(crate) bytes: AtomicU64,
    pub(crate) offset: AtomicU64,
    pub(crate) pages: AtomicU32,
    /// 1: the items of the dead are given again.
    pub(crate) redeliver: AtomicU32,
}

#[repr(C, align(64))]
pub(crate) struct QueueWords {
    pub(crate) entry: Entry,
    pub(crate) tail: Line<AtomicU64>,
    pub(crate) items: Line<Notice>,
    pub(crate) exit: Exit,
    pub(crate) head: Line<AtomicU64>,
    pub(crate) room: Line<Notice>,
    pub(crate) idle: Line<Notice>,
    pub(crate) heap: HeapWords,
    pub(crate) bounds: Bounds,
    pub(crate) ledger: [AtomicU64; SEATS],
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for QueueWords {}

/// What a change at the exit makes of its words.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub(crate) head: Position,
    pub(crate) got: u64,
    pub(crate) done: u32,
    pub(crate) lost: u32,
    pub(crate) seat: usize,
    pub(crate) ledger: u64,
    pub(crate) returned: u32,
    pub(crate) returned_weight: u64,
    pub(crate) dropped: u32,
    /// A page and one, or 0; and what to make of its docket.
    pub(crate) marked: (u32, u32),
}

impl Change {
    /// What is to become of a docket: see `Docket::apply`.
    pub(crate) fn mark(&mut self, page: u32, mark: u32) {
        self.marked = (page + 1, mark);
    }
}

/// How long who takes a guard from a dead one waits before it enters: other threads of a dying process may still do a few steps.
#[cfg(not(loom))]
pub(crate) const LAST_MOMENTS: std::time::Duration = std::time::Duration::from_millis(10);

/// Takes a guard; true: from a dead one.
pub(crate) fn take(guard: &LockWord, roster: &Roster, me: Holder) -> bool {
    match guard.take(roster, me) {
        Taken::Free => false,
        Taken::From(_) => {
            #[cfg(not(loom))]
            std::thread::sleep(LAST_MOMENTS);
            true
        }
    }
}

impl QueueWords {
    pub(crate) fn tail(&self) -> Position {
        // SYNC POINT with `publish`: who reads a place sees the records before it.
        Position(self.tail.load(Ordering::Acquire))
    }

    pub(crate) fn head(&self) -> Position {
        // SYNC POINT with `apply`: who reads a place may overwrite the records before it.
        Position(self.head.load(Ordering::Acquire))
    }

    /// Both ends at one instant: the head and the tail.
    pub(crate) fn ends(&self) -> (Position, Position) {
        let mut tail = self.tail();
        loop {
            let head = self.head();
            let again = self.tail();
            if again == tail {
                return (head, tail);
            }
            tail = again;
        }
    }

    pub(crate) fn enter_entry(&self, roster: &Roster, me: Holder) {
        if take(&self.entry.guard, roster, me) && self.entry.begun.load(Ordering::Relaxed) != 0 {
            self.publish_begun();
            self.items.ring(u32::MAX);
        }
    }

    /// Makes a record that was written part of the queue.
    pub(crate) fn publish(&self, tail: Position, put: u64) {
        let entry = &self.entry;
        entry.next_tail.store(tail.0, Ordering::Relaxed);
        entry.next_put.store(put, Ordering::Relaxed);
        // Release here and below: a thread that is killed has done what comes before in the program, and this keeps it there.
        entry.begun.store(1, Ordering::Release);
        self.publish_begun();
    }

    fn publish_begun(&self) {
        let entry = &self.entry;
        // SYNC POINT with `tail`.
        self.tail.store(entry.next_tail.load(Ordering::Relaxed), Ordering::Release);
        entry.put.store(entry.next_put.load(Ordering::Relaxed), Ordering::Release);
        entry.begun.store(0, Ordering::Release);
    }

    /// `kept` are all dockets, or none. True: it was a dead one's.
    pub(crate) fn enter_exit(&self, roster: &Roster, me: Holder, kept: &[Docket]) -> bool {
        if !take(&self.exit.guard, roster, me) {
            return false;
        }
        if self.exit.begun.load(Ordering::Relaxed) != 0 {
            self.apply(kept);
            self.room.ring(u32::MAX);
            self.idle.ring(u32::MAX);
        }
        if !kept.is_empty() && self.exit.dropped.load(Ordering::Relaxed) == 0 {
            // It may have been about to give items back.
            let (returned, weight) = super::kept::count(kept);
            self.exit.returned.store(returned, Ordering::Release);
            self.exit.returned_weight.store(weight, Ordering::Release);
            self.items.ring(u32::MAX);
        }
        true
    }

    /// Has somebody died behind the exit's guard? Then a change may be done in part, and its words alone do not tell that somebody is to
    /// end it.
    pub(crate) fn is_begun(&self, roster: &Roster) -> bool {
        self.exit.guard.holder().is_some_and(|holder| roster.is_dead(holder))
    }

    /// How things stand at the exit, as a change of nothing. For who has its guard.
    pub(crate) fn as_it_is(&self, seat: usize) -> Change {
        let exit = &self.exit;
        Change {
            head: Position(self.head.load(Ordering::Relaxed)),
            got: exit.got.load(Ordering::Relaxed),
            done: exit.done.load(Ordering::Relaxed),
            lost: exit.lost.load(Ordering::Relaxed),
            seat,
            ledger: self.ledger[seat].load(Ordering::Relaxed),
            returned: exit.returned.load(Ordering::Relaxed),
            returned_weight: exit.returned_weight.load(Ordering::Relaxed),
            dropped: exit.dropped.load(Ordering::Relaxed),
            marked: (0, 0),
        }
    }

    /// Makes a change at the exit; gives the state that the marked docket had. For who has its guard.
    pub(crate) fn commit(&self, change: Change, kept: &[Docket]) -> u32 {
        let exit = &self.exit;
        self.note(change);
        exit.begun.store(1, Ordering::Release);
        self.apply(kept)
    }

    /// Writes the journal of a change.
    fn note(&self, change: Change) {
        let exit = &self.exit;
        exit.next_head.store(change.head.0, Ordering::Relaxed);
        exit.next_got.store(change.got, Ordering::Relaxed);
        exit.next_done.store(change.done, Ordering::Relaxed);
        exit.next_lost.store(change.lost, Ordering::Relaxed);
        exit.next_seat.store(change.seat as u32, Ordering::Relaxed);
        exit.next_ledger.store(change.ledger, Ordering::Relaxed);
        exit.next_returned.store(change.returned, Ordering::Relaxed);
        exit.next_returned_weight.store(change.returned_weight, Ordering::Relaxed);
        exit.next_dropped.store(change.dropped, Ordering::Relaxed);
        exit.next_page.store(change.marked.0, Ordering::Relaxed);
        exit.next_mark.store(change.marked.1, Ordering::Relaxed);
    }

    /// Does what the journal of the exit says, however much of it was done.
    fn apply(&self, kept: &[Docket]) -> u32 {
        let exit = &self.exit;
        let page = exit.next_page.load(Ordering::Relaxed).wrapping_sub(1);
        let before = kept.get(page as usize).map_or(0, |docket| docket.apply(exit.next_mark.load(Ordering::Relaxed)));
        exit.returned_weight.store(exit.next_returned_weight.load(Ordering::Relaxed), Ordering::Release);
        exit.returned.store(exit.next_returned.load(Ordering::Relaxed), Ordering::Release);
        exit.dropped.store(exit.next_dropped.load(Ordering::Relaxed), Ordering::Release);
        if let Some(ledger) = self.ledger.get(exit.next_seat.load(Ordering::Relaxed) as usize) {
            ledger.store(exit.next_ledger.load(Ordering::Relaxed), Ordering::Release);
        }
        exit.lost.store(exit.next_lost.load(Ordering::Relaxed), Ordering::Release);
        exit.got.store(exit.next_got.load(Ordering::Relaxed), Ordering::Release);
        // SYNC POINT with `head`.
        self.head.store(exit.next_head.load(Ordering::Relaxed), Ordering::Release);
        exit.done.store(exit.next_done.load(Ordering::Relaxed), Ordering::Release);
        exit.begun.store(0, Ordering::Release);
        before
    }

    /// Lets the next ones have what a dead one holds, and has all look again.
    pub(crate) fn see_to(&self, roster: &Roster) {
        for guard in [&self.entry.guard, &self.exit.guard, &self.heap.guard] {
            guard.poke(roster);
        }
        for notice in [&self.items, &self.room, &self.idle] {
            notice.poke();
        }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn new(items: u32) -> Self {
        let (word, long) = (|value| AtomicU32::new(value), || AtomicU64::new(0));
        let notice = || Line(Notice::new());
        Self {
            entry: Entry {
                guard: LockWord::new(),
                state: word(0),
                begun: word(0),
                put: long(),
                head_seen: long(),
                next_tail: long(),
                next_put: long(),
            },
            tail: Line(long()),
            items: notice(),
            exit: Exit {
                guard: LockWord::new(),
                begun: word(0),
                got: long(),
                tail_seen: long(),
                done: word(0),
                lost: word(0),
                returned: word(0),
                dropped: word(0),
                returned_weight: long(),
                settled: word(0),
                next_head: long(),
                next_got: long(),
                next_done: word(0),
                next_lost: word(0),
                next_seat: word(0),
                next_ledger: long(),
                next_returned: word(0),
                next_dropped: word(0),
                next_returned_weight: long(),
                next_page: word(0),
                next_mark: word(0),
            },
            head: Line(long()),
            room: notice(),
            idle: notice(),
            heap: HeapWords { guard: LockWord::new(), end: word(0), warm: word(0), swept: word(0) },
            bounds: Bounds {
                items: word(items),
                ring_units: word(0),
                bytes: long(),
                offset: long(),
                pages: word(0),
                redeliver: word(0),
            },
            ledger: [(); SEATS].map(|()| long()),
        }
    }

    /// Begins to publish, and ends after so many stores. For who has the guard.
    #[cfg(test)]
    pub(crate) fn die_publishing(&self, tail: Position, put: u64, stores: u32) {
        let entry = &self.entry;
        let all: [&dyn Fn(); 5] = [
            &|| entry.next_tail.store(tail.0, Ordering::Relaxed),
            &|| entry.next_put.store(put, Ordering::Relaxed),
            &|| entry.begun.store(1, Ordering::Relaxed),
            &|| self.tail.store(tail.0, Ordering::Release),
            &|| entry.put.store(put, Ordering::Relaxed),
        ];
        all.iter().take(stores as usize).for_each(|store| store());
    }

    /// Begins a change at the exit, and ends after the journal was written and so many stores. For who has the guard.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn die_committing(&self, change: Change, stores: u32) {
        let exit = &self.exit;
        self.note(change);
        let all: [&dyn Fn(); 5] = [
            &|| exit.begun.store(1, Ordering::Relaxed),
            &|| self.ledger[change.seat].store(change.ledger, Ordering::Relaxed),
            &|| exit.got.store(change.got, Ordering::Relaxed),
            &|| self.head.store(change.head.0, Ordering::Release),
            &|| exit.done.store(change.done, Ordering::Relaxed),
        ];
        all.iter().take(stores as usize).for_each(|store| store());
    }
}
