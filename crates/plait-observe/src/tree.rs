//! The processes under a process.
//!
//! A tree that changes while it is read has no one true answer. Promised here: the root comes first, a parent comes before its
//! children, no process comes twice, and a process that was under the root before the call began and stays there
//! until after it ended is in it, unless the thread that started it ends in between.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::OnceLock;

use crate::identity::Stat;

/// The number of a process, or of a thread, as the kernel gives it.
pub type Pid = u32;

/// The process `root` and all its descendants, parents before their children; empty when there is no such process.
///
/// Processes that ended and were not yet waited for are in it. A process whose parent ended is the child of another one, and
/// in the tree only if that one is.
///
/// ```
/// let own = std::process::id();
/// assert_eq!(plait_observe::tree(own).first(), Some(&own));
/// ```
pub fn tree(root: Pid) -> Vec<Pid> {
    if Stat::of(root).is_none() {
        return Vec::new();
    }
    if kernel_lists_children() { walk(root, children) } else { walk_by_parents(root) }
}

fn walk(root: Pid, mut children: impl FnMut(Pid) -> Vec<Pid>) -> Vec<Pid> {
    let mut found = vec![root];
    let mut seen = HashSet::from([root]);
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        found.extend(children(pid).into_iter().filter(|&child| seen.insert(child)));
    }
    found
}

/// The children of `pid` as the kernel lists them: per thread that started them.
fn children(pid: Pid) -> Vec<Pid> {
    let mut all = Vec::new();
    for tid in threads(pid) {
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")) {
            all.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<Pid>().ok()));
        }
    }
    all
}

/// For kernels without `children` files: each process names its parent.
fn walk_by_parents(root: Pid) -> Vec<Pid> {
    let mut by_parent: HashMap<Pid, Vec<Pid>> = HashMap::new();
    for pid in numbers_in("/proc") {
        if let Some(stat) = Stat::of(pid) {
            by_parent.entry(stat.parent).or_default().push(pid);
        }
    }
    walk(root, |pid| by_parent.remove(&pid).unwrap_or_default())
}

/// The threads of `pid`, none when it ended.
pub(crate) fn threads(pid: Pid) -> Vec<Pid> {
    numbers_in(&format!("/proc/{pid}/task"))
}

/// The entries of a folder that are numbers.
pub(crate) fn numbers_in(folder: &str) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn kernel_lists_children() -> bool {
    static LISTS: OnceLock<bool> = OnceLock::new();
    *LISTS.get_or_init(|| fs::exists("/proc/thread-self/children").unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn both_ways_find_the_same_children() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat starts");
        let own = std::process::id();
        let by_parents = walk_by_parents(own);
        let by_children = walk(own, children);
        drop(child.stdin.take());
        child.wait().expect("cat ends");
        assert_eq!((by_parents[0], by_children[0]), (own, own));
        assert!(by_parents.contains(&child.id()), "{by_parents:?}");
        assert!(!kernel_lists_children() || by_children.contains(&child.id()), "{by_children:?}");
        assert!(!tree(own).contains(&child.id()), "a reaped child is in no tree");
    }

    #[test]
    fn a_circle_of_claims_ends() {
        let found = walk(1, |pid| if pid == 1 { vec![2, 3] } else { vec![1, 2, 3] });
        assert_eq!(found, [1, 2, 3]);
    }

    #[test]
    fn a_dead_root_has_no_tree() {
        assert_eq!(tree(Pid::MAX), []);
    }
}
