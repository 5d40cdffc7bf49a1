//! Rules about programs that wait for something that is neither the GIL nor a processor.

use plait_trace::{Sight, State};

use super::computing::LOCKED;
use super::event_loop::doing;
use super::{Ground, Rule, mostly};
use crate::units::{number, share as percent};
use crate::verdicts::confidence::Case;
use crate::verdicts::process::ProcessSurvey;
use crate::verdicts::thread::ThreadSurvey;
use crate::verdicts::verdict::{Evidence, Word};
use crate::verdicts::window::share;

/// Busy threads wait for this share of their time.
const WAITS: f64 = 0.6;
/// The GIL is held for less than this share of the time.
const HELD: f64 = 0.25;
/// Fewer processors are used.
const USED: f64 = 0.25;
/// Waiting for locks, the GIL is held for less than this share of the time.
const HELD_BESIDE_LOCKS: f64 = 0.7;
/// Where hardly anything runs, sleeping and waiting for events may be all that there is to do.
const STIRS: f64 = 0.01;

/// The program waits for the network, for disks, for events or for time to pass.
pub(super) struct IoBound<'a> {
    pub ground: Ground<'a>,
}

fn is_io(state: State) -> bool {
    matches!(state, State::Network | State::Disk | State::Poll | State::Sleep)
}

impl<'a> IoBound<'a> {
    fn waiting(&self) -> impl Iterator<Item = &'a ThreadSurvey<'a>> + Clone + use<'a> {
        let threads = self.ground.processes().flat_map(|process| &process.threads);
        threads.filter(|thread| thread.busy && thread.waited(is_io) > 0.0)
    }

    /// Seconds by what they wait for, the most first.
    fn kinds(&self) -> Vec<(State, f64)> {
        let kinds = [State::Network, State::Disk, State::Poll, State::Sleep];
        let time = |kind| self.waiting().map(|thread| thread.waited(|state| state == kind)).sum::<f64>();
        let mut kinds: Vec<(State, f64)> = kinds.into_iter().map(|kind| (kind, time(kind))).collect();
        kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
        kinds
    }

    fn has_loop(&self) -> bool {
        let loops = self.waiting().filter(|thread| thread.is_loop).map(|thread| thread.waited(is_io)).sum::<f64>();
        loops > 0.5 * self.ground.group.totals.io
    }
}

impl Rule for IoBound<'_> {
    fn word(&self) -> Word {
        Word::IoBound
    }

    fn case(&self) -> Option<Case> {
        let totals = &self.ground.group.totals;
        let looks = self.ground.group.samples;
        let case =
            Case::new().at_least("share of the busy threads' time waiting", share(totals.io, totals.busy), WAITS, 0.1);
        let case = case.of(looks).below("processors in use", self.ground.cpu(), USED, 0.1);
        Some(case.below("share of the time the GIL was held", self.ground.held(), HELD, 0.1).of(looks))
    }

    fn most(&self) -> f64 {
        let totals = &self.ground.group.totals;
        let outside = self
            .kinds()
            .into_iter()
            .filter(|(kind, _)| matches!(kind, State::Network | State::Disk))
            .map(|kind| kind.1);
        let may_be_idle = outside.sum::<f64>() < 0.1 * totals.io && share(totals.active, totals.busy) < STIRS;
        match () {
            () if may_be_idle => 0.7,
            () if !self.ground.has_gil() => 0.75,
            () if totals.cpu.is_none() => 0.9,
            () => 1.0,
        }
    }

    fn sentence(&self) -> String {
        let totals = &self.ground.group.totals;
        let kinds: Vec<String> = self
            .kinds()
            .into_iter()
            .filter(|(_, time)| share(*time, totals.busy) >= 0.01)
            .map(|(kind, time)| {
                format!("{} {}", percent(share(time, totals.busy)), doing(kind).trim_start_matches("waits "))
            })
            .collect();
        let spot = self.ground.spot(is_io);
        format!(
            "{} {} of the time ({}); {} processors were in use.{}",
            match self.waiting().count() {
                1 => "The one busy thread waited".to_owned(),
                threads => format!("Its {threads} busy threads waited"),
            },
            percent(share(totals.io, totals.busy)),
            kinds.join(", "),
            number(self.ground.cpu()),
            mostly(spot.as_ref()),
        )
    }

    fn remedy(&self) -> String {
        if self.has_loop() {
            return "The event loop has time to spare: let more go on at a time (asyncio.gather or a TaskGroup over more tasks, \
                    larger semaphores and connection pools)."
                .to_owned();
        }
        if self.waiting().count() > 1 {
            return "The waiting costs no processor: use more threads, plait.map(fn, items, backend=\"threads\", workers=…), or \
                    asyncio for thousands at a time."
                .to_owned();
        }
        "Let several calls wait at a time: plait.map(fn, items, backend=\"threads\", workers=16), ThreadPoolExecutor, or asyncio."
            .to_owned()
    }

    fn evidence(&self) -> Vec<Evidence> {
        self.ground.spot(is_io).into_iter().map(|(_, evidence)| evidence).collect()
    }
}

/// Threads wait for a lock of the program's own.
pub(super) struct LockBound<'a> {
    pub ground: Ground<'a>,
}

impl Rule for LockBound<'_> {
    fn word(&self) -> Word {
        Word::LockBound
    }

    fn case(&self) -> Option<Case> {
        let totals = &self.ground.group.totals;
        // Waiting for a GIL that is not seen looks like waiting for a lock.
        let is_seen =
            |process: &ProcessSurvey<'_>| matches!(process.track.process.sight, Sight::Gil | Sight::FreeThreaded);
        if !self.ground.processes().all(is_seen) {
            return None;
        }
        Some(
            Case::new()
                .at_least("share of the busy threads' time waiting for locks", self.ground.locks(), LOCKED, 0.1)
                .of(self.ground.group.samples)
                .below("share of the time the GIL was held", self.ground.held(), HELD_BESIDE_LOCKS, 0.15)
                // One that waits alone waits for something else: for a lock, another must have it.
                .at_least("threads that wait for locks", f64::from(totals.lock_waiters), 1.5, 0.5),
        )
    }

    fn most(&self) -> f64 {
        match () {
            () if self.ground.group.totals.locks_unexplained => 0.55,
            () if !self.ground.has_gil() => 0.75,
            () => 1.0,
        }
    }

    fn sentence(&self) -> String {
        let spot = self.ground.spot(|state| state == State::Lock);
        format!(
            "{} threads waited for locks other than the GIL for {} of their time; the GIL was held {} of it.{}",
            self.ground.group.totals.lock_waiters,
            percent(self.ground.locks()),
            percent(self.ground.held()),
            mostly(spot.as_ref()),
        )
    }

    fn remedy(&self) -> String {
        "Hold the lock for less (compute and wait outside of it), split it, or give each worker data of its own; more workers only \
         wait longer."
            .to_owned()
    }

    fn evidence(&self) -> Vec<Evidence> {
        self.ground.spot(|state| state == State::Lock).into_iter().map(|(_, evidence)| evidence).collect()
    }
}
