//! When somebody has held a GIL for too long: the deciding only, every moment and figure is handed in.
//!
//! A hold is one thread in one place of its code, so in one native call; the GIL went to no other thread meanwhile. Two kinds of
//! innocent look the same for a while: a loop that is one instruction long, and a thread that was given no processor. The first
//! lets go as soon as its switch interval is over and somebody waits; so only the time counts in which somebody waits, and
//! it takes some intervals. What the second lacked is taken off, once it is known: the kernel counts it when the thread runs again.

use crate::Pid;

/// So many switch intervals somebody must have waited, however small the limit is.
const INTERVALS: u64 = 4;
/// After so long in one place it is asked who waits.
const WORTH_ASKING: u64 = 8_000_000;
/// The part of the time allowed after which the evidence is taken: the hold must not be over before.
const SUSPICIOUS: f64 = 0.8;

/// One thread in one place. As long as it stays the same, that thread never let go, or nobody else came to have the GIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The thread.
    pub tid: Pid,
    /// The address of its thread state.
    pub state: u64,
    /// How often the GIL went from one thread to another.
    pub switches: u64,
    /// Frame and instruction; `None` for a thread that runs no Python code.
    pub spot: Option<(u64, u64)>,
}

/// Times in nanoseconds on one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub place: Place,
    since: u64,
    last: u64,
    /// When somebody was first seen to wait, and for how long the holder had lacked a processor by then.
    waited: Option<(u64, u64)>,
    /// For how long others waited and it had a processor.
    counted: u64,
    most_waiters: usize,
    has_evidence: bool,
}

/// A hold that is over and took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub place: Place,
    /// The last look at it.
    pub last: u64,
    /// How long it took, as well as can be told.
    pub took: u64,
    /// The most threads that waited at a time.
    pub waiters: usize,
}

/// What is to be found out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Who waits, and how long the holder has lacked a processor in its life: then [`Patience::waiters`].
    AskWhoWaits,
}

/// One GIL as it is looked at again and again.
#[derive(Debug, Default)]
pub(super) struct Patience {
    hold: Option<Hold>,
}

/// The time that others may be kept waiting.
pub(super) fn allowed(limit: u64, interval: u64) -> u64 {
    limit.max(INTERVALS.saturating_mul(interval))
}

impl Patience {
    /// A look: who holds the GIL where; `None` while nobody does. First: the hold that has ended, if it may have taken too long.
    pub fn look(&mut self, at: u64, place: Option<Place>, allowed: u64) -> (Option<Hold>, Next) {
        if let Some(hold) = &mut self.hold
            && Some(hold.place) == place
        {
            hold.last = at;
            let asks = at.saturating_sub(hold.since) >= WORTH_ASKING;
            return (None, if asks { Next::AskWhoWaits } else { Next::Nothing });
        }
        let hold =
            |place| Hold { place, since: at, last: at, waited: None, counted: 0, most_waiters: 0, has_evidence: false };
        let ended = std::mem::replace(&mut self.hold, place.map(hold));
        (ended.filter(|hold| hold.counted >= allowed), Next::Nothing)
    }

    /// At the same look: so many threads wait, and the holder has lacked a processor for so long in its life. Tells whether
    /// the evidence should be taken now, which it does once.
    pub fn waiters(&mut self, waiters: usize, delay: u64, allowed: u64) -> bool {
        let Some(hold) = &mut self.hold else { return false };
        hold.most_waiters = hold.most_waiters.max(waiters);
        if hold.waited.is_none() && waiters > 0 {
            hold.waited = Some((hold.last, delay));
        }
        // Who waits does so until it has the GIL, and then the place is another.
        if hold.waited.is_none() {
            return false;
        }
        hold.counted = hold.count(delay);
        let now = !hold.has_evidence && hold.counted as f64 >= SUSPICIOUS * allowed as f64;
        hold.has_evidence |= now;
        now
    }
}

impl Hold {
    /// For how long others waited and the holder had a processor, if it has lacked one for `delay` in its life.
    fn count(&self, delay: u64) -> u64 {
        let Some((since, before)) = self.waited else { return 0 };
        self.last.saturating_sub(since).saturating_sub(delay.saturating_sub(before))
    }

    /// It was not there any more at the look `at`, and its thread has lacked a processor for `delay` by now: `None` if that
    /// accounts for it.
    pub fn end(self, at: u64, delay: u64, allowed: u64) -> Option<Over> {
        let Self { place, since, last, most_waiters, .. } = self;
        let over = Over { place, last, took: at.saturating_sub(since), waiters: most_waiters };
        (self.count(delay) >= allowed).then_some(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const INTERVAL: u64 = 5 * MS;
    const PERIOD: u64 = 5 * MS;

    fn place(tid: Pid, instruction: u64, switches: u64) -> Place {
        Place { tid, state: 7, switches, spot: Some((1, instruction)) }
    }

    /// Looks every 5 ms. A letter is a place, `.` is none; in capitals, somebody waits. Each hold that took too long: its letter,
    /// how long it took in ms, and whether there was evidence. Time without a processor grows at each look by the first of
    /// `delays`, and once it runs again by the second.
    fn run(lane: &str, limit: u64, delays: (u64, u64)) -> Vec<(char, u64, bool)> {
        let allowed = allowed(limit, INTERVAL);
        let (mut patience, mut found) = (Patience::default(), Vec::new());
        let (mut switches, mut last, mut evidence) = (0, '.', None);
        for (turn, letter) in lane.chars().chain(['.']).enumerate() {
            let name = letter.to_ascii_lowercase();
            switches += u64::from(name != last);
            let at = 1000 * MS + turn as u64 * PERIOD;
            let here = (name != '.').then(|| place(name as Pid, 5, switches));
            let (over, next) = patience.look(at, here, allowed);
            let over = over.and_then(|hold| hold.end(at, turn as u64 * delays.0 + delays.1, allowed));
            found.extend(over.map(|over| (last, over.took / MS, evidence == Some(last))));
            if next == Next::AskWhoWaits {
                let waiters = usize::from(letter.is_uppercase());
                if patience.waiters(waiters, turn as u64 * delays.0, allowed) {
                    assert_ne!(evidence, Some(name), "asked for once");
                    evidence = Some(name);
                }
            }
            last = name;
        }
        found
    }

    #[test]
    fn a_hold_is_told_when_it_is_over() {
        assert_eq!(run("..AAAAAAAAAAAAAAAAAAAAAAAAA..", 100 * MS, (0, 0)), [('a', 125, true)]);
        let long = "A".repeat(400);
        assert_eq!(run(&long, 100 * MS, (0, 0)), [('a', 2000, true)]);
        assert_eq!(
            run(&format!("{long}..bb{}", "C".repeat(40)), 100 * MS, (0, 0)),
            [('a', 2000, true), ('c', 200, true)]
        );
    }

    #[test]
    fn short_ones_and_those_that_nobody_minds_are_not() {
        assert_eq!(run("AAAAAAAAAAAAAAAA", 100 * MS, (0, 0)), []);
        assert_eq!(run(&"a".repeat(400), 100 * MS, (0, 0)), []);
        assert_eq!(run(&"AAAAABBBBB".repeat(40), 100 * MS, (0, 0)), []);
    }

    #[test]
    fn a_loop_of_one_instruction_lets_go_when_somebody_comes() {
        // Nobody for two seconds, then somebody for as long as a switch takes.
        let lane = format!("{}A{}", "a".repeat(400), "b".repeat(10));
        assert_eq!(run(&lane, 100 * MS, (0, 0)), []);
        assert_eq!(run(&lane, 0, (0, 0)), [], "however small the limit");
        // But a native call that somebody comes to wait for counts from there, and is told in full.
        assert_eq!(run(&format!("{}{}", "a".repeat(20), "A".repeat(30)), 100 * MS, (0, 0)), [('a', 250, true)]);
    }

    #[test]
    fn time_without_a_processor_is_not_the_holders_fault() {
        let lane = "A".repeat(40);
        assert_eq!(run(&lane, 100 * MS, (PERIOD, 0)), []);
        assert_eq!(run(&lane, 100 * MS, (PERIOD / 4, 0)), [('a', 200, true)]);
        assert_eq!(run(&lane, 100 * MS, (0, 150 * MS)), [], "it was counted when the thread ran again");
        assert_eq!(run(&lane, 100 * MS, (0, 50 * MS)), [('a', 200, true)]);
    }

    #[test]
    fn another_place_of_the_same_thread_is_another_hold() {
        let mut patience = Patience::default();
        for turn in 0..100 {
            let at = turn * PERIOD;
            let (over, next) = patience.look(at, Some(place(1, turn / 10, 1)), 100 * MS);
            assert_eq!(over, None);
            if next == Next::AskWhoWaits {
                assert!(!patience.waiters(3, 0, 100 * MS));
            }
        }
    }
}
