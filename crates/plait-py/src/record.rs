//! Recordings as `plait record` and `plait.record` make them: a file, or bytes in memory, that fill while a process tree is
//! looked at.
//!
//! The observer has threads of its own that need no interpreter. Whoever waits for them here has let go of the GIL, so
//! that a program which records itself is not held up by its own recorder.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plait_observe as observe;
use plait_observe::{Gils, Reason, RecordOptions};
use plait_trace::{Sink, Writer};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;

use crate::report::Trace;

/// How the recorder of a command or of a program is set.
pub fn options(what: String, period: f64, pause: bool, children: bool) -> RecordOptions {
    let period = Duration::try_from_secs_f64(period).unwrap_or(Duration::from_millis(1));
    RecordOptions { period, pause, children, what, ..RecordOptions::default() }
}

/// An error of the system about a file, as Python's `open` raises it.
pub fn file_error(error: &io::Error, path: &std::path::Path) -> PyErr {
    match error.raw_os_error() {
        // With these three arguments OSError becomes the subclass that belongs to the number.
        Some(code) => PyOSError::new_err((code, words(error), path.to_path_buf())),
        None => PyOSError::new_err(format!("{error}: {}", path.display())),
    }
}

/// Why an observer could not be started: there is no such process, or no thread for it.
pub fn not_started(error: &io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(code) => PyOSError::new_err((code, format!("no thread to look with: {}", words(error)))),
        None => PyOSError::new_err((None::<i32>, error.to_string())),
    }
}

/// What the system says of an error, without its number.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_owned()
}

/// Memory that is written to like a file, and read when the writer is done.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        // Bytes are whole blocks or the begin of one, whatever the writer died of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Stage {
    /// The file is open, nobody is looked at.
    Made(Box<dyn Sink>),
    Running(observe::Recorder),
    Over,
}

/// A recording: made when its file can be written, started when the process to look at is there, stopped once.
#[pyclass(frozen, module = "plait._core")]
pub struct Recorder {
    stage: Mutex<Stage>,
    kept: Option<Kept>,
}

impl Recorder {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Recorder {
    /// Opens the file `path`, which is emptied, or with None keeps all in memory. Raises OSError when that cannot be.
    #[new]
    #[pyo3(signature = (path=None))]
    fn new(py: Python<'_>, path: Option<PathBuf>) -> PyResult<Self> {
        let (sink, kept): (Box<dyn Sink>, _) = match path {
            Some(path) => {
                let opened = py.detach(|| Writer::new(File::create(&path)?));
                (Box::new(opened.map_err(|error| file_error(&error, &path))?), None)
            }
            None => {
                let kept = Kept::default();
                (Box::new(Writer::new(kept.clone())?), Some(kept))
            }
        };
        Ok(Self { stage: Mutex::new(Stage::Made(sink)), kept })
    }

    /// Begins to look at the process tree under `pid`, every `period` seconds; `what` is what the recording says it is
    /// of. With `pause`, a thread that keeps the GIL is stopped for a moment to name the function it is in.
    #[pyo3(signature = (pid, what, *, period, pause, children))]
    fn start(&self, py: Python<'_>, pid: u32, what: String, period: f64, pause: bool, children: bool) -> PyResult<()> {
        let options = options(what, period, pause, children);
        py.detach(|| {
            let mut stage = self.stage();
            let Stage::Made(sink) = std::mem::replace(&mut *stage, Stage::Over) else {
                return Err(PyRuntimeError::new_err("started already"));
            };
            let started = observe::Recorder::start(pid, options, sink);
            *stage = Stage::Running(started.map_err(|error| not_started(&error))?);
            Ok(())
        })
    }

    /// Whether there is nothing more to come: the process has ended, or what is recorded cannot be kept.
    #[getter]
    fn is_over(&self) -> bool {
        match &*self.stage() {
            Stage::Made(_) => false,
            Stage::Running(recorder) => recorder.is_over(),
            Stage::Over => true,
        }
    }

    /// Ends it, and has all of it written. Gives why not all could be kept, or None; what came before was.
    fn stop(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let Stage::Running(recorder) = std::mem::replace(&mut *self.stage(), Stage::Over) else {
            return Err(PyRuntimeError::new_err("not running"));
        };
        let outcome = py.detach(|| recorder.stop());
        Ok(outcome.failure.as_ref().map(words))
    }

    /// What was kept in memory, as it would stand in a file.
    fn kept(&self) -> Option<Vec<u8>> {
        self.kept.as_ref().map(|kept| kept.bytes().clone())
    }

    /// What was kept in memory, read.
    fn trace(&self, py: Python<'_>) -> PyResult<Trace> {
        let kept = self.kept.as_ref().ok_or_else(|| PyRuntimeError::new_err("it is in a file"))?;
        py.detach(|| Trace::parse(kept.bytes().as_slice()))
    }
}

/// Whether the GIL of `pid` can be read: None, or why not as a word and as a line.
#[pyfunction]
pub fn gil_refusal(py: Python<'_>, pid: u32) -> Option<(&'static str, String)> {
    let found = py.detach(|| Gils::find(pid, &mut observe::Finder::default()));
    found.err().map(|reason| (word(&reason), reason.to_string()))
}

/// The process `pid` and all under it, parents first; empty when there is no such process.
#[pyfunction]
pub fn process_tree(py: Python<'_>, pid: u32) -> Vec<u32> {
    py.detach(|| observe::tree(pid))
}

const fn word(reason: &Reason) -> &'static str {
    match reason {
        Reason::Gone { .. } => "gone",
        Reason::NotPython { .. } => "not python",
        Reason::Denied { .. } => "denied",
        Reason::NotReady { .. } => "not ready",
        Reason::NoGil { .. } => "no gil",
        _ => "unread",
    }
}
