//! What changes slowly: threads, interpreters, names, figures.

use std::io;

use plait_trace::{Count, Gil, Kind, Nanos, Record, Subject};

use super::{KnownGil, Target};
use crate::Pid;
use crate::counts::Quota;
use crate::observer;
use crate::recorder::run::{Desk, nanos};
use crate::recorder::watched::Watched;
use crate::tree::threads;
use crate::usage::process_cpu;

/// The time between two listings for the sake of a thread that holds a GIL and is not known.
const STRANGERS_PERIOD: Nanos = 10_000_000;

impl Target {
    /// Takes note of what came or went, and of figures that change slowly; if told, also of what hardly ever does: names,
    /// and the figures of threads that are idle.
    pub fn refresh(&mut self, all: bool, desk: &mut Desk) {
        if desk.on_gils_alone() {
            if self.python.as_ref().is_ok_and(|python| !python.is_free_threaded()) {
                self.list(false, desk);
            }
            return;
        }
        self.list(all, desk);
        self.meet_tasks(desk);
        let at = desk.now();
        for thread in self.threads.iter_mut().filter(|thread| all || thread.is_busy(at)) {
            thread.count(at, desk);
        }
        self.count(at, desk);
    }

    /// Where a GIL is held by a thread that is not known yet, takes note of what came, but not all the time: a holder
    /// may have no thread that can be found.
    pub fn meet_strangers(&mut self, desk: &mut Desk) {
        if self.has_stranger && desk.now().saturating_sub(self.listed) >= STRANGERS_PERIOD {
            self.list(false, desk);
        }
    }

    fn list(&mut self, names: bool, desk: &mut Desk) {
        self.has_stranger = false;
        self.listed = desk.now();
        self.refresh_threads(desk);
        if let Ok(python) = &mut self.python {
            // A process that just changes its interpreters is read again at the next turn.
            let _ = python.refresh();
        }
        self.refresh_gils(desk);
        for thread in &mut self.threads {
            let known = self.python.as_ref().ok();
            let known = known.and_then(|python| python.threads().iter().find(|known| known.tid == thread.tid));
            thread.state = known.map(|known| known.state);
            thread.describe(self.pid, known.map(|known| known.interpreter), names, desk);
        }
    }

    fn refresh_threads(&mut self, desk: &mut Desk) {
        // One that ends is found by the next look at it.
        if self.known.is_whole(desk.births.last()) {
            return;
        }
        let own = self.pid == std::process::id();
        let alive: Vec<Pid> =
            threads(self.pid).into_iter().filter(|&tid| !(own && observer::is_observer(tid))).collect();
        for thread in &mut self.threads {
            thread.ended |= !alive.contains(&thread.tid);
        }
        self.let_go(desk.now(), desk);
        let mut unwatched = 0;
        for tid in alive {
            if self.threads.iter().any(|thread| thread.tid == tid) {
                continue;
            }
            match Watched::open(self.pid, tid, self.about.key, desk) {
                Ok(thread) => self.threads.push(thread),
                Err(error) if lacks_descriptors(&error) => unwatched += 1,
                // It has ended, or may not be looked at, which the process itself says already.
                Err(_) => {}
            }
        }
        desk.dropped.threads = desk.dropped.threads.max(unwatched);
    }

    fn refresh_gils(&mut self, desk: &mut Desk) {
        let Ok(python) = &self.python else { return };
        for info in python.gils() {
            let interval = nanos(info.interval);
            match self.gils.iter_mut().find(|known| known.place == info.gil) {
                Some(known) => {
                    let about = &mut known.about;
                    if about.interpreters != info.interpreters || about.interval != interval {
                        about.interpreters.clone_from(&info.interpreters);
                        about.interval = interval;
                        desk.outbox.put(Record::Gil(about.clone()));
                    }
                }
                None => {
                    let (key, process) = (desk.keys.gil(), self.about.key);
                    let about = Gil { key, process, interpreters: info.interpreters.clone(), interval };
                    desk.outbox.put(Record::Gil(about.clone()));
                    self.gils.push(KnownGil { about, place: info.gil, switches: None });
                }
            }
        }
    }

    fn count(&mut self, at: Nanos, desk: &mut Desk) {
        let process = Subject::Process(self.about.key);
        let mut put = |of, kind, value| desk.outbox.put(Record::Count(Count { of, kind, at, value }));
        if let Some(time) = process_cpu(self.pid) {
            put(process, Kind::CpuTime, nanos(time));
        }
        for seen in &self.seen {
            let Some(known) = self.gils.iter_mut().find(|known| known.about.key == seen.key) else { continue };
            if known.switches.replace(seen.look.switches) != Some(seen.look.switches) {
                put(Subject::Gil(seen.key), Kind::Switches, seen.look.switches);
            }
        }
        let Some(now) = self.quota.as_ref().and_then(Quota::throttled) else { return };
        if self.throttled.replace(now) != Some(now) {
            put(process, Kind::QuotaPeriods, now.periods);
            put(process, Kind::ThrottledPeriods, now.throttled);
            put(process, Kind::ThrottledTime, now.time);
        }
    }
}

/// Whether it is this process, not the thread, that something is wrong with.
fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(code) if code == libc::EMFILE || code == libc::ENFILE)
}
