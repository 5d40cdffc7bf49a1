//! The control groups that limit the processor time of a process, and how often they held it back.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::Pid;

/// A limit on the processor time of a process: that of the tightest of the groups it is in.
#[derive(Debug)]
pub(crate) struct Quota {
    /// Processors' worth of time that the group may use.
    pub processors: f64,
    account: File,
}

/// What the account of a group says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Throttled {
    /// Periods in which it could have been held back.
    pub periods: u64,
    /// Periods in which it was.
    pub throttled: u64,
    /// Nanoseconds for which it was.
    pub time: u64,
}

/// One mounted hierarchy of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    unified: bool,
    /// The path within the hierarchy that is mounted.
    root: String,
    mount: PathBuf,
}

impl Quota {
    /// The tightest limit on `pid`; `None` where there is none, or where it cannot be read.
    pub fn of(pid: Pid) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mut tightest: Option<Self> = None;
        for hierarchy in hierarchies(&mounts) {
            let Some(group) = group_in(&groups, hierarchy.unified) else { continue };
            for folder in levels(&hierarchy, group) {
                let Some(processors) = limit(&folder, hierarchy.unified) else { continue };
                if tightest.as_ref().is_none_or(|known| processors < known.processors)
                    && let Ok(account) = File::open(folder.join("cpu.stat"))
                {
                    tightest = Some(Self { processors, account });
                }
            }
        }
        tightest
    }

    /// What its account says now.
    pub fn throttled(&self) -> Option<Throttled> {
        let mut bytes = [0; 1024];
        let length = self.account.read_at(&mut bytes, 0).ok()?;
        parse_account(std::str::from_utf8(bytes.get(..length)?).ok()?)
    }
}

fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let parse = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (kind, _source, options) = (after.next()?, after.next()?, after.next()?);
        let unified = match kind {
            "cgroup2" => true,
            "cgroup" if options.split(',').any(|option| option == "cpu") => false,
            _ => return None,
        };
        let mut before = before.split(' ');
        let root = before.nth(3)?.to_owned();
        Some(Hierarchy { unified, root, mount: PathBuf::from(before.next()?) })
    };
    mounts.lines().filter_map(parse).collect()
}

/// The path of a process's group in one hierarchy, by its lines `7:cpu,cpuacct:/a/b`.
fn group_in(groups: &str, unified: bool) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let wanted = if unified { controllers.is_empty() } else { controllers.split(',').any(|name| name == "cpu") };
        wanted.then_some(path)
    })
}

/// The folders of a group and of all that it lies in, as far as they can be seen.
fn levels(hierarchy: &Hierarchy, group: &str) -> Vec<PathBuf> {
    // In a container, what is mounted may begin further down than the path does, or the path may lead out of it.
    let inside = Path::new(group).strip_prefix(&hierarchy.root).or_else(|_| Path::new(group).strip_prefix("/"));
    let inside = inside.unwrap_or(Path::new(""));
    if inside.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return vec![hierarchy.mount.clone()];
    }
    inside.ancestors().map(|level| hierarchy.mount.join(level)).collect()
}

fn limit(folder: &Path, unified: bool) -> Option<f64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let (quota, period) = if unified {
        let text = read("cpu.max")?;
        let mut words = text.split_ascii_whitespace();
        (words.next()?.parse::<f64>().ok()?, words.next()?.parse::<f64>().ok()?)
    } else {
        let number = |name| read(name)?.trim().parse::<f64>().ok();
        (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
    };
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn parse_account(text: &str) -> Option<Throttled> {
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
    };
    let time = value("throttled_usec").map(|micros| micros.saturating_mul(1000)).or_else(|| value("throttled_time"))?;
    Some(Throttled { periods: value("nr_periods")?, throttled: value("nr_throttled")?, time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_interfaces_are_found_among_the_mounts() {
        let mounts = "24 30 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
                      30 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      31 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      40 24 0:29 /docker/ab /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = hierarchies(mounts);
        assert_eq!(found.len(), 2);
        assert!(!found[0].unified && found[0].mount == Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(found[1].unified && found[1].root == "/docker/ab");
    }

    #[test]
    fn a_group_is_looked_up_by_its_controller() {
        let groups = "12:memory:/m\n4:cpu,cpuacct:/a/b\n0::/u/v\n";
        assert_eq!((group_in(groups, false), group_in(groups, true)), (Some("/a/b"), Some("/u/v")));
        assert_eq!(group_in("0::/x:y\n", true), Some("/x:y"));
    }

    #[test]
    fn all_levels_above_a_group_count() {
        let hierarchy = |root: &str| Hierarchy { unified: true, root: root.into(), mount: "/cg".into() };
        let paths = |root, group| {
            levels(&hierarchy(root), group).iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(paths("/", "/a/b"), ["/cg/a/b", "/cg/a", "/cg/"]);
        assert_eq!(paths("/docker/ab", "/docker/ab/c"), ["/cg/c", "/cg/"]);
        assert_eq!(paths("/", "/../other"), ["/cg"]);
    }

    #[test]
    fn accounts_are_read_in_either_unit() {
        let wanted = Some(Throttled { periods: 31, throttled: 30, time: 5_000_000 });
        assert_eq!(parse_account("nr_periods 31\nnr_throttled 30\nthrottled_time 5000000\n"), wanted);
        assert_eq!(
            parse_account("usage_usec 7\nnr_periods 31\nnr_throttled 30\nthrottled_usec 5000\nnr_bursts 0\n"),
            wanted
        );
        assert_eq!(parse_account("usage_usec 7\n"), None);
    }

    #[test]
    fn fuzz_groups() {
        let seeds = [
            "30 23 0:26 /a /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n31 2 0:27 / /c rw - cgroup c rw,cpu\n",
            "0::/a/../b\n7:cpu,cpuacct:/docker/abc\n",
            "nr_periods 5\nnr_throttled 2\nthrottled_usec 18446744073709551615\nthrottled_time 3\n",
        ];
        let seeds: Vec<_> = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
        plait_trace::fuzz::fuzz("groups", env!("CARGO_MANIFEST_DIR"), &seeds, |bytes| {
            let text = &*String::from_utf8_lossy(bytes);
            for hierarchy in hierarchies(text) {
                let group = group_in(text, hierarchy.unified).unwrap_or(text);
                assert!(levels(&hierarchy, group).iter().all(|level| level.starts_with(&hierarchy.mount)));
            }
            parse_account(text);
        });
    }
}
