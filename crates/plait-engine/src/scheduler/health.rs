//! Whether starting more workers makes sense.
//!
//! A worker that dies with a task costs that task a try, so such deaths come to an end by themselves. Deaths that cost
//! nothing, before a worker was ready or before it took a task, could be repeated for ever: they are counted here.
//! While other workers serve, the pool pauses its attempts and tries again later; when none does, it is broken.

/// Pauses double up to so many answers (2^20, about a million).
const LONGEST_PAUSE_LOG2: u32 = 20;

pub(super) struct Health {
    start_attempts: u32,
    unused_limit: u64,
    failed_starts: u32,
    unused_deaths: u64,
    /// Answers of the remaining workers to wait for until the next attempt; 0: no pause.
    pause: u32,
}

impl Health {
    /// A worker that became ready and died unused may have been surplus, and all of them may be killed at once from
    /// outside without anything being wrong with new ones; so that kind of death is given `max_workers` times the
    /// patience.
    pub(super) fn new(start_attempts: u32, max_workers: usize) -> Self {
        Self {
            start_attempts,
            unused_limit: u64::from(start_attempts) * max_workers as u64,
            failed_starts: 0,
            unused_deaths: 0,
            pause: 0,
        }
    }

    /// Whether only workers that serve already give hope.
    pub(super) fn exhausted(&self) -> bool {
        self.failed_starts >= self.start_attempts || self.unused_deaths >= self.unused_limit
    }

    pub(super) fn paused(&self) -> bool {
        self.pause > 0
    }

    /// Whether the last start failed: the next may as well.
    pub(super) fn doubtful(&self) -> bool {
        self.failed_starts > 0
    }

    pub(super) fn on_ready(&mut self) {
        self.failed_starts = 0;
        self.pause = 0;
    }

    /// True when a pause has just ended.
    pub(super) fn on_answer(&mut self) -> bool {
        self.unused_deaths = 0;
        if self.pause == 0 {
            return false;
        }
        self.pause -= 1;
        self.pause == 0
    }

    /// True: that was once too often, and only workers that serve already give hope.
    pub(super) fn on_failed_start(&mut self) -> bool {
        self.failed_starts = self.failed_starts.saturating_add(1);
        self.pause_if_exhausted()
    }

    /// True as for a failed start.
    pub(super) fn on_unused_death(&mut self) -> bool {
        self.unused_deaths += 1;
        self.pause_if_exhausted()
    }

    /// A worker left that had done something, or had nothing to do.
    pub(super) fn on_useful_death(&mut self) {
        self.pause = 0;
    }

    fn pause_if_exhausted(&mut self) -> bool {
        let exhausted = self.exhausted();
        if exhausted {
            self.pause = 1 << self.failed_starts.min(LONGEST_PAUSE_LOG2);
        }
        exhausted
    }
}
