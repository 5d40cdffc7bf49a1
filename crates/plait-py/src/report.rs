//! A recording that is read again: its verdict, and the forms that other programs read.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use plait_report::export::Format;
use plait_report::sketch::{FEW, sketch};
use plait_report::verdicts::{Findings, judge_between};
use plait_trace::{Nanos, ReadError, Recording, Sight};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::record::file_error;

/// A recording, whole or as far as it got.
#[pyclass(frozen, module = "plait._core")]
pub struct Trace {
    recording: Recording,
    /// What was before is not judged: it may have been forgotten.
    from: Nanos,
    findings: OnceLock<Findings>,
}

impl Trace {
    /// Of a recording that is at hand, all of it.
    pub fn of(recording: Recording) -> Self {
        Self::since(recording, 0)
    }

    /// Of a recording that is at hand, from a moment on.
    pub fn since(recording: Recording, from: Nanos) -> Self {
        Self { recording, from, findings: OnceLock::new() }
    }

    /// Of the bytes of a file.
    pub fn parse(bytes: impl Read) -> PyResult<Self> {
        plait_trace::read(bytes).map(Self::of).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn written(&self, py: Python<'_>, form: Format) -> PyResult<String> {
        let text = py.detach(|| {
            let mut text = Vec::new();
            form.write(&self.recording, &mut text).map(|()| text)
        })?;
        Ok(String::from_utf8(text)?)
    }

    fn findings(&self) -> &Findings {
        self.findings.get_or_init(|| judge_between(&self.recording, self.from, Nanos::MAX))
    }
}

#[pymethods]
impl Trace {
    /// Reads the file of a recording. Raises OSError when it cannot be read, and ValueError when it is no recording.
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let read = py.detach(|| {
            let file = File::open(&path).map_err(ReadError::Io)?;
            plait_trace::read(BufReader::new(file))
        });
        read.map(Self::of).map_err(|error| match error {
            ReadError::Io(error) => file_error(&error, &path),
            other => PyValueError::new_err(other.to_string()),
        })
    }

    /// What it says, as text of at most `width` columns.
    #[pyo3(signature = (width, color=false))]
    fn verdict(&self, py: Python<'_>, width: usize, color: bool) -> String {
        py.detach(|| self.findings().to_text(width, color))
    }

    /// What it says, with all figures, as JSON.
    fn to_json(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| serde_json::to_string_pretty(self.findings()))
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Small lanes of the time between two moments of `CLOCK_MONOTONIC`, in nanoseconds, as JSON: a letter for each column.
    #[pyo3(signature = (begin, end, columns))]
    fn sketch(&self, py: Python<'_>, begin: Nanos, end: Nanos, columns: usize) -> PyResult<String> {
        let began = self.recording.began.monotonic;
        let (from, to) = (begin.saturating_sub(began), end.saturating_sub(began));
        py.detach(|| serde_json::to_string(&sketch(&self.recording, from, to, columns, FEW)))
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The page, as `export` writes it.
    fn to_html(&self, py: Python<'_>) -> PyResult<String> {
        self.written(py, Format::Html)
    }

    /// The picture, as `export` writes it.
    fn to_svg(&self, py: Python<'_>) -> PyResult<String> {
        self.written(py, Format::Svg)
    }

    /// Writes it to the file `path` as "html", "svg", "perfetto", "firefox", "speedscope" or "json". Raises OSError when that cannot be;
    /// then there is no half of a file.
    fn export(&self, py: Python<'_>, path: PathBuf, form: &str) -> PyResult<()> {
        let form = Format::of_name(form).map_err(|error| PyValueError::new_err(error.to_string()))?;
        py.detach(|| to_file(&path, |out| form.write(&self.recording, out))).map_err(|error| file_error(&error, &path))
    }

    /// Seconds from its beginning to its end, or to the last that is known.
    #[getter]
    fn seconds(&self) -> f64 {
        self.recording.length() as f64 / 1e9
    }

    /// Whether the recorder ended it in good order; it did not if it was killed, or could not write any more.
    #[getter]
    fn is_whole(&self) -> bool {
        self.recording.ended.is_some() && !self.recording.cut
    }

    /// Each process: its `pid` and `command`; `python`, its version or None; `sight`: "gil", "free-threaded", "kernel" or
    /// "nothing"; `why` no closer, a line or None.
    #[getter]
    fn processes<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let told = self.recording.processes.iter().map(|track| {
            let process = &track.process;
            let told = PyDict::new(py);
            told.set_item("pid", process.pid)?;
            told.set_item("command", &process.command)?;
            told.set_item("python", process.python.as_deref())?;
            let sight = match process.sight {
                Sight::Gil => "gil",
                Sight::FreeThreaded => "free-threaded",
                Sight::Kernel => "kernel",
                Sight::Nothing => "nothing",
            };
            told.set_item("sight", sight)?;
            told.set_item("why", process.why.as_deref())?;
            Ok(told)
        });
        told.collect()
    }

    /// What the recorder had to say: a line each.
    #[getter]
    fn notes(&self) -> Vec<&str> {
        self.recording.notes.iter().map(|note| note.text.as_str()).collect()
    }
}

/// The forms that a recording can be written in.
#[pyfunction]
pub fn forms() -> Vec<&'static str> {
    Format::ALL.map(Format::name).to_vec()
}

/// The form that the name of a file says, None if it says none.
#[pyfunction]
pub fn form_of(path: &str) -> Option<&'static str> {
    Format::of_path(path).ok().map(Format::name)
}

/// Writes a new file; what could not be written to its end is taken away again.
pub fn to_file(path: &Path, write: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let written = write(&mut out).and_then(|()| out.flush());
    if written.is_err() && path.is_file() {
        // What matters is the first error.
        let _ = fs::remove_file(path);
    }
    written
}
