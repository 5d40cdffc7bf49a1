//! A look at the pools of a program, each second or so: who works, at what, since when, where in the code, at what cost.
//!
//! The program is not stopped and does not notice. Its table of pools (`pools.rs`) names the workers; what a worker runs its
//! own beacon tells, and where it is its Python stack.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use plait_trace::pools::{Noted, Place, PoolKind};
use plait_trace::top::{PoolNow, Top, WorkerNow, WorkerState};
use rustix::time::{ClockId, clock_gettime};

use crate::beacon::numbers::{Numbers, process_outside};
use crate::beacon::{Beacon, Doing};
use crate::identity::{Identity, Stat, command_of};
use crate::memory::Memory;
use crate::pools::{Pools, Told};
use crate::stacks::{Place as Call, Stacks};
use crate::subject::Subject;
use crate::tree::numbers_in;
use crate::usage::{cpu_of_process, cpu_of_thread, resident};
use crate::{Finder, Pid, Reason, tree};

/// Looks at the pools of one program, again and again.
#[derive(Debug)]
pub struct Looker {
    root: Pid,
    identity: Identity,
    finder: Finder,
    known: HashMap<Pid, Known>,
    /// Processor time of each worker at the last look, by process and thread.
    used: HashMap<(Pid, Pid), f64>,
    /// Tasks that had ended then, by process and number of the pool.
    ended: HashMap<(Pid, u64), u64>,
    last: Option<Instant>,
}

/// A process that pools are in, or workers.
#[derive(Debug)]
struct Known {
    identity: Identity,
    pools: Option<Pools>,
    beacon: Option<Beacon>,
    python: Option<(Subject, Stacks)>,
    /// What its threads run.
    doing: Vec<Doing>,
}

impl Known {
    fn of(pid: Pid, identity: Identity) -> Self {
        Self { identity, pools: Pools::find(pid), beacon: Beacon::find(pid), python: None, doing: Vec::new() }
    }

    /// What a thread runs, and where its Python code is.
    fn task(&self, tid: Pid) -> Option<String> {
        self.doing.iter().find(|doing| doing.tid == tid).map(|doing| doing.name.to_string())
    }

    fn line(&mut self, pid: Pid, tid: Pid, finder: &mut Finder) -> Option<String> {
        if self.python.is_none() {
            let subject = Subject::attach(pid, finder).ok()?;
            let stacks = Stacks::of(subject.python()).ok()?;
            self.python = Some((subject, stacks));
        }
        let (subject, stacks) = self.python.as_mut()?;
        if !subject.threads().iter().any(|thread| thread.tid == tid) {
            subject.refresh().ok()?;
        }
        let state = subject.threads().iter().find(|thread| thread.tid == tid)?.state;
        shown(&stacks.stack(state).ok()?)
    }
}

/// The innermost call that a task is in: `resize (images.py:12)`. None where the task has no Python code, and what lies
/// further out is plait's own loop.
fn shown(calls: &[Call]) -> Option<String> {
    let own = ["/plait/_worker.py", "/plait/_thread.py", "/plait/_pool/crew.py", "/plait/_nursery.py"];
    let is_own = |call: &Call| own.iter().any(|end| call.file.ends_with(end));
    let call = calls.first().filter(|call| !is_own(call) && call.line > 0)?;
    let file = call.file.rsplit('/').next().unwrap_or_default();
    Some(format!("{} ({file}:{})", call.function, call.line))
}

impl Looker {
    /// Of the program `root`.
    ///
    /// # Errors
    /// [`Reason::Gone`], or [`Reason::Denied`] where the kernel refuses to let us look.
    pub fn attach(root: Pid) -> Result<Self, Reason> {
        let stat = Stat::of(root).ok_or(Reason::Gone { pid: root })?;
        Memory::of(root)?;
        Ok(Self {
            root,
            identity: stat.identity,
            finder: Finder::default(),
            known: HashMap::new(),
            used: HashMap::new(),
            ended: HashMap::new(),
            last: None,
        })
    }

    /// Whether it, or a process under it, has loaded plait; as of the last look.
    pub fn uses_plait(&self) -> bool {
        self.known.values().any(|known| known.pools.is_some())
    }

    /// Looks once.
    ///
    /// # Errors
    /// [`Reason::Gone`] once the program has ended.
    pub fn look(&mut self) -> Result<Top, Reason> {
        if Stat::of(self.root).is_none_or(|stat| !stat.identity.may_be(&self.identity) || stat.state == b'Z') {
            return Err(Reason::Gone { pid: self.root });
        }
        let now = Instant::now();
        let passed = self.last.replace(now).map(|last| (now - last).as_secs_f64());
        let mut top = Top { pid: self.root, command: command_of(self.root), ..Top::default() };
        let mut pids = tree(self.root);
        let mut seen: HashSet<Pid> = pids.iter().copied().collect();
        let (mut used, mut ended) = (HashMap::new(), HashMap::new());
        let mut at = 0;
        while let Some(&pid) = pids.get(at) {
            at += 1;
            let Some((told, untold)) = self.meet(pid).and_then(|known| known.pools.as_ref()?.read()) else { continue };
            top.untold += untold;
            for told in told.into_iter().filter(|told| !told.is_over()) {
                let workers = self.workers(pid, &told, &mut used, passed);
                // One whose parent has ended is not in the tree.
                pids.extend(workers.iter().map(|worker| worker.pid).filter(|&pid| seen.insert(pid)));
                top.pools.push(self.pool(pid, &told, workers, &mut ended, passed));
            }
        }
        self.known.retain(|pid, _| seen.contains(pid));
        (self.used, self.ended) = (used, ended);
        Ok(top)
    }

    /// What is known of a process, if it lives.
    fn meet(&mut self, pid: Pid) -> Option<&mut Known> {
        let identity = Stat::of(pid).filter(|stat| stat.state != b'Z')?.identity;
        let known = self.known.entry(pid).or_insert_with(|| Known::of(pid, identity));
        if !known.identity.may_be(&identity) || known.pools.is_none() {
            // Another program, or one that has loaded plait meanwhile.
            *known = Known::of(pid, identity);
        }
        known.doing.clear();
        if let Some(beacon) = &mut known.beacon {
            beacon.look(&mut known.doing);
        }
        Some(known)
    }

    fn pool(
        &self,
        pid: Pid,
        told: &Told,
        workers: Vec<WorkerNow>,
        ended: &mut HashMap<(Pid, u64), u64>,
        passed: Option<f64>,
    ) -> PoolNow {
        let Told { slot, counts, .. } = told;
        let unheard = told.unheard();
        let counts = plait_trace::pools::Counts { done: counts.done + unheard, ..*counts };
        let of_threads = |(place, _): &(Place, _)| if place.is_lost { 0 } else { u64::from(place.depth) };
        let running = match slot.kind {
            PoolKind::Processes => workers.iter().filter(|worker| worker.state == WorkerState::Busy).count() as u64,
            PoolKind::Threads | PoolKind::Asyncio => told.workers.iter().map(of_threads).sum(),
        };
        let running = running.min(counts.pending());
        let total = counts.done + counts.failed;
        ended.insert((pid, slot.number), total);
        let before = self.ended.get(&(pid, slot.number));
        let rate = before.zip(passed).map(|(before, passed)| total.saturating_sub(*before) as f64 / passed.max(1e-3));
        PoolNow {
            pid,
            number: slot.number,
            name: slot.name.clone(),
            kind: slot.kind,
            most: slot.most,
            queued: counts.pending() - running,
            running,
            counts,
            rate,
            workers,
        }
    }

    fn workers(
        &mut self,
        pid: Pid,
        told: &Told,
        used: &mut HashMap<(Pid, Pid), f64>,
        passed: Option<f64>,
    ) -> Vec<WorkerNow> {
        let workers = told.workers.iter().filter_map(|(place, noted)| match told.slot.kind {
            PoolKind::Processes => self.process(process_outside(pid, place.id)?, noted.unwrap_or_default()),
            PoolKind::Threads => self.thread(pid, place),
            PoolKind::Asyncio => None,
        });
        let mut workers: Vec<(WorkerNow, f64)> = workers.collect();
        for (worker, cpu) in &mut workers {
            let key = (worker.pid, worker.tid);
            used.insert(key, *cpu);
            let before = self.used.get(&key);
            worker.cpu = before.zip(passed).map(|(before, passed)| (*cpu - before).max(0.0) / passed.max(1e-3));
        }
        workers.into_iter().map(|(worker, _)| worker).collect()
    }

    /// A worker process, and its processor time.
    fn process(&mut self, pid: Pid, noted: Noted) -> Option<(WorkerNow, f64)> {
        self.meet(pid)?;
        let known = self.known.get_mut(&pid)?;
        let busy = noted.is_busy;
        let worker = WorkerNow {
            pid,
            tid: pid,
            state: if busy { WorkerState::Busy } else { WorkerState::Idle },
            task: if busy { known.task(pid) } else { None },
            seconds: busy.then(|| seconds_since(noted.since)),
            done: noted.ended,
            memory: resident(pid).map(|memory| memory.now),
            cpu: None,
            line: if busy { known.line(pid, pid, &mut self.finder) } else { None },
        };
        Some((worker, cpu_of_process(pid)?))
    }

    /// A worker thread, and its processor time.
    fn thread(&mut self, pid: Pid, place: &Place) -> Option<(WorkerNow, f64)> {
        let tid = Numbers::of(pid).outside(place.id)?;
        let known = self.known.get_mut(&pid)?;
        let busy = place.depth > 0;
        let state = match (busy, place.is_lost) {
            (true, true) => WorkerState::Abandoned,
            (true, false) => WorkerState::Busy,
            (false, _) => WorkerState::Idle,
        };
        let worker = WorkerNow {
            pid,
            tid,
            state,
            task: if busy { known.task(tid) } else { None },
            seconds: busy.then(|| seconds_since(place.since)),
            done: place.done,
            memory: None,
            cpu: None,
            line: if busy { known.line(pid, tid, &mut self.finder) } else { None },
        };
        Some((worker, cpu_of_thread(pid, tid)?))
    }
}

fn seconds_since(since: u64) -> f64 {
    let now = clock_gettime(ClockId::Monotonic);
    let now = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
    now.saturating_sub(since) as f64 / 1e9
}

/// The programs of this user that have pools now: process, command line, and how many pools.
pub fn programs() -> Vec<(Pid, String, usize)> {
    let owner = |pid: &str| fs::metadata(format!("/proc/{pid}")).ok().map(|about| about.uid());
    let mine = owner("self");
    let mut found: Vec<_> = numbers_in("/proc")
        .into_iter()
        .filter(|&pid| pid != std::process::id() && owner(&pid.to_string()) == mine)
        .filter_map(|pid| {
            let pools = Pools::find(pid)?.read()?.0.iter().filter(|told| !told.is_over()).count();
            // What a worker has is shown with the program that it works for.
            let is_program = Beacon::find(pid).is_none_or(|beacon| beacon.role().is_none());
            (pools > 0 && is_program).then(|| (pid, command_of(pid), pools))
        })
        .collect();
    found.sort_unstable_by_key(|(pid, ..)| *pid);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_call_is_shown_unless_it_is_plaits() {
        let call = |function: &str, file: &str, line| Call { function: function.into(), file: file.into(), line };
        let outer = call("main", "/x/plait/_worker.py", 30);
        assert_eq!(shown(&[call("f", "/a/b.py", 3), outer.clone()]).as_deref(), Some("f (b.py:3)"));
        assert_eq!(shown(&[outer]), None, "a function of C's");
        assert_eq!(shown(&[call("f", "/a/b.py", 0)]), None);
        assert_eq!(shown(&[]), None);
    }

    #[test]
    fn what_has_ended_is_not_looked_at() {
        assert_eq!(Looker::attach(Pid::MAX).err(), Some(Reason::Gone { pid: Pid::MAX }));
    }

    #[test]
    fn a_program_without_plait_has_no_pools() {
        let mut looker = Looker::attach(std::process::id()).expect("oneself may be looked at");
        let top = looker.look().expect("it lives");
        assert!(top.pools.is_empty() && !looker.uses_plait() && !top.command.is_empty());
    }
}
