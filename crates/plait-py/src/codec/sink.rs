//! What C pickle writes to where long stretches of bytes or text are to be expected.
//!
//! `_pickle.dumps` copies them into the pickle. A pickler that writes to a file hands them over as they are, and they are
//! kept so: the message refers to them. Promises: what was written, with the long stretches put in, is what `dumps` gives.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};

use super::globals::{Pickle, Step, Walk};
use super::taken::{TakenBuffer, callback};
use crate::buffer::any_shared;

/// Shorter stretches the pickler keeps to itself.
const LONG: usize = 64 << 10;

/// So many items of a container are looked at, and so deep.
const LOOKED_AT: usize = 8;
const DEPTH: u32 = 5;

/// What a pickler has written.
#[derive(Default)]
pub(super) struct Written {
    pub bytes: Vec<u8>,
    /// Each with the place in `bytes` where it is to be put in.
    pub long: Vec<(usize, TakenBuffer)>,
    /// The length of the stretch that comes next, where one does.
    expected: Option<usize>,
}

impl Written {
    /// It as a pickle with gaps.
    pub fn gaps(&self) -> Vec<(usize, usize)> {
        self.long.iter().map(|(at, stretch)| (*at, stretch.len())).collect()
    }
}

/// The file.
#[pyclass(frozen)]
struct Sink(Mutex<Written>);

impl Sink {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Sink {
    fn write(&self, bytes: &Bound<'_, PyAny>) -> PyResult<()> {
        let taken = TakenBuffer::of(bytes)?;
        let mut written = self.written();
        if written.expected.take() == Some(taken.len()) {
            let at = written.bytes.len();
            written.long.push((at, taken));
            return Ok(());
        }
        written.expected = announced(taken.bytes());
        written.bytes.extend_from_slice(taken.bytes());
        // Released after the lock, because that is the exporter's code.
        drop(written);
        Ok(())
    }
}

/// The length of the long stretch whose opcode ends this piece of a pickle. It stands behind a frame, or behind the few opcodes that
/// are too few for one.
fn announced(piece: &[u8]) -> Option<usize> {
    let mut walk = Walk::new(Pickle::whole(piece));
    loop {
        let rest = &piece[walk.position..];
        let length = match (rest.first()?, rest.len()) {
            (b'B' | b'X', 5) => u32::from_le_bytes(*rest.last_chunk()?) as usize,
            (0x8e | 0x96 | 0x8d, 9) => usize::try_from(u64::from_le_bytes(*rest.last_chunk()?)).ok()?,
            _ => match walk.step().ok()? {
                Step::Frame(length) => {
                    walk.skip(length).ok()?;
                    continue;
                }
                _ => continue,
            },
        };
        return Some(length).filter(|&length| length >= LONG);
    }
}

/// A pickle by C pickle that refers to the long stretches; buffers are taken into the innermost frame.
pub(super) fn dump(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Written> {
    static PICKLER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static LIVE_PICKLER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let sink = Bound::new(py, Sink(Mutex::default()))?;
    let pickler = if any_shared() {
        // What lies in shared memory goes as what it is, also where C pickle would copy it.
        LIVE_PICKLER.import(py, "plait._shared", "pickler")?.call1((&sink, callback(py)?))?
    } else {
        let named = PyDict::new(py);
        named.set_item(intern!(py, "buffer_callback"), callback(py)?)?;
        PICKLER.import(py, "_pickle", "Pickler")?.call((&sink, 5), Some(&named))?
    };
    pickler.call_method1(intern!(py, "dump"), (value,))?;
    let written = std::mem::take(&mut *sink.get().written());
    Ok(written)
}

/// Whether a value is a long stretch of bytes or text, or has one among its first parts.
pub(super) fn is_long(value: &Bound<'_, PyAny>) -> bool {
    has_long(value, 0)
}

fn has_long(value: &Bound<'_, PyAny>, depth: u32) -> bool {
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return bytes.as_bytes().len() >= LONG;
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        // SAFETY: a live str, whose length is read.
        return unsafe { ffi::PyUnicode_GetLength(text.as_ptr()) } >= LONG as ffi::Py_ssize_t;
    }
    if let Ok(bytes) = value.cast_exact::<PyByteArray>() {
        return bytes.len() >= LONG;
    }
    if depth == DEPTH {
        return false;
    }
    let look = |part: Bound<'_, PyAny>| has_long(&part, depth + 1);
    if let Ok(parts) = value.cast_exact::<PyTuple>() {
        parts.iter().take(LOOKED_AT).any(look)
    } else if let Ok(parts) = value.cast_exact::<PyList>() {
        parts.iter().take(LOOKED_AT).any(look)
    } else if let Ok(parts) = value.cast_exact::<PyDict>() {
        parts.iter().take(LOOKED_AT).any(|(_, part)| look(part))
    } else {
        false
    }
}
