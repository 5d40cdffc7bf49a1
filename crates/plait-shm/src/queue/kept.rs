//! What was taken and is not done, in a queue that gives the items of the dead again.
//!
//! Each item that is taken lies in a block, and the docket of its first page says what it is. Promises: an item is in the ring, or
//! [`TAKEN`], or [`BACK`], or done, and in one of these at a time: it becomes [`TAKEN`] and done by the journal of the exit.
//!
//! | word of a docket | meaning | who writes, when |
//! |---|---|---|
//! | `state` | [`TAKEN`]: its holder has taken it, and it is not done | who has `exit.guard` |
//! | | [`HELD`]: the holder's process still looks at the block | the same, when it is taken; the holder, who ends to look |
//! | | [`BACK`]: its holder is dead, and it is in the queue again | who has `exit.guard` |
//! | | from [`TIMES`] on: how often it came back | the same |
//! | the others | what is taken: whose, by which thread, what it is, and which of all items | who takes it, before it is [`TAKEN`] |

use std::io;

use super::ends::Ends;
use super::position::Position;
use super::reference::Reference;
use super::ring::Label;
use super::words::Change;
use crate::locks::Holder;
#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

pub(crate) const TAKEN: u32 = 1;
pub(crate) const HELD: u32 = 2;
pub(crate) const BACK: u32 = 4;
/// One return.
pub(crate) const TIMES: u32 = 8;

/// In `kind`: the message was none that lies in a block by itself.
const SHORT: u32 = 1 << 8;

#[repr(C)]
pub(crate) struct Docket {
    pub(crate) state: AtomicU32,
    holder: AtomicU32,
    thread: AtomicU32,
    kind: AtomicU32,
    order: AtomicU32,
    len: AtomicU64,
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for Docket {}

#[cfg(all(test, loom))]
impl Docket {
    pub(crate) fn new() -> Self {
        let word = || AtomicU32::new(0);
        let len = AtomicU64::new(0);
        Self { state: word(), holder: word(), thread: word(), kind: word(), order: word(), len }
    }
}

/// An item that is about to be taken from the ring.
#[derive(Clone, Copy)]
pub(crate) struct Fresh<'a> {
    pub(crate) label: Label,
    pub(crate) body: &'a [u8],
    /// Where its block lies, if it is one.
    pub(crate) reference: Option<Reference>,
    pub(crate) at: Position,
}

/// Where the blocks are. Both are called by who has the exit's guard.
pub(crate) trait Store {
    /// Makes an item this process's before it is taken for good; gives the page whose docket is to say that it is taken, if one is.
    fn take_over(&self, fresh: Fresh<'_>) -> io::Result<Option<u32>>;

    /// Makes the block of an item that came back this process's, and appends its body.
    fn bring_back(&self, page: u32, docket: &Docket, body: &mut Vec<u8>) -> io::Result<()>;
}

impl Docket {
    /// Says what is taken, but not yet that it is.
    pub(crate) fn fill(&self, fresh: Fresh<'_>, me: Holder, thread: u32) {
        let (len, short) = fresh.reference.map_or((fresh.body.len() as u64, SHORT), |reference| (reference.len, 0));
        self.kind.store(u32::from(fresh.label.kind) | short, Ordering::Relaxed);
        self.order.store(fresh.at.items(), Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
        self.given_to(me, thread);
    }

    pub(crate) fn given_to(&self, me: Holder, thread: u32) {
        self.holder.store(me.0, Ordering::Relaxed);
        self.thread.store(thread, Ordering::Relaxed);
    }

    pub(crate) fn holder(&self) -> Holder {
        Holder(self.holder.load(Ordering::Relaxed))
    }

    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn is_short(&self) -> bool {
        self.kind.load(Ordering::Relaxed) & SHORT != 0
    }

    fn is(&self, state: u32) -> bool {
        self.state.load(Ordering::Acquire) & state != 0
    }

    fn label(&self) -> Label {
        Label { kind: self.kind.load(Ordering::Relaxed) as u8, is_block: !self.is_short() }
    }

    /// What to make of `state` when it is taken.
    pub(crate) fn mark(&self) -> u32 {
        let before = self.state.load(Ordering::Relaxed) / TIMES * TIMES;
        before | TAKEN | if self.is_short() { 0 } else { HELD }
    }

    /// Its holder's process looks at the block no more. True: it frees it, since what is to be done with it was done.
    pub(crate) fn looked(&self) -> bool {
        self.state.fetch_and(!HELD, Ordering::AcqRel) & TAKEN == 0
    }

    /// Journalled: does what a change says, however often; gives what was there.
    pub(crate) fn apply(&self, mark: u32) -> u32 {
        match mark {
            0 => self.state.fetch_and(!TAKEN, Ordering::AcqRel),
            mark => self.state.swap(mark, Ordering::AcqRel),
        }
    }
}

/// How many came back and were not taken again, and their weight.
pub(crate) fn count(dockets: &[Docket]) -> (u32, u64) {
    let back = dockets.iter().filter(|docket| docket.is(BACK));
    back.fold((0, 0), |(count, weight), docket| (count + 1, weight + docket.len()))
}

/// What is to be freed once the guard is released: the first page of a block, and whose it is.
pub(crate) type Left = (u32, Holder);

impl Ends<'_> {
    /// The dockets that are in use.
    pub(crate) fn dockets(&self) -> &[Docket] {
        let end = self.words.heap.end.load(Ordering::Relaxed) as usize;
        &self.kept[..end.min(self.kept.len())]
    }

    /// Are the items of the dead given again?
    pub(crate) fn is_kept(&self) -> bool {
        !self.kept.is_empty() && self.words.exit.dropped.load(Ordering::Relaxed) == 0
    }

    /// The dockets of this state, with the oldest item first.
    fn oldest(&self, state: u32, is_wanted: impl Fn(&Docket) -> bool) -> Option<usize> {
        let head = self.words.head().items();
        let age = |docket: &Docket| head.wrapping_sub(docket.order.load(Ordering::Relaxed));
        let all = self.dockets().iter().enumerate().filter(|(_, docket)| docket.is(state) && is_wanted(docket));
        all.max_by_key(|(_, docket)| age(docket)).map(|(page, _)| page)
    }

    /// Takes the oldest item that came back; nothing if none did. For who has the exit's guard.
    pub(crate) fn take_back(&self, body: &mut Vec<u8>, store: &impl Store) -> io::Result<Option<(Label, u32)>> {
        if self.words.exit.returned.load(Ordering::Relaxed) == 0 {
            return Ok(None);
        }
        let Some(page) = self.oldest(BACK, |_| true) else { return Ok(None) };
        let docket = &self.kept[page];
        // Until it is marked as taken it is still in the queue, whosever it is.
        store.bring_back(page as u32, docket, body)?;
        let mut change = self.mine();
        change.ledger += 1;
        change.returned = change.returned.saturating_sub(1);
        change.returned_weight = change.returned_weight.saturating_sub(docket.len());
        change.mark(page as u32, docket.mark());
        self.commit(change);
        Ok(Some((docket.label(), docket.state.load(Ordering::Relaxed) / TIMES)))
    }

    /// Of which item is it said that it is done? The oldest that this thread took, or this process, or anybody.
    pub(crate) fn meant(&self, thread: u32) -> Option<u32> {
        let mine = |docket: &Docket| docket.holder() == self.me;
        let of_thread = |docket: &Docket| mine(docket) && docket.thread.load(Ordering::Relaxed) == thread;
        let page = self.oldest(TAKEN, of_thread).or_else(|| self.oldest(TAKEN, mine));
        page.or_else(|| self.oldest(TAKEN, |_| true)).map(|page| page as u32)
    }

    /// One item is done that was kept. For who has the exit's guard.
    pub(crate) fn done_kept(&self, page: u32) -> Option<Left> {
        let holder = self.kept[page as usize].holder();
        let seat = holder.seat()?;
        let mut change = self.words.as_it_is(seat);
        if change.ledger >> 32 == u64::from(holder.0) && change.ledger as u32 != 0 {
            change.ledger -= 1;
        }
        change.done = change.done.wrapping_add(1);
        change.mark(page, 0);
        // Whoever looks at it frees it.
        (self.commit(change) & HELD == 0).then_some((page, holder))
    }

    /// Puts what a dead one had taken back into the queue. For who has the exit's guard.
    pub(crate) fn give_back(&self, change: Change) -> Change {
        let dead = Holder((change.ledger >> 32) as u32);
        if change.ledger as u32 == 0 {
            return Change { ledger: 0, ..change };
        }
        for docket in self.dockets().iter().filter(|docket| docket.is(TAKEN) && docket.holder() == dead) {
            let times = docket.state.load(Ordering::Relaxed) / TIMES;
            docket.state.store(((times + 1) * TIMES) | BACK, Ordering::Release);
        }
        let (returned, returned_weight) = count(self.dockets());
        Change { ledger: 0, returned, returned_weight, ..change }
    }

    /// Forgets what a dead one had taken. For who has the exit's guard, when nothing is given again any more.
    pub(crate) fn forget_taken(&self, change: Change) {
        let dead = Holder((change.ledger >> 32) as u32);
        for docket in self.dockets().iter().filter(|docket| docket.is(TAKEN) && docket.holder() == dead) {
            docket.state.store(0, Ordering::Release);
        }
    }

    /// Forgets all items that came back. For who has the exit's guard, when they are dropped already.
    pub(crate) fn forget_returned(&self) -> Vec<Left> {
        let back = self.dockets().iter().enumerate().filter(|(_, docket)| docket.is(BACK));
        let forget = |(page, docket): (usize, &Docket)| {
            docket.state.store(0, Ordering::Release);
            (page as u32, docket.holder())
        };
        back.map(forget).collect()
    }
}
