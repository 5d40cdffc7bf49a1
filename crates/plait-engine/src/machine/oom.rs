//! How many processes the kernel has killed for want of memory.
//!
//! The kernel counts such a kill in the memory control group of the process that it killed, whichever group's limit was
//! reached, and before it sends the signal: `memory.events` of cgroup v2 (which counts the groups below as well) and
//! `memory.oom_control` of v1 have it as `oom_kill`. Workers are in their parent's group, so that group's count is
//! theirs, and those above it would add the deaths of strangers. Where there is no memory control group,
//! `/proc/vmstat` counts those of the whole machine.

use std::fs;
use std::path::{Path, PathBuf};

use super::{cgroup, under};

/// The counters that a kill of one of this process's children shows in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OomKills {
    counters: Vec<PathBuf>,
}

impl OomKills {
    /// Finds the counters for the control group that this process is in now.
    pub fn open() -> Self {
        Self::find(Path::new("/"))
    }

    /// How many processes were killed since the group (or the machine) was made. Others than workers may be among them.
    /// `None` if the kernel does not count.
    pub fn count(&self) -> Option<u64> {
        self.counters.iter().filter_map(|file| read(file)).reduce(u64::saturating_add)
    }

    /// `root` stands for `/`.
    fn find(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let groups = cgroup::groups("memory", &text("proc/self/cgroup"), &text("proc/self/mountinfo"));
        let mut counters: Vec<PathBuf> = groups
            .iter()
            .filter_map(|group| {
                let file = match group.version {
                    cgroup::Version::V1 => "memory.oom_control",
                    cgroup::Version::V2 => "memory.events",
                };
                Some(under(root, &group.directories().next()?).join(file))
            })
            // The v2 hierarchy need not have the memory controller, its top never has this file, and older kernels do not
            // count.
            .filter(|file| read(file).is_some())
            .collect();
        if counters.is_empty() {
            counters.push(root.join("proc/vmstat"));
        }
        Self { counters }
    }
}

fn read(file: &Path) -> Option<u64> {
    parse(&fs::read_to_string(file).ok()?)
}

/// The number on the line `oom_kill 3`.
pub(super) fn parse(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

// Not under Miri: files.
#[cfg(all(test, not(miri)))]
mod tests;
