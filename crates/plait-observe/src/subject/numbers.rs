//! The numbers of a process's threads: as they call themselves, and as the observer sees them.
//!
//! A thread state holds the number that the thread's own namespace gives it (`gettid`). In a container that is another
//! number than outside; the kernel tells both, in the line `NSpid` of `/proc/PID/task/TID/status`.

use std::collections::{HashMap, HashSet};
use std::fs;

use crate::Pid;
use crate::tree::threads;

/// The live threads of one process.
#[derive(Debug)]
pub(super) struct Numbers {
    pid: Pid,
    /// The process numbers its threads as the observer does.
    same: bool,
    live: HashSet<Pid>,
    /// Of each live thread, the number it calls itself, where that is another one.
    inner: HashMap<Pid, Pid>,
    outer: HashMap<Pid, Pid>,
}

impl Numbers {
    pub fn of(pid: Pid) -> Self {
        // Kernels that do not tell have it in no line of any process; a thread never changes its namespace.
        let same = numbers(&format!("/proc/{pid}/status")).is_none_or(|numbers| numbers.len() < 2);
        Self { pid, same, live: HashSet::new(), inner: HashMap::new(), outer: HashMap::new() }
    }

    /// Lists the threads again.
    pub fn refresh(&mut self) {
        self.live = threads(self.pid).into_iter().collect();
        if self.same {
            return;
        }
        self.inner.retain(|tid, _| self.live.contains(tid));
        for &tid in &self.live {
            if self.inner.contains_key(&tid) {
                continue;
            }
            let told = numbers(&format!("/proc/{}/task/{tid}/status", self.pid));
            if let Some(&inner) = told.as_ref().and_then(|numbers| numbers.last()) {
                self.inner.insert(tid, inner);
            }
        }
        self.outer = self.inner.iter().map(|(&tid, &inner)| (inner, tid)).collect();
    }

    /// The observer's number of the thread that calls itself `native_id`; `None` when that is not known.
    pub fn outer(&self, native_id: u64) -> Option<Pid> {
        let inner = Pid::try_from(native_id).ok().filter(|&inner| inner != 0)?;
        if self.same { Some(inner) } else { self.outer.get(&inner).copied() }
    }

    /// Whether there was a thread `tid` when they were listed.
    pub fn is_live(&self, tid: Pid) -> bool {
        self.live.contains(&tid)
    }
}

/// A thread's numbers, from the observer's namespace to its own.
fn numbers(path: &str) -> Option<Vec<Pid>> {
    parse(&fs::read(path).ok()?)
}

fn parse(status: &[u8]) -> Option<Vec<Pid>> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_outermost_to_the_innermost() {
        let status = b"Name:\t\xff NSpid: 8\nPid:\t4321\nNSpid:\t4321\t77\t5\nNSsid:\t4321\t77\t5\n";
        assert_eq!(parse(status), Some(vec![4321, 77, 5]));
        assert_eq!(parse(b"Name:\tx\nNSpid:\t12\n"), Some(vec![12]));
        assert_eq!(parse(b"Name:\tx\n"), None);
        assert_eq!(parse(b"NSpid:\t12 x\n"), None);
    }

    #[test]
    fn own_threads_are_live_and_keep_their_number() {
        let mut own = Numbers::of(std::process::id());
        own.refresh();
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as Pid;
        assert!(own.is_live(tid) && own.is_live(std::process::id()));
        assert!(!own.is_live(Pid::MAX));
        if own.same {
            assert_eq!(own.outer(u64::from(tid)), Some(tid));
            assert_eq!(own.outer(0), None);
            assert_eq!(own.outer(u64::MAX), None);
        }
    }

    #[test]
    fn numbers_of_another_namespace_are_translated_or_unknown() {
        let mut other = Numbers::of(std::process::id());
        other.same = false;
        other.refresh();
        let tid = std::process::id();
        let inner = other.inner[&tid];
        assert_eq!(other.outer(u64::from(inner)), Some(tid));
        assert_eq!(other.outer(u64::from(Pid::MAX)), None);
    }
}
