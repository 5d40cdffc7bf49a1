//! A process's life is its id. Whether it has ended is asked by a signal that is none; of a child, also by a `waitid` that leaves it.
//!
//! An id is given to another process some time after the first has been waited for. Who looks every few milliseconds finds out before that.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, test_kill_process, waitid};

use super::Portable;
use crate::locks::{DIED, WATCHED};
use crate::sync::{AtomicU32, Futex, Ordering};
use crate::system::{self, Deaths};

/// The id of this process.
pub(crate) struct Will(u32);

impl system::Will for Will {
    fn make(_kept: Option<&Futex>, _pending: Option<&Futex>) -> io::Result<Self> {
        Ok(Self(std::process::id()))
    }

    fn set_pending(&self, _word: Option<&Futex>) {}

    fn life(&self) -> u32 {
        self.0
    }
}

impl Deaths for Portable {
    type Will = Will;
    const LOOK_EVERY: Option<u64> = Some(2_000_000);

    fn look(word: &AtomicU32) {
        let seen = word.load(Ordering::Acquire);
        if seen & DIED != 0 {
            return;
        }
        let life = i32::try_from(seen & !WATCHED).ok().and_then(Pid::from_raw);
        if life.is_some_and(has_ended) {
            // Acquire: what the dead one wrote is seen by whoever sees the mark.
            let _ = word.compare_exchange(seen, DIED | seen & WATCHED, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    fn run_at_once() {}
}

/// Has the process with this id ended, or is there none? A zombie has, if it is this process's own.
pub(super) fn has_ended(pid: Pid) -> bool {
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return true;
    }
    let leave = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(pid), leave), Ok(Some(_)))
}
