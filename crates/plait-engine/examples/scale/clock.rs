//! What a stretch of the run took: processor time of this thread, which other programs hardly change, and memory.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time that this thread has had.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Runs `work`; second: the processor time it took.
pub(crate) fn timed<R>(work: impl FnOnce() -> R) -> (R, Duration) {
    let before = cpu();
    let result = work();
    (result, cpu() - before)
}

/// Nanoseconds for each of `count`.
pub(crate) fn each(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e9 / count.max(1) as f64
}

/// Bytes of memory that this process has in use, shared ones among them.
pub(crate) fn memory() -> usize {
    let told = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells VmRSS");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().expect("VmRSS is a number of kB");
    kibibytes * 1024
}

/// Of an odd number of figures, the one in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
