//! `plait.watch_gil` as `plait._watch_gil` sees it: the watching, and the life of the process that names C functions.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use plait_observe::own::{self, Hold, Holds, Namer};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;

/// Tells of holds of the GIL that keep others waiting for longer than `limit` seconds.
#[pyclass(frozen, module = "plait._core")]
pub struct GilHolds(Holds);

#[pymethods]
impl GilHolds {
    /// Begins. Raises PlaitError where the GIL of this process cannot be read, OSError where there is no thread to be had.
    #[new]
    fn new(py: Python<'_>, limit: f64) -> PyResult<Self> {
        let limit = seconds(limit)?;
        let holds = py.detach(|| Holds::start(limit)).map_err(|error| match error {
            own::NoWatch::Reason(reason) => {
                errors::plait_error(py, &format!("the GIL of this program cannot be watched: {reason}"))
            }
            own::NoWatch::Thread(ref cause) => PyOSError::new_err((cause.raw_os_error(), error.to_string())),
        })?;
        Ok(Self(holds))
    }

    /// What takes less is not told from now on.
    fn set_limit(&self, limit: f64) -> PyResult<()> {
        self.0.set_limit(seconds(limit)?);
        Ok(())
    }

    /// The child `pid`, which runs `name_functions`, is asked for the names of C functions from now on. Takes over its pipes.
    fn name_by(&self, pid: u32, questions: RawFd, answers: RawFd) -> PyResult<()> {
        // SAFETY: the caller hands over descriptors that nothing else in this process uses or closes; see
        // `plait._watch_gil`, which made the pipes for this call.
        let (questions, answers) = unsafe { (OwnedFd::from_raw_fd(questions), OwnedFd::from_raw_fd(answers)) };
        self.0.name_by(Namer::new(pid, questions, answers)?);
        Ok(())
    }

    /// This thread is not counted among those that wait.
    fn leave_out_this_thread(&self) {
        self.0.leave_out_this_thread();
    }

    /// Waits for the next hold, and gives what `plait._core.pyi` lists; None when there will be no more.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some((hold, missed)) = py.detach(|| self.0.next()) else { return Ok(None) };
        let Hold { tid, took, waiters, calls, function, unnamed } = hold;
        let dict = PyDict::new(py);
        dict.set_item("thread_id", tid)?;
        dict.set_item("seconds", took.as_secs_f64())?;
        dict.set_item("waiters", waiters)?;
        let calls = calls.iter().map(|(function, file, line)| format!("{file}:{line} {function}"));
        dict.set_item("stack", calls.collect::<Vec<_>>())?;
        dict.set_item("function", function)?;
        dict.set_item("unnamed", unnamed)?;
        dict.set_item("missed", missed)?;
        Ok(Some(dict))
    }

    /// Ends it; what was found is still told.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }
}

fn seconds(limit: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(limit).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The life of the process that names C functions of threads of its parent. Takes over the pipes.
#[pyfunction]
pub fn name_functions(py: Python<'_>, parent: u32, questions: RawFd, answers: RawFd) -> PyResult<()> {
    // SAFETY: as in `name_by`; these came from the parent for this process alone.
    let (questions, answers) = unsafe { (OwnedFd::from_raw_fd(questions), OwnedFd::from_raw_fd(answers)) };
    Ok(py.detach(|| own::name_functions(parent, questions, answers))?)
}
