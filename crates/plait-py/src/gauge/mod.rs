//! Measuring the calls of a function while they are made: the class `Gauge`.
//!
//! The account and its clocks are `plait_observe::own`; here is the calling. A gauge passes arguments, results and
//! exceptions through as they are, on any thread, on many at once, and within one another.

mod canary;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plait_observe::Version;
use plait_observe::own::{self, Calls};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::{beacon, callout, context};

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
    /// Where that is so: for how long the canary is to be asked from the first call on.
    canary: Option<Duration>,
    began: AtomicBool,
}

#[pymethods]
impl Gauge {
    /// With `sample`, it is looked who holds the GIL for `sample_for` seconds from the first call on. With `guess`, that is
    /// done as where the GIL's words cannot be read: by asking for it.
    #[new]
    #[pyo3(signature = (function, /, sample=false, sample_for=0.05, *, guess=false))]
    fn new(py: Python<'_>, function: Py<PyAny>, sample: bool, sample_for: f64, guess: bool) -> PyResult<Self> {
        let window = sample.then_some(span("sample_for", sample_for)?);
        let refused = match look_at_gil(py) {
            Ok(()) if guess => Some("as asked, it is guessed".to_owned()),
            Ok(()) => None,
            Err(reason) => Some(reason),
        };
        // Without a GIL there is nothing to guess.
        let guesses = refused.is_some() && has_gil(py);
        let canary = window.filter(|_| guesses);
        let calls = Calls::new(window.filter(|_| !guesses));
        Ok(Self { function, calls, refused, canary, began: AtomicBool::new(false) })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        self.wake_canary();
        let _running = beacon::begin_within(self.function.bind(py));
        let ticket = self.calls.begin(thread_state(py));
        let result = callout::call(self.function.bind(py), args, kwargs);
        self.calls.end(ticket, result.is_err());
        result
    }

    /// Takes items from the end of `stack`, calls the function with each (tuples of arguments with `star`) and appends each
    /// result to `results`, each in a context of its own, until there is none left or, after a call, `limit` seconds are over; gives the number of calls done. An exception of the function
    /// ends it and is raised. Another thread may meanwhile take back from the stack what has not begun.
    #[pyo3(signature = (stack, results, limit, star=true))]
    fn call_all(
        &self,
        stack: &Bound<'_, PyList>,
        results: &Bound<'_, PyList>,
        limit: f64,
        star: bool,
    ) -> PyResult<usize> {
        let py = stack.py();
        let limit = span("limit", limit)?;
        let function = self.function.bind(py);
        self.wake_canary();
        let _running = beacon::begin_within(function);
        let mut batch = self.calls.batch(thread_state(py));
        let mut contexts = context::Each::of(context::copy_current(py)?)?;
        let mut done = 0;
        while let Some(item) = pop(stack)? {
            let entered = contexts.enter()?;
            let result = if star {
                callout::call(function, item.cast::<PyTuple>()?, None)
            } else {
                callout::call_one(function, &item)
            };
            let ran = batch.done(result.is_err());
            drop(entered);
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
    fn sample(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let window = span("seconds", seconds)?;
        let looking = if self.refused.is_none() { self.calls.sample(window) } else { self.guess_for(py, window) };
        looking
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

impl Gauge {
    /// Before a call: with the first one, the canary begins, if there is to be one.
    fn wake_canary(&self) {
        if let Some(window) = self.canary
            && !self.began.swap(true, Ordering::Relaxed)
        {
            // Without a thread for it nothing is guessed, which the figures tell.
            let _ = canary::ask_for(window);
        }
    }

    fn guess_for(&self, py: Python<'_>, window: Duration) -> std::io::Result<()> {
        if has_gil(py) { canary::ask_for(window) } else { Ok(()) }
    }
}

/// In the child of a fork: what measured was the parent's.
pub fn forked() {
    own::forked();
    canary::forget();
}

/// Whether this interpreter has a GIL, switched on.
fn has_gil(py: Python<'_>) -> bool {
    let asked = py.import(intern!(py, "sys")).and_then(|sys| sys.call_method0(intern!(py, "_is_gil_enabled")));
    // Before 3.13 there is nothing to ask.
    asked.and_then(|answer| answer.extract()).unwrap_or(true)
}

/// Has the kernel run this thread soon when it wakes up, for it never runs for long: on a busy machine it would come by a
/// few times a second otherwise. Kernels that cannot do that refuse, and nothing changes.
fn hasten() {
    #[repr(C)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    /// The shortest turn that may be asked for, in nanoseconds.
    const TURN: u64 = 100_000;
    // SAFETY: what the niceness of this thread is, told by the library.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let wish = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice,
        priority: 0,
        runtime: TURN,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the structure is as the kernel knows it and says its own size; the kernel reads it and keeps nothing.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wish, 0) };
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
    own::look_at(runtime.expose_provenance() as u64, version, hasten).map_err(|reason| reason.to_string())
}
