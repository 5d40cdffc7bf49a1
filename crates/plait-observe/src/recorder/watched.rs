//! One thread under watch.

use std::fs;
use std::io;

use plait_trace::{Count, GilKey, Kind, Nanos, Record, Subject, Task, Thread, ThreadKey};

use super::run::Desk;
use crate::Pid;
use crate::beacon::Doing;
use crate::lanes::{Call, GilSeen, Sched, ThreadFiles};
use crate::memory::{Nap, Naps, Switches, Turn};
use crate::subject::Spot;

/// A thread stays among the busy ones for so long after it did something.
const BUSY: Nanos = 100_000_000;
/// And is calm when it has done nothing for so long.
const CALM: Nanos = 1_000_000_000;

/// One thread: its files, and what was last seen of it.
pub(super) struct Watched {
    pub tid: Pid,
    pub key: ThreadKey,
    pub files: ThreadFiles,
    switches: Option<Switches>,
    pub about: Thread,
    /// Its thread state, if Python knows it.
    pub state: Option<u64>,
    pub ended: bool,
    /// Where in Python code it was when it last had a GIL.
    pub spot: Option<Spot>,
    /// When last looked at, it ran without the GIL.
    pub ran_without_gil: bool,
    busy_until: Nanos,
    last: Option<Call>,
    /// The GIL that it waited for when last seen, and how often that had gone to another thread by then.
    wants: Option<(GilKey, u64)>,
    told: Option<Sched>,
    task: Option<Task>,
}

impl Watched {
    /// Opens the files of a thread and describes it.
    pub fn open(pid: Pid, tid: Pid, process: plait_trace::ProcessKey, desk: &mut Desk) -> io::Result<Self> {
        let files = ThreadFiles::open(pid, tid)?;
        let key = desk.keys.thread();
        let found = desk.now();
        let about = Thread { key, process, tid, name: name_of(pid, tid), interpreter: None, found };
        desk.outbox.put(Record::Thread(about.clone()));
        Ok(Self {
            tid,
            key,
            files,
            switches: None,
            about,
            state: None,
            ended: false,
            spot: None,
            ran_without_gil: false,
            busy_until: found + BUSY,
            last: None,
            wants: None,
            told: None,
            task: None,
        })
    }

    pub fn is_busy(&self, at: Nanos) -> bool {
        at < self.busy_until
    }

    /// It does nothing, and has not for long.
    pub fn is_calm(&self, at: Nanos) -> bool {
        at >= self.busy_until + CALM
    }

    /// Takes note of a call that was seen: who changes or runs is busy.
    pub fn saw(&mut self, call: Call, at: Nanos, gils: &[GilSeen]) {
        let wanted = gils.iter().find(|seen| seen.gil.is_waited_for_in(call));
        self.wants = wanted.map(|seen| (seen.key, seen.look.switches));
        if self.wants.is_some() || matches!(call, Call::Running) || self.last != Some(call) {
            self.busy_until = at + BUSY;
        }
        self.last = Some(call);
    }

    /// The call that it is in for certain, without asking: it waited for a GIL that has been with one other thread since.
    pub fn still_waits(&self, gils: &[GilSeen]) -> Option<Call> {
        let (key, switches) = self.wants?;
        let look = gils.iter().find(|seen| seen.key == key)?.look;
        let is_kept = look.held && look.switches == switches && look.holder.is_some_and(|holder| holder != self.tid);
        self.last.filter(|_| is_kept)
    }

    /// Has the kernel tell of its switches, if it may.
    pub fn open_switches(&mut self, desk: &mut Desk) {
        if self.switches.is_none() {
            self.switches = desk.disturbance.open(self.tid);
        }
    }

    /// Whether it had a processor at `at`, and since when; `None` where the kernel does not tell.
    pub fn turn(&self, at: Nanos, desk: &Desk) -> Option<Turn> {
        let turn = desk.disturbance.undo(self.switches.as_ref()?.last()?);
        let since = turn.since.saturating_sub(desk.origin);
        (since <= at).then_some(Turn { since, ..turn })
    }

    /// How it slept between two looks, where the kernel tells.
    pub fn naps(&self, from: Nanos, to: Nanos, desk: &Desk) -> Naps {
        let Some(switches) = &self.switches else { return Naps::default() };
        let Naps(naps) = switches.naps(desk.origin + from, desk.origin + to);
        let in_recording = |at: Nanos| at.saturating_sub(desk.origin);
        Naps(
            naps.map(|nap| {
                nap.map(|Nap { slept, woke }| Nap { slept: in_recording(slept), woke: woke.map(in_recording) })
            }),
        )
    }

    /// Whether it waits for a GIL, as far as was seen.
    pub fn wants_gil(&self) -> bool {
        self.wants.is_some()
    }

    /// Describes it anew if its name or interpreter has changed.
    pub fn describe(&mut self, pid: Pid, interpreter: Option<i64>, read_name: bool, desk: &mut Desk) {
        let name = if read_name { name_of(pid, self.tid) } else { String::new() };
        let renamed = !name.is_empty() && name != self.about.name;
        if renamed {
            self.about.name = name;
        }
        let moved = interpreter.is_some() && interpreter != self.about.interpreter;
        if moved {
            self.about.interpreter = interpreter;
        }
        if renamed || moved {
            desk.outbox.put(Record::Thread(self.about.clone()));
        }
    }

    /// Writes down its processor time if it has changed.
    pub fn count(&mut self, at: Nanos, desk: &mut Desk) {
        let Ok(sched) = self.files.sched() else { return };
        let of = Subject::Thread(self.key);
        if self.told.is_none_or(|told| told.run != sched.run) {
            desk.outbox.put(Record::Count(Count { of, kind: Kind::CpuTime, at, value: sched.run }));
        }
        if self.told.is_none_or(|told| told.delay != sched.delay) {
            desk.outbox.put(Record::Count(Count { of, kind: Kind::RunDelay, at, value: sched.delay }));
        }
        self.told = Some(sched);
    }

    /// Takes note of the task that it runs now, if any.
    pub fn runs(&mut self, doing: Option<&Doing>, at: Nanos, desk: &mut Desk) {
        let Some(doing) = doing else {
            self.task_is_over(at, desk);
            return;
        };
        if let Some(task) = &mut self.task
            && task.id == doing.task
            && *task.name == *doing.name
        {
            task.to = at;
            return;
        }
        // When it began is known only where the pool took the time anyway; then the one before it had ended.
        let began = doing.since.checked_sub(desk.origin).filter(|&began| doing.since > 0 && began <= at);
        // One that goes on when another within it has ended began before that.
        let began = began.filter(|&began| self.task.as_ref().is_none_or(|task| task.from <= began));
        self.task_ended_before(began.unwrap_or(at), at, desk);
        let began = began.unwrap_or(at);
        self.task = Some(Task { thread: self.key, from: began, to: at, name: doing.name.to_string(), id: doing.task });
    }

    /// Writes down the task that it ran: it ended between the last look that saw it and now.
    pub fn task_is_over(&mut self, at: Nanos, desk: &mut Desk) {
        self.task_ended_before(at, at, desk);
    }

    /// The same, where it is known to have ended before a moment that was not later than now.
    fn task_ended_before(&mut self, latest: Nanos, at: Nanos, desk: &mut Desk) {
        if let Some(mut task) = self.task.take() {
            let middle = task.to + at.saturating_sub(task.to) / 2;
            task.to = middle.min(latest).max(task.from);
            desk.outbox.put(Record::Task(task));
        }
    }
}

fn name_of(pid: Pid, tid: Pid) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm")).unwrap_or_default().trim_end().to_owned()
}
