//! `map` over a process pool: chunks out, results back in order, never more ahead of the consumer than allowed.
//!
//! Promises: the inputs are read as the window allows, so endless generators are fine; results come in the order of the
//! inputs; what finished before an item that raised is handed out first; an iterator that is dropped or has raised
//! takes back what no worker has begun.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use plait_engine::chunk::{ChunkSizer, Measured};
use plait_engine::pool::Outcome;
use plait_engine::wire::Verdict;
use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyTuple};

use crate::future::{FutureCore, Held, Home, Phase, decode_outcome};
use crate::partial::{PARTIAL, decode_partial};
use crate::process::{Callee, ProcessEngine, ProcessHome, form};
use crate::scratch::with_buffer;
use crate::{codec, errors};

/// With chunks of plait's own choice, so much work is kept ready per worker, in seconds.
const READY_SECONDS: f64 = 0.02;

/// The most chunks in flight, however tiny.
const MOST_CHUNKS: usize = 1024;

/// What one chunk costs to send and answer, in seconds: a few microseconds of each side.
const WIRE_SECONDS: f64 = 4e-6;

/// How far the input may be read ahead.
enum Window {
    /// All of it at once, as the stdlib does.
    All,
    /// This many items.
    Items(usize),
    /// As much as keeps the workers busy, from what the tasks have taken so far.
    Measured,
}

struct Chunk {
    core: Arc<FutureCore>,
    items: usize,
    bytes: usize,
}

/// An iterator over the results of a `map`.
#[pyclass(frozen, module = "plait._core")]
pub struct ProcessMap {
    home: Arc<ProcessHome>,
    /// Kept, because a pool that is collected takes no more tasks.
    _engine: Py<ProcessEngine>,
    callee: Callee,
    function: Py<PyAny>,
    star: bool,
    workers: usize,
    deadline: Option<Instant>,
    chunksize: Option<usize>,
    window: Window,
    state: Mutex<MapState>,
}

struct MapState {
    /// `None` when it is exhausted or must not be touched any more.
    input: Option<Py<PyIterator>>,
    /// Items the input is known to have left.
    left: Option<u64>,
    sizer: ChunkSizer,
    chunks: VecDeque<Chunk>,
    /// Somebody has asked for a result.
    begun: bool,
    in_flight: usize,
    /// Results of the chunk in hand.
    ready: VecDeque<Py<PyAny>>,
    /// What to raise when those are handed out.
    error: Option<PyErr>,
    /// What the input raised; it is raised when all before it is handed out.
    input_error: Option<PyErr>,
}

/// Maps `fn` over `input` (items, or tuples of arguments with `star`) on a process pool. `left`: its length, if known.
/// `ahead`: items read ahead; 0: as measured; None: all at once. `timeout`: seconds for the whole, from now.
#[pyfunction]
#[pyo3(signature = (engine, r#fn, input, star, workers, left, chunksize, ahead, timeout))]
#[expect(clippy::too_many_arguments, reason = "called from one place, which names them")]
pub fn process_map(
    engine: &Bound<'_, ProcessEngine>,
    r#fn: Bound<'_, PyAny>,
    input: Bound<'_, PyIterator>,
    star: bool,
    workers: usize,
    left: Option<u64>,
    chunksize: Option<usize>,
    ahead: Option<usize>,
    timeout: Option<f64>,
) -> PyResult<ProcessMap> {
    let py = engine.py();
    let home = engine.get().home()?;
    let callee = home.callee(py, &r#fn)?;
    let window = match ahead {
        None => Window::All,
        Some(0) => Window::Measured,
        Some(items) => Window::Items(items),
    };
    let map = ProcessMap {
        home: Arc::clone(home),
        _engine: engine.clone().unbind(),
        callee,
        function: r#fn.unbind(),
        star,
        workers,
        deadline: crate::future::deadline(timeout),
        chunksize,
        window,
        state: Mutex::new(MapState {
            input: Some(input.unbind()),
            left,
            sizer: ChunkSizer::new(workers),
            chunks: VecDeque::new(),
            begun: false,
            in_flight: 0,
            ready: VecDeque::new(),
            error: None,
            input_error: None,
        }),
    };
    // Starts at once: a map nobody iterates over runs too. A pool that takes no tasks says so at once.
    map.fill(py)?;
    Ok(map)
}

#[pymethods]
impl ProcessMap {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.state().begun = true;
        loop {
            if matches!(self.window, Window::Items(_)) && !self.state().ready.is_empty() {
                // Each result that is handed out makes room for an input.
                self.refill(py);
            }
            let (chunk, error) = {
                let mut state = self.state();
                if let Some(value) = state.ready.pop_front() {
                    return Ok(Some(value));
                }
                (state.chunks.pop_front(), state.error.take())
            };
            if let Some(error) = error {
                return Err(error);
            }
            let Some(chunk) = chunk else {
                let late = self.state().input_error.take();
                return late.map_or(Ok(None), Err);
            };
            let taken = self.take(py, &chunk);
            let mut state = self.state();
            state.in_flight -= chunk.items;
            match taken {
                Ok((values, error)) => {
                    state.ready = values.into();
                    state.error = error;
                }
                Err(error) => state.error = Some(error),
            }
            let stop = state.error.is_some();
            drop(state);
            if stop {
                self.close();
            } else if !matches!(self.window, Window::Items(_)) {
                self.refill(py);
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The input may well know of the results, as a generator that reads them does.
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        visit.call(&state.input)?;
        for value in &state.ready {
            visit.call(value)?;
        }
        visit.call(&self.function)?;
        visit.call(&self._engine)
    }

    fn __clear__(&self) {
        let (input, ready) = {
            let mut state = self.state();
            (state.input.take(), std::mem::take(&mut state.ready))
        };
        drop((input, ready));
    }

    /// Takes back what no worker has begun; the iterator is exhausted then.
    fn close(&self) {
        let chunks = {
            let mut state = self.state();
            state.input = None;
            state.input_error = None;
            std::mem::take(&mut state.chunks)
        };
        for chunk in chunks {
            if self.home.cancel(&chunk.core) {
                chunk.core.transition(&[Phase::Pending], Phase::Notified, Held::Nothing);
            }
        }
    }
}

impl Drop for ProcessMap {
    fn drop(&mut self) {
        // As in the stdlib: a map that nobody ever looked at runs all the same.
        if self.state().begun {
            self.close();
        }
    }
}

impl ProcessMap {
    fn state(&self) -> MutexGuard<'_, MapState> {
        // Never held while Python runs.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends chunks once the map has begun: what is in hand comes first, then what could not be sent is raised.
    fn refill(&self, py: Python<'_>) {
        if let Err(error) = self.fill(py) {
            let mut state = self.state();
            state.input = None;
            state.input_error = Some(error);
        }
    }

    /// Sends chunks as far as the window goes.
    fn fill(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let (input, size) = {
                let state = self.state();
                let Some(input) = &state.input else { return Ok(()) };
                let size = self.chunksize.unwrap_or_else(|| self.own_size(&state));
                if !self.has_room(&state, size) {
                    return Ok(());
                }
                (input.clone_ref(py), size)
            };
            let mut items = Vec::with_capacity(size.min(4096));
            let mut failed = None;
            for item in input.bind(py).try_iter()?.take(size) {
                match item {
                    Ok(item) => items.push(item),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            let mut ended = items.len() < size;
            let mut sent = self.send(py, &items)?;
            if let Err(error) = sent {
                // What stands before the item that cannot be sent is sent, and its results come first.
                items.truncate(self.sendable(py, &items));
                sent = self.send(py, &items)?;
                (failed, ended) = (Some(error), true);
            }
            if let Ok(Some(chunk)) = sent {
                let mut state = self.state();
                state.left = state.left.map(|left| left.saturating_sub(items.len() as u64));
                state.in_flight += items.len();
                state.chunks.push_back(chunk);
            }
            if ended {
                let mut state = self.state();
                state.input = None;
                state.input_error = failed;
                return Ok(());
            }
        }
    }

    /// The chunk size where the user gave none: as measured, and such that each worker finds one within the window.
    fn own_size(&self, state: &MapState) -> usize {
        let measured = state.sizer.next_size(state.left);
        match self.window {
            Window::Items(items) => measured.min((items / self.workers).max(1)),
            Window::All | Window::Measured => measured,
        }
    }

    fn has_room(&self, state: &MapState, size: usize) -> bool {
        // Of those that are ready the first is being handed out.
        let ready = state.ready.len().saturating_sub(1);
        if state.chunks.is_empty() && ready == 0 {
            return true;
        }
        match self.window {
            Window::All => true,
            Window::Items(items) => state.in_flight + ready + size <= items,
            Window::Measured => {
                let per_worker = match state.sizer.item_seconds() {
                    None => 2.0,
                    Some(seconds) => READY_SECONDS / (seconds * size as f64).max(1e-9),
                };
                let chunks = (self.workers as f64 * per_worker.max(2.0)).ceil() as usize;
                state.chunks.len() < chunks.min(MOST_CHUNKS)
            }
        }
    }

    /// Sends a chunk, if there is anything in it; inside: why its items cannot be sent.
    fn send(&self, py: Python<'_>, items: &[Bound<'_, PyAny>]) -> PyResult<Result<Option<Chunk>, PyErr>> {
        if items.is_empty() {
            return Ok(Ok(None));
        }
        let core = FutureCore::new(Home::Processes(Arc::clone(&self.home)));
        let form = if self.star { form::STAR_CHUNK } else { form::CHUNK };
        with_buffer(|out| {
            let kind = match self.encode(py, items, out) {
                Ok(kind) => kind,
                Err(error) if error.is_instance_of::<PyException>(py) => return Ok(Err(error)),
                Err(error) => return Err(error),
            };
            self.home.send(py, &core, &self.callee, form, kind as u8, out)?;
            Ok(Ok(Some(Chunk { core, items: items.len(), bytes: out.len() })))
        })
    }

    fn encode(&self, py: Python<'_>, items: &[Bound<'_, PyAny>], out: &mut Vec<u8>) -> PyResult<codec::Kind> {
        if self.callee.direct {
            let pair = PyTuple::new(py, [self.function.bind(py).clone(), PyList::new(py, items)?.into_any()])?;
            codec::encode_value(py, pair.as_any(), out)
        } else {
            codec::encode_chunk(py, items, out)
        }
    }

    /// How many items of a chunk that cannot be sent come before the first that is to blame.
    fn sendable(&self, py: Python<'_>, items: &[Bound<'_, PyAny>]) -> usize {
        let alone = |item| with_buffer(|out| self.encode(py, std::slice::from_ref(item), out).is_err());
        items.iter().position(alone).unwrap_or(0)
    }

    /// Waits for a chunk; its values, and what was raised after them.
    fn take(&self, py: Python<'_>, chunk: &Chunk) -> PyResult<(Vec<Py<PyAny>>, Option<PyErr>)> {
        if !self.home.wait(py, &chunk.core, self.deadline)? {
            return Err(errors::timeout(py));
        }
        let held = std::mem::replace(&mut chunk.core.slot().held, Held::Nothing);
        let Held::Told(outcome) = held else { return Err(errors::cancelled(py)) };
        if let Outcome::Called { nanos, payload, .. } = &outcome {
            self.state().sizer.on_chunk(Measured {
                items: chunk.items as u64,
                run_seconds: *nanos as f64 * 1e-9,
                wire_seconds: WIRE_SECONDS,
                bytes: (chunk.bytes + payload.bytes().map_or(0, <[u8]>::len)) as u64,
            });
        }
        if let Outcome::Called { verdict: Verdict::Raised, payload, .. } = &outcome
            && payload.kind == PARTIAL
        {
            let bytes = payload.bytes().map_err(|error| errors::plait_error(py, &error.to_string()))?;
            return decode_partial(py, bytes);
        }
        let values = decode_outcome(py, &outcome)?.cast_into::<PyList>()?;
        Ok((values.iter().map(Bound::unbind).collect(), None))
    }
}
