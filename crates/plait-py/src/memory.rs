//! Buffers into shared memory on their way out, and Python objects over it on their way in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plait_engine::heap::{Access, Block, Heap, Piece};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::buffer::{self, Buffer};
use crate::codec::TakenBuffer;
use crate::{own, program};

/// The memory for large data that this process allocates in.
///
/// # Errors
/// `OSError` when it cannot be made.
pub fn heap() -> PyResult<Arc<Heap>> {
    if let Some(heap) = own::heap() {
        return Ok(heap);
    }
    Ok(program::heap()?)
}

/// How many bytes this process has copied into shared memory; for the tests, which ask what was not.
static COPIED: AtomicU64 = AtomicU64::new(0);

/// Puts buffers into shared memory, those that do not lie there already.
///
/// # Errors
/// `MemoryError` when there is no room.
pub fn place(py: Python<'_>, buffers: &[TakenBuffer]) -> PyResult<Vec<Piece>> {
    if buffers.is_empty() {
        return Ok(Vec::new());
    }
    let heap = heap()?;
    buffers.iter().map(|taken| known(taken).map_or_else(|| copy(py, &heap, taken), Ok)).collect()
}

/// The piece that a buffer is, or a part of, if nobody has written to it since it was mapped.
fn known(taken: &TakenBuffer) -> Option<Piece> {
    let found = buffer::find(taken.ptr(), taken.len())?;
    let piece = found.keep.downcast_ref::<Piece>()?;
    if piece.access == Access::Snapshot && !found.mapped.is_unwritten(found.at, taken.len()) {
        return None;
    }
    let at = Block { offset: piece.at.offset + found.at as u64, len: taken.len() as u64 };
    Some(Piece { hold: Arc::clone(&piece.hold), at, access: piece.access })
}

fn copy(py: Python<'_>, heap: &Arc<Heap>, taken: &TakenBuffer) -> PyResult<Piece> {
    let hold = py.detach(|| heap.put(&[taken.bytes()])).map_err(|error| no_memory(&error))?;
    COPIED.fetch_add(taken.len() as u64, Ordering::Relaxed);
    Ok(Piece::snapshot(hold))
}

fn no_memory(error: &impl std::fmt::Display) -> PyErr {
    PyMemoryError::new_err(format!("no shared memory for a buffer: {error}"))
}

/// Objects over pieces of a message, for unpickling it; `None` for a message without.
///
/// # Errors
/// `MemoryError` when a piece cannot be mapped.
pub fn buffers<'py>(py: Python<'py>, pieces: &[Piece]) -> PyResult<Option<Bound<'py, PyList>>> {
    if pieces.is_empty() {
        return Ok(None);
    }
    let list = PyList::empty(py);
    for piece in pieces {
        list.append(object(py, piece)?)?;
    }
    Ok(Some(list))
}

fn object(py: Python<'_>, piece: &Piece) -> PyResult<Py<Buffer>> {
    let mapped = piece.map().map_err(|error| no_memory(&error))?;
    let len = mapped.len();
    Buffer::new(py, Arc::new(mapped), 0..len, Arc::new(piece.clone()))
}

/// New shared memory of `nbytes` zeros, which everybody who gets it sees and may write to.
#[pyfunction]
pub fn shared_buffer(py: Python<'_>, nbytes: usize) -> PyResult<Py<Buffer>> {
    let heap = heap()?;
    let hold = py.detach(|| heap.zeros(nbytes.max(1))).map_err(|error| no_memory(&error))?;
    object(py, &Piece::shared(hold))
}

/// Whether a stretch of memory lies in shared memory that everybody sees.
#[pyfunction]
pub fn is_shared(address: usize, nbytes: usize) -> bool {
    buffer::find(address as *const u8, nbytes).is_some_and(|found| found.mapped.access() == Access::Shared)
}

/// How many bytes this process has copied into shared memory so far.
#[pyfunction]
pub fn bytes_copied() -> u64 {
    COPIED.load(Ordering::Relaxed)
}
