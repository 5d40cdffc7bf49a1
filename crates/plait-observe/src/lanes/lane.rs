//! One thread's lane.

use plait_trace::{GilKey, Nanos, Record, State, ThreadKey};

use super::calls::{self, FUTEX, RESTART};
use super::gils::GilLane;
use super::holder::Holder;
use super::pending::{Mark, Pending};
use super::runner::Runner;
use super::seen::{Call, Sched, ThreadLook};
use crate::Pid;
use crate::memory::{Naps, Turn};

/// From here on in a GIL, who gave it away waits for another to take it; before, who wants it waits.
const HANDING_OVER: u64 = 120;

/// What the look at hand has in common for all threads.
pub(super) struct Look<'a> {
    pub number: u64,
    pub at: Nanos,
    /// From when on its GILs are as it saw them.
    pub edge: Nanos,
    pub gils: &'a [GilLane],
    /// GILs came, went or moved, so what addresses mean may have changed.
    pub gils_changed: bool,
}

/// A thread that lives.
#[derive(Debug)]
pub(super) struct Lane {
    pub key: ThreadKey,
    pub tid: Pid,
    /// The GIL that it has at this look, as a place among the look's.
    pub holding: Option<usize>,
    /// What is known of it since it has the GIL.
    pub holder: Option<Holder>,
    /// How it slept since the look before, as this look tells.
    pub naps: Naps,
    /// The GIL that it waits for at this look.
    pub waiting: Option<GilKey>,
    /// The number of the look that saw it last, and when that was.
    pub look: u64,
    seen: Nanos,
    /// Nobody looked before `seen`.
    blind: bool,
    /// This call alone says what it does.
    resting: Option<Call>,
    /// The GIL it slept for and has not had since, and how often that had gone to another thread by then.
    wants: Option<(GilKey, u64)>,
    runner: Runner,
    pending: Pending,
}

impl Lane {
    /// A thread that is first seen at `at`.
    pub fn new(thread: &ThreadLook, at: Nanos) -> Self {
        Self {
            key: thread.key,
            tid: thread.tid,
            holding: None,
            holder: None,
            naps: Naps::default(),
            waiting: None,
            look: 0,
            seen: at,
            blind: true,
            resting: None,
            wants: None,
            runner: Runner::default(),
            pending: Pending::default(),
        }
    }

    /// Whether no look has been taken at it yet.
    pub fn is_new(&self) -> bool {
        self.look == 0
    }

    /// Takes what a look showed of it.
    pub fn look(&mut self, thread: &ThreadLook, now: &Look<'_>, out: &mut Vec<Record>) {
        let goes_on = self.resting == Some(thread.call) && self.holding.is_none() && !now.gils_changed && !self.blind;
        if goes_on {
            self.runner.note(thread.sched, &mut self.pending);
        } else {
            self.change(thread, now);
            self.pending.flush(self.key, out);
        }
        self.was_seen(now);
    }

    /// The look did not cover it, but it has a GIL, or has none any more: that is known.
    pub fn pass_over(&mut self, now: &Look<'_>, out: &mut Vec<Record>) {
        if let Some(place) = self.holding {
            self.hold(place, Call::Running, None, now);
        } else if let Some(holder) = &self.holder {
            let edge = lost(holder.gil, now.gils).unwrap_or(now.edge);
            self.let_go();
            self.runner.note(None, &mut self.pending);
            self.pending.push(edge, Mark::Known(State::Unknown), None);
        } else {
            return;
        }
        self.pending.flush(self.key, out);
        self.was_seen(now);
    }

    /// Nobody looked between these.
    pub fn gap(&mut self, from: Nanos, to: Nanos, out: &mut Vec<Record>) {
        self.settle();
        self.pending.push(from, Mark::Known(State::Unknown), None);
        self.pending.flush(self.key, out);
        (self.seen, self.blind) = (to, true);
        (self.resting, self.waiting) = (None, None);
    }

    /// Writes what is settled: what was last seen holds until then, and may have changed right after.
    pub fn cut(&mut self, at: Nanos, out: &mut Vec<Record>) {
        self.pending.cut(self.key, at.min(self.seen), out);
    }

    /// It is over; gives the moment from which on it was no more, if that was seen at `at`.
    pub fn end(&mut self, at: Nanos, out: &mut Vec<Record>) -> Nanos {
        let end = self.edge(at);
        self.close(end, out);
        end
    }

    /// Writes all, up to `at`.
    pub fn close(&mut self, at: Nanos, out: &mut Vec<Record>) {
        self.settle();
        self.pending.finish(self.key, at, out);
    }

    /// From when on it is as it is seen at `at`.
    fn edge(&self, at: Nanos) -> Nanos {
        if self.blind { self.seen } else { self.seen.midpoint(at.max(self.seen)) }
    }

    /// The same of a thread that has no GIL: who does something else than before has got a processor, or left it.
    fn switched(&self, thread: &ThreadLook, at: Nanos) -> Nanos {
        // Who still had one at this moment fell asleep after it.
        let fits = |turn: &Turn| !turn.has_processor || matches!(thread.call, Call::Running);
        let since = thread.turn.filter(fits).map(|turn| turn.since).filter(|since| (self.seen..=at).contains(since));
        since.unwrap_or_else(|| self.edge(at))
    }

    fn was_seen(&mut self, now: &Look<'_>) {
        (self.look, self.seen, self.blind) = (now.number, now.at, false);
    }

    fn change(&mut self, thread: &ThreadLook, now: &Look<'_>) {
        if let Some(place) = self.holding {
            self.hold(place, thread.call, thread.sched, now);
            return;
        }
        let edge = match &self.holder {
            Some(holder) => lost(holder.gil, now.gils).unwrap_or_else(|| self.edge(now.at)),
            None => self.switched(thread, now.at),
        };
        self.let_go();
        (self.waiting, self.resting) = (None, None);
        let (mark, call) = match thread.call {
            Call::Running => (self.run(thread, edge, now), None),
            Call::In { number: FUTEX | RESTART, first, .. } if gil_at(first, now.gils).is_some() => {
                self.runner.note(thread.sched, &mut self.pending);
                (self.wait(first, now.gils), None)
            }
            asleep => {
                self.runner.note(thread.sched, &mut self.pending);
                (self.resting, self.wants) = (Some(asleep), None);
                match asleep {
                    Call::In { number, target, .. } => (Mark::Known(calls::resting(number, target)), Some(number)),
                    // Of threads that are blocked outside of calls, most wait for a page to be read.
                    Call::Outside | Call::Running => (Mark::Known(State::Disk), None),
                }
            }
        };
        self.pending.push(edge, mark, call);
    }

    /// It has a GIL.
    fn hold(&mut self, place: usize, call: Call, sched: Option<Sched>, now: &Look<'_>) {
        let gil = &now.gils[place];
        self.runner.note(sched, &mut self.pending);
        (self.waiting, self.resting, self.wants) = (None, None, None);
        let other = self.holder.as_ref().map(|holder| holder.gil).filter(|&other| other != gil.key);
        if let Some(other) = other {
            self.let_go();
            let lost = lost(other, now.gils).unwrap_or(now.edge);
            if lost < gil.handover.got {
                self.pending.push(lost, Mark::Known(State::Unknown), None);
            }
        }
        let edge = if self.holder.is_some() { now.edge } else { gil.handover.got };
        let holder = self.holder.get_or_insert_with(|| Holder::new(gil, edge, now.at));
        let (mark, call) = holder.look(gil, call, sched, (edge, now.at), &mut self.pending);
        self.pending.push(edge, mark, call);
    }

    /// It sleeps for the GIL that `address` is in.
    fn wait(&mut self, address: u64, gils: &[GilLane]) -> Mark {
        let Some(gil) = gil_at(address, gils) else {
            return Mark::Known(State::Lock);
        };
        self.waiting = Some(gil.key);
        if address - gil.gil.address >= HANDING_OVER {
            // Afterwards it wants the GIL again, or else runs native code; that cannot be told.
            self.wants = None;
            Mark::Known(State::HandsOff)
        } else {
            self.wants = Some((gil.key, gil.switches));
            Mark::Known(State::Waits)
        }
    }

    /// It runs, or could, and has no GIL.
    fn run(&mut self, thread: &ThreadLook, edge: Nanos, now: &Look<'_>) -> Mark {
        if let Some(gil) = self.still_wants(now.gils) {
            // Woken to ask for the GIL. If that is free, all it lacks is a processor.
            let state = if gil.held { State::Waits } else { State::Runnable };
            self.wants = Some((gil.key, gil.switches));
            self.waiting = gil.held.then_some(gil.key);
            self.runner.note(thread.sched, &mut self.pending);
            return Mark::Known(state);
        }
        self.wants = None;
        let base = match thread.attached {
            Some(true) => State::Attached,
            Some(false) => State::Detached,
            None => State::Native,
        };
        match thread.turn {
            Some(turn) => self.runner.takes_turns(base, turn, &mut self.pending),
            None => self.runner.ready(base, thread.sched, edge, now.at, &mut self.pending),
        }
    }

    /// The GIL it slept for and cannot have had since: that went to no other thread since then, or once and not to
    /// this one. Who waits for a GIL does nothing else until it has it.
    fn still_wants<'a>(&self, gils: &'a [GilLane]) -> Option<&'a GilLane> {
        let (key, switches) = self.wants?;
        let gil = gils.iter().find(|gil| gil.key == key)?;
        let had_it = gil.switches.wrapping_sub(switches) > 1 || gil.holder.is_none_or(|holder| holder == self.tid);
        (!had_it).then_some(gil)
    }

    fn let_go(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            holder.settle(&mut self.pending);
        }
    }

    /// Nothing more will turn out.
    fn settle(&mut self) {
        self.let_go();
        self.runner.note(None, &mut self.pending);
    }
}

/// When the GIL was let go of by whom had it at the look before.
fn lost(gil: GilKey, gils: &[GilLane]) -> Option<Nanos> {
    gils.iter().find(|lane| lane.key == gil).map(|lane| lane.handover.lost)
}

fn gil_at(address: u64, gils: &[GilLane]) -> Option<&GilLane> {
    gils.iter().find(|gil| gil.gil.is_waited_for_at(address))
}
