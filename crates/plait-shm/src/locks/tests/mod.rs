//! The locks in one process: its threads, and handles that leave as if their process had died. Real deaths are in
//! `tests/lock_torture.rs`.

use std::sync::Arc;
use std::time::Duration;

use super::*;

mod barriers;
mod books;
mod conditions;
mod deaths;
mod locks;
mod semaphores;
mod waiters;

fn soon() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_millis(2)))
}

/// Far beyond what anything takes.
fn late() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_secs(60)))
}

fn memory() -> Arc<LockMemory> {
    LockMemory::create(2048).unwrap()
}

fn theirs(memory: &LockMemory) -> Arc<LockMemory> {
    LockMemory::open(memory.fd().try_clone_to_owned().unwrap()).unwrap()
}

/// Waits for what another thread is about to do.
fn until(there: impl Fn() -> bool) {
    let late = late().unwrap();
    while !there() {
        assert!(!late.is_over(), "it never came");
        std::thread::yield_now();
    }
}
