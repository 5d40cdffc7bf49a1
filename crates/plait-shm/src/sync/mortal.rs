//! Words of a model whose thread can be killed before any of its steps, as a process can.
//!
//! A step is whatever changes a word, or what a record holds: between two of them nothing happens that others could see. Who dies
//! unwinds to [`dies_at`], with nothing done on the way: what it held it still holds.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use loom::sync::atomic::{self, Ordering};

loom::thread_local! {
    /// How many steps are left to this thread, if it is to die.
    static LEFT: Cell<Option<u32>> = Cell::new(None);
}

/// What a thread unwinds with that has died.
struct Death;

/// Does `life`, but for the step that comes after so many, and all that would follow; nothing if it came to that one.
pub(crate) fn dies_at<R>(steps: u32, life: impl FnOnce() -> R) -> Option<R> {
    LEFT.with(|left| left.set(Some(steps)));
    let ended = catch_unwind(AssertUnwindSafe(life));
    LEFT.with(|left| left.set(None));
    ended
        .map_err(|why| {
            if !why.is::<Death>() {
                resume_unwind(why)
            }
        })
        .ok()
}

/// This thread is about to change something that others see.
pub(crate) fn step() {
    // A thread that has ended drops what it had.
    let left = LEFT.try_with(Cell::get).ok().flatten();
    if let Some(left) = left {
        let Some(left) = left.checked_sub(1) else { resume_unwind(Box::new(Death)) };
        LEFT.with(|at| at.set(Some(left)));
    }
}

macro_rules! mortal {
    ($name:ident, $int:ty, $($step:ident($($argument:ident: $type:ty),*) -> $given:ty;)*) => {
        #[derive(Debug)]
        pub(crate) struct $name(atomic::$name);

        impl $name {
            pub(crate) fn new(value: $int) -> Self {
                Self(atomic::$name::new(value))
            }
            pub(crate) fn load(&self, order: Ordering) -> $int {
                self.0.load(order)
            }
            $(pub(crate) fn $step(&self, $($argument: $type),*) -> $given {
                step();
                self.0.$step($($argument),*)
            })*
        }
    };
    ($name:ident, $int:ty) => {
        mortal! { $name, $int,
            store(value: $int, order: Ordering) -> ();
            swap(value: $int, order: Ordering) -> $int;
            fetch_add(value: $int, order: Ordering) -> $int;
            fetch_sub(value: $int, order: Ordering) -> $int;
            fetch_and(value: $int, order: Ordering) -> $int;
            fetch_or(value: $int, order: Ordering) -> $int;
            fetch_max(value: $int, order: Ordering) -> $int;
            compare_exchange(seen: $int, next: $int, done: Ordering, not: Ordering) -> Result<$int, $int>;
            compare_exchange_weak(seen: $int, next: $int, done: Ordering, not: Ordering) -> Result<$int, $int>;
        }
    };
}

mortal!(AtomicU8, u8);
mortal!(AtomicU32, u32);
mortal!(AtomicU64, u64);
