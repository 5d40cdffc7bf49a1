//! What a worker does with a task: decode, call, encode, tell.

use std::cell::Cell;
use std::collections::HashMap;

use plait_engine::wire::Verdict;
use plait_engine::worker::{Claimed, TellError, Worker};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::worker_error;
use crate::partial::{PARTIAL, encode_partial};
use crate::process::form;
use crate::{codec, errors, function};

thread_local! {
    static LOADING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is unpickling a call for a worker, which may import modules and so run their code.
pub fn is_loading() -> bool {
    LOADING.get()
}

fn while_loading<R>(load: impl FnOnce() -> R) -> R {
    LOADING.set(true);
    let loaded = load();
    LOADING.set(false);
    loaded
}

/// Functions a worker keeps loaded; more than any program has at a time, few enough to bound a loop of lambdas.
const MAX_FUNCTIONS: usize = 4096;

/// What a worker keeps from task to task.
#[derive(Default)]
pub struct Hands {
    functions: HashMap<u64, Py<PyAny>>,
    out: Vec<u8>,
}

impl Hands {
    /// Runs one task and tells how it ended.
    pub fn work(&mut self, py: Python<'_>, worker: &mut Worker, task: &Claimed) -> PyResult<()> {
        self.out.clear();
        let (verdict, kind) = match self.call(py, worker, task) {
            Ok(kind) => (Verdict::Returned, kind),
            Err(Failure::Plain(error)) => {
                self.out.clear();
                codec::encode_exception(py, &error, &mut self.out);
                (Verdict::Raised, 0)
            }
            Err(Failure::Partial(done, error)) => {
                self.out.clear();
                encode_partial(py, done.bind(py), &error, &mut self.out);
                (Verdict::Raised, PARTIAL)
            }
        };
        let mut told = (verdict, kind);
        loop {
            match worker.tell(task, told.0, told.1, &self.out) {
                Ok(()) => break,
                Err(TellError::Full) => py.detach(|| worker.wait_for_room()),
                Err(TellError::Garbled) => {
                    return Err(PyRuntimeError::new_err(
                        "the connection to the pool is unusable: its memory is garbled",
                    ));
                }
                Err(TellError::Memory(error)) => {
                    let error = PyMemoryError::new_err(format!("no shared memory for the result: {error}"));
                    self.out.clear();
                    codec::encode_exception(py, &error, &mut self.out);
                    told = (Verdict::Raised, 0);
                }
            }
        }
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// Runs the task; the encoded value is in `out` then.
    fn call(&mut self, py: Python<'_>, worker: &Worker, task: &Claimed) -> Result<u8, Failure> {
        let payload = worker.payload(task).map_err(|error| worker_error(&error))?;
        let kind = codec::Kind::try_from(task.head.kind)?;
        match task.head.form {
            form::CALL => {
                let function = self.function(py, worker, task)?;
                let value = {
                    let (args, kwargs) = while_loading(|| codec::decode_call(py, kind, payload))?;
                    function.bind(py).call(args, kwargs.as_ref())?
                };
                Ok(codec::encode_value(py, &value, &mut self.out)? as u8)
            }
            form::DIRECT => {
                let (function, args, kwargs) = while_loading(|| codec::decode_direct(py, payload))?;
                let value = function.call(args, kwargs.as_ref())?;
                Ok(codec::encode_value(py, &value, &mut self.out)? as u8)
            }
            form::CHUNK | form::STAR_CHUNK => self.call_chunk(py, worker, task, kind, payload),
            form => Err(errors::plait_error(py, &format!("a task of unknown form {form}")).into()),
        }
    }

    fn call_chunk(
        &mut self,
        py: Python<'_>,
        worker: &Worker,
        task: &Claimed,
        kind: codec::Kind,
        payload: &[u8],
    ) -> Result<u8, Failure> {
        let chunk = while_loading(|| codec::decode_value(py, kind, payload))?;
        let (function, items) = if task.head.function == 0 {
            // A callable that cannot be kept travels with the chunk: (function, items).
            let (function, items) = chunk.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            (function.unbind(), items)
        } else {
            (self.function(py, worker, task)?, chunk)
        };
        let items = items.cast_into::<PyList>().map_err(PyErr::from)?;
        let function = function.bind(py);
        let star = task.head.form == form::STAR_CHUNK;
        let results = PyList::empty(py);
        for at in 0..items.len() {
            let item = items.get_item(at)?;
            let value = if star {
                item.cast::<PyTuple>().map_err(PyErr::from).and_then(|args| function.call1(args))
            } else {
                function.call1((item,))
            };
            match value.and_then(|value| results.append(value)) {
                Ok(()) => {}
                Err(error) => return Err(Failure::Partial(results.unbind(), error)),
            }
        }
        Ok(codec::encode_value(py, results.as_any(), &mut self.out)? as u8)
    }

    fn function(&mut self, py: Python<'_>, worker: &Worker, task: &Claimed) -> Result<Py<PyAny>, Failure> {
        if let Some(function) = self.functions.get(&task.head.function) {
            return Ok(function.clone_ref(py));
        }
        let definition = worker.definition(task).map_err(|error| worker_error(&error))?;
        let function = while_loading(|| function::decode_function(py, definition))?;
        if self.functions.len() >= MAX_FUNCTIONS {
            self.functions.clear();
        }
        self.functions.insert(task.head.function, function.clone_ref(py));
        Ok(function)
    }
}

const KEEP: usize = 1 << 20;

enum Failure {
    Plain(PyErr),
    /// In the middle of a chunk: the values before, and the error.
    Partial(Py<PyList>, PyErr),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Plain(error)
    }
}
