//! Looking before sleeping.
//!
//! A sleep costs the sleeper and its waker some microseconds each, and tens of them when the processor went idle meanwhile; an
//! answer to a small call is there sooner than that. But who looks while the other side waits for the same processor only
//! keeps it from answering. So each look is followed by an offer of the processor, which costs next to nothing when nobody
//! wants it. The system moves one of the two to an idle processor within some tens of milliseconds, if there is one; until
//! then they take turns. Looking that is in vain all the same pauses, ever longer.

use std::hint;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than the wake-up of an idle processor takes, so that one side's looking can meet the other's waking, and both look from
/// then on.
pub const SPIN: Duration = Duration::from_micros(60);

/// Looks per reading of the clock and offer of the processor.
const LOOKS: u32 = 16;

/// So many looks in vain, a few milliseconds, make it pause.
const BURST: u32 = 64;

/// Chances that the first pause lets pass. Each pause is twice as long as the one before, until something is found.
const FIRST_PAUSE: u32 = 512;
const LONGEST_PAUSE: u32 = 1 << 16;

/// One side's experience with looking.
#[derive(Debug)]
pub struct Spinner {
    /// Looks in vain that are left before the next pause.
    left: u32,
    /// Chances still to let pass.
    skip: u32,
    pause: u32,
}

impl Default for Spinner {
    fn default() -> Self {
        Self { left: BURST, skip: 0, pause: FIRST_PAUSE }
    }
}

impl Spinner {
    /// Looks until `found` says so, for `time` at most, unless that has lately been in vain; whether it was found.
    pub fn spin(&mut self, time: Duration, mut found: impl FnMut() -> bool) -> bool {
        // The time comes out of shared memory, which a worker may have written over.
        let time = time.min(SPIN);
        if time.is_zero() {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        let end = Instant::now() + time;
        loop {
            for _ in 0..LOOKS {
                if found() {
                    *self = Self::default();
                    return true;
                }
                hint::spin_loop();
            }
            if Instant::now() >= end {
                self.on_vain();
                return false;
            }
            thread::yield_now();
        }
    }

    fn on_vain(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.left = BURST;
            self.skip = self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_nanos(1);

    /// How many chances pass before it looks again, in vain.
    fn skipped(spinner: &mut Spinner) -> u32 {
        let mut chances = 0;
        loop {
            let mut looked = false;
            spinner.spin(SHORT, || {
                looked = true;
                false
            });
            if looked {
                return chances;
            }
            chances += 1;
        }
    }

    fn pauses(spinner: &mut Spinner, looks: u32) -> Vec<u32> {
        (0..looks).map(|_| skipped(spinner)).filter(|&skipped| skipped > 0).collect()
    }

    #[test]
    fn it_ends_when_something_is_found_or_the_time_is_over() {
        let mut looks = 0;
        let third = || {
            looks += 1;
            looks == 3
        };
        assert!(Spinner::default().spin(Duration::from_secs(3600), third));
        assert!(!Spinner::default().spin(SHORT, || false));
        assert!(!Spinner::default().spin(Duration::ZERO, || unreachable!("no time to look")));
    }

    #[test]
    fn what_is_in_vain_pauses_and_what_is_not_goes_on() {
        let mut spinner = Spinner::default();
        assert_eq!(pauses(&mut spinner, 3 * BURST + 1), [512, 1024, 2048]);
        while !spinner.spin(SHORT, || true) {}
        assert_eq!(pauses(&mut spinner, BURST + 1), [512]);
        assert_eq!(pauses(&mut spinner, 12 * BURST).last(), Some(&LONGEST_PAUSE));
    }
}
