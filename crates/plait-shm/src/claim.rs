//! The claim ring: the parent publishes tasks, whichever worker is free claims the next one.
//!
//! Fixed slots, of a word and 256 bytes. A slot's state word holds the position it stands for, and the owner; a claim is one
//! compare-and-swap that writes both, so at no instant is a task taken by nobody known. Promises:
//! each pushed task is claimed once, or retracted, or reported by [`ClaimProducer::recover`]; a consumer sees the whole body
//! or none of it; a worker that dies holds back its slot and nothing else; what a worker writes out of turn may
//! stop the ring, which [`ClaimProducer::is_sound`] then says, and never leads the parent outside of it: ids come back from
//! the parent's own memory. Tasks lie apart from the words, and workers have them mapped for reading only: so none can
//! change what another will run.
//!
//! | state word | who may write it next |
//! |---|---|
//! | `pos<<8 \| FREE` | the producer, when it pushes `pos`: READY |
//! | `pos<<8 \| READY` | any consumer: TAKEN(itself); the producer, retracting: `(pos+N)<<8 \| FREE` |
//! | `pos<<8 \| TAKEN(w)` | worker `w`, once it has copied the body: `(pos+N)<<8 \| FREE`; the producer, when `w` is dead: the same |
//!
//! N is the number of slots, and slot `i` stands for the positions that leave `i` when divided by N.

use std::cell::Cell;
use std::fmt;

use plait_trace::{TaskId, WorkerId};

#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU64, Line, Ordering, Place, SlotCell};

/// How many bytes of a task fit into its slot.
pub const INLINE: usize = 224;

/// Where a task stands in the ring: positions are given out in order and never again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

/// Every slot holds a task that no worker has finished copying: keep the task, and push it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no free slot in the claim ring, keep the task and push it when one is free")
    }
}

impl std::error::Error for Full {}

const FREE: u64 = 0;
const READY: u64 = 1;
/// TAKEN by worker w is `FIRST_TAKEN + w`; so a state word's 8 bits leave room for 240 workers.
const FIRST_TAKEN: u64 = 16;
const _: () = assert!(FIRST_TAKEN as usize + crate::MAX_WORKERS == 256);

const fn state(position: u64, tag: u64) -> u64 {
    position << 8 | tag
}

const fn taken_by(worker: WorkerId) -> u64 {
    FIRST_TAKEN + worker.0 as u64
}

/// What the state word guards: written while FREE by the producer, read while TAKEN by the taker.
#[repr(C)]
pub(crate) struct Task {
    id: u64,
    len: u32,
    _unused: u32,
    body: [u8; INLINE],
}

#[repr(C, align(64))]
pub(crate) struct TaskCell(SlotCell<Task>);

#[cfg(not(loom))]
const _: () = assert!(size_of::<TaskCell>() == 256);

// SAFETY: bytes in an UnsafeCell any pattern of which is a `Task`.
#[cfg(not(loom))]
unsafe impl Shareable for TaskCell {}

/// The slots of a ring: their words, and their tasks, as many.
#[derive(Clone)]
pub(crate) struct Slots {
    states: Place<[Line<AtomicU64>]>,
    tasks: Place<[TaskCell]>,
}

/// One of them.
struct Slot<'a> {
    state: &'a AtomicU64,
    task: &'a SlotCell<Task>,
}

impl Slots {
    /// Bytes of a slot's word, and of its task.
    pub(crate) const STATE_BYTES: usize = size_of::<Line<AtomicU64>>();
    pub(crate) const TASK_BYTES: usize = size_of::<TaskCell>();

    pub(crate) fn new(states: Place<[Line<AtomicU64>]>, tasks: Place<[TaskCell]>) -> Self {
        let count = states.len();
        assert!(count.is_power_of_two(), "a claim ring has a power of two of slots");
        assert!(count == tasks.len(), "each slot has a word and a task");
        Self { states, tasks }
    }

    fn len(&self) -> usize {
        self.states.len()
    }

    fn at(&self, position: u64) -> Slot<'_> {
        // Their number is a power of two.
        let index = position as usize & (self.states.len() - 1);
        Slot { state: &self.states[index], task: &self.tasks[index].0 }
    }
}

#[cfg(all(test, loom))]
impl Slots {
    /// The slots of an empty ring.
    pub(crate) fn ring(slots: u64) -> Self {
        let empty = || TaskCell(SlotCell::new(Task { id: 0, len: 0, _unused: 0, body: [0; INLINE] }));
        let states: std::sync::Arc<[_]> = (0..slots).map(|at| Line(AtomicU64::new(state(at, FREE)))).collect();
        let tasks: std::sync::Arc<[_]> = (0..slots).map(|_| empty()).collect();
        Self::new(states.into(), tasks.into())
    }
}

/// How far claims have come: all positions below are claimed or retracted. A hint that saves consumers the walk; it may lag.
pub(crate) type ClaimedUpTo = Line<AtomicU64>;

// SAFETY: an atomic.
#[cfg(not(loom))]
unsafe impl Shareable for ClaimedUpTo {}

/// The parent's end of the claim ring.
pub struct ClaimProducer {
    slots: Slots,
    hint: Place<ClaimedUpTo>,
    /// The task last pushed to each slot, out of the workers' reach.
    tasks: Box<[TaskId]>,
    /// The next position to push.
    tail: u64,
    /// The slots of `tail..free_up_to` are known to be free. Cells: asking is not changing, and one thread owns this end.
    free_up_to: Cell<u64>,
    /// All positions below are claimed or retracted.
    front: Cell<u64>,
}

impl ClaimProducer {
    /// The producing end of a ring whose memory is all zero; there must be no other.
    pub(crate) fn new(slots: Slots, hint: Place<ClaimedUpTo>) -> Self {
        for at in 0..slots.len() as u64 {
            slots.at(at).state.store(state(at, FREE), Ordering::Release);
        }
        let tasks = vec![TaskId::from_bits(0); slots.len()].into();
        Self { slots, hint, tasks, tail: 0, free_up_to: Cell::new(0), front: Cell::new(0) }
    }

    fn slot(&self, position: u64) -> Slot<'_> {
        self.slots.at(position)
    }

    /// Publishes `task`, whose body is the `body` parts one after the other. Then wake a worker (`PoolMemory::wake_idle`).
    ///
    /// # Errors
    /// [`Full`] when the next slot is still in use; nothing was published.
    ///
    /// # Panics
    /// When the body is longer than [`INLINE`]: longer ones are for the caller to put elsewhere, and to send their place.
    pub fn push(&mut self, task: TaskId, body: &[&[u8]]) -> Result<Position, Full> {
        let len: usize = body.iter().map(|part| part.len()).sum();
        assert!(len <= INLINE, "a task's body has {len} bytes, its slot holds {INLINE}");
        let at = self.tail;
        if at == self.free_up_to.get() {
            // SYNC POINT with the store that freed the slot, in `ClaimConsumer::claim`: its reader is done with the body.
            if self.slot(at).state.load(Ordering::Acquire) != state(at, FREE) {
                return Err(Full);
            }
            self.free_up_to.set(at + 1);
        }
        let index = at as usize & (self.slots.len() - 1);
        self.tasks[index] = task;
        let slot = self.slots.at(at);
        slot.task.with_mut(|to| {
            // SAFETY: the slot is FREE for `at`, a state that the producer alone ends, and this is the only producer; `len` was
            // checked against the room; parts are private memory and so do not overlap it.
            unsafe {
                (&raw mut (*to).id).write(task.bits());
                (&raw mut (*to).len).write(len as u32);
                let mut end = (&raw mut (*to).body).cast::<u8>();
                for part in body {
                    end.copy_from_nonoverlapping(part.as_ptr(), part.len());
                    end = end.add(part.len());
                }
            }
        });
        // SYNC POINT with the compare-and-swap in `ClaimConsumer::claim`, which gets to see the body.
        slot.state.store(state(at, READY), Ordering::Release);
        self.tail = at + 1;
        Ok(Position(at))
    }

    /// Takes a task back before any worker has it: true means that none ever will.
    pub fn retract(&mut self, at: Position) -> bool {
        let (ready, free) = (state(at.0, READY), state(at.0 + self.slots.len() as u64, FREE));
        // Relaxed: the slot goes from the producer to itself; a consumer may have looked at the state, never at the body.
        self.slot(at.0).state.compare_exchange(ready, free, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Has a worker claimed it, now or earlier? Not to be asked about a position that was retracted: that one is gone too.
    pub fn is_taken(&self, at: Position) -> bool {
        self.slot(at.0).state.load(Ordering::Relaxed) != state(at.0, READY)
    }

    /// Has a worker claimed it and freed the slot? Then its status says that it runs it, until it has ended and its result is in
    /// the ring: both can be seen by who saw this.
    pub fn is_copied(&self, at: Position) -> bool {
        // SYNC POINT with the store that freed the slot, for what `on_claim` wrote.
        self.slot(at.0).state.load(Ordering::Acquire) >> 8 > at.0
    }

    /// Does every word of the ring say what the protocol can have left there? False means that somebody wrote over it, and that tasks
    /// may be lost or never claimed.
    pub fn is_sound(&self) -> bool {
        let slots = self.slots.len() as u64;
        let hint = self.hint.load(Ordering::Relaxed);
        let pushed = (self.tail.saturating_sub(slots)..self.tail).all(|at| {
            let word = self.slot(at).state;
            let seen = word.load(Ordering::Relaxed);
            match (seen >> 8, seen & 0xff) {
                (position, FREE) => position == at + slots,
                // All below the hint were claimed before it was stored; but that may be seen late, except by an exchange.
                (position, READY) if at < hint => {
                    position == at && word.compare_exchange(seen, seen, Ordering::Relaxed, Ordering::Relaxed).is_err()
                }
                (position, READY) => position == at,
                (position, tag) => position == at && tag >= FIRST_TAKEN,
            }
        });
        let free = (self.tail..slots).all(|at| self.slot(at).state.load(Ordering::Relaxed) == state(at, FREE));
        pushed && free && hint <= self.tail
    }

    /// Frees the slots that `dead` had claimed and not freed, and tells their tasks.
    ///
    /// Only for a process that is known to have ended, and before its id is given to another. A task may be told here and also
    /// by the worker's status as the one it ran: the worker notes the task before it frees the slot.
    pub fn recover(&mut self, dead: WorkerId) -> Vec<TaskId> {
        let slots = self.slots.len() as u64;
        let mut recovered = Vec::new();
        if dead.index() >= crate::MAX_WORKERS {
            // No worker of this ring, and its number would not fit beside the others.
            return recovered;
        }
        for at in self.tail.saturating_sub(slots)..self.tail {
            let word = self.slot(at).state;
            if word.load(Ordering::Relaxed) == state(at, taken_by(dead)) {
                // The kernel's news of the death came after everything that the dead process did.
                word.store(state(at + slots, FREE), Ordering::Relaxed);
                recovered.push(self.tasks[at as usize & (self.slots.len() - 1)]);
            }
        }
        recovered
    }

    /// How many tasks are published and not yet taken; never less, and more only by what was retracted behind a waiting task.
    pub fn waiting(&self) -> usize {
        let mut front = self.front.get();
        while front < self.tail && self.slot(front).state.load(Ordering::Relaxed) != state(front, READY) {
            front += 1;
        }
        self.front.set(front);
        (self.tail - front) as usize
    }

    /// How many pushes would succeed now; workers may free more at any moment.
    pub fn free(&self) -> usize {
        let mut free = self.free_up_to.get();
        // SYNC POINT with the store that freed the slot, as in `push`, which relies on what is found here.
        while free - self.tail < self.slots.len() as u64
            && self.slot(free).state.load(Ordering::Acquire) == state(free, FREE)
        {
            free += 1;
        }
        self.free_up_to.set(free);
        (free - self.tail) as usize
    }
}

/// A worker's end of the claim ring.
pub struct ClaimConsumer {
    slots: Slots,
    hint: Place<ClaimedUpTo>,
    me: WorkerId,
    /// All positions below are claimed or retracted.
    cursor: Cell<u64>,
}

impl ClaimConsumer {
    pub(crate) fn new(slots: Slots, hint: Place<ClaimedUpTo>, me: WorkerId) -> Self {
        assert!(me.index() < crate::MAX_WORKERS);
        Self { slots, hint, me, cursor: Cell::new(0) }
    }

    fn slot(&self, position: u64) -> Slot<'_> {
        self.slots.at(position)
    }

    /// The first position that looks READY, if there is one.
    fn next(&self) -> Option<u64> {
        let slots = self.slots.len() as u64;
        let mut at = self.cursor.get().max(self.hint.load(Ordering::Relaxed));
        let found = loop {
            let seen = self.slot(at).state.load(Ordering::Relaxed);
            let (position, tag) = (seen >> 8, seen & 0xff);
            if position > at {
                // The slot has moved on. It came to `position` once all up to two rounds before had been freed.
                at = (at + 1).max((position + 1).saturating_sub(2 * slots));
            } else if position < at || tag == FREE {
                // Not pushed yet: the slot still stands for the round before, or is free for this one.
                break None;
            } else if tag == READY {
                break Some(at);
            } else {
                at += 1;
            }
        };
        self.cursor.set(at);
        found
    }

    /// Claims the next task and copies its body to the front of `into`; gives the task's id and the body's length.
    ///
    /// `on_claim` runs when the task is this worker's and before the slot is free again: what it writes down
    /// (`WorkerStatus::begin`) leaves no instant at which a killed worker's task is known to nobody. If it panics, the
    /// slot stays taken until the parent recovers it.
    pub fn claim(&mut self, into: &mut [u8; INLINE], on_claim: impl FnOnce(TaskId)) -> Option<(TaskId, usize)> {
        let slots = self.slots.len() as u64;
        let (at, slot) = loop {
            let at = self.next()?;
            let slot = self.slot(at);
            let (ready, taken) = (state(at, READY), state(at, taken_by(self.me)));
            // SYNC POINT with the READY store in `ClaimProducer::push`.
            if slot.state.compare_exchange(ready, taken, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                break (at, slot);
            }
            // Another worker was faster, or the parent took it back; `next` goes on from here.
        };
        self.cursor.set(at + 1);
        if self.hint.load(Ordering::Relaxed) < at + 1 {
            self.hint.store(at + 1, Ordering::Relaxed);
        }
        let (task, len) = slot.task.with(|from| {
            // SAFETY: the slot is TAKEN by this worker, so by the protocol nobody writes the task. The length is read once and
            // cut to the room, so that a wild write elsewhere cannot lead the copy out of the slot or out of `into`.
            unsafe {
                let len = ((&raw const (*from).len).read_volatile() as usize).min(INLINE);
                into.as_mut_ptr().copy_from_nonoverlapping((&raw const (*from).body).cast::<u8>(), len);
                (TaskId::from_bits((&raw const (*from).id).read_volatile()), len)
            }
        });
        on_claim(task);
        // SYNC POINT with the Acquire loads of `ClaimProducer::push` and `free`; and with `recover`, for what `on_claim` wrote.
        slot.state.store(state(at + slots, FREE), Ordering::Release);
        Some((task, len))
    }

    /// Is there nothing to claim at this moment? Exact after a SeqCst fence, which is what parking relies on.
    pub fn is_empty(&self) -> bool {
        self.next().is_none()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
