//! Memory shared by the processes of a pool: segments, rings, wake-ups. On Linux with memfd and futex; see [`PLATFORM`] for others.
//!
//! The parent makes a [`PoolMemory`] for the pool and a [`WorkerMemory`] for each worker process, and hands their
//! file descriptors over; large data lies in the program's [`Commons`], put there by an [`Arena`] and read where it lies
//! ([`ArenaView`], [`Mapped`]), and its blocks travel as plain numbers.
//! One rule carries it all: no lock is shared with a process that can die, and whoever owns a thing is written in the
//! same word that says it is owned. The protocols, their proofs and what happens when a process is killed at any
//! instant are in this crate's README.
//!
//! This crate is the home of unsafe. Its public functions are safe: whatever another process writes into the shared memory,
//! the caller gets wrong bytes or an error.

// The model runs the algorithms alone: loom's words cannot lie in a mapping.
#![cfg_attr(loom, allow(dead_code))]

#[cfg(not(loom))]
mod arena;
mod bell;
mod block;
mod claim;
#[cfg(not(loom))]
mod commons;
#[cfg(not(loom))]
mod dump;
mod error;
#[cfg(not(loom))]
mod ident;
mod locks;
#[cfg(not(loom))]
mod mapped;
#[cfg(not(loom))]
mod pool_memory;
mod progress;
mod queue;
mod seats;
#[cfg(not(loom))]
mod segment;
mod status;
mod stream;
mod sync;
#[cfg(not(loom))]
mod system;
mod tail;
#[cfg(not(loom))]
mod worker_memory;

#[cfg(not(loom))]
pub use arena::{Arena, ArenaError, ArenaView};
pub use bell::{Bell, Wake};
pub use block::{Block, Region};
pub use claim::{ClaimConsumer, ClaimProducer, Full, INLINE, Position};
#[cfg(not(loom))]
pub use commons::Commons;
pub use error::{Malformed, OpenError};
#[cfg(not(loom))]
pub use locks::{
    Acquired, Acquiring, Barrier, BeginError, Broken, Condition, Died, Event, JoinError, Lock, LockMemory, Name,
    Notification, Notified, Passed, Passing, Permit, RLock, Reacquiring, ReleaseError, Semaphore, Still, Ticket,
    TooMany, WaitError, Waiters, Watching, hold_still,
};
pub use locks::{Deadline, Left, Pause, Pending, wait};
#[cfg(not(loom))]
pub use mapped::{Access, Mapped};
#[cfg(not(loom))]
pub use pool_memory::PoolMemory;
pub use progress::Progress;
#[cfg(not(loom))]
pub use queue::{
    Bounds, Getting, Item, Joining, Message, Offer, Parcel, PutError, Putting, Queue, Ready, TakeError, Taken, Wanted,
    this_thread,
};
#[cfg(not(loom))]
pub use segment::Segment;
pub use status::WorkerStatus;
pub use stream::{StreamReader, StreamWriter, WriteError};
#[cfg(not(loom))]
pub use system::{Here as Platform, PLATFORM, ProcessWatch, private_file};
pub use tail::Tail;
#[cfg(not(loom))]
pub use worker_memory::{NewWorkerMemory, WorkerMemory};

/// How many workers a pool can have: ids fit into the claim ring's state word beside its other states.
pub const MAX_WORKERS: usize = 240;

/// Runs a loom model: every interleaving with up to three preemptions, and every stale read that the orderings allow.
#[cfg(all(test, loom))]
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    model_of(3, body);
}

/// As [`model`], for models whose interleavings with three preemptions are too many.
#[cfg(all(test, loom))]
pub(crate) fn model_of(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    // Of one interleaving; what dies and is looked after takes many.
    model.max_branches = 10_000;
    model.check(body);
}

#[cfg(all(test, not(loom)))]
mod wild_tests;
