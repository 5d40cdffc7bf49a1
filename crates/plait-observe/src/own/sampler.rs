//! The thread that looks who holds the GIL.
//!
//! There is at most one in a process. It runs until the last window that was asked for is over, and ends by itself. No lock
//! is shared with it: who wants a window moves its end and starts the thread if there is none.

use std::io;
use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Builder};
use std::time::Duration;

use super::{clocks, gil, seat, undisturbed};
use crate::Gil;
use crate::memory::{OwnGil, ask_for_short_slices};
use crate::observer::{Listed, Turns};

/// The shortest time between two looks.
const FASTEST: Duration = Duration::from_micros(150);
/// The longest, unless nobody has a call.
const SLOWEST: Duration = Duration::from_millis(2);
/// The time between two looks while nobody has a call.
const IDLE: Duration = Duration::from_millis(1);
/// The part of a window in which it may cost more, for the first calls are what it is all about.
const EAGER: Duration = Duration::from_millis(25);
/// Of a processor, in that part.
const EAGER_SHARE: f64 = 0.1;
/// Of a processor, after it.
const SHARE: f64 = 0.018;
/// Threads that are looked at more closely in one turn.
const ASKED_AT_ONCE: usize = 4;

/// The end of the last window, in nanoseconds.
static UNTIL: AtomicU64 = AtomicU64::new(0);
static RUNS: AtomicBool = AtomicBool::new(false);
/// Has the calling thread run soon when it wakes up.
static HASTEN: OnceLock<fn()> = OnceLock::new();

/// What the sampler calls when it begins; of all calls the first counts.
pub(super) fn hasten_by(hasten: fn()) {
    let _ = HASTEN.set(hasten);
}

/// Has the sampler look for so long from now on; nothing happens where the GIL cannot be read.
///
/// # Errors
/// The system's, if there is no thread to be had.
pub(super) fn look_for(window: Duration) -> io::Result<()> {
    let Some(gil) = gil() else { return Ok(()) };
    UNTIL.fetch_max(clocks::now().saturating_add(window.as_nanos() as u64), Ordering::AcqRel);
    if RUNS.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    spawn(gil).inspect_err(|_| RUNS.store(false, Ordering::Release))
}

/// In the child of a fork there is no sampler.
pub(super) fn forget() {
    UNTIL.store(0, Ordering::Relaxed);
    RUNS.store(false, Ordering::Relaxed);
}

fn spawn(gil: OwnGil) -> io::Result<()> {
    undisturbed(|| Builder::new().name("plait-gauge".to_owned()).spawn(move || run(gil))).map(drop)
}

fn run(gil: OwnGil) {
    let _listed = Listed::new();
    let mut turns = Turns::unbidden();
    // Timers of other threads are late by 50 µs, to save power. A sampler asks often, and not for long.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    ask_for_short_slices();
    if let Some(hasten) = HASTEN.get() {
        hasten();
    }
    loop {
        sample(gil, &mut turns);
        RUNS.store(false, Ordering::Release);
        // A window that was asked for before the store found a sampler; one after it starts another.
        if UNTIL.load(Ordering::Acquire) <= clocks::now() || RUNS.swap(true, Ordering::AcqRel) {
            break;
        }
    }
}

fn sample(gil: OwnGil, turns: &mut Turns) {
    let place = Gil { address: gil.address };
    let mut pace = Pace::new(turns.tell_cost());
    let mut turn = 0_usize;
    while clocks::now() < UNTIL.load(Ordering::Acquire) {
        thread::sleep(pace.pause());
        let moment = gil.moment();
        let mut busy = 0;
        for seat in seat::all().filter(|seat| seat.has_calls()) {
            // With many threads, each is asked in its turn.
            let ask = busy < ASKED_AT_ONCE || (busy + turn).is_multiple_of(8);
            seat.look(place, moment, ask);
            busy += 1;
        }
        turn += 1;
        pace.note(busy > 0, turns.tell_cost());
    }
    for seat in seat::all() {
        seat.close();
    }
}

/// How long to sleep between two looks: as short as its share of a processor allows.
#[derive(Debug)]
struct Pace {
    /// CPU time of the sampler when it was last noted.
    cost: Duration,
    /// What most looks cost at most, waking up and going to sleep again included.
    look: Duration,
    /// The sleeps while somebody had a call.
    slept: Duration,
    pause: Duration,
    random: u32,
}

impl Pace {
    fn new(cost: Duration) -> Self {
        Self { cost, look: Duration::from_micros(5), slept: Duration::ZERO, pause: FASTEST, random: 0x9e37_79b9 }
    }

    /// The next sleep.
    fn pause(&mut self) -> Duration {
        // An even clock could keep step with the calls.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.pause.mul_f64(0.7 + 0.6 * f64::from(self.random) / f64::from(u32::MAX))
    }

    /// After a look: whether anybody has a call, and the CPU time of the sampler since it began.
    fn note(&mut self, busy: bool, cost: Duration) {
        let look = cost.saturating_sub(self.cost);
        self.cost = cost;
        // Follows the middle one of the looks: some cost far more, by what a busy machine or host does meanwhile.
        self.look = self.look.mul_f64(if look > self.look { 1.15 } else { 0.87 });
        if busy {
            self.slept += self.pause;
            let share = if self.slept < EAGER { EAGER_SHARE } else { SHARE };
            self.pause = self.look.div_f64(share).clamp(FASTEST, SLOWEST);
        } else {
            self.pause = IDLE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_keeps_to_its_share() {
        const LOOK: Duration = Duration::from_micros(20);
        let mut pace = Pace::new(Duration::ZERO);
        let mut cost = Duration::ZERO;
        let mut run = |pace: &mut Pace, looks: u32| {
            let slept: Duration = (0..looks)
                .map(|_| {
                    let slept = pace.pause();
                    cost += LOOK;
                    pace.note(true, cost);
                    slept
                })
                .sum();
            LOOK.div_duration_f64(slept) * f64::from(looks)
        };
        run(&mut pace, 20);
        assert!(run(&mut pace, 60) < 0.12, "eager");
        run(&mut pace, 100);
        assert!(run(&mut pace, 100) < 0.022, "later");
    }

    #[test]
    fn a_few_dear_looks_do_not_slow_it_down() {
        let mut pace = Pace::new(Duration::ZERO);
        let mut cost = Duration::ZERO;
        for look in 0..40 {
            cost += if look % 8 == 0 { 5 * SLOWEST } else { Duration::from_micros(2) };
            pace.note(true, cost);
        }
        assert_eq!(pace.pause, FASTEST);
    }

    #[test]
    fn cheap_looks_are_taken_often_and_idle_ones_seldom() {
        let mut pace = Pace::new(Duration::ZERO);
        for turn in 1..20 {
            pace.note(true, Duration::from_micros(turn));
        }
        assert_eq!(pace.pause, FASTEST);
        pace.note(false, Duration::from_micros(21));
        assert_eq!(pace.pause, IDLE);
        for _ in 0..100 {
            let pause = pace.pause();
            assert!(pause >= IDLE.mul_f64(0.69) && pause <= IDLE.mul_f64(1.31));
        }
    }
}
