//! Says in this process's own memory what the process is and which task each of its threads runs, for observers outside.
//!
//! The layout is `plait_trace::beacon`, which readers share. Writing it costs some nanoseconds a task: a handful of plain
//! stores into a line of memory that no other thread writes to. No lock, no system call, no clock; a name is not copied, its
//! address is told. Whoever looks finds the table by the exported symbol `PLAIT_BEACON`.

mod label;

use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use plait_trace::beacon::{HEAD, MAGIC, ROLE, SLOT, SLOTS, VERSION};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::callout;
use label::Label;

/// The head, as it lies in memory. It is all zeros in the file, so that the table takes no room there.
#[repr(C)]
struct Head {
    magic: AtomicU64,
    version: AtomicU32,
    slot: AtomicU32,
    slots: AtomicU32,
    used: AtomicU32,
    unseated: AtomicU32,
    role_len: AtomicU32,
    role: [AtomicU8; ROLE],
}

/// A slot, as it lies in memory: a line of the processor's cache, written by its thread alone.
#[repr(C, align(64))]
struct Slot {
    sequence: AtomicU64,
    task: AtomicU64,
    since: AtomicU64,
    name: AtomicU64,
    module: AtomicU64,
    name_len: AtomicU32,
    module_len: AtomicU32,
    tid: AtomicU32,
    depth: AtomicU32,
    spare: AtomicU64,
}

const _: () = assert!(size_of::<Head>() == HEAD && offset_of!(Head, role) == 32 && size_of::<Slot>() == SLOT);
const _: () = assert!(offset_of!(Head, used) == 20 && offset_of!(Head, role_len) == 28);
const _: () = assert!(offset_of!(Slot, name_len) == 40 && offset_of!(Slot, depth) == 52);

/// All of it.
#[repr(C, align(64))]
pub struct Beacon {
    head: Head,
    slots: [Slot; SLOTS],
}

/// What observers look for.
#[unsafe(no_mangle)]
pub static PLAIT_BEACON: Beacon = Beacon {
    head: Head {
        magic: AtomicU64::new(0),
        version: AtomicU32::new(0),
        slot: AtomicU32::new(0),
        slots: AtomicU32::new(0),
        used: AtomicU32::new(0),
        unseated: AtomicU32::new(0),
        role_len: AtomicU32::new(0),
        role: [const { AtomicU8::new(0) }; ROLE],
    },
    slots: [const { Slot::new() }; SLOTS],
};

/// Tasks that were begun on threads of this process, which nobody else counts.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Makes it readable.
pub fn light() {
    let head = &PLAIT_BEACON.head;
    head.version.store(VERSION, Ordering::Relaxed);
    head.slot.store(SLOT as u32, Ordering::Relaxed);
    head.slots.store(SLOTS as u32, Ordering::Relaxed);
    head.magic.store(u64::from_ne_bytes(MAGIC), Ordering::Release);
}

/// Says what this process is.
pub fn set_role(role: &str) {
    let head = &PLAIT_BEACON.head;
    head.role_len.store(0, Ordering::Relaxed);
    let len = role.len().min(ROLE);
    for (place, byte) in head.role.iter().zip(role.bytes()) {
        place.store(byte, Ordering::Relaxed);
    }
    head.role_len.store(len as u32, Ordering::Release);
}

/// In the child of a fork, at once: it has this thread alone, and is not what its parent was. Waits for nothing.
pub fn forked() {
    let head = &PLAIT_BEACON.head;
    head.role_len.store(0, Ordering::Relaxed);
    let used = head.used.load(Ordering::Relaxed) as usize;
    if used == 0 {
        return;
    }
    let own = MINE.try_with(|mine| mine.0).ok().flatten();
    for slot in &PLAIT_BEACON.slots[..used.min(SLOTS)] {
        let stays = own.is_some_and(|own| std::ptr::eq(own, slot));
        slot.write(&State::NONE);
        slot.tid.store(if stays { own_tid() } else { 0 }, Ordering::Release);
    }
}

/// A task that this thread runs, until this is dropped.
#[must_use = "the task ends when this is dropped"]
pub struct Running {
    slot: Option<&'static Slot>,
    /// What the thread is in the midst of, and goes on with.
    before: State,
    /// What the name of the task belongs to, where something else could give it up meanwhile.
    _held: label::Held,
}

/// A task of a pool begins, of this number, which began at `since` (nanoseconds of `CLOCK_MONOTONIC`, 0 if unknown).
/// The function is alive until [`Running`] is dropped.
#[inline]
pub fn begin(function: &Bound<'_, PyAny>, task: u64, since: u64) -> Running {
    let Some(slot) = mine() else { return Running { slot: None, before: State::NONE, _held: label::Held::default() } };
    let Label { name, module, held } = Label::of(function);
    let before = slot.read();
    let depth = before.depth.saturating_add(1);
    slot.write(&State { task, since, name, module, depth });
    Running { slot: Some(slot), before, _held: held }
}

/// The same for a task that nobody has numbered.
#[inline]
pub fn begin_next(function: &Bound<'_, PyAny>) -> Running {
    begin(function, BEGUN.fetch_add(1, Ordering::Relaxed) + 1, 0)
}

/// A task turns out to be a call of this function, made on its behalf; without a task around it, it is one.
#[inline]
pub fn begin_within(function: &Bound<'_, PyAny>) -> Running {
    match mine() {
        Some(slot) if slot.depth.load(Ordering::Relaxed) > 0 => {
            begin(function, slot.task.load(Ordering::Relaxed), slot.since.load(Ordering::Relaxed))
        }
        _ => begin_next(function),
    }
}

/// Calls `fn(*args, **kwargs)`; to observers the task that this thread runs is a call of `named` meanwhile. For functions of
/// plait's own that stand between a pool and what the user gave it.
#[pyfunction]
#[pyo3(signature = (named, r#fn, args, kwargs=None, /))]
pub fn call_as<'py>(
    named: &Bound<'py, PyAny>,
    r#fn: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let _running = begin_within(named);
    callout::call(r#fn, args, kwargs)
}

impl Drop for Running {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.write(&self.before);
        }
    }
}

/// What a slot tells of.
struct State {
    task: u64,
    since: u64,
    name: (u64, u32),
    module: (u64, u32),
    depth: u32,
}

impl State {
    const NONE: Self = Self { task: 0, since: 0, name: (0, 0), module: (0, 0), depth: 0 };
}

impl Slot {
    const fn new() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            task: AtomicU64::new(0),
            since: AtomicU64::new(0),
            name: AtomicU64::new(0),
            module: AtomicU64::new(0),
            name_len: AtomicU32::new(0),
            module_len: AtomicU32::new(0),
            tid: AtomicU32::new(0),
            depth: AtomicU32::new(0),
            spare: AtomicU64::new(0),
        }
    }

    /// By the slot's own thread.
    #[inline]
    fn read(&self) -> State {
        State {
            task: self.task.load(Ordering::Relaxed),
            since: self.since.load(Ordering::Relaxed),
            name: (self.name.load(Ordering::Relaxed), self.name_len.load(Ordering::Relaxed)),
            module: (self.module.load(Ordering::Relaxed), self.module_len.load(Ordering::Relaxed)),
            depth: self.depth.load(Ordering::Relaxed),
        }
    }

    /// By the slot's own thread. The sequence is odd meanwhile.
    #[inline]
    fn write(&self, state: &State) {
        let sequence = self.sequence.load(Ordering::Relaxed) | 1;
        self.sequence.store(sequence, Ordering::Relaxed);
        fence(Ordering::Release);
        self.task.store(state.task, Ordering::Relaxed);
        self.since.store(state.since, Ordering::Relaxed);
        self.name.store(state.name.0, Ordering::Relaxed);
        self.name_len.store(state.name.1, Ordering::Relaxed);
        self.module.store(state.module.0, Ordering::Relaxed);
        self.module_len.store(state.module.1, Ordering::Relaxed);
        self.depth.store(state.depth, Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Release);
    }
}

/// The slot of a thread, given back at its end.
struct Mine(Option<&'static Slot>);

impl Drop for Mine {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.write(&State::NONE);
            slot.tid.store(0, Ordering::Release);
        }
    }
}

thread_local! {
    static MINE: Mine = Mine(take());
}

/// The slot of the calling thread, if it has one.
#[inline]
fn mine() -> Option<&'static Slot> {
    MINE.try_with(|mine| mine.0).ok().flatten()
}

/// A free slot.
#[cold]
fn take() -> Option<&'static Slot> {
    let (head, tid) = (&PLAIT_BEACON.head, own_tid());
    let free = |slot: &Slot| slot.tid.compare_exchange(0, tid, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    let found = PLAIT_BEACON.slots.iter().enumerate().find(|(_, slot)| free(slot));
    match found {
        Some((at, slot)) => {
            head.used.fetch_max(at as u32 + 1, Ordering::AcqRel);
            Some(slot)
        }
        None => {
            head.unseated.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

fn own_tid() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()
}
