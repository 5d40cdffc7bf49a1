//! The numbers of threads, which are others in a container than outside of it.

use std::collections::HashMap;
use std::fs;

use crate::Pid;
use crate::tree::threads;

/// Turns numbers that a process gives its threads into those that the observer sees.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// In the same namespace they are the same; else those that were met so far, and where to look for others.
    elsewhere: Option<(Pid, HashMap<u32, Pid>)>,
}

impl Numbers {
    pub fn of(pid: Pid) -> Self {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let theirs = namespace(&pid.to_string());
        let same = theirs.is_none() || theirs == namespace("self");
        Self { elsewhere: (!same).then(|| (pid, HashMap::new())) }
    }

    /// The thread that calls itself `tid`; `None` when it has ended.
    pub fn outside(&mut self, tid: u32) -> Option<Pid> {
        let Some((pid, known)) = &mut self.elsewhere else { return Some(tid) };
        if let Some(&outside) = known.get(&tid)
            && inner_number(*pid, outside) == Some(tid)
        {
            return Some(outside);
        }
        *known =
            threads(*pid).into_iter().filter_map(|outside| Some((inner_number(*pid, outside)?, outside))).collect();
        known.get(&tid).copied()
    }
}

/// The process that calls itself `inner` in the namespace of `pid`, among those under it; `None` when there is none.
pub(crate) fn process_outside(pid: Pid, inner: u32) -> Option<Pid> {
    if Numbers::of(pid).elsewhere.is_none() {
        return Some(inner);
    }
    crate::tree(pid).into_iter().find(|&outside| inner_number(outside, outside) == Some(inner))
}

/// What a thread is called in its innermost namespace.
fn inner_number(pid: Pid, tid: Pid) -> Option<u32> {
    innermost(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?)
}

fn innermost(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_this_namespace_are_what_they_are() {
        assert_eq!(Numbers::of(std::process::id()).outside(7), Some(7));
    }

    #[test]
    fn those_of_another_one_are_looked_up() {
        let pid = std::process::id();
        let mut numbers = Numbers { elsewhere: Some((pid, HashMap::new())) };
        // Threads of this process, which is in one namespace only, or sees itself by its innermost number.
        let inner = inner_number(pid, pid).expect("this process tells its numbers");
        assert_eq!(numbers.outside(inner), Some(pid));
        assert_eq!(numbers.outside(inner), Some(pid));
        assert_eq!(numbers.outside(u32::MAX), None);
    }

    #[test]
    fn the_innermost_number_is_the_last() {
        assert_eq!(innermost("Name:\ta\nNSpid:\t31930\t77\t5\nNSsid:\t1\t2\t3\n"), Some(5));
        assert_eq!(innermost("Name:\tNSpid: 5\n"), None);
    }
}
