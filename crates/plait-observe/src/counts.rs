//! Figures of the kernel: processor time, waiting for a processor, throttling, pressure.
//!
//! Waiting for a processor grows alike under a quota and under contention; only the account of the control group tells the
//! two apart. So the groups that limit a process are read, in both versions of the interface.

use std::fs;

use crate::Pid;

mod groups;

pub(crate) use groups::{Quota, Throttled};

/// Processors that `pid` may run on, by its affinity; 0 if that cannot be told.
pub(crate) fn processors_of(pid: Pid) -> u32 {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return 0 };
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map_or(0, count_in_list)
}

/// Processors of the machine that are switched on.
pub(crate) fn processors() -> u32 {
    fs::read_to_string("/sys/devices/system/cpu/online").map_or(0, |list| count_in_list(&list)).max(1)
}

/// Nanoseconds in which some task of the machine waited for a processor; `None` where the kernel does not tell.
pub(crate) fn pressure() -> Option<u64> {
    parse_pressure(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

fn parse_pressure(text: &str) -> Option<u64> {
    let some = text.lines().find(|line| line.starts_with("some"))?;
    let micros: u64 = some.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()?;
    Some(micros.saturating_mul(1000))
}

/// How many numbers there are in a list such as `0-3,8`.
fn count_in_list(list: &str) -> u32 {
    let count = |part: &str| match part.split_once('-') {
        Some((first, last)) => {
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        }
        None => part.parse::<u32>().ok().map(|_| 1),
    };
    list.trim().split(',').filter_map(count).fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!(count_in_list("0-3,8\n"), 5);
        assert_eq!(count_in_list("0"), 1);
        assert_eq!(count_in_list("3-1"), 0);
        assert_eq!(count_in_list(""), 0);
        assert!(processors_of(std::process::id()) >= 1);
        assert!(processors() >= processors_of(std::process::id()));
    }

    #[test]
    fn pressure_is_the_total_of_some() {
        let text =
            "some avg10=0.00 avg60=1.23 avg300=0.51 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(parse_pressure(text), Some(123_456_000));
        assert_eq!(parse_pressure("full total=7\n"), None);
        assert_eq!(parse_pressure(""), None);
    }
}
