//! The threads of one Python process, and what each was doing whenever it was looked at.
//!
//! The kernel tells of each thread whether it runs, and if not, which system call it sleeps in. A thread that sleeps on a futex
//! inside the GIL wants the GIL; one that sleeps on any other futex waits for some other lock, as the idle threads
//! of a pool do, and is not counted as wanting to run.
//!
//! A thread that waits for the GIL is woken every few milliseconds to ask for it. On a busy machine it then waits for a CPU,
//! which looks like running. So a thread that was asleep for the GIL and cannot have had it since, as the GIL's own count
//! of changes shows, still waits for it as long as another thread has it, and for the CPU when none has.

use std::fs::File;
use std::io;
use std::ops::AddAssign;
use std::os::unix::fs::FileExt;

use crate::gil::{Gil, Gils, Moment};
use crate::tree::threads;
use crate::{Finder, Pid, Reason, observer};

/// `futex` on x86-64, the one machine whose GIL is read.
const FUTEX: u64 = 202;
/// Threads of one process that get a line of their own in a report; its totals count all.
const MOST_LISTED: usize = 1024;

/// How often threads were seen doing what. One thread looked at once is one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// All samples: the sum of the three below.
    pub samples: u64,
    /// Asleep until the GIL is theirs, or just woken to ask for it while another has it.
    pub waiting: u64,
    /// Running or ready to run, with or without the GIL; or asleep in a system call with the GIL in hand while others
    /// wait for it.
    pub running: u64,
    /// Asleep in any other system call: a lock, a socket, a timer.
    pub blocked: u64,
}

impl Waits {
    /// The share of the time in which threads wanted to run that they spent waiting for the GIL:
    /// `waiting / (waiting + running)`, and 0 when no thread ever wanted to run.
    pub fn share(&self) -> f64 {
        match self.waiting + self.running {
            0 => 0.0,
            wanted => self.waiting as f64 / wanted as f64,
        }
    }

    fn note(&mut self, state: State) {
        self.samples += 1;
        match state {
            State::Waiting(_) => self.waiting += 1,
            State::Running => self.running += 1,
            State::Blocked => self.blocked += 1,
        }
    }
}

impl AddAssign for Waits {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.waiting += other.waiting;
        self.running += other.running;
        self.blocked += other.blocked;
    }
}

/// What was seen of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadWaits {
    /// The thread.
    pub tid: Pid,
    /// What it did.
    pub waits: Waits,
}

/// What was seen of one process, or why nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessWaits {
    /// The process.
    pub pid: Pid,
    /// What its threads did, all taken together; or why that cannot be told.
    pub waits: Result<Waits, Reason>,
    /// Thread by thread, at most 1,024 of them, in the order in which they ended or were found.
    pub threads: Vec<ThreadWaits>,
    /// The most threads at one time that could not be watched for want of file descriptors.
    pub unwatched_threads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Waiting(Gil),
    Blocked,
}

#[derive(Debug)]
struct Probe {
    tid: Pid,
    file: File,
    seen: Option<State>,
    /// The GIL it slept for when last seen and has not had since, and how often that had gone to another thread by then.
    wants: Option<(Gil, u64)>,
    waits: Waits,
}

/// One Python process under watch. A look is taken by [`Target::look`] and counts only once [`Target::count`] was called.
#[derive(Debug)]
pub(crate) struct Target {
    pid: Pid,
    gils: Gils,
    probes: Vec<Probe>,
    total: Waits,
    ended: Vec<ThreadWaits>,
    unwatched: usize,
}

impl Target {
    pub fn attach(pid: Pid, finder: &mut Finder) -> Result<Self, Reason> {
        let gils = Gils::find(pid, finder)?;
        let mut target =
            Self { pid, gils, probes: Vec::new(), total: Waits::default(), ended: Vec::new(), unwatched: 0 };
        target.refresh()?;
        Ok(target)
    }

    /// Takes note of threads and interpreters that came or went.
    pub fn refresh(&mut self) -> Result<(), Reason> {
        // A process that just changes its interpreters is read again at the next turn.
        let _ = self.gils.refresh();
        let own = self.pid == std::process::id();
        let alive: Vec<Pid> =
            threads(self.pid).into_iter().filter(|&tid| !(own && observer::is_observer(tid))).collect();
        self.keep(|probe| alive.contains(&probe.tid));
        let mut unwatched = 0;
        for tid in alive {
            if self.probes.iter().any(|probe| probe.tid == tid) {
                continue;
            }
            match Probe::open(self.pid, tid) {
                Ok(probe) => self.probes.push(probe),
                Err(error) => match Reason::of_io(self.pid, "thread state", &error) {
                    Reason::Gone { .. } => {}
                    denied @ Reason::Denied { .. } => return Err(denied),
                    _ => unwatched += 1,
                },
            }
        }
        self.unwatched = self.unwatched.max(unwatched);
        Ok(())
    }

    /// Looks at each thread once.
    pub fn look(&mut self) {
        for probe in &mut self.probes {
            probe.seen = probe.look(self.gils.gils());
        }
        for number in 0..self.gils.gils().len() {
            let gil = self.gils.gils()[number];
            let is_wanted = |probe: &Probe| {
                probe.seen == Some(State::Waiting(gil)) || probe.wants.is_some_and(|wants| wants.0 == gil)
            };
            if self.probes.iter().any(is_wanted) {
                match self.gils.moment(gil) {
                    Ok(moment) => settle(&mut self.probes, gil, moment),
                    Err(_) => self.probes.iter_mut().for_each(|probe| probe.wants = None),
                }
            }
        }
    }

    /// Counts what the last look saw.
    pub fn count(&mut self) {
        for probe in &mut self.probes {
            if let Some(state) = probe.seen.take() {
                probe.waits.note(state);
                self.total.note(state);
            }
        }
    }

    pub fn total(&self) -> Waits {
        self.total
    }

    pub fn into_report(mut self) -> ProcessWaits {
        self.keep(|_| false);
        ProcessWaits { pid: self.pid, waits: Ok(self.total), threads: self.ended, unwatched_threads: self.unwatched }
    }

    fn keep(&mut self, mut lives: impl FnMut(&Probe) -> bool) {
        let ended = &mut self.ended;
        self.probes.retain(|probe| {
            let stays = lives(probe);
            if !stays && probe.waits.samples > 0 && ended.len() < MOST_LISTED {
                ended.push(ThreadWaits { tid: probe.tid, waits: probe.waits });
            }
            stays
        });
    }
}

impl Probe {
    fn open(pid: Pid, tid: Pid) -> io::Result<Self> {
        let file = File::open(format!("/proc/{pid}/task/{tid}/syscall"))?;
        // Whether we may look is asked at each read, not when the file is opened.
        file.read_at(&mut [0; 8], 0)?;
        Ok(Self { tid, file, seen: None, wants: None, waits: Waits::default() })
    }

    /// `None` when the thread is gone.
    fn look(&self, gils: &[Gil]) -> Option<State> {
        let mut line = [0; 192];
        let length = self.file.read_at(&mut line, 0).ok()?;
        state_of(line.get(..length)?, gils)
    }

    /// Whether it has not had the GIL since it slept for it: then the GIL never went to another thread, or once, and to
    /// another than this one.
    fn still_wants(&self, gil: Gil, moment: Moment) -> bool {
        self.wants.is_some_and(|(wanted, switches)| {
            wanted == gil && moment.switches.wrapping_sub(switches) <= 1 && moment.last_holder != Some(self.tid)
        })
    }
}

/// Corrects what was seen of the threads by what `gil` says: who was woken to ask for it, and who sleeps and holds it.
fn settle(probes: &mut [Probe], gil: Gil, moment: Moment) {
    // Without the holder among the threads, as when the target numbers its threads in a namespace of its own, it cannot
    // be told from those that want it.
    let holder_is_known = probes.iter().any(|probe| Some(probe.tid) == moment.last_holder);
    for probe in probes.iter_mut() {
        match probe.seen {
            Some(State::Waiting(wanted)) if wanted == gil => probe.wants = Some((gil, moment.switches)),
            Some(State::Running) if holder_is_known && probe.still_wants(gil, moment) => {
                probe.wants = Some((gil, moment.switches));
                if moment.held {
                    probe.seen = Some(State::Waiting(gil));
                }
            }
            _ if probe.wants.is_some_and(|wants| wants.0 == gil) => probe.wants = None,
            _ => {}
        }
    }
    // A thread may sleep in a system call and keep the GIL. That matters only while others wait and none of them runs.
    let sees = |state| probes.iter().any(|probe| probe.seen == Some(state));
    if moment.held && sees(State::Waiting(gil)) && !sees(State::Running) {
        let holder = probes.iter_mut().find(|probe| Some(probe.tid) == moment.last_holder);
        if let Some(probe) = holder.filter(|probe| probe.seen == Some(State::Blocked)) {
            probe.seen = Some(State::Running);
        }
    }
}

/// Reads a line of `/proc/PID/task/TID/syscall`: `running`, or `-1 …` asleep outside of any call, or the number
/// of the call and its arguments.
pub(crate) fn state_of(line: &[u8], gils: &[Gil]) -> Option<State> {
    if line.starts_with(b"running") {
        return Some(State::Running);
    }
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let call: i64 = words.next()?.parse().ok()?;
    if call != FUTEX as i64 {
        return Some(State::Blocked);
    }
    let address = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    Some(gils.iter().find(|gil| gil.is_waited_for_at(address)).map_or(State::Blocked, |&gil| State::Waiting(gil)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIL: Gil = Gil { address: 0x1000 };

    fn state(line: &str) -> Option<State> {
        state_of(line.as_bytes(), &[Gil { address: 0x9000 }, GIL])
    }

    #[test]
    fn lines_of_the_kernel_become_states() {
        assert_eq!(state("running\n"), Some(State::Running));
        assert_eq!(state("-1 0x7ffe 0x7f00\n"), Some(State::Blocked));
        assert_eq!(state("0 0x3 0x1050 0x1 0x0 0x0 0x0 0x7ffe 0x7f00\n"), Some(State::Blocked));
        assert_eq!(state("202 0x1050 0x189 0x0 0x7f 0x0 0xffffffff 0x7ffe 0x7f00\n"), Some(State::Waiting(GIL)));
        assert_eq!(state("202 0x2000 0x189 0x0 0x7f 0x0 0xffffffff 0x7ffe 0x7f00\n"), Some(State::Blocked));
        assert_eq!(state(""), None);
    }

    #[test]
    fn sleep_is_no_part_of_the_share() {
        let waits = Waits { samples: 104, waiting: 3, running: 1, blocked: 100 };
        assert_eq!(waits.share(), 0.75);
        assert_eq!(Waits { samples: 5, blocked: 5, ..Waits::default() }.share(), 0.0);
    }

    #[test]
    fn every_sample_is_counted_in_one_way() {
        let mut waits = Waits::default();
        for state in [State::Running, State::Blocked, State::Waiting(GIL), State::Running] {
            waits.note(state);
        }
        assert_eq!(waits, Waits { samples: 4, waiting: 1, running: 2, blocked: 1 });
    }

    /// Threads 0, 1, … with what was seen of each and what each wanted before; gives what is then seen.
    fn settled(before: &[(State, Option<u64>)], moment: Moment) -> Vec<State> {
        let probe = |(tid, &(seen, wants)): (usize, &(State, Option<u64>))| Probe {
            tid: tid as Pid,
            file: File::open("/proc/thread-self/syscall").expect("our own"),
            seen: Some(seen),
            wants: wants.map(|switches| (GIL, switches)),
            waits: Waits::default(),
        };
        let mut probes: Vec<Probe> = before.iter().enumerate().map(probe).collect();
        settle(&mut probes, GIL, moment);
        probes.iter().map(|probe| probe.seen.expect("set above")).collect()
    }

    #[test]
    fn a_woken_thread_waits_on_unless_it_may_have_had_the_gil() {
        use State::{Running, Waiting};
        let waiting = Waiting(GIL);
        let held_by = |tid, switches| Moment { held: true, last_holder: Some(tid), switches };
        let woken = [(Running, None), (Running, Some(10)), (waiting, Some(10))];
        assert_eq!(settled(&woken, held_by(0, 10)), [Running, waiting, waiting]);
        assert_eq!(settled(&woken, held_by(0, 11)), [Running, waiting, waiting], "it went to thread 0");
        assert_eq!(settled(&woken, held_by(1, 11)), [Running, Running, waiting], "it went to thread 1");
        assert_eq!(settled(&woken, held_by(0, 12)), [Running, Running, waiting], "it may have had it in between");
        assert_eq!(settled(&woken, held_by(9, 10)), [Running, Running, waiting], "the holder is not known");
        let free = Moment { held: false, ..held_by(0, 10) };
        assert_eq!(settled(&woken, free), [Running, Running, waiting], "it lacks a CPU, not the GIL");
    }

    #[test]
    fn a_sleeping_holder_counts_only_where_others_wait() {
        use State::{Blocked, Running, Waiting};
        let moment = Moment { held: true, last_holder: Some(0), switches: 10 };
        assert_eq!(settled(&[(Blocked, None), (Waiting(GIL), None)], moment), [Running, Waiting(GIL)]);
        let free = Moment { held: false, ..moment };
        assert_eq!(settled(&[(Blocked, None), (Waiting(GIL), None)], free), [Blocked, Waiting(GIL)]);
        assert_eq!(settled(&[(Blocked, None), (Blocked, None)], moment), [Blocked, Blocked]);
    }
}
