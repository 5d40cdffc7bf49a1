//! Which process a worker is, by what the nursery tells and by what the worker says.

use std::sync::atomic::{AtomicI32, Ordering};

/// Two process ids of one worker, 0 where there is none yet.
#[derive(Debug, Default)]
pub(super) struct ProcessId {
    /// By the nursery, which looks after the process.
    told: AtomicI32,
    /// By the worker in its greeting. Not trusted: it is named, and nothing is done to it.
    said: AtomicI32,
}

impl ProcessId {
    /// The nursery has told of the worker's birth.
    pub(super) fn tell(&self, pid: i32) {
        self.told.store(pid, Ordering::Relaxed);
    }

    /// The worker's greeting has come.
    pub(super) fn greet(&self, greeting: &[u8]) {
        if let Ok(pid) = greeting.try_into().map(i32::from_le_bytes)
            && pid > 0
        {
            self.said.store(pid, Ordering::Relaxed);
        }
    }

    /// The process that something may be done to; 0 until it is known.
    pub(super) fn known(&self) -> i32 {
        self.told.load(Ordering::Relaxed)
    }

    /// The process for an error to name: a worker may have begun, and be stopped, before the news of its birth is read.
    pub(super) fn named(&self) -> i32 {
        match self.known() {
            0 => self.said.load(Ordering::Relaxed),
            pid => pid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_named_as_soon_as_it_has_greeted_and_known_by_the_nursery_alone() {
        let process = ProcessId::default();
        assert_eq!((process.known(), process.named()), (0, 0));
        process.greet(&4711_i32.to_le_bytes());
        assert_eq!((process.known(), process.named()), (0, 4711));
        process.tell(4712);
        assert_eq!((process.known(), process.named()), (4712, 4712));
    }

    #[test]
    fn what_is_no_process_id_is_not_heard() {
        let process = ProcessId::default();
        for greeting in [&[][..], &[1, 2, 3], &[0; 4], &[0; 5], &(-7_i32).to_le_bytes()] {
            process.greet(greeting);
            assert_eq!(process.named(), 0, "{greeting:?}");
        }
    }
}
