//! What calls at one width measured: their mean duration, how sure that is, and the rate that follows.

/// Calls are thought to differ by such a share at least.
const LEAST_SPREAD: f64 = 0.2;

/// Calls that began at one width.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// How many ended.
    pub count: u64,
    sum: f64,
    squares: f64,
    first_end: f64,
    last_end: f64,
}

impl Default for Sample {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, squares: 0.0, first_end: f64::INFINITY, last_end: f64::NEG_INFINITY }
    }
}

impl Sample {
    /// One more call.
    pub fn add(&mut self, started: f64, ended: f64) {
        // A clock's grain, so that nothing is divided by zero.
        let seconds = (ended - started).max(1e-9);
        self.count += 1;
        self.sum += seconds;
        self.squares += seconds * seconds;
        self.first_end = self.first_end.min(ended);
        self.last_end = self.last_end.max(ended);
    }

    /// Seconds of a call.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// Standard error of the mean, as a share of it. Few calls that happen to be alike prove little.
    pub fn noise(&self) -> f64 {
        let (count, mean) = (self.count as f64, self.mean());
        let variance = (self.squares / count - mean * mean).max((LEAST_SPREAD * mean).powi(2));
        (variance / count).sqrt() / mean
    }

    /// Seconds that a call takes at least, of all calls of which these are some.
    pub fn at_least(&self) -> f64 {
        self.mean() * (1.0 - 2.0 * self.noise())
    }

    /// Seconds from the first end to the last.
    pub fn span(&self) -> f64 {
        self.last_end - self.first_end
    }

    /// Whether calls did not come as fast as `width` of them at once ask for: threads wait for work, so that the rate is
    /// not the server's.
    pub fn starved(&self, width: usize) -> bool {
        let busy = self.sum / (self.last_end - self.first_end + self.mean());
        busy < 0.35 * width as f64
    }
}

/// What was reached at a width.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Level {
    /// Calls at once.
    pub width: usize,
    /// Calls in a second.
    pub rate: f64,
    /// Seconds of a call.
    pub latency: f64,
    /// Standard error of both, as a share.
    pub noise: f64,
    /// Whether threads waited for work meanwhile.
    pub starved: bool,
}

impl Level {
    /// What follows from calls that kept so many places busy.
    pub fn of(width: usize, sample: &Sample) -> Self {
        let latency = sample.mean();
        Self { width, rate: width as f64 / latency, latency, noise: sample.noise(), starved: sample.starved(width) }
    }

    /// Seconds that a call takes at least.
    pub fn at_least(&self) -> f64 {
        self.latency * (1.0 - 2.0 * self.noise)
    }

    /// The same width measured again, by now: mostly what it was, so that a drift is seen before it is followed.
    pub fn mixed(self, later: &Self) -> Self {
        let mix = |before: f64, now: f64| 0.8 * before + 0.2 * now;
        Self {
            rate: mix(self.rate, later.rate),
            latency: mix(self.latency, later.latency),
            noise: mix(self.noise, later.noise),
            starved: later.starved,
            ..self
        }
    }
}
