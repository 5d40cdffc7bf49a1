//! Directory trees as kernels and container engines lay them out, and what may be used and is left by them.

use std::path::PathBuf;

use super::super::tests::{V1, V2, tree};
use super::*;

const MIB: u64 = 1 << 20;

/// 16 GiB, of which 12 are available; the system promises up to 10, and has promised 4.
const MEMINFO: (&str, &str) = (
    "proc/meminfo",
    "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:   12582912 kB\n\
     CommitLimit:    10485760 kB\nCommitted_AS:    4194304 kB\nHugepagesize:       2048 kB\n",
);

/// What may be used and what is left, in MiB, and what sets the first.
fn figures(files: &[(&str, &str)], address_space: Option<u64>) -> (u64, u64, Bound) {
    let root = tree(files);
    let limits = MemoryLimits::find(root.path(), address_space);
    let allowance = limits.allowance();
    (allowance.bytes / MIB, limits.available() / MIB, allowance.why)
}

fn group(file: &str) -> Bound {
    Bound::Group(PathBuf::from(file))
}

#[test]
fn without_groups_the_machine_decides() {
    assert_eq!(figures(&[MEMINFO], None), (16384, 12288, Bound::Machine));
    let rootgroup = [("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", V2), MEMINFO];
    assert_eq!(figures(&rootgroup, None), (16384, 12288, Bound::Machine));
}

#[test]
fn v2_the_tightest_group_on_the_path_decides() {
    let files = [
        ("proc/self/cgroup", "0::/user.slice/job.scope/inner\n"),
        ("proc/self/mountinfo", V2),
        ("sys/fs/cgroup/user.slice/memory.max", "3221225472\n"),
        ("sys/fs/cgroup/user.slice/memory.high", "max\n"),
        ("sys/fs/cgroup/user.slice/memory.current", "3145728000\n"),
        ("sys/fs/cgroup/user.slice/memory.stat", "anon 1\nfile 3\ninactive_file 104857600\nactive_file 7\n"),
        ("sys/fs/cgroup/user.slice/job.scope/memory.max", "2147483648\n"),
        ("sys/fs/cgroup/user.slice/job.scope/memory.current", "1048576000\n"),
        ("sys/fs/cgroup/user.slice/job.scope/memory.stat", "inactive_file 0\n"),
        ("sys/fs/cgroup/user.slice/job.scope/inner/memory.max", "max\n"),
        ("sys/fs/cgroup/user.slice/job.scope/inner/memory.high", "max\n"),
        ("sys/fs/cgroup/user.slice/job.scope/inner/memory.current", "4096\n"),
        ("sys/fs/cgroup/other/memory.max", "1048576\n"),
        MEMINFO,
    ];
    // The scope allows least: 2048. The slice has least left: 3072 - (3000 - 100).
    assert_eq!(figures(&files, None), (2048, 172, group("/sys/fs/cgroup/user.slice/job.scope/memory.max")));
}

#[test]
fn v2_a_group_is_held_back_from_its_high_mark_on() {
    let files = [
        ("proc/self/cgroup", "0::/job\n"),
        ("proc/self/mountinfo", V2),
        ("sys/fs/cgroup/job/memory.max", "2147483648\n"),
        ("sys/fs/cgroup/job/memory.high", "1073741824\n"),
        ("sys/fs/cgroup/job/memory.current", "1048576\n"),
        MEMINFO,
    ];
    assert_eq!(figures(&files, None), (1024, 1023, group("/sys/fs/cgroup/job/memory.high")));
}

#[test]
fn v1_the_tightest_group_on_the_path_decides() {
    let files = |hierarchy: &'static str| {
        [
            ("proc/self/cgroup", "9:memory:/batch/job\n2:cpu,cpuacct:/elsewhere\n0::/\n"),
            ("proc/self/mountinfo", V1),
            ("sys/fs/cgroup/memory/batch/job/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/batch/job/memory.usage_in_bytes", "4096\n"),
            ("sys/fs/cgroup/memory/batch/memory.use_hierarchy", hierarchy),
            ("sys/fs/cgroup/memory/batch/memory.limit_in_bytes", "1073741824\n"),
            ("sys/fs/cgroup/memory/batch/memory.usage_in_bytes", "1073741824\n"),
            (
                "sys/fs/cgroup/memory/batch/memory.stat",
                "inactive_file 0\nhierarchical_memory_limit 1073741824\ntotal_inactive_file 524288000\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            MEMINFO,
        ]
    };
    assert_eq!(
        figures(&files("1\n"), None),
        (1024, 500, group("/sys/fs/cgroup/memory/batch/memory.limit_in_bytes")),
        "what the groups below have cached counts",
    );
    assert_eq!(
        figures(&files("0\n"), None),
        (16384, 12288, Bound::Machine),
        "a group that does not count this process"
    );
}

/// Docker with cgroup v1 names the group as the host does, while the mount shows the group at its top.
#[test]
fn a_container_sees_its_own_limit_at_the_mount() {
    let v1 = [
        ("proc/self/cgroup", "4:memory:/docker/abc\n"),
        ("proc/self/mountinfo", "72 60 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "16777216"),
        MEMINFO,
    ];
    assert_eq!(figures(&v1, None), (512, 496, group("/sys/fs/cgroup/memory/memory.limit_in_bytes")));
    let v2 = [
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", "700 690 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"),
        ("sys/fs/cgroup/memory.max", "536870912"),
        ("sys/fs/cgroup/memory.current", "629145600"),
        ("sys/fs/cgroup/memory.stat", "inactive_file 1048576\n"),
        MEMINFO,
    ];
    assert_eq!(figures(&v2, None), (512, 0, group("/sys/fs/cgroup/memory.max")), "a limit that was lowered");
}

#[test]
fn a_group_above_the_machine_does_not_decide() {
    let files = [
        ("proc/self/cgroup", "0::/job\n"),
        ("proc/self/mountinfo", V2),
        ("sys/fs/cgroup/job/memory.max", "1099511627776\n"),
        ("sys/fs/cgroup/job/memory.current", "1048576\n"),
        MEMINFO,
    ];
    assert_eq!(figures(&files, None), (16384, 12288, Bound::Machine));
}

#[test]
fn a_strict_system_promises_less_than_it_has() {
    assert_eq!(figures(&[MEMINFO, ("proc/sys/vm/overcommit_memory", "2\n")], None), (10240, 6144, Bound::Promise));
    assert_eq!(figures(&[MEMINFO, ("proc/sys/vm/overcommit_memory", "1\n")], None), (16384, 12288, Bound::Machine));
}

#[test]
fn the_address_space_may_be_the_tightest() {
    let pages = 256 * MIB / rustix::param::page_size() as u64;
    let statm = format!("{pages} 100 50 12 0 500 0\n");
    let files = [MEMINFO, ("proc/self/statm", statm.as_str())];
    assert_eq!(figures(&files, Some(1024 * MIB)), (1024, 768, Bound::AddressSpace));
    assert_eq!(figures(&files, Some(1 << 40)), (16384, 12288, Bound::Machine));
    assert_eq!(figures(&files, Some(128 * MIB)), (128, 0, Bound::AddressSpace), "a limit that was lowered");
}

#[test]
fn what_makes_no_sense_limits_nothing() {
    for text in ["", "max", "0", "-1", "1e9", "abc", "9223372036854771712", "18446744073709551615"] {
        assert_eq!(cgroup::memory_limit(text), None, "{text:?}");
    }
    assert_eq!(cgroup::memory_limit("4096\n"), Some(4096));
    for text in ["", "inactive_file", "inactive_file x", "inactive_filename 3", "total_inactive_file 3"] {
        assert_eq!(cgroup::memory_stat(text, "inactive_file"), None, "{text:?}");
    }
    let unknown = (u64::MAX / MIB, u64::MAX / MIB, Bound::Unknown);
    assert_eq!(figures(&[], None), unknown);
    for meminfo in ["", "MemTotal:", "MemTotal: x kB\nMemAvailable: 3\n", "MemTotal: 18446744073709551615 kB\n"] {
        assert_eq!(figures(&[("proc/meminfo", meminfo)], None), unknown, "{meminfo:?}");
    }
    let uncounted = [
        ("proc/self/cgroup", "0::/job\n"),
        ("proc/self/mountinfo", V2),
        ("sys/fs/cgroup/job/memory.max", "1073741824\n"),
        MEMINFO,
    ];
    assert_eq!(figures(&uncounted, None).1, 12288, "a group that does not tell its use");
}

#[test]
fn a_limit_that_changes_is_seen() {
    let root = tree(&[
        ("proc/self/cgroup", "0::/job\n"),
        ("proc/self/mountinfo", V2),
        ("sys/fs/cgroup/job/memory.max", "max\n"),
        ("sys/fs/cgroup/job/memory.current", "0\n"),
        MEMINFO,
    ]);
    let limits = MemoryLimits::find(root.path(), None);
    assert_eq!(limits.available(), 12288 * MIB);
    std::fs::write(root.path().join("sys/fs/cgroup/job/memory.max"), "1048576\n").unwrap();
    assert_eq!((limits.available(), limits.allowance().bytes), (MIB, MIB));
}

#[test]
fn bounds_read_as_text() {
    let text = |why: Bound| why.to_string();
    assert_eq!(text(Bound::Machine), "the machine's memory");
    assert_eq!(text(group("/sys/fs/cgroup/memory.max")), "the control group's /sys/fs/cgroup/memory.max");
    assert!(text(Bound::AddressSpace).contains("ulimit -v") && text(Bound::Promise).contains("overcommit"));
}

#[test]
fn this_machine_has_memory() {
    let allowance = memory_allowance();
    assert_ne!(allowance.why, Bound::Unknown);
    assert!(allowance.bytes > 16 * MIB, "{allowance:?}");
    // Not more than there is, and the test itself takes some.
    assert!(memory_available() < allowance.bytes, "{allowance:?}");
}
