//! What a process tree uses: memory and CPU time, at one moment.
//!
//! **Memory** is the proportional set size: a page that n processes share counts a n-th in each, so the sum over a tree is what
//! the tree takes. Where the kernel does not tell, the resident set size stands in, and says so.
//!
//! **CPU time** of a tree is, over its living processes, the CPU clock of the process (nanoseconds; threads that ended are
//! in it) plus the time of children it has waited for, and of theirs. So nothing is lost when workers are born and die, with
//! these bounds. For the calling process the time of waited-for children is exact to a microsecond; for others the
//! kernel tells it in clock ticks (1/100 s), user and system time each rounded down: up to 20 ms too little per process
//! that waits for children. The time of a process that nobody under the root waited for is lost when it is gone: a child
//! of a process that ignores SIGCHLD, or one whose parent ended first.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{clock_getcpuclockid, clock_gettime};

use crate::identity::Stat;
use crate::tree::threads;
use crate::{Pid, tree};

/// The memory of a process or a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pss {
    /// How much.
    pub bytes: u64,
    /// Whether it is, at least in part, resident instead of proportional set size, which counts shared pages in full.
    pub is_rss: bool,
}

/// The memory of `pid`; `None` when it has ended.
pub fn pss_bytes(pid: Pid) -> Option<Pss> {
    match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        Ok(text) => Some(Pss { bytes: field(&text, "Pss:")?, is_rss: false }),
        // A process that has ended but was not waited for has no memory: the one file gives an error, the other zeros.
        Err(_) => rss_bytes(pid).filter(|&bytes| bytes > 0).map(|bytes| Pss { bytes, is_rss: true }),
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn rss_bytes(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The resident memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// In bytes, pages that it shares with others included.
    pub now: u64,
    /// The most that it ever was.
    pub peak: u64,
}

/// The resident memory of `pid`; `None` when it has ended.
pub fn resident(pid: Pid) -> Option<Resident> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Resident { now: field(&text, "VmRSS:")?, peak: field(&text, "VmHWM:")? })
}

/// The memory of `root` and everything under it; `None` when it has ended.
///
/// ```
/// let used = plait_observe::tree_pss(std::process::id()).expect("this process lives");
/// assert!(used.bytes > 100_000);
/// ```
pub fn tree_pss(root: Pid) -> Option<Pss> {
    sum_pss(&tree(root))
}

/// The memory of `pids`, parents before their children.
pub(crate) fn sum_pss(pids: &[Pid]) -> Option<Pss> {
    let mut counted: HashMap<Pid, u64> = HashMap::new();
    let mut total = None::<Pss>;
    for &pid in pids {
        let Some(pss) = pss_bytes(pid) else { continue };
        if is_in_vfork(pid, pss.bytes, &counted) {
            continue;
        }
        counted.insert(pid, pss.bytes);
        let sum = total.get_or_insert_default();
        sum.bytes += pss.bytes;
        sum.is_rss |= pss.is_rss;
    }
    total
}

/// Between `vfork` and `exec` a child lives in its parent's memory, which must not be counted twice. It then shows the
/// parent's figure, and the thread that started it sleeps without a break.
fn is_in_vfork(pid: Pid, bytes: u64, counted: &HashMap<Pid, u64>) -> bool {
    let Some(parent) = Stat::of(pid).map(|stat| stat.parent) else {
        return false;
    };
    let Some(&of_parent) = counted.get(&parent) else {
        return false;
    };
    bytes.abs_diff(of_parent) <= of_parent / 100
        && threads(parent).into_iter().any(|tid| Stat::of_thread(parent, tid).is_some_and(|stat| stat.state == b'D'))
}

/// CPU time that `root` and everything under it have used since each began; `None` when `root` has ended and is gone.
///
/// The difference of two calls is the time used in between, by the rule and with the bounds that head this file.
pub fn tree_cpu_seconds(root: Pid) -> Option<f64> {
    Some(tree_cpu(root)?.total.as_secs_f64())
}

/// The CPU time of a tree, and of which processes it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeCpu {
    pub total: Duration,
    pub pids: Vec<Pid>,
}

/// A process that ends while the tree is read moves its time to its parent, so it is read again until nothing moved.
pub(crate) fn tree_cpu(root: Pid) -> Option<TreeCpu> {
    let mut best = None;
    for _ in 0..8 {
        let pids = tree(root);
        if pids.is_empty() {
            return best;
        }
        let before: Vec<Option<Duration>> = pids.iter().map(|&pid| reaped_cpu(pid)).collect();
        let clocks: Vec<Option<Duration>> = pids.iter().map(|&pid| process_cpu(pid)).collect();
        let after: Vec<Option<Duration>> = pids.iter().map(|&pid| reaped_cpu(pid)).collect();
        let moved = before != after || clocks.contains(&None);
        let total = clocks.iter().chain(&before).flatten().sum();
        best = Some(TreeCpu { total, pids });
        if !moved {
            break;
        }
    }
    best
}

/// Seconds of CPU time that all threads of `pid` have used; `None` when it has ended.
pub fn cpu_of_process(pid: Pid) -> Option<f64> {
    Some(process_cpu(pid)?.as_secs_f64())
}

/// Seconds of CPU time that a thread has used; `None` when it has ended, or where the kernel does not tell.
pub fn cpu_of_thread(pid: Pid, tid: Pid) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
    Some(text.split_ascii_whitespace().next()?.parse::<u64>().ok()? as f64 / 1e9)
}

/// CPU time of all threads that `pid` has or had.
pub(crate) fn process_cpu(pid: Pid) -> Option<Duration> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).ok()?);
    clock_getcpuclockid(pid).and_then(clock_gettime).ok().map(Duration::from)
}

/// CPU time of the children that `pid` has waited for, and of theirs.
fn reaped_cpu(pid: Pid) -> Option<Duration> {
    if pid == std::process::id() {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
        let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
        return Some(Duration::from_micros((micros(usage.user_time()) + micros(usage.system_time())) as u64));
    }
    let ticks = Stat::of(pid)?.reaped_ticks;
    Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "Rss:   10 kB\nPss:                1234 kB\nPss_Anon: 5 kB\n";
        assert_eq!(field(text, "Pss:"), Some(1234 * 1024));
        assert_eq!(field(text, "Swap:"), None);
    }

    #[test]
    fn memory_touched_is_memory_counted() {
        let own = std::process::id();
        let before = pss_bytes(own).expect("alive");
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = pss_bytes(own).expect("alive");
        assert!(!after.is_rss);
        assert!(after.bytes >= before.bytes + (60 << 20), "{before:?} {after:?}");
        let resident = resident(own).expect("alive");
        assert!(resident.peak >= block.len() as u64 && resident.peak >= resident.now);
        assert!(cpu_of_process(own) >= cpu_of_thread(own, own) && cpu_of_thread(own, Pid::MAX).is_none());
        assert!(rss_bytes(own).expect("alive") >= block.len() as u64);
    }

    #[test]
    fn a_process_that_ended_has_no_memory() {
        let mut child = Command::new("true").spawn().expect("true starts");
        let pid = child.id();
        while Stat::of(pid).is_some_and(|stat| stat.state != b'Z') {
            std::thread::yield_now();
        }
        assert_eq!(pss_bytes(pid), None);
        assert!(process_cpu(pid).is_some(), "its time is still known until it is waited for");
        child.wait().expect("ends");
        assert_eq!((pss_bytes(pid), tree_pss(pid), tree_cpu_seconds(pid)), (None, None, None));
    }

    #[test]
    fn the_time_of_a_child_stays_when_it_is_gone() {
        let own = std::process::id();
        let before = tree_cpu_seconds(own).expect("alive");
        let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; read x";
        let mut child = Command::new("sh").args(["-c", burn]).stdin(Stdio::piped()).spawn().expect("sh starts");
        drop(child.stdin.take());
        while Stat::of(child.id()).is_some_and(|stat| stat.state != b'Z') {
            std::thread::yield_now();
        }
        let used = process_cpu(child.id()).expect("not waited for yet").as_secs_f64();
        child.wait().expect("ends");
        let after = tree_cpu_seconds(own).expect("alive");
        assert!(used > 0.01, "{used}");
        assert!(after - before >= used - 1e-5, "{used} of {}", after - before);
    }
}
