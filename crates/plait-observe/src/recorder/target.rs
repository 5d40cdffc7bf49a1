//! One process under watch.

use plait_trace::{Gil, Nanos, Process, ProcessKey, Record, Sight};

use super::hogs::Hogs;
use super::run::Desk;
use super::watched::Watched;
use crate::beacon::{Beacon, Doing};
use crate::births::Listed;
use crate::counts::{self, Quota, Throttled};
use crate::identity::{Identity, command_of};
use crate::lanes::{GilSeen, Lanes, ThreadLook};
use crate::native::Natives;
use crate::stacks::Stacks;
use crate::subject::Subject as Python;
use crate::{Finder, Pid, Reason};

mod look;
mod refresh;
mod tasks;

/// A process that shows no Python is tried again after this part of its age: it may still be loading its libraries, or
/// load an interpreter later.
const PATIENCE: Nanos = 4;

/// A GIL, and where it lies.
struct KnownGil {
    about: Gil,
    place: crate::Gil,
    /// How often it went from one thread to another when that was last written down.
    switches: Option<u64>,
}

/// One process: what can be seen of it, and what has been.
pub(super) struct Target {
    pid: Pid,
    identity: Identity,
    about: Process,
    python: Result<Python, Reason>,
    /// When a Python was last looked for.
    tried: Nanos,
    stacks: Option<Stacks>,
    natives: Natives,
    /// Whether native calls of its threads can be told, as far as is known.
    is_shot_at: bool,
    beacon: Option<Beacon>,
    /// When it was last looked for.
    beacon_tried: Nanos,
    quota: Option<Quota>,
    throttled: Option<Throttled>,
    gils: Vec<KnownGil>,
    threads: Vec<Watched>,
    known: Listed,
    lanes: Lanes,
    hogs: Hogs,
    /// A GIL is held by a thread that was not there when threads were last listed.
    has_stranger: bool,
    /// When they were.
    listed: Nanos,
    /// When it was last looked at.
    looked: Nanos,
    seen: Vec<GilSeen>,
    looks: Vec<ThreadLook>,
    doing: Vec<Doing>,
}

impl Target {
    pub fn attach(
        pid: Pid,
        identity: Identity,
        parent: Option<ProcessKey>,
        finder: &mut Finder,
        desk: &mut Desk,
    ) -> Self {
        let key = desk.keys.process();
        let quota = Quota::of(pid);
        let about = Process {
            key,
            pid,
            parent,
            found: desk.now(),
            command: command_of(pid),
            python: None,
            sight: Sight::Kernel,
            why: None,
            processors: counts::processors_of(pid),
            quota: quota.as_ref().map(|quota| quota.processors),
            role: None,
        };
        let mut target = Self {
            pid,
            identity,
            about,
            python: Err(Reason::NotReady { pid }),
            tried: 0,
            stacks: None,
            natives: Natives::new(pid),
            is_shot_at: true,
            beacon: None,
            beacon_tried: 0,
            quota,
            throttled: None,
            gils: Vec::new(),
            threads: Vec::new(),
            known: Listed::default(),
            lanes: Lanes::new(),
            hogs: Hogs::default(),
            has_stranger: false,
            listed: 0,
            looked: 0,
            seen: Vec::new(),
            looks: Vec::new(),
            doing: Vec::new(),
        };
        target.look_for_python(finder, desk);
        desk.outbox.put(Record::Process(target.about.clone()));
        target.refresh(false, desk);
        target
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether the process still runs the same program, now that it is seen to be this one.
    pub fn is_still(&mut self, seen: Identity) -> bool {
        let is_still = self.identity.may_be(&seen);
        if is_still && self.identity.is_hidden() {
            self.identity = seen;
        }
        is_still
    }

    pub fn key(&self) -> ProcessKey {
        self.about.key
    }

    /// Where Python was not found, or its start was not over, looks again, the seldomer the older it is.
    pub fn try_again(&mut self, finder: &mut Finder, desk: &mut Desk) {
        let Err(reason) = &self.python else { return };
        let is_due = desk.now() >= self.tried + self.tried.saturating_sub(self.about.found) / PATIENCE;
        if !is_due || !(reason.may_pass() || matches!(reason, Reason::NotPython { .. })) {
            return;
        }
        let before = self.about.clone();
        self.look_for_python(finder, desk);
        if self.about != before {
            desk.outbox.put(Record::Process(self.about.clone()));
        }
        if self.python.is_ok() {
            self.refresh(false, desk);
        }
    }

    fn look_for_python(&mut self, finder: &mut Finder, desk: &Desk) {
        self.tried = desk.now();
        self.python = Python::attach(self.pid, finder);
        match &self.python {
            Ok(python) => {
                let found = python.python();
                let version = found.version;
                self.about.python = Some(version.to_string());
                let free = python.is_free_threaded();
                self.about.sight = if free { Sight::FreeThreaded } else { Sight::Gil };
                let why = free.then_some(Reason::NoGil { pid: self.pid, version });
                self.about.why = why.as_ref().map(Reason::to_string);
                desk.refuse(self.about.key, why);
                if !desk.on_gils_alone() {
                    self.stacks = Stacks::of(found).ok();
                }
            }
            Err(reason) => {
                self.about.sight = if matches!(reason, Reason::Denied { .. }) { Sight::Nothing } else { Sight::Kernel };
                // Of the programs that a program starts, most are none, and nobody asked.
                let is_told = self.about.parent.is_none() || !matches!(reason, Reason::NotPython { .. });
                self.about.why = is_told.then(|| reason.to_string());
                desk.refuse(self.about.key, Some(reason.clone()));
            }
        }
        if desk.on_gils_alone() {
            return;
        }
        self.beacon = Beacon::find(self.pid);
        self.beacon_tried = self.tried;
        self.about.role = self.beacon.as_ref().and_then(Beacon::role);
        // What was a fork of its parent until then may have been given arguments of its own.
        self.about.command = command_of(self.pid);
    }

    /// Nobody looked for a while.
    pub fn gap(&mut self, from: Nanos, to: Nanos, desk: &mut Desk) {
        self.lanes.gap(from.max(self.about.found), to, &mut desk.outbox.records);
    }

    /// Writes down what is settled of all that goes on.
    pub fn cut(&mut self, at: Nanos, desk: &mut Desk) {
        self.lanes.cut(at, &mut desk.outbox.records);
    }

    /// The recording ends; the process goes on.
    pub fn close(&mut self, at: Nanos, desk: &mut Desk) {
        self.refresh(true, desk);
        for thread in &mut self.threads {
            thread.task_is_over(at, desk);
        }
        self.lanes.close(at, &mut desk.outbox.records);
    }

    /// The process has ended, or became another program.
    pub fn end(&mut self, at: Nanos, desk: &mut Desk) {
        for thread in &mut self.threads {
            thread.task_is_over(at, desk);
        }
        self.lanes.close(at, &mut desk.outbox.records);
        for thread in &self.threads {
            desk.outbox.put(Record::ThreadEnded { thread: thread.key, at });
        }
        desk.outbox.put(Record::ProcessEnded { process: self.about.key, at });
    }

    /// Lets go of threads that have ended.
    fn let_go(&mut self, at: Nanos, desk: &mut Desk) {
        let lanes = &mut self.lanes;
        self.threads.retain_mut(|thread| {
            if thread.ended {
                thread.task_is_over(at, desk);
                lanes.thread_ended(thread.key, at, &mut desk.outbox.records);
                desk.outbox.put(Record::ThreadEnded { thread: thread.key, at });
            }
            !thread.ended
        });
    }
}
