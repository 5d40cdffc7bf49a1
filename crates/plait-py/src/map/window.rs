//! How far a map reads its input ahead of what was taken of its results.

use plait_engine::chunk::ChunkSizer;

/// With chunks of plait's own choice, so much work is kept ready per worker, in seconds.
const READY_SECONDS: f64 = 0.02;

/// The most chunks in flight, however tiny.
const MOST_CHUNKS: usize = 1024;

/// How far the input may be read ahead.
#[derive(Clone, Copy)]
pub enum Window {
    /// All of it at once, as the stdlib does.
    All,
    /// This many items.
    Items(usize),
    /// As much as keeps the workers busy, from what the tasks have taken so far.
    Measured,
}

/// What was read and is not handed out yet.
pub struct Ahead {
    /// Chunks that were sent and not taken.
    pub chunks: usize,
    /// The items in them.
    pub in_flight: usize,
    /// Results that are ready to be handed out.
    pub ready: usize,
}

impl Window {
    /// As Python gives it: `None` is all, 0 is measured.
    pub fn new(ahead: Option<usize>) -> Self {
        match ahead {
            None => Self::All,
            Some(0) => Self::Measured,
            Some(items) => Self::Items(items),
        }
    }

    /// The chunk size where the user gave none: as measured, and such that each worker finds one within the window.
    pub fn own_size(self, sizer: &ChunkSizer, left: Option<u64>, workers: usize) -> usize {
        let measured = sizer.next_size(left);
        match self {
            Self::Items(items) => measured.min((items / workers).max(1)),
            Self::All | Self::Measured => measured,
        }
    }

    /// Whether another chunk of `size` items may be sent.
    pub fn has_room(self, ahead: &Ahead, size: usize, sizer: &ChunkSizer, workers: usize) -> bool {
        // Of those that are ready the first is being handed out.
        let ready = ahead.ready.saturating_sub(1);
        if ahead.chunks == 0 && ready == 0 {
            return true;
        }
        match self {
            Self::All => true,
            Self::Items(items) => ahead.in_flight + ready + size <= items,
            Self::Measured => {
                let per_worker = match sizer.item_seconds() {
                    None => 2.0,
                    Some(seconds) => READY_SECONDS / (seconds * size as f64).max(1e-9),
                };
                let chunks = (workers as f64 * per_worker.max(2.0)).ceil() as usize;
                ahead.chunks < chunks.min(MOST_CHUNKS)
            }
        }
    }
}
