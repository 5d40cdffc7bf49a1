//! What is read of a process at each look, and the closer looks at threads.

use plait_trace::{Nanos, Note, Record, Shot, Stack};

use super::{KnownGil, Target};
use crate::Reason;
use crate::lanes::{Call, GilSeen, ThreadLook};
use crate::native::NativeStack;
use crate::recorder::run::{CALM_TURNS, Desk, nanos};

impl Target {
    /// Looks once at each GIL and at the threads whose turn it is; false, and nothing is kept, if that took too long to be
    /// one moment.
    pub fn look(&mut self, turn: u64, idle_every: u64, period: Nanos, desk: &mut Desk) -> bool {
        let at = desk.now();
        self.seen.clear();
        self.looks.clear();
        let is_turn = |number: usize, every: u64| (turn + number as u64).is_multiple_of(every);
        if let Ok(python) = &self.python {
            for KnownGil { about, place, .. } in &self.gils {
                // That of an interpreter that has ended lies nowhere.
                if !python.gils().iter().any(|info| info.gil == *place) {
                    continue;
                }
                match python.look(*place) {
                    Ok(look) => self.seen.push(GilSeen { key: about.key, gil: *place, look }),
                    // Gone, as the next walk of the tree will find.
                    Err(Reason::Gone { .. }) => {}
                    Err(_) => desk.dropped.looks += 1,
                }
            }
        }
        let kernel_only = self.python.is_err();
        let attached = match &self.python {
            Ok(python) if python.is_free_threaded() => python.attached().ok(),
            _ => None,
        };
        for (number, thread) in self.threads.iter_mut().enumerate() {
            let held = self.seen.iter().find(|seen| seen.look.held && seen.look.holder == Some(thread.tid));
            let holds = held.is_some();
            let busy = !kernel_only && (holds || thread.is_busy(at));
            let every = if thread.is_calm(at) { idle_every * CALM_TURNS } else { idle_every };
            if !(busy || is_turn(number, every)) {
                continue;
            }
            let call = match thread.still_waits(&self.seen).filter(|_| !is_turn(number, idle_every)) {
                Some(call) => call,
                None => match thread.files.call() {
                    Ok(call) => call,
                    Err(_) => {
                        thread.ended = true;
                        continue;
                    }
                },
            };
            thread.saw(call, at, &self.seen);
            // Whether it had a processor, where that is the question: until it does something else, and for a holder
            // that may sleep, or stays where it is.
            let runs = matches!(call, Call::Running);
            let runs_without = runs && !holds && !desk.on_gils_alone();
            if runs_without || (holds || thread.wants_gil()) && !desk.on_gils_alone() {
                thread.open_switches(desk);
            }
            let turn = thread.turn(at, desk);
            let naps = thread.naps(self.looked, at, desk);
            let spot = held.and_then(|seen| seen.look.spot);
            let stays = spot.is_some() && std::mem::replace(&mut thread.spot, spot) == spot;
            let is_asked = (turn.is_none() && (runs_without || thread.ran_without_gil)) || (holds && (stays || !runs));
            thread.ran_without_gil = runs_without;
            let sched = if is_asked { thread.files.sched().ok() } else { None };
            let attached = attached.as_ref().map(|tids| tids.contains(&thread.tid));
            self.looks.push(ThreadLook { key: thread.key, tid: thread.tid, call, sched, turn, naps, attached });
        }
        let is_known = |tid| self.threads.iter().any(|thread| thread.tid == tid);
        self.has_stranger |= self.seen.iter().any(|seen| seen.look.held && !seen.look.holder.is_some_and(is_known));
        self.look_at_tasks(at, desk);
        self.looked = at;
        let in_time = desk.now().saturating_sub(at) <= period;
        if in_time {
            self.lanes.look(at, &self.seen, &self.looks, &mut desk.outbox.records);
            if !desk.on_gils_alone() {
                self.chase(at, desk);
            }
        }
        self.let_go(at, desk);
        in_time
    }

    /// Takes a closer look at whoever keeps a GIL.
    fn chase(&mut self, at: Nanos, desk: &mut Desk) {
        for number in 0..self.seen.len() {
            let seen = &self.seen[number];
            if seen.look.collecting {
                continue;
            }
            let Some(hog) = self.lanes.hog(seen.key, at) else { continue };
            if !self.hogs.is_due(&hog, at) {
                continue;
            }
            let Some(thread) = self.threads.iter().find(|thread| thread.key == hog.thread) else { continue };
            let places = thread.state.zip(self.stacks.as_mut()).and_then(|(state, stacks)| stacks.stack(state).ok());
            let native = if desk.options.pause && self.is_shot_at { Some(self.natives.shot(thread.tid)) } else { None };
            if let Some(Err(why)) = &native {
                desk.dropped.shots += 1;
                if why.is_lasting() {
                    self.is_shot_at = false;
                    desk.outbox.put(Record::Note(Note { process: Some(self.about.key), text: why.to_string() }));
                }
            }
            let frames = desk.keys.frames(places.unwrap_or_default(), &mut desk.outbox.records);
            let (function, natives, pause) = match native {
                Some(Ok(NativeStack { function, natives, pause, .. })) => (function, natives, nanos(pause)),
                _ => (None, Vec::new(), 0),
            };
            desk.outbox.put(Record::Shot(Shot { thread: hog.thread, at, function, natives, frames, pause }));
        }
    }

    /// Reads the Python stacks of busy threads, and of idle ones if told.
    pub fn take_stacks(&mut self, idle_ones: bool, desk: &mut Desk) {
        let Some(stacks) = &mut self.stacks else { return };
        for thread in &self.threads {
            let at = desk.now();
            let Some(state) = thread.state.filter(|_| idle_ones || thread.is_busy(at)) else { continue };
            match stacks.stack(state) {
                Ok(places) if places.is_empty() => {}
                Ok(places) => {
                    let frames = desk.keys.frames(places, &mut desk.outbox.records);
                    desk.outbox.put(Record::Stack(Stack { thread: thread.key, at, frames }));
                }
                Err(_) => desk.dropped.stacks += 1,
            }
        }
    }
}
