//! Who has which GIL.

use plait_trace::{GilKey, Hold, Nanos, Record, ThreadKey};

use super::handover::{Handover, Taking};
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
    /// It went through more hands than one since the look before.
    pub others: bool,
    pub spot: Option<Spot>,
    pub collecting: bool,
    /// The number of the look that saw it last.
    pub look: u64,
    /// How it came to who has it at this look, from who had it at the one before.
    pub handover: Handover,
    /// How long handovers take.
    pub taking: Taking,
    /// When it last came to somebody, or to nobody.
    changed: Nanos,
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
            switches: seen.look.switches,
            others: false,
            spot: None,
            collecting: false,
            look,
            handover: Handover::default(),
            taking: Taking::default(),
            changed: 0,
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
        let times = seen.look.switches.wrapping_sub(self.switches);
        self.others = times > 1;
        self.taking.note(0, times);
        self.switches = seen.look.switches;
        self.spot = seen.look.spot;
        self.collecting = seen.look.collecting;
        self.look = look;
    }

    /// The thread that has it, if it is one that is known.
    pub fn thread(&self) -> Option<ThreadKey> {
        self.open.and_then(|(thread, _)| thread)
    }

    /// Who has it at this look, if that is another than before.
    pub fn hand_over(&mut self, handover: Handover, thread: Option<Option<ThreadKey>>, out: &mut Vec<Record>) {
        // Who had it may have ended in between.
        self.handover =
            Handover { lost: handover.lost.max(self.changed), got: handover.got.max(self.changed), ..handover };
        if self.open.map(|(thread, _)| thread) != thread {
            self.hold(self.handover.lost, handover.between, out);
            self.hold(self.handover.got, thread, out);
        }
    }

    /// From this moment on `thread` has it: nobody, or somebody who may not be known.
    pub fn hold(&mut self, from: Nanos, thread: Option<Option<ThreadKey>>, out: &mut Vec<Record>) {
        if self.open.map(|(thread, _)| thread) != thread {
            self.write(from, out);
            self.open = thread.map(|thread| (thread, from));
            self.changed = from;
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
