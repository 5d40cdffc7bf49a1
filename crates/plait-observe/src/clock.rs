//! When a watch looks at the threads and when it walks the process tree; both less often when that costs too much.
//!
//! The deciding only: every moment and cost is handed in.

use std::time::{Duration, Instant};

use crate::WatchOptions;

/// How long the tree may change unnoticed.
const SCAN_PERIOD: Duration = Duration::from_millis(50);
/// How long it may when walking it is expensive.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Timers are late by some 50 µs; below this most looks would be.
const FASTEST: Duration = Duration::from_micros(200);
/// The slowest sampling that a watch which costs too much falls back to.
const SLOWEST: Duration = Duration::from_millis(20);
/// The share of [`WatchOptions::max_cpu_share`] that walking the tree may take.
const SCAN_SHARE: f64 = 0.3;

/// When to look and when to walk the tree; slows down when that costs too much.
pub(crate) struct Clock {
    options: WatchOptions,
    /// The mean time between two looks at present.
    pub period: Duration,
    /// When the next look is due.
    pub due: Instant,
    /// When the next walk is due.
    pub scan_due: Instant,
    /// When and at which cost the present account began: that walk is in it.
    account: (Instant, Duration),
    random: u32,
}

impl Clock {
    /// A clock that starts `now`, when the watch has cost `cost`.
    pub fn new(mut options: WatchOptions, now: Instant, cost: Duration) -> Self {
        options.period = options.period.max(FASTEST);
        options.max_cpu_share = options.max_cpu_share.max(0.001);
        let period = options.period;
        Self {
            options,
            period,
            due: now + period,
            scan_due: now + SCAN_PERIOD,
            account: (now, cost),
            random: 0x9e37_79b9,
        }
    }

    /// Sets the next look, and tells how many others fell due since the last one; they are not made up for.
    pub fn on_tick(&mut self, now: Instant) -> u64 {
        let missed = now.saturating_duration_since(self.due).div_duration_f64(self.period).floor();
        // An even clock could keep step with the target's own, such as the switch interval.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let part = 0.75 + 0.5 * f64::from(self.random) / f64::from(u32::MAX);
        self.due += self.period.mul_f64(missed + part);
        // Whoever kept us from running has just made room: a look at once would show that, and nothing else.
        self.due = self.due.max(now + self.period / 4);
        missed as u64
    }

    /// After a walk that took the cost of the watch from `before` to `after`: when to walk again, and how fast to look
    /// until then.
    pub fn on_scan(&mut self, now: Instant, before: Duration, after: Duration) {
        let allowed = self.options.max_cpu_share;
        let pause = (after - before).div_f64(allowed * SCAN_SHARE);
        let (since, cost_then) = self.account;
        let time = (now - since).max(SCAN_PERIOD);
        let used = (before - cost_then).div_duration_f64(time);
        self.period = next_period(self.period, self.options.period, used, allowed);
        self.scan_due = now + pause.clamp(SCAN_PERIOD, LONGEST_PAUSE);
        self.account = (now, before);
    }
}

/// The period for a watch that took `used` of a core and may take `allowed`.
fn next_period(period: Duration, asked: Duration, used: f64, allowed: f64) -> Duration {
    let factor = (used / allowed).clamp(0.8, 2.0);
    period.mul_f64(factor).clamp(asked, SLOWEST.max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_watch_that_costs_too_much_slows_down_and_recovers() {
        assert_eq!(next_period(MS, MS, 0.001, 0.03), MS);
        assert_eq!(next_period(MS, MS, 0.06, 0.03), 2 * MS);
        assert_eq!(next_period(SLOWEST, MS, 1.0, 0.03), SLOWEST);
        assert_eq!(next_period(10 * MS, MS, 0.0, 0.03), 8 * MS);
        assert_eq!(next_period(MS, 50 * MS, 0.0, 0.03), 50 * MS);
    }

    #[test]
    fn looks_that_were_missed_are_not_made_up_for() {
        let mut clock = Clock::new(WatchOptions::default(), Instant::now(), Duration::ZERO);
        let now = clock.due + 100 * MS;
        assert_eq!(clock.on_tick(now), 100);
        assert!(clock.due > now && clock.due <= now + 2 * MS);
        let due = clock.due;
        assert_eq!(clock.on_tick(due), 0);
        assert!(clock.due >= due + MS.mul_f64(0.74) && clock.due <= due + MS.mul_f64(1.26));
    }

    #[test]
    fn a_long_walk_is_followed_by_a_long_pause() {
        let start = Instant::now();
        let mut clock = Clock::new(WatchOptions::default(), start, MS);
        let now = start + SCAN_PERIOD;
        clock.on_scan(now, 2 * MS, 3 * MS);
        assert!(clock.scan_due >= now + 100 * MS && clock.scan_due <= now + 120 * MS);
        clock.on_scan(now, 3 * MS, 100 * MS);
        assert_eq!(clock.scan_due, now + LONGEST_PAUSE);
    }
}
