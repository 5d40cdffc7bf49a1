//! The nursery's and the workers' side of the process pool: forking, and running tasks.

mod functions;
mod hands;
mod output;
mod reap;
mod run;
mod stop;
mod watchdog;

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::time::Duration;

use plait_engine::nursery::{Next, Order, Server};
use plait_engine::worker::{Worker, WorkerError};
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::{beacon, terminal};
pub use hands::{is_loading, tasks_begun, while_loading};
pub use run::WorkerLoop;

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
        // Nothing to say to a parent that has gone.
        let server = Server::start(socket)?.ok_or_else(|| PySystemExit::new_err(0))?;
        beacon::set_role("plait nursery");
        Ok(Self { inner: Mutex::new(Stage::Serving(server, None)) })
    }

    /// Waits for an order to fork, up to `idle` seconds; "fork", "idle", or "over" when the parent wants no more.
    #[pyo3(signature = (idle=None))]
    fn next_order(&self, idle: Option<f64>) -> PyResult<&'static str> {
        let idle = idle.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        self.server(|server, order| {
            Ok(match server.next_order(idle, &reap::reap)? {
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
            Some(order) => server.forked(order, pid, &reap::reap),
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

    /// In a new worker: opens the connection to the pool and tells the parent that it lives. Second: the bytes the pool
    /// gives each worker. What the system refuses is for the parent to hear of: then this process ends, silently.
    fn become_worker<'py>(&self, py: Python<'py>) -> PyResult<(WorkerLoop, Bound<'py, PyBytes>)> {
        let stage =
            std::mem::replace(&mut *self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner), Stage::Gone);
        let Stage::Serving(server, Some(order)) = stage else {
            return Err(PyRuntimeError::new_err("there is no order to become a worker of"));
        };
        let me = order.worker();
        beacon::set_role(&format!("plait worker {}", me.0));
        let mut opened = None;
        let upward = server.into_worker(order, |parent, fds| {
            watchdog::start(parent)?;
            opened = Some(Worker::open(me, fds)?);
            Ok(())
        })?;
        let (Some(upward), Some((worker, setup))) = (upward, opened) else { return Err(PySystemExit::new_err(1)) };
        terminal::set_upward(upward);
        Ok((WorkerLoop::new(worker), PyBytes::new(py, &setup)))
    }
}

fn worker_error(error: &WorkerError) -> PyErr {
    PyRuntimeError::new_err(format!("the connection to the pool is unusable: {error}"))
}
