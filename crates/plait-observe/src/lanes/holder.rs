//! A thread that has the GIL: does it run bytecode, is it in one native call, does it sleep, does it collect garbage?
//!
//! Native code is known by what does not happen: bytecode moves from instruction to instruction, so a holder that is seen in
//! the same place for long is in one native call. Sleep is known by evidence, for the GIL and the thread's call are
//! read one after the other: a thread that lets go of the GIL between the two reads and goes to sleep looks as if it slept with
//! it.

use plait_trace::{GilKey, Nanos, State};

use super::gils::GilLane;
use super::pending::{Mark, Pending};
use super::seen::{Call, Sched};
use crate::subject::Spot;

/// How long a holder is in one place before that is a native call. In trials with looks 1 ms apart, 10 ms found 95 to 100 % of
/// the time that C functions kept the GIL, and took no loop of bytecode for one; 3 ms took 17 to 49 % of such loops. It is
/// also twice the time after which bytecode lets others have the GIL, by default.
const STILL: Nanos = 10_000_000;
/// At so many looks at least: few looks far apart may hit the same instruction of a loop by chance.
const STILL_LOOKS: u32 = 4;
/// Looks in a row that show a holder asleep, where nothing is known of its processor time.
const ASLEEP_LOOKS: u32 = 2;
/// The same where it has run in between, so that it may have let go of the GIL each time.
const ASLEEP_LOOKS_IF_RAN: u32 = 3;
/// Who has lost its processor with the GIL stays in one place, too. Of the time that it seemed to run there, it must have
/// run so much: less than half, for the kernel adds up what a thread runs at each tick of its clock.
const RAN: f64 = 0.3;

/// What is known of a thread since it has the GIL and is in one place.
#[derive(Debug)]
pub(super) struct Holder {
    /// Which GIL.
    pub gil: GilKey,
    switches: u64,
    /// Where it is.
    pub spot: Option<Spot>,
    /// Since when it is there.
    pub since: Nanos,
    /// How long it was seen there, collections of garbage left out: those begin at any instruction.
    stayed: Nanos,
    looks: u32,
    last: Nanos,
    /// How long it had run when it was first asked, and how long it has seemed to run, and has run, since then.
    asked: Option<u64>,
    awake: Nanos,
    ran: u64,
    collecting: bool,
    /// It has been there for so long that it is in a native call.
    pub native: bool,
    /// At how many looks in a row it was asleep.
    asleep: u32,
    /// It has been asleep for so many that it sleeps with the GIL.
    blocked: bool,
    /// How long it had run when last seen asleep.
    run: Option<u64>,
}

impl Holder {
    /// A thread that has this GIL since `from`, seen at `at`.
    pub fn new(gil: &GilLane, from: Nanos, at: Nanos) -> Self {
        Self {
            gil: gil.key,
            switches: gil.switches,
            spot: gil.spot,
            since: from,
            stayed: 0,
            looks: 0,
            last: at,
            asked: None,
            awake: 0,
            ran: 0,
            collecting: gil.collecting,
            native: false,
            asleep: 0,
            blocked: false,
            run: None,
        }
    }

    /// Takes the next look: what it shows, and the call if the thread is asleep.
    pub fn look(
        &mut self,
        gil: &GilLane,
        call: Call,
        sched: Option<Sched>,
        (from, at): (Nanos, Nanos),
        pending: &mut Pending,
    ) -> (Mark, Option<u16>) {
        // If the GIL was with others in between, it was not kept, even if the code stands where it stood.
        if self.spot != gil.spot || self.switches != gil.switches {
            self.settle(pending);
            *self = Self::new(gil, from, at);
        }
        self.stay(gil, call, sched, at, pending);
        let asleep = match call {
            Call::Running => None,
            // Who sleeps where the GIL is waited for does not have it any more.
            Call::In { first, .. } if gil.gil.is_waited_for_at(first) => None,
            Call::In { number, .. } => Some(Some(number)),
            Call::Outside => Some(None),
        };
        match asleep {
            _ if gil.collecting => {
                self.wake(pending);
                (Mark::Known(State::HoldsGc), None)
            }
            Some(number) => (self.sleep(sched, pending), number),
            None => {
                self.wake(pending);
                (self.awake(), None)
            }
        }
    }

    /// It has the GIL no more, or is somewhere else: all is known that ever will be.
    pub fn settle(&mut self, pending: &mut Pending) {
        self.wake(pending);
        let state = if self.native { State::HoldsNative } else { State::HoldsPython };
        pending.settle(|mark| (mark == Mark::Holding).then_some(Mark::Known(state)));
    }

    /// It is where it was.
    fn stay(&mut self, gil: &GilLane, call: Call, sched: Option<Sched>, at: Nanos, pending: &mut Pending) {
        let time = at.saturating_sub(self.last);
        if call == Call::Running && self.asked.is_some() {
            self.awake += time;
        }
        if let Some(Sched { run, .. }) = sched {
            self.ran = run.saturating_sub(*self.asked.get_or_insert(run));
        }
        self.stayed += match (self.collecting, gil.collecting) {
            (false, false) => time,
            (true, true) => 0,
            _ => time / 2,
        };
        (self.last, self.collecting) = (at, gil.collecting);
        self.looks = self.looks.saturating_add(1);
        let has_run = self.ran as f64 >= RAN * self.awake as f64;
        if !self.native && self.spot.is_some() && self.stayed >= STILL && self.looks >= STILL_LOOKS && has_run {
            self.native = true;
            pending.settle(|mark| (mark == Mark::Holding).then_some(Mark::Known(State::HoldsNative)));
        }
    }

    /// It was seen asleep.
    fn sleep(&mut self, sched: Option<Sched>, pending: &mut Pending) -> Mark {
        let run = sched.map(|sched| sched.run);
        // One that has not run since it was seen asleep has not let go since, either; and yet it has the GIL.
        let needed = match (self.asleep, self.run, run) {
            (1.., Some(before), Some(now)) if before != now => ASLEEP_LOOKS_IF_RAN,
            _ => ASLEEP_LOOKS,
        };
        self.asleep = self.asleep.saturating_add(1);
        self.run = run;
        if !self.blocked && self.asleep >= needed {
            self.blocked = true;
            pending.settle(|mark| (mark == Mark::Asleep).then_some(Mark::Known(State::HoldsBlocked)));
        }
        if self.blocked { Mark::Known(State::HoldsBlocked) } else { Mark::Asleep }
    }

    /// It was seen awake, or is not looked at any more: it slept too briefly for that to be certain.
    fn wake(&mut self, pending: &mut Pending) {
        (self.asleep, self.blocked) = (0, false);
        let awake = self.awake();
        pending.settle(|mark| (mark == Mark::Asleep).then_some(awake));
    }

    fn awake(&self) -> Mark {
        match (self.native, self.spot) {
            (true, _) => Mark::Known(State::HoldsNative),
            (false, Some(_)) => Mark::Holding,
            // Nothing more will turn out.
            (false, None) => Mark::Known(State::HoldsPython),
        }
    }
}
