//! A chunk of a `map`: several items as one task. `answer` is the form of its results, here is the parent's end; `single` makes
//! it a future.

pub mod answer;
mod single;

use std::sync::Arc;
use std::time::Duration;

use plait_engine::heap::{Access, Piece};
use plait_engine::pool::{Loss, Outcome};
use pyo3::intern;
use pyo3::prelude::*;

use crate::errors;
use crate::future::{FutureCore, Held, decode_outcome};
use answer::{ANSWER, Beside, Results};
pub use single::{submit_chunk, take_chunk};

/// A chunk on its way.
pub struct Chunk {
    /// Its task.
    pub core: Arc<FutureCore>,
    /// Which item of the map its first one is.
    pub first: u64,
    /// How many items it has.
    pub items: usize,
    /// Bytes of its arguments, but for what lay in shared memory already.
    pub bytes: usize,
    /// How long it took to place its buffers.
    pub placing: Duration,
}

/// What became of a chunk.
pub struct Ended {
    pub results: Results,
    /// Nanoseconds of its worker's and bytes of its results, if it was told.
    pub cost: Option<(u64, usize)>,
}

impl Chunk {
    /// What a chunk that is done came to.
    ///
    /// # Errors
    /// What stands for the whole of it, because no item began.
    pub fn take(&self, py: Python<'_>) -> PyResult<Ended> {
        let held = std::mem::replace(&mut self.core.slot().held, Held::Nothing);
        let Held::Told(outcome) = held else { return Err(errors::cancelled(py)) };
        self.read(py, &outcome)
    }

    fn read(&self, py: Python<'_>, outcome: &Outcome) -> PyResult<Ended> {
        match outcome {
            Outcome::Called { payload, nanos, .. } if payload.kind == ANSWER => {
                let bytes = payload.bytes().map_err(|error| errors::plait_error(py, &error.to_string()))?;
                let pieces = payload.pieces();
                let weight = bytes.len()
                    + pieces.iter().filter(|piece| is_new(piece)).map(|piece| piece.at.len as usize).sum::<usize>();
                let results = answer::read(py, bytes, self.items, &Beside::Told(pieces));
                Ok(Ended { results, cost: Some((*nanos, weight)) })
            }
            Outcome::Lost(loss) => Ok(Ended { results: self.salvage(py, outcome, loss), cost: None }),
            _ => Err(self.blame(py, outcome, 0)),
        }
    }

    /// The results that a worker had noted before it died, then its death.
    fn salvage(&self, py: Python<'_>, outcome: &Outcome, loss: &Loss) -> Results {
        let Some(finished) = &loss.progress else { return (Vec::new(), Some(self.blame(py, outcome, 0))) };
        let done = finished.items as usize;
        let results = match finished.results.bytes() {
            Ok(bytes) => answer::read(py, bytes, done, &Beside::Noted(finished)),
            Err(error) => (Vec::new(), Some(errors::plait_error(py, &error.to_string()))),
        };
        match results {
            // One that cannot be read comes before the one that killed the worker.
            (results, Some(error)) => (results, Some(error)),
            // It died with all done and the answer not yet told.
            (results, None) if results.len() == self.items => (results, None),
            (results, None) => (results, Some(self.blame(py, outcome, done))),
        }
    }

    /// The error of an outcome that is none of a function's own, with the item that ran.
    fn blame(&self, py: Python<'_>, outcome: &Outcome, done: usize) -> PyErr {
        let error = match decode_outcome(py, outcome) {
            Ok(_) => return errors::plait_error(py, "a chunk was answered as if it were a call"),
            Err(error) => error,
        };
        if !matches!(outcome, Outcome::Lost(_) | Outcome::TimedOut(_)) {
            return error;
        }
        let index = self.first + done as u64;
        error.value(py).setattr(intern!(py, "index"), index).map_or_else(|error| error, |()| error)
    }
}

/// Whether a piece of a result was copied for it.
fn is_new(piece: &Piece) -> bool {
    piece.access == Access::Snapshot && !piece.hold.is_own()
}
