//! What a worker does with a task: decode, call, encode, tell.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use plait_engine::heap::{Piece, table_of};
use plait_engine::wire::Verdict;
use plait_engine::worker::{Claimed, Desk, TellError, Worker};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::functions::Functions;
use super::{output, stop, worker_error};
use crate::chunk::answer::{ANSWER, AnswerWriter, push_only, push_raised, push_table};
use crate::process::form;
use crate::{beacon, codec, context, errors, function, memory, own};

thread_local! {
    static LOADING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is unpickling a call for a worker, which may import modules and so run their code.
pub fn is_loading() -> bool {
    LOADING.get()
}

/// Loads a call, or its function.
pub fn while_loading<R>(load: impl FnOnce() -> R) -> R {
    LOADING.set(true);
    let loaded = load();
    LOADING.set(false);
    loaded
}

/// Tasks that this worker has begun.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// How many tasks this worker has begun: the number of the one that it runs.
pub fn tasks_begun() -> u64 {
    BEGUN.load(Ordering::Relaxed)
}

/// What a worker keeps from task to task.
pub struct Hands {
    desk: Desk,
    flush: Py<PyAny>,
    functions: Functions,
    arrivals: context::Arrivals,
    out: codec::Message,
}

impl Hands {
    /// Those of a worker that has not done anything yet.
    pub fn new(desk: Desk, flush: Py<PyAny>) -> Self {
        let (functions, arrivals) = (Functions::default(), context::Arrivals::default());
        Self { desk, flush, functions, arrivals, out: codec::Message::default() }
    }

    /// Runs one task and tells how it ended.
    pub fn work(&mut self, py: Python<'_>, worker: &mut Worker, task: &Claimed) -> PyResult<()> {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let called = stop::begin_call(py, &self.desk).and_then(|()| self.call(py, worker, task));
        let called = match own::settle(py) {
            Ok(()) => called,
            Err(error) => Err(error),
        };
        stop::end_call();
        output::write_out(py, &self.flush);
        let called = called.and_then(|answer| Ok((answer, memory::place(py, self.desk.heap(), &self.out)?.pieces)));
        let (mut answer, mut pieces) = match called {
            Ok(called) => called,
            Err(error) => (self.raised(py, &error), Vec::new()),
        };
        loop {
            let told = match answer {
                Answer::Held(verdict, kind) => {
                    let (short, long): ([&[u8]; 1], Vec<_>);
                    let payload = if self.out.long.is_empty() {
                        short = [&self.out.bytes];
                        &short[..]
                    } else {
                        long = self.out.parts().collect();
                        &long
                    };
                    worker.tell(task, verdict, kind, payload, &pieces)
                }
                Answer::Noted(verdict) => worker.tell_noted(task, verdict, ANSWER),
            };
            match told {
                Ok(()) => break,
                Err(TellError::Full) => py.detach(|| worker.wait_for_room()),
                Err(TellError::Garbled) => {
                    return Err(PyRuntimeError::new_err(
                        "the connection to the pool is unusable: its memory is garbled",
                    ));
                }
                Err(TellError::Memory(error)) => {
                    (answer, pieces) = (self.raised(py, &self.no_room(&error)), Vec::new());
                }
            }
        }
        self.out.clear();
        if self.out.bytes.capacity() > KEEP {
            self.out.bytes = Vec::new();
        }
        Ok(())
    }

    /// Runs the task.
    fn call(&mut self, py: Python<'_>, worker: &mut Worker, task: &Claimed) -> PyResult<Answer> {
        self.out.clear();
        let kind = codec::Kind::try_from(task.head.form_of_arguments())?;
        match task.head.form & !form::IN_CONTEXT {
            form::CALL => {
                let function = self.function(py, worker, task)?;
                let _running = beacon::begin(function.bind(py), task.id.bits(), task.started);
                let value = {
                    let (payload, pieces) = worker.payload(task).map_err(|error| worker_error(&error))?;
                    let buffers = memory::buffers(py, &pieces)?;
                    drop(pieces);
                    let (sent, payload) = context::split(py, task.head.form, payload)?;
                    let (args, kwargs) = while_loading(|| codec::decode_call(py, kind, payload, buffers.as_ref()))?;
                    drop(buffers);
                    let _context = context::enter(self.arrivals.context(py, sent)?)?;
                    worker.call_begins(task);
                    function.bind(py).call(args, kwargs.as_ref())?
                };
                self.held(&value)
            }
            form::DIRECT => {
                let (payload, pieces) = worker.payload(task).map_err(|error| worker_error(&error))?;
                let buffers = memory::buffers(py, &pieces)?;
                drop(pieces);
                let (sent, payload) = context::split(py, task.head.form, payload)?;
                let (function, args, kwargs) = while_loading(|| codec::decode_direct(py, payload, buffers.as_ref()))?;
                drop(buffers);
                let entered = context::enter(self.arrivals.context(py, sent)?)?;
                let running = beacon::begin(&function, task.id.bits(), task.started);
                worker.call_begins(task);
                let value = function.call(&args, kwargs.as_ref())?;
                drop((running, entered));
                drop((function, args, kwargs));
                self.held(&value)
            }
            form::CHUNK | form::STAR_CHUNK => {
                let (payload, pieces) = worker.payload(task).map_err(|error| worker_error(&error))?;
                let buffers = memory::buffers(py, &pieces)?;
                drop(pieces);
                let (sent, payload) = context::split(py, task.head.form, payload)?;
                let chunk = while_loading(|| codec::decode_value(py, kind, payload, buffers.as_ref()))?;
                drop(buffers);
                let sent = sent.map(<[u8]>::to_vec);
                self.call_chunk(py, worker, task, chunk, sent.as_deref())
            }
            form => Err(errors::plait_error(py, &format!("a task of unknown form {form}"))),
        }
    }

    /// The answer that a value is.
    fn held(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Answer> {
        self.out.takes_buffers = true;
        self.out.takes_long = true;
        let kind = codec::encode_value(value.py(), value, &mut self.out)?;
        Ok(Answer::Held(Verdict::Returned, kind as u8))
    }

    /// Calls the function once per item. Each result is safe before the next item begins; that of a lonely item has
    /// nothing to wait for.
    fn call_chunk<'py>(
        &mut self,
        py: Python<'py>,
        worker: &mut Worker,
        task: &Claimed,
        chunk: Bound<'py, PyAny>,
        sent: Option<&[u8]>,
    ) -> PyResult<Answer> {
        let (function, items) = if task.head.function == 0 {
            // A callable that cannot be kept travels with the chunk: (function, items).
            let (function, items) = chunk.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            (function.unbind(), items)
        } else {
            (self.function(py, worker, task)?, chunk)
        };
        let items = items.cast_into::<PyList>()?;
        let function = function.bind(py);
        let _running = beacon::begin(function, task.id.bits(), task.started);
        let star = task.head.form & !form::IN_CONTEXT == form::STAR_CHUNK;
        let noted = items.len() > 1;
        let mut contexts = context::Each::of(self.arrivals.context(py, sent)?)?;
        worker.call_begins(task);
        let mut writer = AnswerWriter::new();
        for item in items.iter() {
            let entered = contexts.enter()?;
            let value = if star {
                item.cast::<PyTuple>().map_err(PyErr::from).and_then(|args| function.call1(args))
            } else {
                function.call1((item,))
            };
            drop(entered);
            self.out.clear();
            let pushed = value.and_then(|value| {
                if !noted {
                    return push_only(&value, &mut self.out);
                }
                writer.push(&value, &mut self.out)?;
                let pieces = self.placed(py)?;
                worker.note_item(&self.out.bytes, pieces).map_err(|error| self.no_room(&error))
            });
            if let Err(error) = pushed {
                return self.end_chunk(py, worker, noted, error);
            }
        }
        Ok(Answer::of_chunk(noted, Verdict::Returned))
    }

    /// What of shared memory belongs to the result in hand, which says so from now on.
    #[inline]
    fn placed(&mut self, py: Python<'_>) -> PyResult<Vec<Piece>> {
        if self.out.buffers.is_empty() {
            return Ok(Vec::new());
        }
        let pieces = memory::place(py, self.desk.heap(), &self.out)?.pieces;
        push_table(&table_of(&pieces), &mut self.out.bytes);
        Ok(pieces)
    }

    /// The answer of a chunk that ends with an error of one of its items.
    fn end_chunk(&mut self, py: Python<'_>, worker: &mut Worker, noted: bool, error: PyErr) -> PyResult<Answer> {
        self.out.clear();
        push_raised(py, &error, &mut self.out.bytes);
        if noted && worker.note_end(&self.out.bytes).is_err() {
            // The error without the results is better than they without it.
            return Err(error);
        }
        Ok(Answer::of_chunk(noted, Verdict::Raised))
    }

    fn no_room(&self, error: &impl std::fmt::Display) -> PyErr {
        memory::no_room(self.desk.heap(), "the result", error)
    }

    /// The answer of a task that is nothing but an exception.
    fn raised(&mut self, py: Python<'_>, error: &PyErr) -> Answer {
        self.out.clear();
        codec::encode_exception(py, error, &mut self.out.bytes);
        Answer::Held(Verdict::Raised, 0)
    }

    fn function(&mut self, py: Python<'_>, worker: &mut Worker, task: &Claimed) -> PyResult<Py<PyAny>> {
        if let Some(function) = self.functions.get(py, task.head.function) {
            return Ok(function);
        }
        let (definition, pieces) = worker.definition(task).map_err(|error| worker_error(&error))?;
        let buffers = memory::buffers(py, &pieces)?;
        let function = while_loading(|| function::decode_function(py, definition, buffers.as_ref()))?;
        let beside = pieces.iter().map(|piece| piece.at.len).sum();
        drop((buffers, pieces));
        self.functions.keep(task.head.function, function.clone_ref(py), beside);
        Ok(function)
    }
}

const KEEP: usize = 1 << 20;

/// Where the answer lies that is to be told.
enum Answer {
    /// In the hands' buffer, in the form of this kind.
    Held(Verdict, u8),
    /// Where the worker noted the results of the chunk as they came.
    Noted(Verdict),
}

impl Answer {
    fn of_chunk(noted: bool, verdict: Verdict) -> Self {
        if noted { Self::Noted(verdict) } else { Self::Held(verdict, ANSWER) }
    }
}
