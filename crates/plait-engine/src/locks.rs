//! Locks and their kin in shared memory: those of `plait-shm`, for the binding.

pub use plait_shm::{
    Acquired, Acquiring, Barrier, BeginError, Broken, Condition, Deadline, Event, JoinError, Left, Lock, LockMemory,
    Name, Notification, Notified, Passed, Passing, Pending, Permit, RLock, Reacquiring, ReleaseError, Semaphore, Still,
    Ticket, TooMany, WaitError, Waiters, Watching, hold_still, wait,
};
