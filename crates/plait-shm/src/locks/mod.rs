//! Locks and their kin in shared memory, for threads, processes and event loops at once, whose holders may die.
//!
//! `roster` says who takes part and who has died, `keeper` sees to what these held; `word` is the lock word that all else is
//! made with; `pending` is how one waits. `books`, `shelf` and `tenancy` say whose a line is. Each primitive has a file.

#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
mod books;
#[cfg(not(loom))]
mod condition;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod event;
mod flag;
#[cfg(not(loom))]
mod keeper;
#[cfg(not(loom))]
mod lock;
#[cfg(not(loom))]
mod membership;
#[cfg(not(loom))]
mod memory;
mod pending;
mod permits;
mod places;
mod roster;
#[cfg(not(loom))]
mod semaphore;
#[cfg(not(loom))]
mod shelf;
#[cfg(not(loom))]
mod tenancy;
mod turnstile;
#[cfg(not(loom))]
mod waiters;
mod word;

#[cfg(not(loom))]
pub(crate) use memory::Kind;
#[cfg(any(all(test, not(loom)), portable, not(target_os = "linux")))]
pub(crate) use roster::{DIED, WATCHED};
pub(crate) use roster::{Holder, Roster, SEATS};
#[cfg(not(loom))]
pub(crate) use tenancy::Tenancy;
pub(crate) use word::{LockWord, Taken};

#[cfg(not(loom))]
pub use barrier::{Barrier, Passed, Passing};
#[cfg(not(loom))]
pub use books::Name;
#[cfg(not(loom))]
pub use condition::{BeginError, Condition, Notification, Notified};
#[cfg(not(loom))]
pub use error::{ReleaseError, WaitError};
#[cfg(not(loom))]
pub use event::{Event, Watching};
#[cfg(not(loom))]
pub use lock::{Acquired, Acquiring, Died, Lock, RLock, Reacquiring};
#[cfg(not(loom))]
pub use membership::JoinError;
#[cfg(not(loom))]
pub use memory::LockMemory;
pub use pending::{Deadline, Left, Pause, Pending, wait};
#[cfg(not(loom))]
pub use semaphore::{Permit, Semaphore, TooMany};
#[cfg(not(loom))]
pub use tenancy::{Still, hold_still};
#[cfg(not(loom))]
pub use turnstile::Broken;
#[cfg(not(loom))]
pub use waiters::{Ticket, Waiters};

/// Sees to what somebody left in the line, where something of kind `kind` begins, as `me`; wakes all who sleep on it. `dead` has
/// died just now; nobody: look once more for what a thread of a dying process has done in its last moment.
#[cfg(not(loom))]
fn see_to(
    inside: &memory::Inside,
    line: usize,
    kind: Option<memory::Kind>,
    dead: Option<roster::Holder>,
    me: roster::Holder,
) {
    use memory::Kind;
    let roster = &inside.roster;
    match kind {
        None => {}
        Some(Kind::Lock) => inside.at::<lock::LockLine>(line).see_to(roster),
        Some(Kind::Event) => inside.at::<flag::FlagWord>(line).see_to(),
        Some(Kind::Semaphore) => inside.at::<permits::SemaphoreWords>(line).see_to(roster, dead, me),
        Some(Kind::Condition) => inside.at::<places::PlaceWords>(line).see_to(roster, me),
        Some(Kind::Queue) => inside.at::<crate::queue::QueueWords>(line).see_to(roster),
        Some(Kind::Barrier) => inside.at::<turnstile::TurnstileWords>(line).see_to(roster, dead, me),
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
