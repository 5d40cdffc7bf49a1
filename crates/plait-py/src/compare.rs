//! The comparison and the observers as `plait._compare` sees them.
//!
//! Figures are worked out in `plait-report` and taken in `plait-observe`; here they only change their language. What
//! waits for an observer's thread waits without the GIL, so that nothing of the measured program is held up.

use std::sync::{Mutex, PoisonError};

use plait_observe as observe;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// What the backends made of one function: figures, verdict, and their faces.
#[pyclass(frozen, module = "plait._core")]
pub struct Figures(plait_report::Comparison);

#[pymethods]
impl Figures {
    /// Works out `measurements`, the JSON that `plait-report` documents. Raises ValueError when it is of another shape.
    #[new]
    fn new(py: Python<'_>, measurements: &str) -> PyResult<Self> {
        py.detach(|| plait_report::comparison_from_json(measurements))
            .map(Self)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The table for a terminal of `width` columns (None: as wide as it likes), errors in full and a legend below it.
    #[pyo3(signature = (width=None, color=false))]
    fn table(&self, width: Option<usize>, color: bool) -> String {
        self.0.table(width, color)
    }

    /// What to do and why, one paragraph.
    fn verdict(&self) -> String {
        self.0.verdict().to_string()
    }

    /// The line of Python to paste; None when no backend did all its calls.
    fn code(&self) -> Option<String> {
        self.0.code_line()
    }

    /// The figures and the verdict as JSON.
    fn to_json(&self) -> String {
        self.0.to_json()
    }

    /// One picture, as SVG.
    fn to_svg(&self, py: Python<'_>) -> String {
        py.detach(|| self.0.svg())
    }

    /// One self-contained page.
    fn to_html(&self, py: Python<'_>) -> String {
        py.detach(|| self.0.html())
    }
}

/// Takes a running observer out of its handle.
fn take<T>(running: &Mutex<Option<T>>) -> PyResult<T> {
    let taken = running.lock().unwrap_or_else(PoisonError::into_inner).take();
    taken.ok_or_else(|| PyRuntimeError::new_err("stopped already"))
}

fn no_thread(error: &std::io::Error) -> PyErr {
    PyOSError::new_err((error.raw_os_error(), format!("no thread to measure with: {error}")))
}

/// Measures CPU time and peak memory of the process tree under `pid`, from now until `stop`.
#[pyclass(frozen, module = "plait._core")]
pub struct Meter(Mutex<Option<observe::Meter>>);

#[pymethods]
impl Meter {
    #[new]
    fn new(py: Python<'_>, pid: u32) -> PyResult<Self> {
        let meter = py.detach(|| observe::Meter::start(pid)).map_err(|error| no_thread(&error))?;
        Ok(Self(Mutex::new(Some(meter))))
    }

    /// Ends it: CPU seconds, and the peak of the memory in bytes, None where it could not be read.
    fn stop(&self, py: Python<'_>) -> PyResult<(f64, Option<u64>)> {
        let meter = take(&self.0)?;
        let usage = py.detach(|| meter.stop());
        Ok((usage.cpu_seconds, (usage.samples > 0).then_some(usage.peak_pss_bytes)))
    }
}

/// Watches the process tree under `pid` for threads that wait for the GIL, from now until `stop`.
#[pyclass(frozen, module = "plait._core")]
pub struct Watch(Mutex<Option<observe::Watch>>);

#[pymethods]
impl Watch {
    #[new]
    fn new(py: Python<'_>, pid: u32) -> PyResult<Self> {
        let watch = py.detach(|| observe::Watch::start(pid)).map_err(|error| no_thread(&error))?;
        Ok(Self(Mutex::new(Some(watch))))
    }

    /// Ends it and tells what it saw.
    fn stop(&self, py: Python<'_>) -> PyResult<WatchReport> {
        let watch = take(&self.0)?;
        Ok(WatchReport(py.detach(|| watch.stop())))
    }
}

/// What a watch saw.
#[pyclass(frozen, module = "plait._core")]
pub struct WatchReport(observe::WatchReport);

#[pymethods]
impl WatchReport {
    /// The share of the time in which threads wanted to run that they waited for the GIL; None where it is not known.
    #[getter]
    fn gil_wait(&self) -> Option<f64> {
        self.0.gil_wait.as_ref().ok().copied()
    }

    /// Why it is not known, in one line; None where it is, or where the watch was just too short.
    #[getter]
    fn reason(&self) -> Option<String> {
        match &self.0.gil_wait {
            Ok(_) | Err(observe::Reason::TooFewSamples { .. }) => None,
            Err(reason) => Some(reason.to_string()),
        }
    }

    /// This watch and a later one as if they were one.
    fn joined(&self, later: &Self) -> Self {
        Self(self.0.clone().and(later.0.clone()))
    }
}
