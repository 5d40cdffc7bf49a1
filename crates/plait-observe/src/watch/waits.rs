//! What threads did while they were watched, as times.

use std::ops::AddAssign;
use std::time::Duration;

use crate::{Pid, Reason};

/// For how long threads did what. Time in which nobody looked is in none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// They wanted the GIL, and another thread had it.
    pub waiting: Duration,
    /// They ran or were ready to run, with or without the GIL; or slept in a system call with the GIL in hand while others
    /// waited for it.
    pub running: Duration,
    /// They slept in any other system call: a lock, a socket, a timer.
    pub blocked: Duration,
}

impl Waits {
    /// The share of the time in which threads wanted to run that they spent waiting for the GIL:
    /// `waiting / (waiting + running)`, and 0 when no thread ever wanted to run.
    pub fn share(&self) -> f64 {
        let wanted = self.waiting + self.running;
        if wanted.is_zero() { 0.0 } else { self.waiting.div_duration_f64(wanted) }
    }

    /// For how long threads were seen at all.
    pub fn seen(&self) -> Duration {
        self.waiting + self.running + self.blocked
    }
}

impl AddAssign for Waits {
    fn add_assign(&mut self, other: Self) {
        self.waiting += other.waiting;
        self.running += other.running;
        self.blocked += other.blocked;
    }
}

/// What was seen of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadWaits {
    /// The thread.
    pub tid: Pid,
    /// What it did.
    pub waits: Waits,
}

/// What was seen of one process, or why nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessWaits {
    /// The process.
    pub pid: Pid,
    /// What its threads did, all taken together; or why that cannot be told.
    pub waits: Result<Waits, Reason>,
    /// Thread by thread, at most 1,024 of them, in the order in which they ended or were found.
    pub threads: Vec<ThreadWaits>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_no_part_of_the_share() {
        let ms = Duration::from_millis;
        let waits = Waits { waiting: ms(3), running: ms(1), blocked: ms(100) };
        assert_eq!((waits.share(), waits.seen()), (0.75, ms(104)));
        assert_eq!(Waits { blocked: ms(5), ..Waits::default() }.share(), 0.0);
    }
}
