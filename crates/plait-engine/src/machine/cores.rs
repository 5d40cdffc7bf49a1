//! The processors that this process may be scheduled on, and the physical cores that they belong to.
//!
//! Two processors of one core (hyper-threads) share its arithmetic, so that a second worker there adds little to work
//! that keeps the first one busy, and may cost caches. The kernel says in `/sys/devices/system/cpu/cpu*/topology` who
//! belongs together. Where it does not say so for every processor, each counts as a core. What a control group's cpuset
//! forbids is not in the affinity mask: the kernel takes it out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Processors of this machine, as they are seen from this process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Processors {
    /// The numbers of those that this process (this thread, to be exact) may run on, ascending; at least one.
    pub allowed: Vec<usize>,
    /// How many physical cores they belong to; at least 1.
    pub physical: usize,
    /// How many the machine has switched on, for whomever; not less than are allowed.
    pub logical: usize,
}

impl Processors {
    /// As they are now.
    pub fn of_this_process() -> Self {
        Self::read(Path::new("/"), allowed())
    }

    /// For the files under `root`, which has a `sys`, and these processors, which are taken for one if they are none.
    pub fn read(root: &Path, mut allowed: Vec<usize>) -> Self {
        if allowed.is_empty() {
            allowed.push(0);
        }
        let directory = root.join("sys/devices/system/cpu");
        let cores: Option<BTreeSet<Core>> = allowed.iter().map(|cpu| core_of(&directory, *cpu)).collect();
        let physical = cores.map_or(allowed.len(), |cores| cores.len());
        let online = fs::read_to_string(directory.join("online")).ok().and_then(|text| parse_list(&text));
        let logical = online.map_or(0, |online| online.len()).max(allowed.len());
        Self { allowed, physical, logical }
    }
}

/// What two processors of one core have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Core {
    /// All processors of the core.
    Siblings(Vec<usize>),
    /// The number of the package, and that of the core in it.
    Numbers(i64, i64),
}

fn core_of(directory: &Path, cpu: usize) -> Option<Core> {
    let topology = directory.join(format!("cpu{cpu}/topology"));
    let text = |name: &str| fs::read_to_string(topology.join(name)).ok();
    // The second is the first's name in kernels before 5.3. What does not name the processor itself is no answer.
    let siblings = ["core_cpus_list", "thread_siblings_list"].iter().find_map(|name| parse_list(&text(name)?));
    if let Some(siblings) = siblings.filter(|siblings| siblings.contains(&cpu)) {
        return Some(Core::Siblings(siblings));
    }
    let number = |name: &str| text(name)?.trim().parse().ok();
    Some(Core::Numbers(number("physical_package_id")?, number("core_id")?))
}

/// More than any kernel is built for.
const MOST: usize = 1 << 16;

/// The processors of a list like `0-3,8,10-11`, ascending; `None` if it is none or makes no sense.
pub(super) fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut numbers = BTreeSet::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers.into_iter().collect())
}

#[cfg(target_os = "linux")]
pub(super) fn allowed() -> Vec<usize> {
    if let Ok(mask) = rustix::thread::sched_getaffinity(None) {
        return (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).collect();
    }
    // The mask has 1,024 bits, and the kernel more processors; it has them as text, too.
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| parse_list(line.strip_prefix("Cpus_allowed_list:")?));
    list.unwrap_or_else(some)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn allowed() -> Vec<usize> {
    some()
}

/// As many as the library knows of, with numbers that say nothing.
fn some() -> Vec<usize> {
    (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
}

// Not under Miri: files.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::super::tests::tree;
    use super::*;

    /// Files that put the processors of each of these lists into one core.
    fn siblings(name: &str, cores: &[&str]) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for list in cores {
            for cpu in parse_list(list).unwrap() {
                files.push((format!("sys/devices/system/cpu/cpu{cpu}/topology/{name}"), format!("{list}\n")));
            }
        }
        files
    }

    fn read(files: &[(String, String)], allowed: &[usize]) -> (usize, usize) {
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let processors = Processors::read(tree(&files).path(), allowed.to_vec());
        (processors.physical, processors.logical)
    }

    #[test]
    fn hyper_threads_are_one_core() {
        for name in ["core_cpus_list", "thread_siblings_list"] {
            let mut files = siblings(name, &["0,4", "1,5", "2,6", "3,7"]);
            files.push(("sys/devices/system/cpu/online".into(), "0-7\n".into()));
            assert_eq!(read(&files, &[0, 1, 2, 3, 4, 5, 6, 7]), (4, 8));
            assert_eq!(read(&files, &[0, 4]), (1, 8), "both processors of one core");
            assert_eq!(read(&files, &[0, 1]), (2, 8));
            assert_eq!(read(&files, &[3, 6, 7]), (2, 8));
        }
    }

    #[test]
    fn older_kernels_number_cores_within_packages() {
        let mut files = Vec::new();
        for (cpu, package, core) in [(0, 0, 0), (1, 0, 0), (2, 0, 1), (3, 1, 0), (4, 1, 0), (5, 1, -1)] {
            for (name, number) in [("physical_package_id", package), ("core_id", core)] {
                files.push((format!("sys/devices/system/cpu/cpu{cpu}/topology/{name}"), format!("{number}\n")));
            }
        }
        assert_eq!(read(&files, &[0, 1, 2, 3, 4, 5]).0, 4);
        assert_eq!(read(&files, &[1, 4]).0, 2, "the same number in two packages");
    }

    #[test]
    fn where_the_kernel_does_not_say_each_is_a_core() {
        assert_eq!(read(&[], &[0, 1, 2]), (3, 3));
        let mut files = siblings("core_cpus_list", &["0-1"]);
        assert_eq!(read(&files, &[0, 1]).0, 1);
        assert_eq!(read(&files, &[0, 1, 2]).0, 3, "of one it does not say");
        files[0].1 = "7\n".into();
        assert_eq!(read(&files, &[0, 1]).0, 2, "a list without the processor itself");
        files[0].1 = "0-\n".into();
        assert_eq!(read(&files, &[0, 1]).0, 2);
        assert_eq!(read(&[], &[]), (1, 1));
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(parse_list("0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(parse_list(" 5"), Some(vec![5]));
        for text in ["", "\n", "a", "3-1", "1,,2", "-1", "0-99999999999", "1-2-3"] {
            assert_eq!(parse_list(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_a_core() {
        let here = Processors::of_this_process();
        assert!(here.physical >= 1 && here.physical <= here.allowed.len() && here.allowed.len() <= here.logical);
    }
}
