//! How much memory this process may use, and how much of that could be taken now.
//!
//! A control group that runs out of memory answers with a kill, not with an error; so whoever is about to take much must
//! look first. The least figure decides: the machine's memory, what the system promises where it promises no more than
//! it has (`vm.overcommit_memory` = 2), the limit of every memory control group from the process's own up to the one that is
//! mounted (cgroup v2 `memory.max` and `memory.high`, v1 `memory.limit_in_bytes`), and the limit of the address space
//! (`ulimit -v`). A file that is missing or makes no sense limits nothing. Swap is not counted.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup::{self, Version};
use super::under;

/// So much memory this process may use at most, together with all others that have the same limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// In bytes; `u64::MAX` if nothing is known.
    pub bytes: u64,
    /// What sets it; of equal figures, the first in the order of the kinds.
    pub why: Bound,
}

/// What sets a limit to memory. As text, it reads after "the limit is".
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bound {
    /// Nothing that could be read.
    Unknown,
    /// The machine has no more.
    Machine,
    /// The system promises no more.
    Promise,
    /// A control group; the file that its limit was read from.
    Group(PathBuf),
    /// The address space of a process, `ulimit -v`.
    AddressSpace,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not known"),
            Self::Machine => f.write_str("the machine's memory"),
            Self::Promise => f.write_str("the machine's CommitLimit, as vm.overcommit_memory is 2"),
            Self::Group(file) => write!(f, "the control group's {}", file.display()),
            Self::AddressSpace => f.write_str("the process's address space, ulimit -v"),
        }
    }
}

/// Where the figures of memory are read from, found once: a look at them takes some ten microseconds.
#[derive(Clone, Debug)]
pub struct MemoryLimits {
    /// Stands for `/`.
    root: PathBuf,
    /// The memory control groups that can limit this process, the narrowest first.
    groups: Vec<(Version, PathBuf)>,
    address_space: Option<u64>,
}

impl MemoryLimits {
    /// For the control groups that this process is in now.
    pub fn of_this_process() -> Self {
        Self::find(Path::new("/"), address_space())
    }

    /// For the files under `root`, which has a `proc` and the mounts it names, and this limit of the address space.
    pub fn find(root: &Path, address_space: Option<u64>) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let mut groups = Vec::new();
        for group in cgroup::groups("memory", &text("proc/self/cgroup"), &text("proc/self/mountinfo")) {
            for (height, directory) in group.directories().enumerate() {
                // Where v1 keeps no hierarchy, a group's use is not counted above it.
                let ends = group.version == Version::V1
                    && height > 0
                    && read(&under(root, &directory), "memory.use_hierarchy").is_some_and(|text| text.trim() == "0");
                if ends {
                    break;
                }
                groups.push((group.version, directory));
            }
        }
        Self { root: root.to_path_buf(), groups, address_space }
    }

    /// How much this process may use at most.
    pub fn allowance(&self) -> Allowance {
        let mut bounds = vec![(u64::MAX, Bound::Unknown)];
        let meminfo = self.meminfo();
        bounds.extend(kibibytes(&meminfo, "MemTotal:").map(|bytes| (bytes, Bound::Machine)));
        if self.promises_strictly() {
            bounds.extend(kibibytes(&meminfo, "CommitLimit:").map(|bytes| (bytes, Bound::Promise)));
        }
        for (version, directory) in &self.groups {
            let there = under(&self.root, directory);
            let limits = files(*version).iter().filter_map(|file| Some((file, limit(&there, file)?)));
            bounds.extend(limits.map(|(file, bytes)| (bytes, Bound::Group(directory.join(file)))));
        }
        bounds.extend(self.address_space.map(|bytes| (bytes, Bound::AddressSpace)));
        let least = bounds.into_iter().min_by_key(|(bytes, _)| *bytes);
        let (bytes, why) = least.unwrap_or((u64::MAX, Bound::Unknown));
        Allowance { bytes, why }
    }

    /// How much more could be taken now, before something of use would have to go; `u64::MAX` if nothing is known. Of the
    /// caches of files, a group could give back those that were not looked at twice. Others may take it first.
    pub fn available(&self) -> u64 {
        let meminfo = self.meminfo();
        let mut least = kibibytes(&meminfo, "MemAvailable:").unwrap_or(u64::MAX);
        if self.promises_strictly()
            && let (Some(limit), Some(promised)) =
                (kibibytes(&meminfo, "CommitLimit:"), kibibytes(&meminfo, "Committed_AS:"))
        {
            least = least.min(limit.saturating_sub(promised));
        }
        for (version, directory) in &self.groups {
            least = least.min(left(&under(&self.root, directory), *version).unwrap_or(u64::MAX));
        }
        if let Some(limit) = self.address_space {
            least = least.min(limit.saturating_sub(self.address_space_used().unwrap_or(0)));
        }
        least
    }

    /// How much memory the machine has; `None` if it does not say.
    pub fn total(&self) -> Option<u64> {
        kibibytes(&self.meminfo(), "MemTotal:")
    }

    fn meminfo(&self) -> String {
        read(&self.root, "proc/meminfo").unwrap_or_default()
    }

    /// Whether the system refuses to promise more than it has. The mode is some administrator's choice and seldom changes,
    /// but it is one number.
    fn promises_strictly(&self) -> bool {
        read(&self.root, "proc/sys/vm/overcommit_memory").is_some_and(|mode| mode.trim() == "2")
    }

    fn address_space_used(&self) -> Option<u64> {
        let pages: u64 = read(&self.root, "proc/self/statm")?.split_ascii_whitespace().next()?.parse().ok()?;
        Some(pages.saturating_mul(rustix::param::page_size() as u64))
    }
}

/// How much memory this process may really use, and what says so.
pub fn memory_allowance() -> Allowance {
    MemoryLimits::of_this_process().allowance()
}

/// How much memory could be taken now. To look often, keep a [`MemoryLimits`].
pub fn memory_available() -> u64 {
    MemoryLimits::of_this_process().available()
}

fn files(version: Version) -> &'static [&'static str] {
    match version {
        Version::V1 => &["memory.limit_in_bytes"],
        Version::V2 => &["memory.max", "memory.high"],
    }
}

fn limit(directory: &Path, file: &str) -> Option<u64> {
    cgroup::memory_limit(&read(directory, file)?)
}

/// What is left below a group's limit; `None` if it has no limit or does not count.
fn left(directory: &Path, version: Version) -> Option<u64> {
    let limit = files(version).iter().filter_map(|file| limit(directory, file)).min()?;
    let (usage, cache) = match version {
        Version::V1 => ("memory.usage_in_bytes", "total_inactive_file"),
        Version::V2 => ("memory.current", "inactive_file"),
    };
    let usage: u64 = read(directory, usage)?.trim().parse().ok()?;
    let cache = read(directory, "memory.stat").and_then(|stat| cgroup::memory_stat(&stat, cache)).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(cache)))
}

fn read(directory: &Path, file: &str) -> Option<String> {
    fs::read_to_string(directory.join(file)).ok()
}

/// The bytes on a line `MemTotal:       24684084 kB`.
pub(super) fn kibibytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(target_os = "linux")]
fn address_space() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

#[cfg(not(target_os = "linux"))]
fn address_space() -> Option<u64> {
    None
}

// Not under Miri: files.
#[cfg(all(test, not(miri)))]
mod tests;
