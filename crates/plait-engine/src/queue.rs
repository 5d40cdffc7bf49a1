//! Queues in shared memory: those of `plait-shm`, and looking before sleeping for who waits at one.

use std::sync::Mutex;

pub use plait_shm::{
    Bounds, Getting, Item, Joining, Message, Offer, Parcel, PutError, Putting, Queue, Ready, TakeError, Taken, Wanted,
    this_thread,
};

use crate::spin::{SPIN, Spinner};

/// What those who wait at one end of a queue in this process have learnt of looking.
#[derive(Debug, Default)]
pub struct Looks(Mutex<Spinner>);

impl Looks {
    /// Looks for some microseconds, unless another thread does or that has lately been in vain; whether it was found.
    pub fn look(&self, found: impl FnMut() -> bool) -> bool {
        // Never waited for: in a forked child it may be a thread's that is not there.
        self.0.try_lock().is_ok_and(|mut spinner| spinner.spin(SPIN, found))
    }
}
