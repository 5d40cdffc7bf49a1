//! How many items go into the next chunk of a `map` whose user gave no chunksize.
//!
//! A chunk costs the transport about as much as a single task does, so tiny items want large chunks; but a chunk is
//! also what one worker does alone, so long items want small ones. The size starts at 1 and follows what the chunks
//! measure.
//!
//! Pure arithmetic, no clock. Promises, for whatever was measured:
//! - A size is at least 1, at most eight times the largest chunk measured so far, and at most [`MOST_BYTES`] worth of
//!   items.
//! - From the same state, a chunk that took longer never leads to a larger size.
//! - As soon as an item takes [`LONG_ITEM_SHARE`] of the aim (2 ms where the transport is fast), the size is 1.
//! - With a known length, a chunk is at most a quarter of an equal share of what remains, so that the workers end
//!   together; or the whole share, where it would cost more to send than to run.

/// The run time to aim at: a thousand times what a chunk costs the local transport, and short enough that progress,
/// cancellation and the first results do not seem to stutter.
pub const AIM_SECONDS: f64 = 0.005;

/// A slower transport (a cluster's scheduler takes milliseconds) raises the aim to so many times its cost per chunk,
/// which keeps the transport's share near 3 %.
pub const AIM_PER_WIRE: f64 = 30.0;

/// The aim is never above this, however slow the transport is said to be.
pub const MOST_AIM_SECONDS: f64 = 1.0;

/// Below this share of the aim (2 of 5 ms) a chunk is too short and may grow; an item that takes so long alone travels
/// alone.
pub const LONG_ITEM_SHARE: f64 = 0.4;

/// Above this multiple of the aim a chunk is too long. Between the two marks the size stays, for hunting after noise
/// gains nothing.
pub const TOO_LONG: f64 = 1.5;

/// The most by which a size may grow beyond the chunk just measured. Seven steps lead from one item to a million, and
/// an estimate from few items is never trusted with many.
pub const GROWTH: u64 = 8;

/// What a chunk may weigh: about what fits a second-level cache, and little enough that a window of chunks is no
/// burden.
pub const MOST_BYTES: u64 = 1 << 20;

/// With a known length, each worker is to get at least so many chunks of what remains.
pub const SHARES_PER_WORKER: u64 = 4;

/// What one finished chunk measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// Items in it.
    pub items: u64,
    /// Seconds its calls took in the worker, together.
    pub run_seconds: f64,
    /// Seconds the transport needed beside that: estimated cost of sending one chunk and its answer.
    pub wire_seconds: f64,
    /// Bytes of its arguments and results; 0 if unknown.
    pub bytes: u64,
}

/// The sizer of one `map`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ChunkSizer {
    workers: u64,
    size: u64,
    measured: bool,
    /// Seconds and bytes of one item: what the last chunk said if that was more, else half-way down to it.
    item_seconds: f64,
    item_bytes: f64,
    wire_seconds: f64,
}

impl ChunkSizer {
    /// For a `map` that `workers` workers run.
    pub const fn new(workers: usize) -> Self {
        let workers = if workers == 0 { 1 } else { workers as u64 };
        Self { workers, size: 1, measured: false, item_seconds: 0.0, item_bytes: 1.0, wire_seconds: 0.0 }
    }

    /// How many items the next chunk should have; `remaining` are the items not yet taken, if that is known.
    pub fn next_size(&self, remaining: Option<u64>) -> usize {
        let by_bytes = (MOST_BYTES as f64 / self.item_bytes) as u64;
        let by_share = remaining.map_or(u64::MAX, |items| {
            let share = items.div_ceil(self.workers);
            share.div_ceil(SHARES_PER_WORKER).max(self.worth_sending().min(share))
        });
        usize::try_from(self.size.min(by_bytes).min(by_share).max(1)).unwrap_or(usize::MAX)
    }

    /// Learns from a finished chunk. Figures that cannot be (no items, a negative or infinite time) are ignored.
    pub fn on_chunk(&mut self, chunk: Measured) {
        let possible = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
        if chunk.items == 0 || !possible(chunk.run_seconds) || !possible(chunk.wire_seconds) {
            return;
        }
        let items = chunk.items as f64;
        self.item_seconds = up_at_once(self.item_seconds, chunk.run_seconds / items);
        self.item_bytes = up_at_once(self.item_bytes, chunk.bytes as f64 / items).max(1.0);
        self.wire_seconds =
            if self.measured { (self.wire_seconds + chunk.wire_seconds) / 2.0 } else { chunk.wire_seconds };
        self.measured = true;
        self.size = self.size_after(chunk.items);
    }

    /// So many items take as long as it takes to send them.
    fn worth_sending(&self) -> u64 {
        // A cast saturates, and of no number it makes none.
        (self.wire_seconds / self.item_seconds) as u64
    }

    /// The run time aimed at, in seconds.
    pub fn aim_seconds(&self) -> f64 {
        (self.wire_seconds * AIM_PER_WIRE).clamp(AIM_SECONDS, MOST_AIM_SECONDS)
    }

    /// How long one item is thought to take, in seconds; `None` before the first measurement.
    pub fn item_seconds(&self) -> Option<f64> {
        self.measured.then_some(self.item_seconds)
    }

    fn size_after(&self, measured: u64) -> u64 {
        let aim = self.aim_seconds();
        if self.item_seconds >= LONG_ITEM_SHARE * aim {
            return 1;
        }
        // A cast saturates, so items too short to measure wish for as many as there can be.
        let wished = ((aim / self.item_seconds) as u64).max(1);
        let seconds = self.size as f64 * self.item_seconds;
        if seconds < LONG_ITEM_SHARE * aim {
            wished.min(measured.saturating_mul(GROWTH)).max(self.size)
        } else if seconds > TOO_LONG * aim {
            wished
        } else {
            self.size
        }
    }
}

/// Longer tasks are believed at once, shorter ones by half: a chunk too long makes others wait, one too short costs
/// microseconds.
fn up_at_once(known: f64, seen: f64) -> f64 {
    if seen >= known { seen } else { (known + seen) / 2.0 }
}

#[cfg(test)]
mod tests;
