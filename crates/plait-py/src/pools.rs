//! Says in this process's own memory which pools it has, for observers outside.
//!
//! The layout is `plait_trace::pools`, which readers share. The table tells where the figures of a pool lie, which are counted
//! anyway; so a pool costs some stores when it is made and when it goes, and a task nothing. Whoever looks finds the table by
//! the exported symbol `PLAIT_POOLS`.

use std::collections::BTreeMap;
use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use plait_engine::tally::{Counters, Tally};
use plait_trace::pools::{HEAD, MAGIC, NAME, PoolKind, SLOT, SLOTS, VERSION};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::process::forks;
use crate::stats;

/// The head, as it lies in memory.
#[repr(C, align(64))]
struct Head {
    magic: AtomicU64,
    version: AtomicU32,
    slot: AtomicU32,
    slots: AtomicU32,
    used: AtomicU32,
    unseated: AtomicU32,
}

/// A slot, as it lies in memory. Its sequence is odd while it is changed, which one thread at a time does.
#[repr(C)]
struct Slot {
    sequence: AtomicU64,
    number: AtomicU64,
    counts: AtomicU64,
    places: AtomicU64,
    len: AtomicU32,
    kind: AtomicU32,
    most: AtomicU32,
    name_len: AtomicU32,
    name: [AtomicU8; NAME],
}

const _: () = assert!(size_of::<Head>() == HEAD && offset_of!(Head, unseated) == 24);
const _: () = assert!(size_of::<Slot>() == SLOT && offset_of!(Slot, most) == 40 && offset_of!(Slot, name) == 48);

/// All of it.
#[repr(C)]
pub struct Table {
    head: Head,
    slots: [Slot; SLOTS],
}

/// What observers look for.
#[unsafe(no_mangle)]
pub static PLAIT_POOLS: Table = Table {
    head: Head {
        magic: AtomicU64::new(0),
        version: AtomicU32::new(0),
        slot: AtomicU32::new(0),
        slots: AtomicU32::new(0),
        used: AtomicU32::new(0),
        unseated: AtomicU32::new(0),
    },
    slots: [const { Slot::new() }; SLOTS],
};

/// Pools are numbered from 1 in each process.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Makes it readable.
pub fn light() {
    let head = &PLAIT_POOLS.head;
    head.version.store(VERSION, Ordering::Relaxed);
    head.slot.store(SLOT as u32, Ordering::Relaxed);
    head.slots.store(SLOTS as u32, Ordering::Relaxed);
    head.magic.store(u64::from_ne_bytes(MAGIC), Ordering::Release);
}

/// In the child of a fork, at once: the pools are its parent's. Waits for nothing.
pub fn forked() {
    for slot in &PLAIT_POOLS.slots[..(PLAIT_POOLS.head.used.load(Ordering::Relaxed) as usize).min(SLOTS)] {
        slot.number.store(0, Ordering::Relaxed);
        // Another thread of the parent's may have been at it.
        let sequence = slot.sequence.load(Ordering::Relaxed) | 1;
        slot.sequence.store(sequence.wrapping_add(1), Ordering::Release);
    }
    PLAIT_POOLS.head.used.store(0, Ordering::Relaxed);
    PLAIT_POOLS.head.unseated.store(0, Ordering::Relaxed);
}

impl Slot {
    const fn new() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            number: AtomicU64::new(0),
            counts: AtomicU64::new(0),
            places: AtomicU64::new(0),
            len: AtomicU32::new(0),
            kind: AtomicU32::new(0),
            most: AtomicU32::new(0),
            name_len: AtomicU32::new(0),
            name: [const { AtomicU8::new(0) }; NAME],
        }
    }

    /// Takes it if it is free; then its sequence is odd.
    fn take(&self) -> bool {
        let sequence = self.sequence.load(Ordering::Acquire);
        sequence.is_multiple_of(2)
            && self.number.load(Ordering::Relaxed) == 0
            && self.sequence.compare_exchange(sequence, sequence + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Changes it, by the one that has it.
    fn change(&self, change: impl FnOnce(&Self)) {
        let sequence = self.sequence.load(Ordering::Relaxed) | 1;
        self.sequence.store(sequence, Ordering::Relaxed);
        fence(Ordering::Release);
        change(self);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Release);
    }
}

/// A pool that is on the table, as long as this is kept; and what it counts.
pub struct Published {
    slot: Option<&'static Slot>,
    number: u64,
    /// Held until it is off the table.
    tally: Arc<Tally>,
    forks: u64,
}

impl Published {
    /// Puts a pool on the table. Without a name it is called by its kind and number.
    pub fn new(kind: PoolKind, name: Option<&str>, most: usize, tally: &Arc<Tally>) -> Self {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let word = match kind {
            PoolKind::Processes => "processes",
            PoolKind::Threads => "threads",
            PoolKind::Asyncio => "asyncio",
        };
        let name = name.map_or_else(|| format!("{word} {number}"), str::to_owned);
        let head = &PLAIT_POOLS.head;
        let slot = PLAIT_POOLS.slots.iter().enumerate().find(|(_, slot)| slot.take()).map(|(at, slot)| {
            head.used.fetch_max(at as u32 + 1, Ordering::AcqRel);
            slot
        });
        if let Some(slot) = slot {
            slot.change(|slot| {
                let (places, len) = tally.places_at();
                slot.number.store(number, Ordering::Relaxed);
                slot.counts.store(tally.counts_at(), Ordering::Relaxed);
                slot.places.store(places, Ordering::Relaxed);
                slot.len.store(len, Ordering::Relaxed);
                slot.kind.store(kind as u32, Ordering::Relaxed);
                slot.most.store(most.clamp(1, u32::MAX as usize) as u32, Ordering::Relaxed);
                let end = (0..=name.len().min(NAME)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
                for (place, byte) in slot.name.iter().zip(name[..end].bytes()) {
                    place.store(byte, Ordering::Relaxed);
                }
                slot.name_len.store(end as u32, Ordering::Relaxed);
            });
        } else {
            head.unseated.fetch_add(1, Ordering::Relaxed);
        }
        Self { slot, number, tally: Arc::clone(tally), forks: forks() }
    }

    /// It takes no more tasks: once it has nothing to do, it need not be shown.
    pub fn close(&self) {
        if let Some(slot) = self.slot
            && self.forks == forks()
        {
            // One word, which readers may see or not.
            slot.most.store(0, Ordering::Release);
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if self.forks != forks() {
            return;
        }
        match self.slot {
            // In the child of a fork that nobody was told of it is another pool's.
            Some(slot) if slot.number.load(Ordering::Relaxed) != self.number => {}
            Some(slot) => slot.change(|slot| slot.number.store(0, Ordering::Relaxed)),
            None => drop(PLAIT_POOLS.head.unseated.fetch_sub(1, Ordering::Relaxed)),
        }
    }
}

/// What thread pools count, by the homes of their futures: those know nothing else of their pool.
pub type Tallies = BTreeMap<u64, Weak<Tally>>;

/// A lock that forks take, too.
pub static THREADS: Mutex<Tallies> = Mutex::new(BTreeMap::new());

fn threads() -> MutexGuard<'static, Tallies> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread pool was made.
pub fn know_threads(home: u64, tally: &Arc<Tally>) {
    threads().insert(home, Arc::downgrade(tally));
}

/// It has gone.
pub fn forget_threads(home: u64) {
    threads().remove(&home);
}

/// What it counts.
pub fn tally_of_threads(home: u64) -> Option<Arc<Tally>> {
    threads().get(&home)?.upgrade()
}

/// What a pool counts whose calls are made in Python.
#[pyclass(frozen, module = "plait._core")]
pub struct PoolTally(Published);

#[pymethods]
impl PoolTally {
    /// Of an asyncio pool with so many coroutines at a time.
    #[new]
    fn new(most: usize) -> Self {
        let tally = Tally::new(1);
        tally.take(std::process::id());
        Self(Published::new(PoolKind::Asyncio, None, most, &tally))
    }

    /// Counts one more: "submitted", "done", "failed", "cancelled" or "retried".
    fn add(&self, word: &str) -> PyResult<()> {
        let counters = self.0.tally.count();
        Counters::add(match word {
            "submitted" => &counters.submitted,
            "done" => &counters.done,
            "failed" => &counters.failed,
            "cancelled" => &counters.cancelled,
            "retried" => &counters.retried,
            _ => return Err(PyValueError::new_err(format!("nothing is counted as {word:?}"))),
        });
        Ok(())
    }

    /// So many calls have begun and not ended; told by one thread at a time.
    fn run(&self, count: u32) {
        if let Some(place) = self.0.tally.place(0) {
            place.run(count);
        }
    }

    /// The pool takes no more calls.
    fn close(&self) {
        self.0.close();
    }

    /// What is counted: see `plait._stats`.
    fn figures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        stats::of_tally(py, &self.0.tally.counts())
    }
}
