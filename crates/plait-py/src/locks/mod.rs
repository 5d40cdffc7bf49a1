//! Locks and their kin as Python classes: those of `plait-shm`, for threads, processes and event loops at once.
//!
//! `travel` says how they reach other processes, `waiting` how one waits for them.

mod barrier;
mod condition;
mod event;
mod lock;
mod semaphore;
pub mod travel;
pub mod waiting;

pub use barrier::{Passage, Turnstile};
pub use condition::{Places, Waiting};
pub use event::EventBase;
pub use lock::{LockBase, RLockBase, new_holder};
pub use semaphore::SemaphoreBase;
pub use travel::{Memories, for_fork, lock_address, lock_arrived, set_lock_address};
pub use waiting::Wait;
