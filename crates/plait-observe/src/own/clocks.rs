//! The kernel's figures of one thread and of this process. What it does not tell is `None`, or zero where it is
//! added up.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};

use crate::Pid;

/// Nanoseconds since some moment of this process, the same for all threads.
pub(super) fn nanos_of(moment: Instant) -> u64 {
    static BASE: OnceLock<Instant> = OnceLock::new();
    // One second earlier, so that a moment read before the first call of this is not cut off at zero.
    let base = BASE.get_or_init(|| moment.checked_sub(Duration::from_secs(1)).unwrap_or(moment));
    moment.saturating_duration_since(*base).as_nanos() as u64
}

pub(super) fn now() -> u64 {
    nanos_of(Instant::now())
}

fn read(clock: ClockId) -> Option<u64> {
    clock_gettime(clock).ok().map(|time| Duration::from(time).as_nanos() as u64)
}

/// CPU time of the calling thread, in nanoseconds.
pub(super) fn own_cpu() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

/// CPU time of this process, threads that ended included, in nanoseconds.
pub(super) fn process_cpu() -> u64 {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap_or(0)
}

/// CPU time of another thread of this process, in nanoseconds; `None` when it has ended.
pub(super) fn thread_cpu(tid: Pid) -> Option<u64> {
    // The kernel's own numbering of clocks: the thread, upside down, and "scheduled time of a thread".
    const SCHEDULED_OF_A_THREAD: i32 = 0b110;
    read(ClockId::from_raw((!(tid as i32) << 3) | SCHEDULED_OF_A_THREAD))
}

/// How often the calling thread gave its processor away by itself.
pub(super) fn own_switches() -> u64 {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.voluntary_context_switches().unsigned_abs())
}

/// The same of another thread.
pub(super) fn thread_switches(tid: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/self/task/{tid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// How long a thread could have run and had no processor, in nanoseconds.
pub(super) fn thread_delay(tid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What of this process lies in memory, in bytes.
pub(super) fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The calling thread, by its number.
pub(super) fn own_tid() -> Pid {
    rustix::thread::gettid().as_raw_nonzero().get() as Pid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_read_from_outside_as_from_inside() {
        let tid = own_tid();
        let before = own_cpu();
        while own_cpu() < before + 2_000_000 {}
        let inside = own_cpu();
        let outside = thread_cpu(tid).expect("it lives");
        assert!(outside >= inside, "{outside} {inside}");
        assert!(process_cpu() >= inside);
        let asleep = own_switches();
        std::thread::sleep(Duration::from_millis(1));
        assert!(own_switches() > asleep && thread_switches(tid).expect("it lives") > asleep);
        assert!(thread_delay(tid).is_none_or(|delay| delay < 3_600_000_000_000));
        assert!(resident().expect("told") > 100_000);
    }

    #[test]
    fn a_thread_that_ended_has_no_clock() {
        let tid = std::thread::spawn(own_tid).join().expect("ends");
        // The kernel lets go of it a little after it was joined.
        let deadline = Instant::now() + Duration::from_secs(20);
        while thread_cpu(tid).is_some() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert_eq!(thread_switches(tid), None);
    }
}
