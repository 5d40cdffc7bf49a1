//! What a process of plait's says of itself: what it is in a pool, and which task each thread runs.

use plait_trace::{Nanos, Record};

use super::{PATIENCE, Target};
use crate::beacon::Beacon;
use crate::recorder::run::Desk;

/// The longest time between two looks whether plait has been loaded; a look reads the map of the process.
const LONGEST_PAUSE: Nanos = 2_000_000_000;

impl Target {
    /// A program loads plait when it needs it, and a fork is told what it is after it was born: so it is asked again.
    pub fn meet_tasks(&mut self, desk: &mut Desk) {
        if self.beacon.is_none() {
            let now = desk.now();
            let pause = (now.saturating_sub(self.about.found) / PATIENCE).min(LONGEST_PAUSE);
            if self.python.is_err() || now < self.beacon_tried + pause {
                return;
            }
            self.beacon_tried = now;
            self.beacon = Beacon::find(self.pid);
        }
        let role = self.beacon.as_ref().and_then(Beacon::role);
        if role.is_some() && role != self.about.role {
            self.about.role = role;
            desk.outbox.put(Record::Process(self.about.clone()));
        }
    }

    /// Takes note of the task of each thread.
    pub fn look_at_tasks(&mut self, at: Nanos, desk: &mut Desk) {
        let Some(beacon) = &mut self.beacon else { return };
        self.doing.clear();
        beacon.look(&mut self.doing);
        for thread in &mut self.threads {
            thread.runs(self.doing.iter().find(|doing| doing.tid == thread.tid), at, desk);
        }
    }
}
