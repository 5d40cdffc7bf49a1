//! `map` over a process pool: chunks out, results back in order, never more ahead of the consumer than allowed.
//!
//! Promises: the inputs are read as the window allows, so endless generators are fine; results come in the order of the
//! inputs; what finished before an item that raised, or whose worker died, is handed out first; an iterator that is
//! dropped or has raised takes back what no worker has begun.

mod window;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use plait_engine::chunk::{ChunkSizer, Measured};
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyRuntimeError, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyIterator;

use crate::chunk::Chunk;
use crate::chunk::answer::Results;
use crate::future::{FutureCore, Held, Home, Phase};
use crate::process::{Callee, Limits, ProcessEngine, ProcessHome, form};
use crate::scratch::with_message;
use crate::{callout, codec, context, errors};
use window::{Ahead, Window};

/// What one chunk costs to send and answer, in seconds: a few microseconds of each side.
const WIRE_SECONDS: f64 = 4e-6;

/// An iterator over the results of a `map`.
#[pyclass(frozen, module = "plait._core")]
pub struct ProcessMap {
    home: Arc<ProcessHome>,
    /// Kept, because a pool that is collected takes no more tasks.
    _engine: Py<ProcessEngine>,
    callee: Callee,
    /// What goes of the context in which the map was begun.
    context: Option<Arc<[u8]>>,
    function: Py<PyAny>,
    star: bool,
    workers: usize,
    deadline: Option<Instant>,
    limits: Limits,
    chunksize: Option<usize>,
    window: Window,
    state: Mutex<MapState>,
    /// It has raised.
    failed: AtomicBool,
}

struct MapState {
    /// `None` when it is exhausted or must not be touched any more.
    input: Option<Py<PyIterator>>,
    /// Items the input is known to have left.
    left: Option<u64>,
    sizer: ChunkSizer,
    /// Items sent so far.
    sent: u64,
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
/// `item_timeout`, `retries`: of each call; with either of them chunks have one item, so that one item alone is stopped
/// or tried again. `context`: what the calls see; as a default the current one.
#[pyfunction]
#[pyo3(signature = (engine, r#fn, input, star, workers, left, chunksize, ahead, timeout, item_timeout=None, retries=0, context=None))]
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
    item_timeout: Option<f64>,
    retries: u32,
    context: Option<&Bound<'_, PyAny>>,
) -> PyResult<ProcessMap> {
    let py = engine.py();
    let home = engine.get().home()?;
    let callee = home.callee(py, &r#fn)?;
    let limits = Limits::new(item_timeout, retries)?;
    let chunksize = if item_timeout.is_some() || retries > 0 { Some(1) } else { chunksize };
    let map = ProcessMap {
        home: Arc::clone(home),
        _engine: engine.clone().unbind(),
        callee,
        context: context.map_or_else(|| context::of_current(py), context::of_context)?,
        function: r#fn.unbind(),
        star,
        workers,
        deadline: crate::future::deadline(timeout),
        limits,
        chunksize,
        window: Window::new(ahead),
        state: Mutex::new(MapState {
            input: Some(input.unbind()),
            left,
            sizer: ChunkSizer::new(workers),
            sent: 0,
            chunks: VecDeque::new(),
            begun: false,
            in_flight: 0,
            ready: VecDeque::new(),
            error: None,
            input_error: None,
        }),
        failed: AtomicBool::new(false),
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
        {
            let mut state = self.state();
            state.begun = true;
            if !matches!(self.window, Window::Items(_))
                && let Some(value) = state.ready.pop_front()
            {
                return Ok(Some(value));
            }
        }
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
                self.failed.store(true, Ordering::Relaxed);
                return Err(seen(py, error));
            }
            let Some(chunk) = chunk else {
                let Some(late) = self.state().input_error.take() else { return Ok(None) };
                self.failed.store(true, Ordering::Relaxed);
                return Err(late);
            };
            let taken = self.take(py, &chunk);
            let mut interrupted = false;
            let mut state = self.state();
            state.in_flight -= chunk.items;
            match taken {
                Ok((values, error)) => {
                    state.ready = values.into();
                    state.error = error;
                }
                Err(error) => {
                    // Ctrl-C while this waited: nobody will ask for what runs, and the exit would wait for it.
                    interrupted = error.is_instance_of::<PyKeyboardInterrupt>(py) && !chunk.core.phase().is_done();
                    if interrupted {
                        state.chunks.push_front(chunk);
                    }
                    state.error = Some(error);
                }
            }
            let stop = state.error.is_some();
            drop(state);
            if stop {
                self.take_back(interrupted);
            } else if !matches!(self.window, Window::Items(_)) {
                self.refill(py);
            }
        }
    }

    /// Items whose results were taken, or are in hand.
    #[getter]
    fn taken(&self) -> u64 {
        let state = self.state();
        state.sent - state.in_flight as u64
    }

    /// Whether it has raised: what an input or a call did, or an interrupt of the waiting.
    #[getter]
    fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
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
        self.take_back(false);
        // Dropped without the lock: this may run code of the caller's.
        let _gone = {
            let mut state = self.state();
            (std::mem::take(&mut state.ready), state.error.take())
        };
    }
}

/// An error of a call, as it may come out of an iterator: a `StopIteration` would pass for its end, and results be lost.
fn seen(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyStopIteration>(py) {
        return error;
    }
    // What a generator would say.
    let said = PyRuntimeError::new_err("generator raised StopIteration");
    said.set_cause(py, Some(error));
    said
}

impl Drop for ProcessMap {
    fn drop(&mut self) {
        // As in the stdlib: a map that nobody ever looked at runs all the same.
        if self.state().begun {
            self.take_back(false);
        }
    }
}

impl ProcessMap {
    fn state(&self) -> MutexGuard<'_, MapState> {
        // Never held while Python runs.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads no more input and takes back what no worker has begun; what is in hand stays. With `stop`, what runs is
    /// stopped.
    fn take_back(&self, stop: bool) {
        let (chunks, _gone) = {
            let mut state = self.state();
            let gone = (state.input.take(), state.input_error.take());
            (std::mem::take(&mut state.chunks), gone)
        };
        for chunk in chunks {
            if self.home.cancel(&chunk.core) {
                chunk.core.transition(&[Phase::Pending], Phase::Notified, Held::Nothing);
            } else if stop {
                self.home.stop(&chunk.core);
            }
        }
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
            let (input, size, room) = {
                let state = self.state();
                let Some(input) = &state.input else { return Ok(()) };
                let MapState { sizer, left, .. } = &*state;
                let own = || self.window.own_size(sizer, *left, self.workers);
                let size = self.chunksize.unwrap_or_else(own);
                let (in_flight, ready) = (state.in_flight, state.ready.len());
                let ahead = Ahead { chunks: state.chunks.len(), in_flight, ready };
                if !self.window.has_room(&ahead, size, &state.sizer, self.workers) {
                    return Ok(());
                }
                // A size or a length that somebody made up must not ask for all memory.
                let room = if left.is_some() { 1 << 20 } else { 1 << 12 };
                (input.clone_ref(py), size, room)
            };
            let mut items = Vec::with_capacity(size.min(room));
            let mut failed = None;
            while items.len() < size {
                match callout::next(input.bind(py)) {
                    Some(Ok(item)) => items.push(item),
                    Some(Err(error)) => {
                        failed = Some(error);
                        break;
                    }
                    None => break,
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
                state.sent += items.len() as u64;
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

    /// Sends a chunk, if there is anything in it; inside: why its items cannot be sent.
    fn send(&self, py: Python<'_>, items: &[Bound<'_, PyAny>]) -> PyResult<Result<Option<Chunk>, PyErr>> {
        if items.is_empty() {
            return Ok(Ok(None));
        }
        let core = FutureCore::new(Home::Processes(Arc::clone(&self.home)));
        let form = if self.star { form::STAR_CHUNK } else { form::CHUNK };
        with_message(|out| {
            out.takes_buffers = true;
            out.takes_long = true;
            let form = context::push(self.context.as_ref(), form, out);
            let kind = match self.encode(py, items, out) {
                Ok(kind) => kind,
                Err(error) if error.is_instance_of::<PyException>(py) => return Ok(Err(error)),
                Err(error) => return Err(error),
            };
            let effort = self.home.send(py, &core, &self.callee, form, kind as u8, out, &self.limits)?;
            let first = self.state().sent;
            let bytes = out.len() + effort.copied;
            Ok(Ok(Some(Chunk { core, first, items: items.len(), bytes, placing: effort.time })))
        })
    }

    fn encode(&self, py: Python<'_>, items: &[Bound<'_, PyAny>], out: &mut codec::Message) -> PyResult<codec::Kind> {
        let first = self.state().sent;
        if self.callee.direct {
            codec::encode_direct_chunk(py, self.function.bind(py), items, first, out)
        } else {
            codec::encode_chunk(py, items, first, out)
        }
    }

    /// How many items of a chunk that cannot be sent come before the first that is to blame.
    fn sendable(&self, py: Python<'_>, items: &[Bound<'_, PyAny>]) -> usize {
        let alone = |item| with_message(|out| self.encode(py, std::slice::from_ref(item), out).is_err());
        items.iter().position(alone).unwrap_or(0)
    }

    /// Waits for a chunk; its results, and what was raised after them.
    fn take(&self, py: Python<'_>, chunk: &Chunk) -> PyResult<Results> {
        if !self.home.wait(py, &chunk.core, self.deadline)? {
            return Err(errors::timeout(py));
        }
        let ended = chunk.take(py)?;
        if let Some((nanos, bytes)) = ended.cost {
            self.state().sizer.on_chunk(Measured {
                items: chunk.items as u64,
                run_seconds: nanos as f64 * 1e-9,
                wire_seconds: WIRE_SECONDS + chunk.placing.as_secs_f64(),
                bytes: (chunk.bytes + bytes) as u64,
            });
        }
        Ok(ended.results)
    }
}
