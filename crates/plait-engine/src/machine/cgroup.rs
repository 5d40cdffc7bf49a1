//! The text of `/proc/self/cgroup`, `/proc/self/mountinfo` and the quota files: which directories limit this process,
//! and by how much. Pure: text in, paths and numbers out; what makes no sense is left out.
//!
//! A v1 hierarchy has some of the controllers (`cpu`, `memory`, …); the v2 hierarchy may have any.

use std::path::{Component, Path, PathBuf};

/// The two interfaces to control groups. A machine can have both at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    V1,
    V2,
}

/// So much processor time in each period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Processor time, in microseconds; not 0.
    pub quota_us: u64,
    /// The period, in microseconds; not 0.
    pub period_us: u64,
}

impl Quota {
    /// From cgroup v2's `cpu.max`: `max 100000` is no quota, `150000 100000` one and a half processors.
    pub fn from_v2(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        Self::new(words.next()?, words.next()?)
    }

    /// From cgroup v1's `cpu.cfs_quota_us`, where -1 is no quota, and `cpu.cfs_period_us`.
    pub fn from_v1(quota: &str, period: &str) -> Option<Self> {
        Self::new(quota.trim(), period.trim())
    }

    fn new(quota: &str, period: &str) -> Option<Self> {
        let quota = Self { quota_us: quota.parse().ok()?, period_us: period.parse().ok()? };
        (quota.quota_us > 0 && quota.period_us > 0).then_some(quota)
    }

    /// How many processors' time it is, with the fraction.
    pub fn cpus(&self) -> f64 {
        self.quota_us as f64 / self.period_us as f64
    }

    /// How many workers can use that, rounded up.
    pub fn workers(&self) -> usize {
        usize::try_from(self.quota_us.div_ceil(self.period_us)).unwrap_or(usize::MAX)
    }
}

/// Nobody has so much; v1 writes its largest number, rounded down to a page, for no limit.
const NO_LIMIT: u64 = 1 << 62;

/// From v2's `memory.max` and `memory.high`, where `max` is no limit, and v1's `memory.limit_in_bytes`. No process could run
/// within 0 bytes.
pub(super) fn memory_limit(text: &str) -> Option<u64> {
    let limit = text.trim().parse().ok()?;
    (1..NO_LIMIT).contains(&limit).then_some(limit)
}

/// The number on the line `inactive_file 4096` of `memory.stat`.
pub(super) fn memory_stat(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Where one hierarchy is mounted and where the process is in it.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Group {
    pub(super) version: Version,
    mount: PathBuf,
    /// The process's group below the mount, without a leading slash; empty at the mount itself.
    inside: PathBuf,
}

impl Group {
    /// The process's own directory, then each one above it, up to the mount.
    pub(super) fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.inside.ancestors().map(|inside| self.mount.join(inside))
    }
}

/// The hierarchies in which `controller` can limit the process whose `cgroup` and `mountinfo` files these are.
pub(super) fn groups(controller: &str, cgroup: &str, mountinfo: &str) -> Vec<Group> {
    let mounts: Vec<_> = mountinfo.lines().filter_map(|line| parse_mount(controller, line)).collect();
    let mut groups = Vec::new();
    for (version, path) in cgroup.lines().filter_map(|line| parse_membership(controller, line)) {
        let mounted: Vec<_> = mounts.iter().filter(|mount| mount.version == version).collect();
        // A group can be visible at several mounts; the one that shows the way down to the process shows most.
        let shown = mounted.iter().find_map(|mount| Some((mount, below(&path, &mount.shows)?)));
        match (shown, mounted.first()) {
            (Some((mount, inside)), _) => groups.push(Group { version, mount: mount.at.clone(), inside }),
            // A container sees its own group as the mount's top, while the kernel names it as the host does.
            (None, Some(mount)) => groups.push(Group { version, mount: mount.at.clone(), inside: PathBuf::new() }),
            (None, None) => {}
        }
    }
    groups
}

/// The path of a process's group, from a line `7:cpu,cpuacct:/a/b` (v1, the line of the controller) or `0::/a/b` (v2).
fn parse_membership(controller: &str, line: &str) -> Option<(Version, PathBuf)> {
    let mut fields = line.splitn(3, ':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let version = match (hierarchy, controllers) {
        ("0", "") => Version::V2,
        _ if controllers.split(',').any(|other| other == controller) => Version::V1,
        _ => return None,
    };
    Some((version, PathBuf::from(path)))
}

struct Mount {
    version: Version,
    /// Which group of the hierarchy is the mount's top.
    shows: PathBuf,
    at: PathBuf,
}

/// From `36 35 0:30 /shown /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu`; the options before the dash
/// vary in number.
fn parse_mount(controller: &str, line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (shows, at) = (unescape(place.next()?), unescape(place.next()?));
    let mut kind = kind.split(' ');
    let version = match kind.next()? {
        "cgroup2" => Version::V2,
        "cgroup" if kind.nth(1)?.split(',').any(|option| option == controller) => Version::V1,
        _ => return None,
    };
    Some(Mount { version, shows, at })
}

/// The kernel writes a space, tab, newline or backslash in a path as a backslash and three octal digits.
fn unescape(field: &str) -> PathBuf {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                text.push(char::from(byte));
                rest = &after[3..];
            }
            _ => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    PathBuf::from(text)
}

/// `path` as seen from `top`; `None` if it is not below it. A path with `..` belongs to a process outside the reader's
/// namespace.
fn below(path: &Path, top: &Path) -> Option<PathBuf> {
    let inside = path.strip_prefix(top).ok()?;
    inside.components().all(|part| matches!(part, Component::Normal(_))).then(|| inside.to_path_buf())
}
