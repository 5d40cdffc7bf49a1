//! What this machine allows and how it is used: how many processors this process may really use, and beside that, in
//! modules of their own, which cores they belong to (`cores`), how much memory it may use (`allowance`), how many
//! processes were killed for want of memory (`oom`), how much memory one takes (`memory`) and how many workers a pool gets
//! from all that (`workers`).
//!
//! Of processors: three rules, and the smallest figure decides: the affinity mask, the CPU quota of every control group from the
//! process's own up to the one that is mounted (cgroup v1 and v2, in a container or not), and `PLAIT_MAX_WORKERS`. A
//! quota is rounded up, since one and a half processors keep two workers busy for part of the time and one worker never
//! for all of it. The answer is at least 1.
//!
//! Text is parsed by pure functions in `cgroup`; reading takes the directory that stands for `/`, so that tests bring
//! their own.

mod allowance;
mod cgroup;
mod cores;
mod memory;
mod oom;
mod workers;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

pub use allowance::{Allowance, Bound, MemoryLimits, memory_allowance, memory_available};
pub use cgroup::Quota;
pub use cores::Processors;
pub use memory::MemoryReader;
pub use oom::OomKills;
pub use workers::{WORKER_MEMORY, default_workers, physical_cores};

/// The environment variable that sets an upper limit.
pub const VARIABLE: &str = "PLAIT_MAX_WORKERS";

/// Which rule gave the answer; of equal figures, the first in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The processors this process may be scheduled on, which is all of them unless someone said otherwise.
    Affinity,
    /// A control group's quota.
    Quota,
    /// `PLAIT_MAX_WORKERS`.
    Variable,
}

/// What `PLAIT_MAX_WORKERS` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Variable {
    /// Nothing.
    Unset,
    /// This number, at least 1.
    Workers(usize),
    /// Something that is not a whole number of at least 1, and is not followed.
    Unusable(String),
}

impl Variable {
    /// Reads the variable's value.
    pub fn parse(value: Option<&OsStr>) -> Self {
        let Some(value) = value else {
            return Self::Unset;
        };
        let text = value.to_string_lossy();
        match text.trim() {
            "" => Self::Unset,
            number => match number.parse() {
                Ok(workers) if workers > 0 => Self::Workers(workers),
                _ => Self::Unusable(text.into_owned()),
            },
        }
    }
}

/// The quota that one control group sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupQuota {
    /// The file it was read from.
    pub file: PathBuf,
    /// How much it allows.
    pub quota: Quota,
}

/// Every figure that was looked at, and the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CpuLimits {
    /// How many workers can run at one time.
    pub count: usize,
    /// Which rule decided it.
    pub rule: Rule,
    /// Processors in the affinity mask.
    pub affinity: usize,
    /// The quotas that apply, from the process's own group upwards. Groups without one are left out.
    pub quotas: Vec<GroupQuota>,
    /// What `PLAIT_MAX_WORKERS` says.
    pub variable: Variable,
}

impl CpuLimits {
    /// The limits of this process, as they are now.
    pub fn of_this_process() -> Self {
        let variable = Variable::parse(env::var_os(VARIABLE).as_deref());
        Self::read(Path::new("/"), cores::allowed().len(), variable)
    }

    /// The limits that the files under `root` describe, which has a `proc` and the mounts it names. A file that is
    /// missing or makes no sense limits nothing.
    pub fn read(root: &Path, affinity: usize, variable: Variable) -> Self {
        let mut quotas = Vec::new();
        for group in groups_under(root, "cpu") {
            quotas.extend(group.directories().filter_map(|directory| read_quota(root, &directory, group.version)));
        }
        Self::decide(affinity, quotas, variable)
    }

    /// The answer that follows from the figures.
    pub fn decide(affinity: usize, quotas: Vec<GroupQuota>, variable: Variable) -> Self {
        let affinity = affinity.max(1);
        let (mut count, mut rule) = (affinity, Rule::Affinity);
        if let Some(quota) = quotas.iter().map(|group| group.quota.workers()).min().filter(|workers| *workers < count) {
            (count, rule) = (quota, Rule::Quota);
        }
        if let Variable::Workers(workers) = variable
            && workers < count
        {
            (count, rule) = (workers, Rule::Variable);
        }
        Self { count, rule, affinity, quotas, variable }
    }

    /// The tightest quota.
    pub fn tightest(&self) -> Option<&GroupQuota> {
        self.quotas.iter().min_by(|a, b| a.quota.cpus().total_cmp(&b.quota.cpus()))
    }
}

/// How many processors this process may really use.
pub fn cpu_count() -> usize {
    CpuLimits::of_this_process().count
}

/// The directories of the control groups in which a controller, such as `cpu` or `pids`, can limit this process: its own
/// first, then each one above it, up to the one that is mounted. Empty if there are none to be seen.
pub fn control_groups(controller: &str) -> Vec<PathBuf> {
    control_groups_of(Path::new("/"), controller)
}

fn control_groups_of(root: &Path, controller: &str) -> Vec<PathBuf> {
    groups_under(root, controller).iter().flat_map(|group| group.directories()).collect()
}

fn groups_under(root: &Path, controller: &str) -> Vec<cgroup::Group> {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    cgroup::groups(controller, &text("proc/self/cgroup"), &text("proc/self/mountinfo"))
}

fn read_quota(root: &Path, directory: &Path, version: cgroup::Version) -> Option<GroupQuota> {
    let directory_there = under(root, directory);
    let read = |name| fs::read_to_string(directory_there.join(name)).ok();
    let (file, quota) = match version {
        cgroup::Version::V1 => {
            let file = "cpu.cfs_quota_us";
            (file, Quota::from_v1(&read(file)?, &read("cpu.cfs_period_us")?)?)
        }
        cgroup::Version::V2 => ("cpu.max", Quota::from_v2(&read("cpu.max")?)?),
    };
    Some(GroupQuota { file: directory.join(file), quota })
}

/// Where `path` is, if `root` stands for `/`.
fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

// Not under Miri: files.
#[cfg(all(test, not(miri)))]
mod tests;
