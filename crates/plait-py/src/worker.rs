//! The nursery's and the workers' side of the process pool: forking, and running tasks.

use std::cell::Cell;
use std::collections::HashMap;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use plait_engine::nursery::{Next, Order, Server};
use plait_engine::wire::Verdict;
use plait_engine::worker::{Claimed, TellError, Worker, WorkerError};
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

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

/// How often an idle worker looks up from its sleep for no reason: a safety net, not a mechanism.
const NAP: Duration = Duration::from_secs(60);

/// The nursery's loop state; the loop itself is Python's, because it forks an interpreter.
#[pyclass(frozen, module = "plait._core")]
pub struct NurseryServer {
    inner: Mutex<Stage>,
}

enum Stage {
    Serving(Server, Option<Order>),
    Gone,
}

impl NurseryServer {
    fn server<R>(&self, use_it: impl FnOnce(&mut Server, &mut Option<Order>) -> R) -> PyResult<R> {
        match &mut *self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Stage::Serving(server, order) => Ok(use_it(server, order)),
            Stage::Gone => Err(PyRuntimeError::new_err("this process is a worker, not the nursery")),
        }
    }
}

#[pymethods]
impl NurseryServer {
    /// Takes over the socket `fd` to the parent.
    #[new]
    fn new(fd: RawFd) -> PyResult<Self> {
        // SAFETY: the caller hands over a descriptor that nothing else in this process uses or closes; see
        // `plait._nursery`, where it was duplicated for this call.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let server = Server::start(socket)?;
        Ok(Self { inner: Mutex::new(Stage::Serving(server, None)) })
    }

    /// Waits for an order to fork, up to `idle` seconds; "fork", "idle", or "over" when the parent wants no more.
    #[pyo3(signature = (idle=None))]
    fn next_order(&self, idle: Option<f64>) -> PyResult<&'static str> {
        let idle = idle.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        self.server(|server, order| {
            Ok(match server.next_order(idle)? {
                Next::Order(next) => {
                    *order = Some(next);
                    "fork"
                }
                Next::Idle => "idle",
                Next::Over => "over",
            })
        })?
    }

    /// In the nursery: the order was carried out, by this process.
    fn forked(&self, pid: i32) -> PyResult<()> {
        self.server(|server, order| match order.take() {
            Some(order) => server.forked(order.key, pid),
            None => Ok(()),
        })??;
        Ok(())
    }

    /// In the nursery: the order could not be carried out.
    fn failed(&self, errno: i32) -> PyResult<()> {
        self.server(|server, order| match order.take() {
            Some(order) => server.failed(order.key, errno),
            None => Ok(()),
        })??;
        Ok(())
    }

    /// In a new worker: opens the connection to the pool. Second: the bytes the pool gives each worker.
    fn become_worker<'py>(&self, py: Python<'py>) -> PyResult<(WorkerLoop, Bound<'py, PyBytes>)> {
        let stage =
            std::mem::replace(&mut *self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner), Stage::Gone);
        let Stage::Serving(server, Some(order)) = stage else {
            return Err(PyRuntimeError::new_err("there is no order to become a worker of"));
        };
        let parent = server.into_parent();
        thread::Builder::new()
            .name("plait-watchdog".into())
            .stack_size(64 << 10)
            .spawn(move || watch(&parent))
            .map_err(|error| PyOSError::new_err(format!("no thread to watch the parent: {error}")))?;
        let me = order.worker();
        let (worker, setup) = Worker::open(me, order.fds).map_err(|error| worker_error(&error))?;
        Ok((WorkerLoop { worker: Mutex::new(Some(worker)) }, PyBytes::new(py, &setup)))
    }
}

/// Ends this process when its parent's ends, whatever the interpreter is doing.
fn watch(parent: &OwnedFd) {
    let mut fds = [PollFd::new(parent, PollFlags::IN)];
    while rustix::io::retry_on_intr(|| poll(&mut fds, None)).is_ok() {
        if !fds[0].revents().is_empty() {
            // Not an exit: nothing of the interpreter may run any more, and nobody is left to ask how it ended.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

fn worker_error(error: &WorkerError) -> PyErr {
    PyRuntimeError::new_err(format!("the connection to the pool is unusable: {error}"))
}

/// A worker's loop.
#[pyclass(frozen, module = "plait._core")]
pub struct WorkerLoop {
    worker: Mutex<Option<Worker>>,
}

#[pymethods]
impl WorkerLoop {
    /// Tells the pool that the worker will never be ready, and why.
    fn refuse(&self, reason: &str) {
        if let Some(worker) = self.worker.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_mut() {
            worker.greet(Some(reason));
        }
    }

    /// Runs tasks until the pool says stop.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let taken = self.worker.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(mut worker) = taken else { return Err(PyRuntimeError::new_err("the worker runs already")) };
        worker.greet(None);
        let mut hands = Hands { functions: HashMap::new(), out: Vec::new() };
        loop {
            if worker.is_told() {
                worker.listen();
            }
            if worker.is_stopped() {
                return Ok(());
            }
            match worker.next_task().map_err(|error| worker_error(&error))? {
                Some(task) => hands.work(py, &mut worker, &task)?,
                None => py.detach(|| worker.sit(Some(NAP))),
            }
            // Python's signal handlers run between tasks; one that raises ends the worker, as it would end a program.
            py.check_signals()?;
        }
    }
}

/// What a worker keeps from task to task.
struct Hands {
    functions: HashMap<u64, Py<PyAny>>,
    out: Vec<u8>,
}

impl Hands {
    fn work(&mut self, py: Python<'_>, worker: &mut Worker, task: &Claimed) -> PyResult<()> {
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
