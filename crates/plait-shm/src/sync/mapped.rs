//! The real build: words and bytes inside memory that several processes have mapped.
//!
//! Promises: a [`Place`] keeps its memory mapped for as long as it lives, and no access leaves the area it was made for.

use std::cell::UnsafeCell;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use rustix::time::clock_gettime;

use crate::system::{Here, WakeUps};

/// Memory that [`Place`]s lie in.
///
/// # Safety
/// `bytes()` must give the same start and length on every call, and that memory must be readable, aligned to 64 bytes, and stay
/// so until the value is dropped; and writable, unless nothing in it is written through its places.
pub(crate) unsafe trait Home: Send + Sync + 'static {
    fn bytes(&self) -> NonNull<[u8]>;
}

/// A type that may lie in memory which another process writes at any moment.
///
/// # Safety
/// Every bit pattern is a valid value, and every byte that anybody may change lies in an atomic or an `UnsafeCell`.
pub(crate) unsafe trait Shareable: Sync {}

// SAFETY: atomics; every bit pattern is a number.
unsafe impl Shareable for AtomicU32 {}
// SAFETY: as above.
unsafe impl Shareable for AtomicU64 {}

/// A `T` (or a slice of them) in shared memory, together with the mapping that it lies in.
pub(crate) struct Place<T: ?Sized> {
    at: NonNull<T>,
    home: Arc<dyn Home>,
}

impl<T: ?Sized> Clone for Place<T> {
    fn clone(&self) -> Self {
        Self { at: self.at, home: Arc::clone(&self.home) }
    }
}

// SAFETY: a Place is a shared reference that owns its mapping; `T: Sync` is what a shared reference needs.
unsafe impl<T: ?Sized + Sync> Send for Place<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for Place<T> {}

impl<T: Shareable> Place<T> {
    /// The `T` at `offset` of `home`.
    ///
    /// # Panics
    /// When it would not lie wholly inside, or not aligned: layouts are constants of this crate.
    pub(crate) fn new(home: &Arc<impl Home>, offset: usize) -> Self {
        let at = start_of::<T>(&**home, offset, 1);
        Self { at, home: Arc::clone(home) as Arc<dyn Home> }
    }

    /// A part of the value, found by `part`.
    pub(crate) fn map<U>(&self, part: impl FnOnce(&T) -> &U) -> Place<U> {
        Place { at: NonNull::from(part(self)), home: Arc::clone(&self.home) }
    }
}

impl<T: Shareable> Place<[T]> {
    /// The `count` values of `T` from `offset` of `home` on. Panics as [`Place::new`] does.
    pub(crate) fn slice(home: &Arc<impl Home>, offset: usize, count: usize) -> Self {
        let first = start_of::<T>(&**home, offset, count);
        Self { at: NonNull::slice_from_raw_parts(first, count), home: Arc::clone(home) as Arc<dyn Home> }
    }
}

impl<T: ?Sized> Deref for Place<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `at` was checked to lie aligned within `home`, which is mapped as long as `self.home` lives; the type is
        // `Shareable`, so whatever another process writes there is a valid value behind an atomic or an UnsafeCell.
        unsafe { self.at.as_ref() }
    }
}

fn start_of<T>(home: &dyn Home, offset: usize, count: usize) -> NonNull<T> {
    let bytes = home.bytes();
    let end = count.checked_mul(size_of::<T>()).and_then(|size| size.checked_add(offset));
    assert!(end.is_some_and(|end| end <= bytes.len()), "a part of the layout lies outside of its segment");
    // SAFETY: offset <= end <= len, so the result is inside the mapping or one past it (for a count of nothing).
    let start = unsafe { bytes.cast::<u8>().add(offset) };
    assert!(start.cast::<T>().is_aligned(), "a part of the layout is not aligned");
    start.cast()
}

/// Bytes of one slot, written by one side and read by another in turns that a state word beside it decides.
#[repr(transparent)]
pub(crate) struct SlotCell<T>(UnsafeCell<T>);

// SAFETY: the cell gives out raw pointers only; those who dereference them prove that they are alone (see `claim`).
unsafe impl<T: Send> Sync for SlotCell<T> {}

impl<T> SlotCell<T> {
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A stretch of plain bytes, aligned to 64, that one side writes and another reads in turns.
#[derive(Clone)]
pub(crate) struct Area {
    base: NonNull<u8>,
    len: usize,
    _home: Arc<dyn Home>,
}

// SAFETY: an Area only hands out access through unsafe methods whose callers prove that they are alone.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    /// The `len` bytes from `offset` of `home` on. Panics as [`Place::new`] does.
    pub(crate) fn new(home: &Arc<impl Home>, offset: usize, len: usize) -> Self {
        let base = start_of::<u8>(&**home, offset, len);
        assert!(base.cast::<Line64>().is_aligned(), "an area starts on a cache line");
        Self { base, len, _home: Arc::clone(home) as Arc<dyn Home> }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset <= self.len && len <= self.len - offset, "an access leaves its area");
        // SAFETY: just checked to lie inside of the area, which `_home` keeps mapped.
        unsafe { self.base.add(offset) }
    }

    /// Copies `bytes` in.
    ///
    /// # Safety
    /// By the protocol nobody else may access these bytes now.
    pub(crate) unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: `to` has room for them; the source is private memory, as this area is never lent as `&mut`.
        unsafe { to.as_ptr().copy_from(bytes.as_ptr(), bytes.len()) }
    }

    /// Stores one word at an offset that is a multiple of 8.
    ///
    /// # Safety
    /// As for [`Area::write`].
    pub(crate) unsafe fn write_word(&self, offset: usize, word: u64) {
        let to = self.at(offset, 8).cast::<u64>();
        debug_assert!(to.is_aligned());
        // SAFETY: inside of the area and aligned, since the area is and the offset is a multiple of 8.
        unsafe { to.write_volatile(word) }
    }

    /// Reads one word, once: a process that writes out of turn changes what is read, not how often.
    ///
    /// # Safety
    /// By the protocol nobody may write it now.
    pub(crate) unsafe fn read_word(&self, offset: usize) -> u64 {
        let from = self.at(offset, 8).cast::<u64>();
        debug_assert!(from.is_aligned());
        // SAFETY: as in `write_word`; every bit pattern is a u64.
        unsafe { from.read_volatile() }
    }

    /// Lends the bytes to `f` where they lie.
    ///
    /// # Safety
    /// By the protocol nobody may write these bytes while `f` runs. That is a promise of the other process and not of the
    /// compiler: one that breaks it (a wild write by a C extension) changes what `f` sees. So those who decode the
    /// bytes must not rely on reading the same value twice.
    pub(crate) unsafe fn with<R>(&self, offset: usize, len: usize, f: impl FnOnce(&[u8]) -> R) -> R {
        let from = self.at(offset, len);
        // SAFETY: inside of the area, mapped, and unwritten for as long as `f` runs by this function's own condition.
        f(unsafe { std::slice::from_raw_parts(from.as_ptr(), len) })
    }
}

#[repr(align(64))]
struct Line64;

/// How a sleep on a [`Futex`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slept {
    /// The word had changed, or a wake-up came (perhaps one meant for somebody else).
    Woken,
    TimedOut,
    Interrupted,
}

/// A word on which threads of any process that has it mapped can sleep.
#[repr(transparent)]
pub(crate) struct Futex(AtomicU32);

// SAFETY: an atomic.
unsafe impl Shareable for Futex {}

impl Deref for Futex {
    type Target = AtomicU32;
    fn deref(&self) -> &AtomicU32 {
        &self.0
    }
}

impl Futex {
    /// A word in memory of this process alone.
    pub(crate) fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// Sleeps if the word is `expected`, until it is woken or the time is over.
    pub(crate) fn sleep(&self, expected: u32, timeout: Option<Duration>) -> Slept {
        // What no clock will ever show is longer than any machine lives.
        let ahead = timeout.and_then(|time| u64::try_from(time.as_nanos()).ok());
        self.sleep_until(expected, ahead.and_then(|ahead| now().checked_add(ahead)))
    }

    /// As [`Futex::sleep`], until an instant of [`now`].
    pub(crate) fn sleep_until(&self, expected: u32, until: Option<u64>) -> Slept {
        Here::sleep(&self.0, expected, until)
    }

    /// Wakes up to `count` of those who sleep on the word.
    pub(crate) fn wake(&self, count: u32) {
        Here::wake(&self.0, count);
    }

    /// Wakes everybody who sleeps on the word.
    pub(crate) fn wake_all(&self) {
        self.wake(u32::MAX);
    }
}

/// CLOCK_MONOTONIC, in nanoseconds: the same for all processes of the machine.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// From now on, has this process look at several words every half millisecond, as on kernels that cannot watch them.
pub(crate) fn look_instead() {
    Here::look_instead();
}

/// Sleeps while each word is as expected, until one of them is woken, or until an instant of [`now`].
pub(crate) fn sleep_any(words: &[(&Futex, u32)], until: Option<u64>) -> Slept {
    Here::sleep_any(words, until)
}
