//! Measuring the calls of a function while they are made: the class `Gauge`.
//!
//! The account and its clocks are `plait_observe::own`; here is the calling. A gauge passes arguments, results and
//! exceptions through as they are, on any thread, on many at once, and within one another.

use std::time::{Duration, Instant};

use plait_observe::own::{self, Calls};
use plait_observe::{Reason, Version};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::callout;

/// How long a wait sleeps without looking for signals.
const SLICE: Duration = Duration::from_millis(50);
/// A longer time is no time but "always".
const LONGEST: Duration = Duration::from_secs(1 << 32);

/// Calls `fn` with the same arguments, result and exception, and measures that.
#[pyclass(frozen, module = "plait._core")]
pub struct Gauge {
    function: Py<PyAny>,
    calls: Calls,
    /// Why the GIL cannot be looked at.
    refused: Option<String>,
}

#[pymethods]
impl Gauge {
    /// With `sample`, it is looked who holds the GIL for `sample_for` seconds from the first call on.
    #[new]
    #[pyo3(signature = (function, /, sample=false, sample_for=0.05))]
    fn new(py: Python<'_>, function: Py<PyAny>, sample: bool, sample_for: f64) -> PyResult<Self> {
        let window = span("sample_for", sample_for)?;
        let refused = look_at_gil(py).err();
        Ok(Self { function, calls: Calls::new(sample.then_some(window)), refused })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let ticket = self.calls.begin(thread_state(py));
        let result = callout::call(self.function.bind(py), args, kwargs);
        self.calls.end(ticket, result.is_err());
        result
    }

    /// Takes tuples from the end of `stack`, calls the function with each and appends each result to `results`, until there
    /// is none left or, after a call, `limit` seconds are over; gives the number of calls done. An exception of the function
    /// ends it and is raised. Another thread may meanwhile take back from the stack what has not begun.
    fn call_all(&self, stack: &Bound<'_, PyList>, results: &Bound<'_, PyList>, limit: f64) -> PyResult<usize> {
        let py = stack.py();
        let limit = span("limit", limit)?;
        let function = self.function.bind(py);
        let mut batch = self.calls.batch(thread_state(py));
        let mut done = 0;
        while let Some(item) = pop(stack)? {
            let args = item.cast::<PyTuple>()?;
            let result = callout::call(function, args, None);
            let ran = batch.done(result.is_err());
            results.append(result?)?;
            done += 1;
            if ran >= limit {
                break;
            }
        }
        Ok(done)
    }

    /// Waits up to `timeout` seconds, without the GIL, until every `call_all` that began has ended, and one at least; tells
    /// whether that is so.
    fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let begun = Instant::now();
        let timeout = span("timeout", timeout)?;
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            if py.detach(|| self.calls.wait(left.min(SLICE))) {
                return Ok(true);
            }
            py.check_signals()?;
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    /// Looks for `seconds` from now on who holds the GIL.
    fn sample(&self, seconds: f64) -> PyResult<()> {
        let window = span("seconds", seconds)?;
        self.calls
            .sample(window)
            .map_err(|error| PyOSError::new_err((error.raw_os_error(), format!("no thread to measure with: {error}"))))
    }

    /// What is known by now, as `plait._core.pyi` lists it.
    fn figures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let figures = self.calls.figures();
        let dict = PyDict::new(py);
        dict.set_item("calls", figures.calls)?;
        dict.set_item("failed", figures.failed)?;
        dict.set_item("running", figures.running)?;
        dict.set_item("unfinished", figures.unfinished)?;
        dict.set_item("wall", figures.wall)?;
        dict.set_item("longest", figures.longest)?;
        dict.set_item("cpu", figures.cpu)?;
        dict.set_item("delay", figures.delay)?;
        dict.set_item("held", figures.held)?;
        dict.set_item("wanted", figures.wanted)?;
        dict.set_item("switches", figures.switches)?;
        dict.set_item("native", figures.native)?;
        dict.set_item("memory", figures.memory)?;
        dict.set_item("seconds", figures.seconds)?;
        dict.set_item("busy", figures.busy)?;
        dict.set_item("gil_held_by_any", figures.gil_held_by_any)?;
        dict.set_item("samples", figures.samples)?;
        dict.set_item("gil_reason", self.refused.as_deref())?;
        Ok(dict)
    }

    /// The function that is measured.
    #[getter]
    fn __wrapped__(&self, py: Python<'_>) -> Py<PyAny> {
        self.function.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Gauge of {}>", self.function.bind(py).repr()?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)
    }
}

/// The last of a list, taken from it in one step; `None` when it is empty.
fn pop<'py>(stack: &Bound<'py, PyList>) -> PyResult<Option<Bound<'py, PyAny>>> {
    // Nothing in between runs Python, so nobody else takes it.
    with_critical_section(stack, || {
        let Some(last) = stack.len().checked_sub(1) else { return Ok(None) };
        let item = stack.get_item(last)?;
        stack.del_item(last)?;
        Ok(Some(item))
    })
}

/// The address of this thread's state in the interpreter.
fn thread_state(_: Python<'_>) -> u64 {
    // SAFETY: the thread is attached, so it has a state; it is only compared with others.
    unsafe { ffi::PyThreadState_Get() }.expose_provenance() as u64
}

/// A number of seconds that is one.
fn span(name: &str, seconds: f64) -> PyResult<Duration> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!("{name} must be a number of seconds, not {seconds}")));
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST))
}

/// Finds the GIL; all calls but the first take no time.
fn look_at_gil(py: Python<'_>) -> Result<(), String> {
    // SAFETY: a name that ends with a zero; nothing is called, only an address asked for.
    let runtime = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_PyRuntime".as_ptr()) };
    if runtime.is_null() {
        return Err("this interpreter does not tell where its runtime lies".to_owned());
    }
    let running = py.version_info();
    let version = Version { major: running.major, minor: running.minor, micro: running.patch };
    own::look_at(runtime.expose_provenance() as u64, version).map_err(|reason: Reason| reason.to_string())
}
