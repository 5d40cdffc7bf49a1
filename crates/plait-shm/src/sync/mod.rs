//! The memory the algorithms run on: shared words and bytes in the real build, loom's in the model.
//!
//! `claim`, `stream`, `bell` and `seats` are written once, on the few types below. In the real build these are plain
//! words at fixed places of a mapping that other processes have too; under `cfg(loom)` they are loom's, so that
//! the loom tests run the very code that ships. Promise: both builds have the same operations with the same orderings.

#[cfg(loom)]
#[path = "modelled.rs"]
mod imp;
#[cfg(not(loom))]
#[path = "mapped.rs"]
mod imp;
#[cfg(loom)]
mod mortal;

pub(crate) use imp::{Area, AtomicU8, AtomicU32, AtomicU64, Futex, Ordering, Place, Slept, SlotCell, fence, now};
#[cfg(not(loom))]
pub(crate) use imp::{Home, Shareable, look_instead, sleep_any};
#[cfg(all(test, loom))]
pub(crate) use mortal::dies_at;

/// A value on cache lines of its own, so that two processes that write neighbours do not slow each other down.
#[repr(C, align(64))]
pub(crate) struct Line<T>(pub(crate) T);

impl<T> std::ops::Deref for Line<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
