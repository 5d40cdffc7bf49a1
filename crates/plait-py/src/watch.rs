//! `plait watch`: a process tree that is looked at, its last seconds in memory, shown in a terminal or as lines.

mod screen;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plait_observe as observe;
use plait_report::page;
use plait_trace::{Nanos, Record, Recording, Sink, Writer};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::record::{file_error, not_started, options};
use crate::report::{Trace, to_file};

const SECOND: Nanos = 1_000_000_000;
/// How much of the past is kept: as much as the longest window of the view.
const KEPT: Nanos = 125 * SECOND;
/// How much of it is kept for a view that stands still.
const MOST: Nanos = 900 * SECOND;

/// The last of a recording that goes on.
#[derive(Clone, Default)]
struct Window(Arc<Mutex<Recent>>);

#[derive(Default)]
struct Recent {
    recording: Recording,
    /// The moment before which the view needs nothing, if that is earlier than usual.
    needed: Option<Nanos>,
    /// What was before is forgotten.
    from: Nanos,
}

impl Window {
    fn recent(&self) -> MutexGuard<'_, Recent> {
        // A record is put in whole or not at all.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Window {
    fn take(&mut self, record: &Record) -> io::Result<()> {
        self.recent().recording.take(record)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut recent = self.recent();
        let now = recent.recording.length();
        let usual = now.saturating_sub(KEPT);
        let from = recent.needed.unwrap_or(usual).min(usual).max(now.saturating_sub(MOST));
        recent.from = recent.from.max(from);
        let from = recent.from;
        recent.recording.forget_before(from);
        Ok(())
    }
}

/// Looks at the process tree under `pid` from now until `stop`.
#[pyclass(frozen, module = "plait._core")]
pub struct Watcher {
    window: Window,
    /// To where there are lines.
    told: AtomicU64,
    running: Mutex<Option<observe::Recorder>>,
}

impl Watcher {
    fn running(&self) -> MutexGuard<'_, Option<observe::Recorder>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Watcher {
    #[new]
    #[pyo3(signature = (pid, what, *, period, pause, children))]
    fn new(py: Python<'_>, pid: u32, what: String, period: f64, pause: bool, children: bool) -> PyResult<Self> {
        let window = Window::default();
        let sink = Box::new(window.clone());
        let started = py.detach(|| observe::Recorder::start(pid, options(what, period, pause, children), sink));
        let recorder = started.map_err(|error| not_started(&error))?;
        Ok(Self { window, told: AtomicU64::new(0), running: Mutex::new(Some(recorder)) })
    }

    /// Whether there is nothing more to come: the process has ended.
    #[getter]
    fn is_over(&self) -> bool {
        self.running().as_ref().is_none_or(observe::Recorder::is_over)
    }

    /// Shows it in the terminal, which is as before when this returns or raises, until `go_on()` is false. That is asked
    /// several times a second, with the number of times Ctrl-C was pressed since; what signal handlers raise is raised.
    /// What the user saves goes to files whose names begin with `prefix`. Gives whether the user ended it.
    fn show(&self, py: Python<'_>, go_on: &Bound<'_, PyAny>, prefix: &str) -> PyResult<bool> {
        let go_on = go_on.clone().unbind();
        let go_on = |interrupts: usize| {
            Python::attach(|py| {
                py.check_signals()?;
                go_on.bind(py).call1((interrupts,))?.is_truthy()
            })
        };
        py.detach(|| screen::show(&self.window, prefix, go_on))
    }

    /// A line for each second that has passed since the last call.
    fn lines(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| {
            let recent = self.window.recent();
            let to = recent.recording.length() / SECOND * SECOND;
            let from = self.told.swap(to, Ordering::Relaxed);
            plait_report::live::plain(&recent.recording, from, to)
        })
    }

    /// The page that shows it in a browser: its script asks for what `web_lanes` and `web_verdict` give.
    #[staticmethod]
    fn web_page(what: &str) -> String {
        page::live_page(what)
    }

    /// The last minute, as the page's script reads it.
    fn web_lanes(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        // Copied first: the recorder waits for the lock.
        Ok(py.detach(|| page::live_lanes(&self.window.copy()))?)
    }

    /// What the last seconds say, as a part of the page.
    fn web_verdict(&self, py: Python<'_>) -> String {
        py.detach(|| page::live_verdict(&self.window.copy()))
    }

    /// Ends it and gives the last minutes of it.
    fn stop(&self, py: Python<'_>) -> PyResult<Trace> {
        let recorder = self.running().take().ok_or_else(|| PyRuntimeError::new_err("stopped already"))?;
        py.detach(|| {
            recorder.stop();
            let Recent { recording, from, .. } = std::mem::take(&mut *self.window.recent());
            Ok(Trace::since(recording, from))
        })
    }

    /// Writes what is in memory to the file `path`.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.window.save(&path)).map_err(|error| file_error(&error, &path))
    }
}

impl Window {
    fn copy(&self) -> Recording {
        self.recent().recording.clone()
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        // Copied first: writing takes long, and the recorder waits for the lock.
        let recording = self.copy();
        to_file(path, |out| recording.replay(&mut Writer::new(out)?))
    }

    /// Writes it to the first file of that name, numbered, that is not there yet.
    fn save_new(&self, prefix: &str) -> io::Result<PathBuf> {
        for number in 1.. {
            let path = PathBuf::from(format!("{prefix}-{number}.plait"));
            match File::create_new(&path) {
                Ok(_) => return self.save(&path).map(|()| path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("there are more numbers than files")
    }
}
