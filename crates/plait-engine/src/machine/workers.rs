//! How many worker processes a pool gets when nobody says.
//!
//! As many as this process may use processors, but no more than those have physical cores: whoever starts processes wants
//! arithmetic, and two workers on one core share it. And no more than memory has room for: a container of 256 MiB on a
//! machine of 64 cores would be killed for what 64 interpreters take before they have done anything. Who sets
//! `PLAIT_MAX_WORKERS` has decided that himself.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::{CpuLimits, MemoryLimits, Processors, Variable, cores};

/// What a worker is reckoned to take: the interpreter, and a library or two with some data of theirs.
pub const WORKER_MEMORY: u64 = 64 << 20;

/// As many worker processes as make sense here; at least 1.
pub fn default_workers() -> usize {
    decide(&CpuLimits::of_this_process(), physical_cores(), memory_of_all())
}

/// How many physical cores the processors belong to that this process may run on. Who belongs to whom is read again when
/// those are others than the last time.
pub fn physical_cores() -> usize {
    static LAST: Mutex<Option<Processors>> = Mutex::new(None);
    let allowed = cores::allowed();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some(last) if last.allowed == allowed => last.physical,
        _ => last.insert(Processors::read(Path::new("/"), allowed)).physical,
    }
}

/// What this process and all its workers may take together, read once: of a limit that is lowered later, the workers that
/// are there already would know nothing either. The limit of an address space is each process's own.
fn memory_of_all() -> u64 {
    static MEMORY: OnceLock<u64> = OnceLock::new();
    *MEMORY.get_or_init(|| MemoryLimits::find(Path::new("/"), None).allowance().bytes)
}

fn decide(limits: &CpuLimits, physical: usize, memory: u64) -> usize {
    if let Variable::Workers(_) = limits.variable {
        return limits.count;
    }
    let room = usize::try_from(memory / WORKER_MEMORY).unwrap_or(usize::MAX);
    limits.count.min(physical).min(room).max(1)
}

// Not under Miri: files.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::super::{GroupQuota, Quota};
    use super::*;

    const PLENTY: u64 = 64 << 30;

    fn workers(affinity: usize, quota: Option<u64>, variable: Variable, physical: usize, memory: u64) -> usize {
        let group = |quota_us| GroupQuota { file: "/g/cpu.max".into(), quota: Quota { quota_us, period_us: 10 } };
        decide(&CpuLimits::decide(affinity, quota.map(group).into_iter().collect(), variable), physical, memory)
    }

    #[test]
    fn a_core_has_one_worker() {
        assert_eq!(workers(8, None, Variable::Unset, 8, PLENTY), 8);
        assert_eq!(workers(8, None, Variable::Unset, 4, PLENTY), 4);
        assert_eq!(workers(8, Some(25), Variable::Unset, 4, PLENTY), 3, "a quota of 2.5");
        assert_eq!(workers(8, Some(65), Variable::Unset, 4, PLENTY), 4);
    }

    #[test]
    fn a_small_container_has_few() {
        assert_eq!(workers(64, None, Variable::Unset, 64, 256 << 20), 4);
        assert_eq!(workers(64, None, Variable::Unset, 64, 1 << 20), 1);
        assert_eq!(workers(64, None, Variable::Unset, 64, u64::MAX), 64);
    }

    #[test]
    fn the_variable_is_followed() {
        assert_eq!(workers(8, None, Variable::Workers(8), 4, PLENTY), 8, "hyper-threads were asked for");
        assert_eq!(workers(8, None, Variable::Workers(6), 4, 1 << 20), 6);
        assert_eq!(workers(8, None, Variable::Workers(99), 4, PLENTY), 8);
        assert_eq!(workers(8, None, Variable::Unusable("x".into()), 4, PLENTY), 4);
    }

    #[test]
    fn the_cores_are_those_of_this_process() {
        for _ in 0..2 {
            assert_eq!(physical_cores(), Processors::of_this_process().physical);
        }
        assert!(default_workers() >= 1);
    }
}
