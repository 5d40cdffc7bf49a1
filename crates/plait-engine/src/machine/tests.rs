//! Directory trees as the kernel and container engines lay them out, and what must be read from them.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::cgroup::groups;
use super::*;

/// A made root directory with these files.
pub(super) fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn limits(files: &[(&str, &str)]) -> CpuLimits {
    CpuLimits::read(tree(files).path(), 8, Variable::Unset)
}

/// The answer, its rule, and the files the quotas came from.
fn answer(limits: &CpuLimits) -> (usize, Rule, Vec<&str>) {
    let files = limits.quotas.iter().map(|group| group.file.to_str().unwrap()).collect();
    (limits.count, limits.rule, files)
}

pub(super) const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
pub(super) const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
    35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

#[test]
fn without_quotas_the_affinity_decides() {
    let limits = limits(&[("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", V2)]);
    assert_eq!(answer(&limits), (8, Rule::Affinity, vec![]));
    assert_eq!(answer(&super::CpuLimits::read(Path::new("/nonexistent"), 3, Variable::Unset)).0, 3);
}

#[test]
fn v2_the_tightest_group_on_the_path_decides() {
    let limits = limits(&[
        ("proc/self/cgroup", "0::/user.slice/job.scope/inner\n"),
        ("proc/self/mountinfo", V2),
        ("sys/fs/cgroup/user.slice/cpu.max", "600000 100000\n"),
        ("sys/fs/cgroup/user.slice/job.scope/cpu.max", "250000 100000\n"),
        ("sys/fs/cgroup/user.slice/job.scope/inner/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/other/cpu.max", "100000 100000\n"),
    ]);
    let files = vec!["/sys/fs/cgroup/user.slice/job.scope/cpu.max", "/sys/fs/cgroup/user.slice/cpu.max"];
    assert_eq!(answer(&limits), (3, Rule::Quota, files));
    assert_eq!(limits.tightest().unwrap().quota.cpus(), 2.5);
}

#[test]
fn v1_the_tightest_group_on_the_path_decides() {
    let limits = limits(&[
        ("proc/self/cgroup", "9:memory:/elsewhere\n2:cpu,cpuacct:/batch/job\n0::/\n"),
        ("proc/self/mountinfo", V1),
        ("sys/fs/cgroup/cpu,cpuacct/batch/job/cpu.cfs_quota_us", "150000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/batch/job/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "700000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
    ]);
    let files =
        vec!["/sys/fs/cgroup/cpu,cpuacct/batch/job/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"];
    assert_eq!(answer(&limits), (2, Rule::Quota, files));
}

#[test]
fn the_groups_of_a_controller_are_the_process_own_and_those_above_it() {
    let root = tree(&[
        ("proc/self/cgroup", "9:memory:/elsewhere\n2:cpu,cpuacct:/batch/job\n0::/\n"),
        ("proc/self/mountinfo", V1),
    ]);
    let found = |controller| control_groups_of(root.path(), controller);
    let cpu = "/sys/fs/cgroup/cpu,cpuacct";
    assert_eq!(found("cpu"), [format!("{cpu}/batch/job"), format!("{cpu}/batch"), cpu.to_owned()].map(PathBuf::from));
    assert_eq!(found("memory").len(), 2);
    assert!(found("pids").is_empty());
    assert!(control_groups_of(Path::new("/nonexistent"), "cpu").is_empty());
}

/// Docker with cgroup v2 and a namespace: the container's own group is the mount, and is called `/`.
#[test]
fn docker_v2_sees_its_own_group_as_the_root() {
    let limits = limits(&[
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", "700 690 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"),
        ("sys/fs/cgroup/cpu.max", "50000 100000\n"),
    ]);
    assert_eq!(answer(&limits), (1, Rule::Quota, vec!["/sys/fs/cgroup/cpu.max"]));
}

/// Docker with cgroup v1 names the group as the host does, while the mount shows the group at its top.
#[test]
fn docker_v1_mounts_the_group_at_the_root() {
    let files = |root: &str| {
        limits(&[
            ("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n"),
            (
                "proc/self/mountinfo",
                &format!("72 60 0:29 {root} /sys/fs/cgroup/cpu,cpuacct ro master:11 - cgroup cgroup rw,cpu,cpuacct\n"),
            ),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000"),
        ])
    };
    assert_eq!(files("/docker/abc").count, 3);
    assert_eq!(files("/docker").count, 3, "a group below the mount");
    assert_eq!(files("/somewhere/else").count, 3, "a path that says nothing about this mount");
}

#[test]
fn a_process_that_was_moved_out_of_the_namespace_is_held_to_the_mount() {
    let limits = limits(&[
        ("proc/self/cgroup", "0::/../../sibling\n"),
        ("proc/self/mountinfo", V2),
        ("sys/fs/cgroup/cpu.max", "200000 100000\n"),
        ("sys/sibling/cpu.max", "100000 100000\n"),
    ]);
    assert_eq!(answer(&limits).0, 2);
}

#[test]
fn on_a_machine_with_both_versions_both_count() {
    let mounts = format!("{V1}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    let limits = limits(&[
        ("proc/self/cgroup", "2:cpu,cpuacct:/\n0::/job\n"),
        ("proc/self/mountinfo", &mounts),
        ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "600000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/unified/job/cpu.max", "400000 100000\n"),
    ]);
    assert_eq!(limits.count, 4);
    assert_eq!(limits.quotas.len(), 2);
}

#[test]
fn a_mount_point_may_hold_any_letter() {
    let mounts = "30 23 0:26 / /mnt/c\\040g\\134x\\9 rw - cgroup2 cgroup2 rw\n";
    let limits = limits(&[
        ("proc/self/cgroup", "0::/a b\n"),
        ("proc/self/mountinfo", mounts),
        ("mnt/c g\\x\\9/a b/cpu.max", "100000 100000\n"),
    ]);
    assert_eq!(limits.count, 1);
}

#[test]
fn quotas_that_make_no_sense_limit_nothing() {
    for text in ["", "max 100000", "max", "100000", "abc 100000", "0 100000", "100000 0", "-5 100000", "1e5 100000"] {
        assert_eq!(Quota::from_v2(text), None, "{text:?}");
    }
    for (quota, period) in [("-1\n", "100000\n"), ("", "100000"), ("100000", ""), ("0", "100000"), ("100000", "0")] {
        assert_eq!(Quota::from_v1(quota, period), None, "{quota:?} {period:?}");
    }
    let broken = limits(&[
        ("proc/self/cgroup", "nonsense\n7\n::\n0::/a\n"),
        ("proc/self/mountinfo", "- \n1 2 3\n\n30 23 0:26 / /sys/fs/cgroup rw - \n"),
    ]);
    assert_eq!(answer(&broken), (8, Rule::Affinity, vec![]));
}

#[test]
fn fractions_are_rounded_up() {
    for (quota, workers) in
        [(1, 1), (50_000, 1), (100_000, 1), (100_001, 2), (150_000, 2), (200_000, 2), (u64::MAX, usize::MAX)]
    {
        let period_us = if quota == u64::MAX { 1 } else { 100_000 };
        assert_eq!(Quota { quota_us: quota, period_us }.workers(), workers);
    }
}

#[test]
fn a_quota_above_the_affinity_is_told_and_does_not_decide() {
    let quota = |quota_us| GroupQuota { file: "/g/cpu.max".into(), quota: Quota { quota_us, period_us: 100 } };
    let limits = CpuLimits::decide(4, vec![quota(900), quota(1600)], Variable::Unset);
    assert_eq!((limits.count, limits.rule), (4, Rule::Affinity));
    assert_eq!(limits.tightest(), Some(&quota(900)));
    assert_eq!(CpuLimits::decide(4, vec![quota(400)], Variable::Unset).rule, Rule::Affinity);
    assert_eq!(CpuLimits::decide(4, vec![quota(301)], Variable::Workers(4)).rule, Rule::Affinity);
    assert_eq!(CpuLimits::decide(4, vec![quota(300)], Variable::Workers(4)).rule, Rule::Quota);
}

#[test]
fn the_variable_lowers_and_never_raises() {
    let with = |variable| CpuLimits::decide(4, Vec::new(), variable);
    assert_eq!((with(Variable::Workers(2)).count, with(Variable::Workers(2)).rule), (2, Rule::Variable));
    assert_eq!((with(Variable::Workers(4)).count, with(Variable::Workers(4)).rule), (4, Rule::Affinity));
    assert_eq!((with(Variable::Workers(9)).count, with(Variable::Workers(9)).rule), (4, Rule::Affinity));
    assert_eq!(with(Variable::Unusable("x".into())).count, 4);
    assert_eq!(CpuLimits::decide(0, Vec::new(), Variable::Unset).count, 1);
}

#[test]
fn the_variable_is_a_whole_number_of_at_least_one() {
    let parse = |text: &str| Variable::parse(Some(text.as_ref()));
    assert_eq!(Variable::parse(None), Variable::Unset);
    assert_eq!(parse(""), Variable::Unset);
    assert_eq!(parse(" 3 "), Variable::Workers(3));
    for text in ["0", "-1", "1.5", "many"] {
        assert_eq!(parse(text), Variable::Unusable(text.into()));
    }
}

#[test]
fn this_machine_has_a_processor() {
    let limits = CpuLimits::of_this_process();
    assert!(limits.count >= 1 && limits.count <= limits.affinity);
    let allowed = std::thread::available_parallelism().unwrap().get();
    assert!(limits.affinity >= allowed, "the library's figure is the same, or lower by a quota");
}

proptest! {
    #[test]
    fn no_text_is_too_strange(cgroup in ".{0,80}", mountinfo in "[ -~\n\\\\]{0,200}", quota in ".{0,20}") {
        groups("cpu", &cgroup, &mountinfo);
        groups("cpu", "0::/a\n4:cpu:/b", &mountinfo);
        Quota::from_v2(&quota);
        Quota::from_v1(&quota, &quota);
        super::cgroup::memory_limit(&quota);
        super::cgroup::memory_stat(&mountinfo, &quota);
    }
}

#[test]
fn fuzz_machine() {
    let seeds = [
        "0::/user.slice/a\n7:cpu,cpuacct:/docker/abc\n",
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n31 23 0:27 /a\\040b /c\\134 rw - cgroup c rw,cpu\n",
        "50000 100000",
        "max 100000\n",
        "0-3,8,10-11\n",
        "1000 200 50 1 0 90 0\n",
        "low 0\noom_kill 3\ninactive_file 4096\n",
        "MemTotal:       24684084 kB\nMemAvailable: 1 kB\n",
    ];
    let seeds: Vec<_> = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
    plait_trace::fuzz::fuzz("machine", env!("CARGO_MANIFEST_DIR"), &seeds, |bytes| {
        let text = &*String::from_utf8_lossy(bytes);
        for group in groups("cpu", text, text).iter().chain(&groups("cpu", "0::/a\n4:cpu:/b", text)) {
            assert!(group.directories().all(|directory| directory.components().count() <= text.len() + 2));
        }
        for quota in [Quota::from_v2(text), Quota::from_v1(text, "100000")].into_iter().flatten() {
            assert!(quota.cpus() > 0.0 && quota.workers() > 0);
        }
        super::cgroup::memory_limit(text);
        super::cgroup::memory_stat(text, "inactive_file");
        super::cores::parse_list(text);
        super::memory::parse(text);
        super::oom::parse(text);
        super::allowance::kibibytes(text, "MemTotal:");
    });
}
