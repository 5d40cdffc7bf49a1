//! Who waits for a GIL of this process.
//!
//! Asking a thread costs a few microseconds, so of many threads some are asked at each look, in turn. A thread that waits does
//! so until it has the GIL, so it is counted from when it was first seen.

use std::collections::HashSet;

use crate::lanes::ThreadFiles;
use crate::observer::is_observer;
use crate::tree::threads;
use crate::{Gil, Pid};

/// Threads that are asked at one look.
const AT_ONCE: usize = 16;
/// Looks after which it is asked anew which threads there are.
const LIST_EVERY: usize = 16;

/// The threads of this process, while one of them holds a GIL.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    threads: Vec<Pid>,
    waiting: HashSet<Pid>,
    looks: usize,
    next: usize,
}

impl Crowd {
    /// The GIL goes to another thread, or is let go: nothing is known of who waits.
    pub fn disperse(&mut self) {
        self.looks = 0;
        self.waiting.clear();
    }

    /// Asks some threads, or with `all` every one, and gives how many were seen to wait so far.
    pub fn ask(&mut self, gil: Gil, holder: Pid, left_out: Pid, all: bool) -> usize {
        if self.looks.is_multiple_of(LIST_EVERY) || all {
            let others = |tid: &Pid| *tid != holder && *tid != left_out && !is_observer(*tid);
            self.threads = threads(std::process::id()).into_iter().filter(others).collect();
        }
        self.looks += 1;
        let count = if all { self.threads.len() } else { AT_ONCE.min(self.threads.len()) };
        for _ in 0..count {
            self.next = (self.next + 1) % self.threads.len();
            let tid = self.threads[self.next];
            if !self.waiting.contains(&tid) && waits(gil, tid) {
                self.waiting.insert(tid);
            }
        }
        self.waiting.len()
    }
}

fn waits(gil: Gil, tid: Pid) -> bool {
    let call = ThreadFiles::open(std::process::id(), tid).and_then(|mut files| files.call());
    call.is_ok_and(|call| gil.is_waited_for_in(call))
}
