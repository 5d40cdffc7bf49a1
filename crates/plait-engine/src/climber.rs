//! How many threads a run should have, found while it runs.
//!
//! What calls wait for is not known before many of them wait at once: a server may answer any number of them, or eight at
//! a time; a disk may be saturated, a lock contended; and some answer fewer calls the more are asked. So the width (the
//! number of calls in flight) follows what it measures. Where all threads are busy, calls end at the rate of width by
//! latency, which no bunching of their ends distorts; and calls that do not queue anywhere take as long as one alone, so
//! that rate times that latency is the width that is needed (Little's law).
//!
//! - *Ramp*: while calls take no longer than one alone, the width is doubled at once.
//! - *Measure*: the rate at one width, from calls that began at it and found the queue that it makes.
//! - Then the next width: far down where calls queue, up where they do not. A wider one is kept if the rate rises clearly
//!   for it, a narrower one if the rate hardly falls; else the step is made finer, and given up.
//! - *Hold*: the width stays. It is questioned again when the rate drifts, and now and then.
//!
//! Pure: told when each call began and ended, answers the width. Promises, for whatever it is told: the width is at least
//! 1 and at most what was allowed; from the same calls in the same order follows the same width.

mod sample;

use sample::{Level, Sample};

/// Calls that take so many times as long as one alone queue somewhere.
const QUEUES: f64 = 1.4;

/// Calls that take so many times as long queue so clearly that no measurement is needed before the width shrinks.
const QUEUES_LONG: f64 = 2.5;

/// A needed width is taken with so much to spare, for calls are not alike.
const SPARE: f64 = 1.25;

/// Of the width that is added, this share must come back as rate.
const WORTH_RISING: f64 = 0.15;

/// A narrower width may lose so much of the rate.
const MAY_FALL: f64 = 0.05;

/// Fine steps up multiply by this, coarse ones by two.
const FINE: f64 = 1.4;

/// Two widths nearer than this are not worth telling apart.
const NEAR: f64 = 1.25;

/// A rate that is so far from what it was, as a logarithm, makes the width be looked for again.
const DRIFT: f64 = 0.25;

/// Calls per place in which a width is held before the next look; it doubles with each look that changes nothing, to this.
const HOLD: (u64, u64) = (8, 256);

/// Seconds of the first hold at least, which doubles likewise: to change the number of threads takes a part of them.
const HOLD_SECONDS: f64 = 0.1;

/// The latest calls that a change of width waits for before it measures, however wide it is.
const MOST_SKIPPED: u64 = 256;

/// What is being done with the calls that end.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Phase {
    Ramp,
    Measure,
    Hold { calls: u64, until: f64 },
}

/// What the width that is measured is compared for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    /// For itself: there is nothing to compare it with.
    Fresh,
    Up,
    Down,
}

/// The width of one run.
#[derive(Clone, PartialEq, Debug)]
pub struct Climber {
    width: usize,
    most: usize,
    /// The widest that calls did not queue at.
    proven: usize,
    /// Seconds of a call that does not queue, as far as is known.
    alone: Option<f64>,
    /// Whether that was measured, not guessed from the calls that ended first.
    sure: bool,
    /// When this width began: calls that began before do not count.
    since: f64,
    /// Calls not to be counted yet, since they found the queue of another width.
    skip: u64,
    sample: Sample,
    phase: Phase,
    step: Step,
    best: Option<Level>,
    /// Calls per place of the next hold.
    hold: u64,
    /// The next look goes up, or down.
    looks_up: bool,
}

impl Climber {
    /// Begins with `width` calls at once, and never has more than `most`; `alone` are the seconds of a call that was made
    /// alone, if that is known. A width that an earlier run `found` is measured before any other.
    pub fn new(width: usize, most: usize, alone: Option<f64>, found: bool) -> Self {
        let most = most.max(1);
        let alone = alone.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        Self {
            width: width.clamp(1, most),
            most,
            proven: width.clamp(1, most),
            alone,
            sure: alone.is_some(),
            since: f64::NEG_INFINITY,
            skip: 0,
            sample: Sample::default(),
            phase: if found { Phase::Measure } else { Phase::Ramp },
            step: Step::Fresh,
            best: None,
            hold: HOLD.0,
            looks_up: true,
        }
    }

    /// How many calls there should be at once.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The width that a later run of the same calls should begin with: the widest without a queue, or the best one.
    pub fn found(&self) -> usize {
        self.best.map_or(self.proven, |best| best.width)
    }

    /// How many there may be at most from now on.
    pub fn allow(&mut self, most: usize) {
        self.most = most.max(1).max(self.width);
    }

    /// Seconds of a call that does not queue, as far as is known.
    pub const fn alone(&self) -> Option<f64> {
        self.alone
    }

    /// Whether the width still grows by leaps: what it reaches by now says little of what it will.
    pub const fn leaps(&self) -> bool {
        matches!(self.phase, Phase::Ramp)
    }

    /// Learns of a call that has ended, in seconds of any one clock, and whether it was its thread's first; answers how many
    /// there should be at once from now on. Times that cannot be are ignored, and so is a first call that was slow: it may
    /// have made what the thread keeps, a connection or a session.
    pub fn on_call(&mut self, started: f64, ended: f64, is_first: bool) -> usize {
        let seconds = ended - started;
        if is_first && self.alone.is_some_and(|alone| seconds > QUEUES * alone) {
            return self.width;
        }
        if !seconds.is_finite() || seconds < 0.0 || started < self.since {
            return self.width;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return self.width;
        }
        self.sample.add(started, ended);
        match self.phase {
            Phase::Ramp => self.ramp(ended),
            Phase::Measure => self.measure(ended),
            Phase::Hold { calls, until } => self.hold(calls, until, ended),
        }
        self.width
    }

    fn ramp(&mut self, now: f64) {
        let enough = (self.width as u64 / 4).clamp(4, 32);
        if self.alone.is_none() && self.sample.count >= enough / 4 {
            // The first ones to end have queued least.
            self.alone = Some(self.sample.mean());
        }
        if self.sample.count < enough {
            return;
        }
        let alone = self.alone.unwrap_or(f64::INFINITY);
        let least = self.sample.at_least();
        if least <= QUEUES * alone && self.width < self.most && !self.sample.starved(self.width / 4) {
            self.proven = self.width;
            self.go(2 * self.width, Phase::Ramp, now);
        } else if self.sure && least >= QUEUES_LONG * alone {
            let needed = self.width as f64 * alone / self.sample.mean();
            self.go(needed.ceil() as usize, Phase::Measure, now);
        } else {
            self.sample = Sample::default();
            self.phase = Phase::Measure;
            self.skip = (self.width as u64).saturating_sub(enough).min(MOST_SKIPPED);
        }
    }

    fn measure(&mut self, now: f64) {
        let enough = (self.width as u64).max(8);
        if self.sample.count < enough {
            return;
        }
        let level = Level::of(self.width, &self.sample);
        let Some(best) = self.best.filter(|_| self.step != Step::Fresh) else {
            self.accept(level, now);
            return;
        };
        let gain = level.rate / best.rate;
        let wider = level.width as f64 / best.width as f64;
        let wanted = match self.step {
            Step::Up => 1.0 + WORTH_RISING * (wider - 1.0),
            _ => 1.0 - MAY_FALL,
        };
        let unclear = (gain / wanted).ln().abs() < 2.0 * level.noise.hypot(best.noise);
        if unclear && self.sample.count < 4 * enough {
            return;
        }
        let starved = self.step == Step::Up && level.starved;
        if gain >= wanted && !starved { self.accept(level, now) } else { self.reject(level, best, now) }
    }

    /// Takes this width for the best one, and tries the next.
    fn accept(&mut self, level: Level, now: f64) {
        let before = self.best.replace(level);
        self.hold = HOLD.0;
        let alone = match self.alone {
            // Half of it may be chance.
            Some(alone) if level.latency < alone => (alone + level.latency) / 2.0,
            Some(alone) => alone,
            None => level.latency,
        };
        self.alone = Some(alone);
        let rises = before.is_some_and(|before| level.rate > 1.1 * before.rate);
        match self.step {
            // Fewer at once are faster: it had collapsed, and the best is somewhere above.
            Step::Down if rises => self.try_up(2.0, now),
            Step::Up => self.try_up(2.0, now),
            Step::Fresh if level.at_least() <= QUEUES * alone => self.try_up(2.0, now),
            Step::Fresh | Step::Down => self.try_down(now),
        }
    }

    /// Goes back from a width that was no better, and tries one nearer to the best.
    fn reject(&mut self, level: Level, best: Level, now: f64) {
        let between = (level.width as f64 * best.width as f64).sqrt();
        let far = |width: f64| (width / best.width as f64).max(best.width as f64 / width) >= NEAR;
        match self.step {
            Step::Down if level.latency > 0.8 * best.latency && best.width as f64 > NEAR * level.width as f64 => {
                // Fewer at once were no quicker: nothing queued, calls are just long.
                (self.alone, self.sure) = (Some(level.latency.max(best.at_least())), true);
                self.width = best.width;
                self.try_up(2.0, now);
            }
            Step::Up if level.width as f64 > 1.7 * best.width as f64 => {
                self.width = best.width;
                self.try_up(FINE, now);
            }
            Step::Down if far(between) => {
                self.go(between.round() as usize, Phase::Measure, now);
            }
            _ => self.settle(now),
        }
    }

    fn try_up(&mut self, times: f64, now: f64) {
        let width = (self.width as f64 * times).ceil() as usize;
        if self.width >= self.most || self.best.is_some_and(|best| best.starved) {
            return self.settle(now);
        }
        self.step = Step::Up;
        self.go(width, Phase::Measure, now);
    }

    /// Tries the width that is needed, by Little's law.
    fn try_down(&mut self, now: f64) {
        let Some((best, alone)) = self.best.zip(self.alone) else {
            return self.settle(now);
        };
        let needed = (SPARE * best.rate * alone).ceil().max(1.0);
        if best.at_least() < QUEUES * alone || needed * NEAR > best.width as f64 {
            return self.settle(now);
        }
        self.step = Step::Down;
        self.go(needed as usize, Phase::Measure, now);
    }

    /// Stays at the best width for a while.
    fn settle(&mut self, now: f64) {
        let width = self.best.map_or(self.width, |best| best.width);
        let calls = (self.hold * width as u64).max(64);
        let until = now + HOLD_SECONDS * self.hold as f64 / HOLD.0 as f64;
        self.hold = (2 * self.hold).min(HOLD.1);
        self.go(width, Phase::Hold { calls, until }, now);
    }

    fn hold(&mut self, calls: u64, until: f64, now: f64) {
        self.phase = Phase::Hold { calls: calls.saturating_sub(1), until };
        if self.sample.count < (self.width as u64).max(16) || self.sample.span() < 0.5 * HOLD_SECONDS {
            return;
        }
        let level = Level::of(self.width, &self.sample);
        self.sample = Sample::default();
        let Some(best) = self.best else {
            self.best = Some(level);
            return;
        };
        let drift = (level.rate / best.rate).ln();
        if drift.abs() > DRIFT.max(3.0 * level.noise.hypot(best.noise)) {
            self.step = Step::Fresh;
            self.accept(level, now);
            return;
        }
        self.best = Some(best.mixed(&level));
        if calls > 1 || now < until {
            return;
        }
        self.looks_up = !self.looks_up;
        let queues = self.alone.is_some_and(|alone| level.latency >= NEAR * alone);
        if !self.looks_up && queues && self.width > 1 {
            self.step = Step::Down;
            self.go((self.width as f64 / FINE).floor() as usize, Phase::Measure, now);
        } else {
            self.try_up(FINE, now);
        }
    }

    /// Has another width from now on.
    fn go(&mut self, width: usize, phase: Phase, now: f64) {
        let width = width.clamp(1, self.most);
        if width != self.width {
            self.since = now;
            // Calls of the wider of two widths stand before those that begin now.
            self.skip = if phase == Phase::Ramp { 0 } else { (width as u64).min(MOST_SKIPPED) };
        }
        self.width = width;
        self.sample = Sample::default();
        self.phase = phase;
    }
}

// Not under Miri: time.
#[cfg(all(test, not(miri)))]
mod tests;
