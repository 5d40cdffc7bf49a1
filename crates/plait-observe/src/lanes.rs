//! What each thread of a process did, out of what looks at it showed.
//!
//! [`ThreadFiles`] asks the kernel about one thread. [`Lanes`] makes spans and holds of what looks saw; it reads no clock
//! and no file. What was seen at a look is taken to hold from the middle between the last look and this one, so edges are
//! off by half a period at most, and what was seen once is kept. Where the kernel tells when threads fell asleep and woke
//! up, edges are known better ([`handover`] of a GIL's). What a look shows becomes a state by these rules:
//!
//! | GIL | kernel | state |
//! |---|---|---|
//! | it has it | runs, or could | `HoldsPython`; `HoldsNative` from where it was first seen in the same place for 10 ms, running ([`holder`]) |
//! | it has it | sleeps in a call | `HoldsBlocked` if that is certain ([`holder`]), else as above |
//! | it has it, garbage is collected | any | `HoldsGc` |
//! | | sleeps where the GIL is waited for | `Waits`, or `HandsOff` |
//! | it slept for it and has not had it since | runs, or could | `Waits`; `Runnable` if the GIL is free |
//! | | runs, or could | `Native` or `Runnable`, as its time shows ([`runner`]) |
//! | there is none | runs, or could | `Attached` or `Detached`, or `Runnable` |
//! | | sleeps in any other call | what that call means ([`calls`]) |
//!
//! The GIL's words and the calls of threads are read one after another, and so may disagree. The GIL's words decide: who
//! they name has it at this look, whatever its call says.
//!
//! Some of this becomes known later than it was seen. Until then it stays with the lane ([`pending`]) and so does all that
//! follows it: 10 ms at most for holders, a tick of the kernel's clock for threads that run without the GIL, 200 ms for those
//! that get no processor.
//!
//! A holder that is the same at two looks while the GIL's count of changes has grown was without it in between. That is too
//! short to be drawn, and splits nothing; but what was known of its staying in one place is forgotten.

mod calls;
mod files;
mod gils;
mod handover;
mod holder;
mod lane;
mod pending;
mod runner;
mod seen;
#[cfg(test)]
mod tests;

use plait_trace::{GilKey, Nanos, Record, ThreadKey};

pub(crate) use files::ThreadFiles;
use gils::GilLane;
use handover::Handover;
use lane::{Lane, Look};
#[cfg(test)]
pub(crate) use seen::Target;
pub(crate) use seen::{Call, GilSeen, Hogging, Sched, ThreadLook};

use crate::memory::Naps;

/// The lanes of one process: its threads, and its GILs.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// The threads that live, by key.
    lanes: Vec<Lane>,
    gils: Vec<GilLane>,
    /// Where in `lanes` the threads of the look at hand are.
    places: Vec<usize>,
    /// How many looks there were.
    looks: u64,
    /// The time of the last look.
    last: Nanos,
    /// Nobody looked before `last`.
    blind: bool,
    /// The latest moment there was news of.
    now: Nanos,
}

impl Lanes {
    /// A process that has not been looked at yet.
    pub fn new() -> Self {
        Self { lanes: Vec::new(), gils: Vec::new(), places: Vec::new(), looks: 0, last: 0, blind: true, now: 0 }
    }

    /// Takes a look.
    ///
    /// All GILs of the process are to be in it: one that is missing has nobody's hold from here on. Threads may be missing: each is
    /// taken to do what it did until it is looked at again, and its edges are in the middle between the looks at
    /// *it*. A thread that has a GIL or has just lost it is drawn so in any case, but what it does without being looked at is
    /// unknown; so holders, and those who were at the look before, should be among `threads`.
    pub fn look(&mut self, at: Nanos, gils: &[GilSeen], threads: &[ThreadLook], out: &mut Vec<Record>) {
        let at = at.max(self.now);
        let edge = match self.looks {
            0 => at,
            _ if self.blind => self.last,
            _ => self.last.midpoint(at),
        };
        self.looks += 1;
        self.place(at, threads);
        for lane in &mut self.lanes {
            lane.naps = Naps::default();
        }
        for (&place, thread) in self.places.iter().zip(threads) {
            self.lanes[place].naps = thread.naps;
        }
        let gils_changed = self.see(edge, gils, out);
        self.assign(edge, at, out);
        let now = Look { number: self.looks, at, edge, gils: &self.gils, gils_changed };
        for (&place, thread) in self.places.iter().zip(threads) {
            self.lanes[place].look(thread, &now, out);
        }
        for lane in &mut self.lanes {
            if lane.look != now.number {
                lane.pass_over(&now, out);
            }
        }
        (self.last, self.now, self.blind) = (at, at, false);
    }

    /// Nobody looked from the one moment to the other: threads did what cannot be known, and nobody's holds are
    /// drawn. The next look begins at `to`.
    pub fn gap(&mut self, from: Nanos, to: Nanos, out: &mut Vec<Record>) {
        let from = from.max(self.last);
        if self.looks == 0 || to <= from {
            return;
        }
        for lane in &mut self.lanes {
            lane.gap(from, to, out);
        }
        for gil in &mut self.gils {
            gil.hold(from, None, out);
        }
        (self.last, self.now, self.blind) = (to, self.now.max(to), true);
    }

    /// A thread was seen to be gone. Its lane ends in the middle between the last look at it and this moment.
    pub fn thread_ended(&mut self, thread: ThreadKey, at: Nanos, out: &mut Vec<Record>) {
        let Ok(place) = self.find(thread) else {
            return;
        };
        self.now = self.now.max(at);
        let end = self.lanes.remove(place).end(self.now, out);
        for gil in self.gils.iter_mut().filter(|gil| gil.thread() == Some(thread)) {
            gil.hold(end, None, out);
        }
    }

    /// Writes what is settled, up to `at`, and goes on. Recordings come out the same however often this is called.
    pub fn cut(&mut self, at: Nanos, out: &mut Vec<Record>) {
        for lane in &mut self.lanes {
            lane.cut(at, out);
        }
        for gil in &mut self.gils {
            gil.cut(at.min(self.last), out);
        }
    }

    /// Writes everything: what was seen last holds until `at`. Whatever comes after begins anew.
    pub fn close(&mut self, at: Nanos, out: &mut Vec<Record>) {
        self.now = self.now.max(at);
        for mut lane in self.lanes.drain(..) {
            lane.close(self.now, out);
        }
        for mut gil in self.gils.drain(..) {
            gil.hold(self.now, None, out);
        }
        (self.looks, self.blind) = (0, true);
    }

    /// Whether the holder of `gil` has been in one native call, and since when; `None` while there is no holder, or none of
    /// which that is certain.
    pub fn hog(&self, gil: GilKey, at: Nanos) -> Option<Hogging> {
        let thread = self.gils.iter().find(|lane| lane.key == gil)?.thread()?;
        let holder = self.lanes[self.find(thread).ok()?].holder.as_ref()?;
        if holder.gil != gil || !holder.native || holder.since > at {
            return None;
        }
        let waiters = self.lanes.iter().filter(|lane| lane.waiting == Some(gil)).count();
        Some(Hogging { thread, since: holder.since, waiters })
    }

    fn find(&self, thread: ThreadKey) -> Result<usize, usize> {
        self.lanes.binary_search_by_key(&thread, |lane| lane.key)
    }

    /// Finds the lanes of `threads`, and makes those that are missing.
    fn place(&mut self, at: Nanos, threads: &[ThreadLook]) {
        loop {
            self.places.clear();
            let mut complete = true;
            // Most often the next thread has the next lane.
            let mut likely = 0;
            for thread in threads {
                let found = match self.lanes.get(likely) {
                    Some(lane) if lane.key == thread.key => Ok(likely),
                    _ => self.find(thread.key),
                };
                let place = found.unwrap_or_else(|place| {
                    self.lanes.insert(place, Lane::new(thread, at));
                    complete = false;
                    place
                });
                self.places.push(place);
                likely = place + 1;
            }
            // A lane that is put in moves those behind it.
            if complete {
                break;
            }
        }
    }

    /// Takes the words of the GILs; tells whether there are others than before.
    fn see(&mut self, edge: Nanos, gils: &[GilSeen], out: &mut Vec<Record>) -> bool {
        let number = self.looks;
        let mut changed = false;
        for (likely, seen) in gils.iter().enumerate() {
            let is_it = |lane: &GilLane| lane.key == seen.key;
            let place = match self.gils.get(likely) {
                Some(lane) if is_it(lane) => Some(likely),
                _ => self.gils.iter().position(is_it),
            };
            if let Some(place) = place {
                changed |= self.gils[place].gil != seen.gil;
                self.gils[place].see(seen, number);
            } else {
                self.gils.push(GilLane::new(seen, number));
                changed = true;
            }
        }
        self.gils.retain_mut(|lane| {
            if lane.look != number {
                lane.hold(edge, None, out);
                changed = true;
            }
            lane.look == number
        });
        changed
    }

    /// Tells the threads that have a GIL.
    fn assign(&mut self, edge: Nanos, at: Nanos, out: &mut Vec<Record>) {
        for lane in &mut self.lanes {
            lane.holding = None;
        }
        for (place, gil) in self.gils.iter_mut().enumerate() {
            let before = gil.thread().and_then(|key| self.lanes.iter().find(|lane| lane.key == key));
            let before = before.map(|lane| lane.naps);
            let takes = gil.taking.mean();
            let handover = |to: Option<Naps>, others| {
                if self.blind || self.looks == 1 {
                    Handover::at(edge)
                } else {
                    Handover::told((self.last, at), (before, to), others, takes)
                }
            };
            if !gil.held {
                if self.lanes.iter().any(|lane| lane.waiting == Some(gil.key)) {
                    gil.taking.note(2 * (at - edge), 0);
                }
                gil.hand_over(handover(None, false), None, out);
                continue;
            }
            let is_holder = |lane: &&mut Lane| Some(lane.tid) == gil.holder;
            // Should two threads have the number, one has ended: the older.
            match self.lanes.iter_mut().rev().find(is_holder) {
                Some(lane) => {
                    lane.holding = Some(place);
                    let handover = if lane.is_new() {
                        // Its lane begins now; until now somebody had the GIL who was not known.
                        Handover { lost: edge, got: at, between: Some(None) }
                    } else {
                        handover(Some(lane.naps), gil.others)
                    };
                    gil.hand_over(handover, Some(Some(lane.key)), out);
                }
                None => gil.hand_over(Handover::at(edge), Some(None), out),
            }
        }
    }
}
