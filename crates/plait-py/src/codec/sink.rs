//! What C pickle writes to where long stretches of bytes or text are to be expected.
//!
//! `_pickle.dumps` copies them into the pickle. A pickler that writes to a file hands them over as they are, and they are
//! kept so: the message refers to them. Promises: what was written, with the long stretches put in, is what `dumps` gives.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::globals::{Pickle, Step, Walk};
use super::taken::{TakenBuffer, callback};

/// Shorter stretches the pickler keeps to itself.
pub(super) const LONG: usize = 64 << 10;

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
    let sink = Bound::new(py, Sink(Mutex::default()))?;
    let pickler = PICKLER.import(py, "plait._reducers", "pickler")?.call1((&sink, callback(py)?))?;
    pickler.call_method1(intern!(py, "dump"), (value,))?;
    let written = std::mem::take(&mut *sink.get().written());
    Ok(written)
}
