//! What is done at the two ends of a queue: an item is put, taken, done; the queue is shut.
//!
//! Each of these happens at one instant, however its process ends: an item is put when `tail` is stored or will be by the journal, and taken
//! when that of the exit is complete.

use std::io;

use super::kept::{Docket, Fresh, Left, Store};
use super::position::Position;
use super::reference::{LEN as REFERENCE, Reference};
use super::ring::{Label, Ring};
use super::words::{CLOSED, Change, QueueWords};
use crate::error::Malformed;
use crate::locks::{Holder, Roster};
use crate::sync::Ordering;

/// One process's way to a queue.
#[derive(Clone, Copy)]
pub(crate) struct Ends<'a> {
    pub(crate) words: &'a QueueWords,
    pub(crate) ring: &'a Ring,
    pub(crate) roster: &'a Roster,
    pub(crate) me: Holder,
    /// Units behind the head that must not be written to yet: their memory is about to be given back.
    pub(crate) spared: u32,
    /// The dockets of all pages, where the items of the dead are given again; else none.
    pub(crate) kept: &'a [Docket],
}

/// Why nothing could be taken.
#[derive(Debug)]
pub(crate) enum Refused {
    Malformed(Malformed),
    /// There is no memory to keep it until it is done.
    Io(io::Error),
}

/// How it went with an item that was to be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Put {
    Done,
    Full,
    /// There is room for it, but no longer beside all the others that may come: it must be a block.
    TooLong,
    Closed,
}

/// How it went with the next item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Took {
    /// Its body was appended. `at` is where it stood, if that was in the ring; and it came back so many times.
    Item {
        label: Label,
        at: Option<Position>,
        times: u32,
    },
    Empty,
    Closed,
}

impl Ends<'_> {
    pub(crate) fn enter_exit(&self) {
        if self.words.enter_exit(self.roster, self.me, self.kept) {
            // So that what that one had taken is before all others.
            self.settle_inside();
        }
    }

    /// Makes a change at the exit, and wakes those who wait for what came back.
    pub(crate) fn commit(&self, change: Change) -> u32 {
        let more = change.returned > self.words.exit.returned.load(Ordering::Relaxed);
        let before = self.words.commit(change, self.kept);
        if more {
            self.words.items.ring(u32::MAX);
        }
        before
    }

    pub(crate) fn put(&self, label: Label, body: &[u8], weight: u64) -> Put {
        self.words.enter_entry(self.roster, self.me);
        let put = self.put_inside(label, body, weight);
        self.words.entry.guard.release_as(self.me);
        if put == Put::Done {
            self.words.items.ring(1);
        }
        put
    }

    fn put_inside(&self, label: Label, body: &[u8], weight: u64) -> Put {
        let entry = &self.words.entry;
        if entry.state.load(Ordering::Relaxed) != 0 {
            return Put::Closed;
        }
        let tail = Position(self.words.tail.load(Ordering::Relaxed));
        let units = Ring::units_for(body.len());
        let mut room = self.room(tail, Position(entry.head_seen.load(Ordering::Relaxed)), units, weight, label);
        if room != Put::Done {
            let head = self.words.head();
            entry.head_seen.store(head.0, Ordering::Relaxed);
            room = self.room(tail, head, units, weight, label);
        }
        if room == Put::Done {
            // SAFETY: the units lie between the tail, which the guard makes ours, and the head as it was or is, which consumers have left
            // behind (SYNC POINT with `QueueWords::head`).
            unsafe { self.ring.write(tail, label, body) };
            self.words.publish(tail.behind(units), entry.put.load(Ordering::Relaxed).wrapping_add(weight));
        }
        room
    }

    /// Would there be room for it?
    fn room(&self, tail: Position, head: Position, units: u32, weight: u64, label: Label) -> Put {
        let bounds = &self.words.bounds;
        let exit = &self.words.exit;
        let items = tail.items_since(head).wrapping_add(exit.returned.load(Ordering::Relaxed));
        let most = bounds.items.load(Ordering::Relaxed);
        if most != 0 && items >= most {
            return Put::Full;
        }
        let bytes = bounds.bytes.load(Ordering::Relaxed);
        if bytes != 0 && items != 0 {
            let got = exit.got.load(Ordering::Relaxed);
            let there = self.words.entry.put.load(Ordering::Relaxed).wrapping_sub(got);
            let there = there.saturating_add(exit.returned_weight.load(Ordering::Relaxed));
            if there.saturating_add(weight) > bytes {
                return Put::Full;
            }
        }
        let free = (self.ring.units() - self.spared).saturating_sub(tail.units_since(head));
        // So that who may put so many items can, however long the others are.
        let others = if most == 0 { 0 } else { (most - items - 1).saturating_mul(Ring::units_for(REFERENCE)) };
        match free.checked_sub(units) {
            None if label.is_block || most == 0 => Put::Full,
            None => Put::TooLong,
            Some(left) if left < others && !label.is_block => Put::TooLong,
            Some(_) => Put::Done,
        }
    }

    /// Would there be room for a message that is so long?
    pub(crate) fn has_room(&self, len: u64, is_block: bool) -> bool {
        self.words.enter_entry(self.roster, self.me);
        let tail = Position(self.words.tail.load(Ordering::Relaxed));
        let body = if is_block { REFERENCE } else { usize::try_from(len).unwrap_or(usize::MAX / 2) };
        let label = Label { kind: 0, is_block };
        let room = self.room(tail, self.words.head(), Ring::units_for(body), len, label);
        self.words.entry.guard.release_as(self.me);
        room != Put::Full
    }

    /// Takes the next item, appending its body.
    pub(crate) fn take(&self, body: &mut Vec<u8>, store: &impl Store) -> Result<Took, Refused> {
        if self.is_kept() && (self.is_empty() || self.has_joined()) {
            self.settle();
        }
        if self.is_empty() {
            return Ok(self.closed());
        }
        let start = body.len();
        self.enter_exit();
        let took = self.take_inside(body, store);
        self.words.exit.guard.release_as(self.me);
        match took {
            Ok(Took::Empty) => Ok(self.closed()),
            Ok(took) => {
                self.ring_room();
                Ok(took)
            }
            Err(refused) => {
                body.truncate(start);
                Err(refused)
            }
        }
    }

    /// Has somebody joined or died since the items of the dead were looked for?
    fn has_joined(&self) -> bool {
        let joins = self.roster.joins.load(Ordering::Acquire);
        self.words.exit.settled.swap(joins, Ordering::Relaxed) != joins
    }

    fn take_inside(&self, body: &mut Vec<u8>, store: &impl Store) -> Result<Took, Refused> {
        if let Some((label, times)) = self.take_back(body, store).map_err(Refused::Io)? {
            return Ok(Took::Item { label, at: None, times });
        }
        let exit = &self.words.exit;
        let head = Position(self.words.head.load(Ordering::Relaxed));
        let mut tail = Position(exit.tail_seen.load(Ordering::Relaxed));
        // Within the ring's length of the head, or a memory of long ago.
        if head == tail || tail.units_since(head) > self.ring.units() {
            tail = self.words.tail();
            exit.tail_seen.store(tail.0, Ordering::Relaxed);
        }
        if head == tail {
            return Ok(Took::Empty);
        }
        let start = body.len();
        // SAFETY: the record lies between the head, which the guard makes ours, and the tail as it was (SYNC POINT with `QueueWords::tail`).
        let read = unsafe { self.ring.read(head, tail.units_since(head), body) };
        let (label, units) = read.map_err(Refused::Malformed)?;
        let reference = match label.is_block {
            false => None,
            true => Some(Reference::from_bytes(&body[start..]).ok_or(Refused::Malformed(Malformed))?),
        };
        let page = store.take_over(Fresh { label, body: &body[start..], reference, at: head }).map_err(Refused::Io)?;
        let mut change = self.mine();
        change.ledger += 1;
        change.got = change.got.wrapping_add(reference.map_or((body.len() - start) as u64, |block| block.len));
        change.head = head.behind(units);
        if let Some((page, docket)) = page.and_then(|page| Some((page, self.kept.get(page as usize)?))) {
            change.mark(page, docket.mark());
        }
        self.commit(change);
        Ok(Took::Item { label, at: Some(head), times: 0 })
    }

    /// How things stand at the exit, with what an earlier process in this one's seat left among what is lost.
    pub(crate) fn mine(&self) -> Change {
        let change = self.words.as_it_is(self.me.seat().unwrap_or(0));
        if change.ledger >> 32 == u64::from(self.me.0) {
            return change;
        }
        let buried = self.bury(change);
        Change { ledger: u64::from(self.me.0) << 32, ..buried }
    }

    /// What becomes of items that a process had when it died.
    fn bury(&self, change: Change) -> Change {
        if self.is_kept() {
            return self.give_back(change);
        }
        self.forget_taken(change);
        let held = change.ledger as u32;
        let open = self.words.tail().items().wrapping_sub(change.done);
        let lost = held.min(open);
        Change { ledger: 0, lost: change.lost.wrapping_add(lost), done: change.done.wrapping_add(lost), ..change }
    }

    fn ring_room(&self) {
        // With a bound of bytes, one item less may be room for several.
        let count = if self.words.bounds.bytes.load(Ordering::Relaxed) == 0 { 1 } else { u32::MAX };
        self.words.room.ring(count);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.head() == self.words.tail() && self.words.exit.returned.load(Ordering::Acquire) == 0
    }

    /// How many items are in it.
    pub(crate) fn len(&self) -> u32 {
        let (head, tail) = self.words.ends();
        tail.items_since(head).wrapping_add(self.words.exit.returned.load(Ordering::Acquire))
    }

    /// Who found nothing: will there be something?
    fn closed(&self) -> Took {
        // SYNC POINT with `close`: who sees it sees the last tail.
        let closed = self.words.entry.state.load(Ordering::Acquire) & CLOSED != 0;
        if closed && self.is_empty() { Took::Closed } else { Took::Empty }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.words.entry.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Would an item of no weight have to wait?
    pub(crate) fn is_full(&self) -> bool {
        let most = self.words.bounds.items.load(Ordering::Relaxed);
        let bytes = self.words.bounds.bytes.load(Ordering::Relaxed);
        (most != 0 && self.len() >= most) || (bytes != 0 && self.weight() >= bytes)
    }

    /// The weight of all items that are in it.
    pub(crate) fn weight(&self) -> u64 {
        let (put, got) = (&self.words.entry.put, &self.words.exit.got);
        loop {
            let before = put.load(Ordering::Acquire);
            let taken = got.load(Ordering::Acquire);
            if put.load(Ordering::Acquire) == before {
                // An item may be taken before its weight was added.
                let there = if (before.wrapping_sub(taken) as i64) < 0 { 0 } else { before.wrapping_sub(taken) };
                return there.saturating_add(self.words.exit.returned_weight.load(Ordering::Acquire));
            }
        }
    }

    /// One item is done, of a thread if it matters of whose; false: none is left that is not. And what is to be freed.
    pub(crate) fn done(&self, thread: u32) -> (bool, Option<Left>) {
        self.enter_exit();
        let mut left = None;
        let open = self.words.tail().items().wrapping_sub(self.words.exit.done.load(Ordering::Relaxed));
        if open != 0
            && let Some(page) = self.meant(thread)
        {
            left = self.done_kept(page);
        } else if open != 0 {
            let mut change = self.mine();
            if change.ledger as u32 == 0
                && let Some(other) = (0..self.words.ledger.len())
                    .find(|seat| self.words.ledger[*seat].load(Ordering::Relaxed) as u32 != 0)
            {
                // Whoever took it had others say so.
                change = self.words.as_it_is(other);
            }
            if change.ledger as u32 != 0 {
                change.ledger -= 1;
            }
            change.done = change.done.wrapping_add(1);
            self.commit(change);
        }
        self.words.exit.guard.release_as(self.me);
        if open == 1 {
            self.words.idle.ring(u32::MAX);
        }
        (open != 0, left)
    }

    /// Counts what the dead have taken and not done among what is lost, or gives it back.
    pub(crate) fn settle(&self) {
        if !self.words.is_begun(self.roster) && !(0..self.words.ledger.len()).any(|seat| self.is_left(seat)) {
            return;
        }
        self.enter_exit();
        self.settle_inside();
        self.words.exit.guard.release_as(self.me);
        self.words.idle.ring(u32::MAX);
    }

    /// Has somebody died in this seat with items that are not done?
    fn is_left(&self, seat: usize) -> bool {
        let ledger = self.words.ledger[seat].load(Ordering::Acquire);
        ledger as u32 != 0 && self.roster.is_dead(Holder((ledger >> 32) as u32))
    }

    /// The same, for who has the exit's guard.
    fn settle_inside(&self) {
        for seat in (0..self.words.ledger.len()).filter(|seat| self.is_left(*seat)) {
            self.commit(self.bury(self.words.as_it_is(seat)));
        }
    }

    /// How many items were put and are neither done nor lost.
    pub(crate) fn open(&self) -> u32 {
        loop {
            let done = self.words.exit.done.load(Ordering::Acquire);
            let open = self.words.tail().items().wrapping_sub(done);
            if self.words.exit.done.load(Ordering::Acquire) == done {
                return open;
            }
        }
    }

    /// Lets no item in any more; and drops those that are in it, if they are to be. `dropped` is told of their blocks, before they are.
    /// Gives what else is to be freed.
    pub(crate) fn close(&self, drop_all: bool, mut dropped: impl FnMut(Reference)) -> Vec<Left> {
        let mut left = Vec::new();
        self.words.enter_entry(self.roster, self.me);
        // SYNC POINT with `closed`.
        self.words.entry.state.store(CLOSED, Ordering::Release);
        if drop_all {
            self.enter_exit();
            self.walk(&mut dropped);
            let (head, tail) = (self.words.head(), self.words.tail());
            let change = self.words.as_it_is(self.me.seat().unwrap_or(0));
            let open = tail.items().wrapping_sub(change.done);
            let there = tail.items_since(head).wrapping_add(change.returned);
            let done = change.done.wrapping_add(there.min(open));
            let got = self.words.entry.put.load(Ordering::Relaxed);
            self.commit(Change { head: tail, got, done, returned: 0, returned_weight: 0, dropped: 1, ..change });
            left = self.forget_returned();
            self.words.exit.guard.release_as(self.me);
        }
        self.words.entry.guard.release_as(self.me);
        for notice in [&self.words.items, &self.words.room, &self.words.idle] {
            notice.ring(u32::MAX);
        }
        left
    }

    /// Tells of each block that is in the queue. For who has both guards.
    pub(crate) fn walk(&self, each: &mut impl FnMut(Reference)) {
        let (mut at, tail) = (self.words.head(), self.words.tail());
        let mut body = Vec::new();
        while at != tail {
            body.clear();
            // SAFETY: with both guards, nobody writes anything between the head and the tail.
            let Ok((label, units)) = (unsafe { self.ring.read(at, tail.units_since(at), &mut body) }) else { return };
            if label.is_block
                && let Some(reference) = Reference::from_bytes(&body)
            {
                each(reference);
            }
            at = at.behind(units);
        }
    }
}
