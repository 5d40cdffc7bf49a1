//! The model: the same types on loom's, which explores the interleavings and the stale reads that the orderings allow.
//!
//! Memory is tracked word by word, so a reader that could see half a record fails the model, whatever it read.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use loom::cell::UnsafeCell;
pub(crate) use loom::sync::atomic::{Ordering, fence};
use loom::sync::{Condvar, Mutex};

pub(crate) use super::mortal::{AtomicU8, AtomicU32, AtomicU64};

/// A reference to a `T` that both sides have.
pub(crate) struct Place<T: ?Sized>(Arc<T>);

impl<T: ?Sized> Clone for Place<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> From<Arc<T>> for Place<T> {
    fn from(value: Arc<T>) -> Self {
        Self(value)
    }
}

impl<T: ?Sized> Deref for Place<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

pub(crate) struct SlotCell<T>(UnsafeCell<T>);

// SAFETY: loom panics when two threads access it without an order between them.
unsafe impl<T: Send> Sync for SlotCell<T> {}

impl<T> SlotCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.0.with(f)
    }
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }
}

/// Bytes in words of eight, each tracked.
#[derive(Clone)]
pub(crate) struct Area(Arc<[SlotCell<[u8; 8]>]>);

impl Area {
    pub(crate) fn new(len: usize) -> Self {
        Self((0..len / 8).map(|_| SlotCell::new([0; 8])).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len() * 8
    }

    /// # Safety
    /// None is needed here: loom checks what the real one asks for.
    pub(crate) unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        super::mortal::step();
        for (i, byte) in bytes.iter().enumerate() {
            let at = offset + i;
            // SAFETY: loom has just checked that nobody else accesses the word.
            self.0[at / 8].with_mut(|word| unsafe { (*word)[at % 8] = *byte });
        }
    }

    /// # Safety
    /// As for `write`.
    pub(crate) unsafe fn write_word(&self, offset: usize, word: u64) {
        // SAFETY: as in `write`.
        self.0[offset / 8].with_mut(|at| unsafe { *at = word.to_ne_bytes() });
    }

    /// # Safety
    /// As for `write`.
    pub(crate) unsafe fn read_word(&self, offset: usize) -> u64 {
        // SAFETY: as in `write`.
        self.0[offset / 8].with(|at| u64::from_ne_bytes(unsafe { *at }))
    }

    /// # Safety
    /// As for `write`.
    pub(crate) unsafe fn with<R>(&self, offset: usize, len: usize, f: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = Vec::with_capacity(len);
        for at in offset..offset + len {
            // SAFETY: as in `write`.
            bytes.push(self.0[at / 8].with(|word| unsafe { (*word)[at % 8] }));
        }
        f(&bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slept {
    Woken,
    TimedOut,
    Interrupted,
}

/// The kernel's futex: comparing and falling asleep are one step, under the lock of the word's queue.
pub(crate) struct Futex {
    word: AtomicU32,
    queue: Mutex<()>,
    woken: Condvar,
}

impl Deref for Futex {
    type Target = AtomicU32;
    fn deref(&self) -> &AtomicU32 {
        &self.word
    }
}

impl Futex {
    pub(crate) fn new(value: u32) -> Self {
        Self { word: AtomicU32::new(value), queue: Mutex::new(()), woken: Condvar::new() }
    }

    /// A model sleeps for ever or not at all; a lost wake-up is a deadlock, which loom reports.
    pub(crate) fn sleep(&self, expected: u32, timeout: Option<Duration>) -> Slept {
        if timeout.is_some() {
            return Slept::TimedOut;
        }
        let queue = self.queue.lock().unwrap();
        if self.word.load(Ordering::Relaxed) == expected {
            drop(self.woken.wait(queue).unwrap());
        }
        Slept::Woken
    }

    pub(crate) fn wake_all(&self) {
        drop(self.queue.lock().unwrap());
        self.woken.notify_all();
    }

    /// As [`Futex::sleep`]: an instant is over at once.
    pub(crate) fn sleep_until(&self, expected: u32, until: Option<u64>) -> Slept {
        self.sleep(expected, until.map(|_| Duration::ZERO))
    }

    pub(crate) fn wake(&self, count: u32) {
        drop(self.queue.lock().unwrap());
        for _ in 0..count.min(4) {
            self.woken.notify_one();
        }
    }
}

/// Models have no clock.
pub(crate) fn now() -> u64 {
    0
}
