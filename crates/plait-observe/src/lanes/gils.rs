//! Who has which GIL.

use plait_trace::{GilKey, Hold, Nanos, Record, ThreadKey};

use super::seen::GilSeen;
use crate::subject::Spot;
use crate::{Gil, Pid};

/// One GIL: its words at the last look, and the hold that goes on.
#[derive(Debug)]
pub(super) struct GilLane {
    pub key: GilKey,
    pub gil: Gil,
    pub held: bool,
    /// Who has it or had it last, by the kernel's number.
    pub holder: Option<Pid>,
    pub switches: u64,
    pub spot: Option<Spot>,
    pub collecting: bool,
    /// The number of the look that saw it last.
    pub look: u64,
    /// The hold that goes on: by whom, if that is known, and from when.
    open: Option<(Option<ThreadKey>, Nanos)>,
}

impl GilLane {
    /// One that was not there before.
    pub fn new(seen: &GilSeen, look: u64) -> Self {
        let mut lane = Self {
            key: seen.key,
            gil: seen.gil,
            held: false,
            holder: None,
            switches: 0,
            spot: None,
            collecting: false,
            look,
            open: None,
        };
        lane.see(seen, look);
        lane
    }

    /// Takes its words at a look.
    pub fn see(&mut self, seen: &GilSeen, look: u64) {
        self.gil = seen.gil;
        self.held = seen.look.held;
        self.holder = seen.look.holder;
        self.switches = seen.look.switches;
        self.spot = seen.look.spot;
        self.collecting = seen.look.collecting;
        self.look = look;
    }

    /// The thread that has it, if it is one that is known.
    pub fn thread(&self) -> Option<ThreadKey> {
        self.open.and_then(|(thread, _)| thread)
    }

    /// From this moment on `thread` has it: nobody, or somebody who may not be known.
    pub fn hold(&mut self, from: Nanos, thread: Option<Option<ThreadKey>>, out: &mut Vec<Record>) {
        if self.open.map(|(thread, _)| thread) != thread {
            self.write(from, out);
            self.open = thread.map(|thread| (thread, from));
        }
    }

    /// Writes the hold that goes on, up to `to`.
    pub fn cut(&mut self, to: Nanos, out: &mut Vec<Record>) {
        self.write(to, out);
        if let Some((_, from)) = &mut self.open {
            *from = (*from).max(to);
        }
    }

    fn write(&self, to: Nanos, out: &mut Vec<Record>) {
        if let Some((thread, from)) = self.open
            && from < to
        {
            out.push(Record::Hold(Hold { gil: self.key, from, to, thread }));
        }
    }
}
