//! Counters as kernels and container engines lay them out, and one real process that is killed for its memory.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::super::tests::{V1, V2, tree};
use super::*;

fn count(files: &[(&str, &str)]) -> Option<u64> {
    let root = tree(files);
    OomKills::find(root.path()).count()
}

const EVENTS: &str = "low 0\nhigh 4\nmax 31\noom 2\noom_kill 5\noom_group_kill 0\n";
const CONTROL: &str = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";
const VMSTAT: (&str, &str) = ("proc/vmstat", "nr_free_pages 1000\noom_kill 32\nnuma_hit 5\n");

#[test]
fn v2_the_own_group_counts() {
    let files = [
        ("proc/self/cgroup", "0::/user.slice/job.scope\n"),
        ("proc/self/mountinfo", V2),
        ("sys/fs/cgroup/user.slice/job.scope/memory.events", EVENTS),
        ("sys/fs/cgroup/user.slice/memory.events", "oom_kill 100\n"),
        VMSTAT,
    ];
    assert_eq!(count(&files), Some(5));
}

#[test]
fn v2_in_a_container_the_own_group_is_the_mount() {
    let files = [
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", "700 690 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"),
        ("sys/fs/cgroup/memory.events", EVENTS),
        VMSTAT,
    ];
    assert_eq!(count(&files), Some(5));
}

#[test]
fn v1_the_own_group_counts() {
    let files = [
        ("proc/self/cgroup", "9:memory:/batch/job\n2:cpu,cpuacct:/elsewhere\n"),
        ("proc/self/mountinfo", V1),
        ("sys/fs/cgroup/memory/batch/job/memory.oom_control", CONTROL),
        ("sys/fs/cgroup/memory/batch/memory.oom_control", "oom_kill 100\n"),
        VMSTAT,
    ];
    assert_eq!(count(&files), Some(7));
}

/// Docker names the group as the host does, while the mount shows the group at its top.
#[test]
fn v1_in_a_container_the_own_group_is_the_mount() {
    let files = [
        ("proc/self/cgroup", "4:memory:/docker/abc\n"),
        ("proc/self/mountinfo", "72 60 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"),
        ("sys/fs/cgroup/memory/memory.oom_control", CONTROL),
        VMSTAT,
    ];
    assert_eq!(count(&files), Some(7));
}

#[test]
fn hybrid_the_hierarchy_that_has_the_controller_counts() {
    let mounts = format!("{V1}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    let files = [
        ("proc/self/cgroup", "4:memory:/job\n0::/job\n"),
        ("proc/self/mountinfo", &mounts),
        ("sys/fs/cgroup/memory/job/memory.oom_control", CONTROL),
        ("sys/fs/cgroup/unified/job/cgroup.procs", "1\n"),
        VMSTAT,
    ];
    assert_eq!(count(&files), Some(7));
}

#[test]
fn without_a_memory_group_the_whole_machine_counts() {
    assert_eq!(count(&[VMSTAT]), Some(32));
    let top = [("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", V2), VMSTAT];
    assert_eq!(count(&top), Some(32), "the top of v2 has no such file");
    let old = [
        ("proc/self/cgroup", "9:memory:/\n"),
        ("proc/self/mountinfo", V1),
        ("sys/fs/cgroup/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n"),
        VMSTAT,
    ];
    assert_eq!(count(&old), Some(32), "a kernel whose v1 does not count");
    assert_eq!(count(&[]), None);
    assert_eq!(count(&[("proc/vmstat", "oom_kill many\nxoom_kill 3\n")]), None);
}

#[test]
fn this_machine_counts() {
    assert!(OomKills::open().count().is_some());
}

/// A control group for one process, removed in all cases.
struct Jail {
    directory: PathBuf,
    limit: &'static str,
}

impl Jail {
    /// At the top of the hierarchy, where that may be done: beside the groups that others account by, not inside one.
    fn new() -> Result<Self, String> {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let groups = cgroup::groups("memory", &text("/proc/self/cgroup"), &text("/proc/self/mountinfo"));
        let mut reasons = String::new();
        for group in groups {
            let Some(top) = group.directories().last() else { continue };
            let directory = top.join(format!("plait-oom-test-{}", std::process::id()));
            if let Err(error) = fs::create_dir(&directory) {
                reasons += &format!("{}: {error}; ", directory.display());
                continue;
            }
            let limit = match group.version {
                cgroup::Version::V1 => "memory.limit_in_bytes",
                cgroup::Version::V2 => "memory.max",
            };
            let jail = Self { directory, limit };
            match jail.set_limits() {
                Ok(()) => return Ok(jail),
                Err(error) => reasons += &format!("{}: {error}; ", jail.directory.display()),
            }
        }
        Err(if reasons.is_empty() { "there is no memory control group".into() } else { reasons })
    }

    fn set_limits(&self) -> io::Result<()> {
        self.write(self.limit, "33554432")?;
        // Pages that could be moved to a disk would only make it slow.
        for swap in ["memory.swap.max", "memory.swappiness"] {
            let _ = self.write(swap, "0");
        }
        Ok(())
    }

    /// Never makes a file: what is not there is an error.
    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::OpenOptions::new().write(true).open(self.directory.join(file))?.write_all(value.as_bytes())
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // Busy until the kernel has let go of the last process, which has ended.
        for _ in 0..1000 {
            match fs::remove_dir(&self.directory) {
                Err(error) if error.raw_os_error() == Some(16) => std::thread::yield_now(),
                _ => return,
            }
        }
    }
}

/// A process that is killed and waited for in all cases.
struct Prisoner(Child);

impl Drop for Prisoner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_killed_for_its_memory_is_counted() {
    let jail = match Jail::new() {
        Ok(jail) => jail,
        Err(reason) => return println!("skipped, no control group can be made here: {reason}"),
    };
    let counter = jail.directory.join(if jail.limit == "memory.max" { "memory.events" } else { "memory.oom_control" });
    let kills = OomKills { counters: vec![counter] };
    assert_eq!(kills.count(), Some(0));

    // Doubles a string until it is killed, once it was told that it is in the group.
    let script = "echo ready; read go; x=0123456789abcdef; while :; do x=$x$x; done";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut prisoner = Prisoner(shell.spawn().unwrap());
    let (mut stdin, stdout) = (prisoner.0.stdin.take().unwrap(), prisoner.0.stdout.take().unwrap());
    BufReader::new(stdout).read_line(&mut String::new()).unwrap();
    jail.write("cgroup.procs", &prisoner.0.id().to_string()).unwrap();
    stdin.write_all(b"go\n").unwrap();
    let status = prisoner.0.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{status}");
    assert_eq!(kills.count(), Some(1));
}
