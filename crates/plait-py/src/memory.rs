//! Buffers into shared memory on their way out, and Python objects over it on their way in.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plait_engine::budget::{Gate, NotNow, Permit};
use plait_engine::heap::{Access, Block, Heap, Piece, table_of};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::buffer::{self, Buffer, spare};
use crate::codec::{Message, TakenBuffer};
use crate::{own, program};

/// The memory for large data that this process allocates in.
///
/// # Errors
/// As [`program`].
pub fn heap() -> PyResult<Arc<Heap>> {
    if let Some(heap) = own::heap() {
        return Ok(heap);
    }
    program()
}

/// That of the program, in whichever process.
///
/// # Errors
/// `ValueError` for a `PLAIT_MEMORY_BUDGET` that is no size; `OSError` when it cannot be made.
pub fn program() -> PyResult<Arc<Heap>> {
    program::heap().map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => PyValueError::new_err(error.to_string()),
        _ => error.into(),
    })
}

/// What a message has of shared memory.
pub struct Placed {
    /// Its buffers.
    pub pieces: Vec<Piece>,
    /// For its body, if that is long.
    pub rest: Option<Arc<Permit>>,
    /// What it took to place its buffers.
    pub effort: Effort,
}

/// What it took to place buffers, not counting how long there was no room for them.
#[derive(Clone, Copy, Default)]
pub struct Effort {
    /// Bytes that were copied.
    pub copied: usize,
    /// For copying and comparing.
    pub time: Duration,
}

/// A body of up to so many bytes is not worth counting.
const LONG: usize = 1 << 20;

/// How long who waits for memory sleeps at most before it drives results.
const SLICE: Duration = Duration::from_millis(50);

/// Puts the buffers of a message into shared memory, those that do not lie there already; where the program has used up its
/// budget, once there is room.
///
/// # Errors
/// `MemoryError` when there is no room, or there will never be; what signal handlers raise.
pub fn place(py: Python<'_>, heap: &Arc<Heap>, message: &Message) -> PyResult<Placed> {
    let body = Some(message.len()).filter(|len| *len > LONG).unwrap_or(0);
    if message.buffers.is_empty() && body == 0 {
        return Ok(Placed { pieces: Vec::new(), rest: None, effort: Effort::default() });
    }
    let known: Vec<_> = message.buffers.iter().map(|taken| known(heap, taken)).collect();
    let new: usize =
        message.buffers.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(b, _)| b.len()).sum();
    let mut permit = match heap.gate() {
        Some(gate) if body + new > 0 => Some(permit(py, gate, (body + new) as u64)?),
        _ => None,
    };
    let began = Instant::now();
    let mut effort = Effort::default();
    let mut pieces = Vec::with_capacity(known.len());
    for (taken, known) in message.buffers.iter().zip(known) {
        pieces.push(match known {
            Some(piece) => piece,
            None => {
                let permit = permit.as_mut().map(|permit| permit.split(taken.len() as u64));
                let (hold, new) = py
                    .detach(|| heap.put_again(taken.bytes(), permit))
                    .map_err(|error| no_room(heap, "a buffer", &error))?;
                effort.copied += if new { taken.len() } else { 0 };
                Piece::snapshot(hold)
            }
        });
    }
    effort.time = began.elapsed();
    Ok(Placed { pieces, rest: permit.map(Arc::new), effort })
}

/// Leave to use so much memory, once there is room for it.
fn permit(py: Python<'_>, gate: &Arc<Gate>, asked: u64) -> PyResult<Permit> {
    let mut turn = gate.turn();
    loop {
        match turn.try_take(asked) {
            Ok(permit) => return Ok(permit),
            Err(NotNow::Never(never)) => return Err(PyMemoryError::new_err(never.to_string())),
            Err(NotNow::Wait(seen)) => py.detach(|| {
                // Nobody else may be there to take the results that make room.
                program::pump();
                gate.wait_changed(seen, SLICE);
            }),
        }
        py.check_signals()?;
    }
}

/// The piece that a buffer is, or a part of, if nobody has written to it since it was mapped.
fn known(heap: &Arc<Heap>, taken: &TakenBuffer) -> Option<Piece> {
    let found = buffer::find(taken.ptr(), taken.len())?;
    let piece = found.keep.downcast_ref::<Piece>().filter(|piece| piece.hold.is_within(heap))?;
    if piece.access == Access::Snapshot && !found.mapped.is_unwritten(found.at, taken.len()) {
        return None;
    }
    let at = Block { offset: piece.at.offset + found.at as u64, len: taken.len() as u64 };
    Some(Piece { hold: Arc::clone(&piece.hold), at, access: piece.access })
}

/// What a worker finds shared memory by that it is given at its start: the buffer's, if all processes of the program see that.
///
/// # Errors
/// As [`program`].
#[pyfunction]
pub fn shared_table<'py>(py: Python<'py>, memory: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let piece = shared_piece(&program()?, memory)?;
    Ok(piece.map(|piece| PyBytes::new(py, &table_of(&[piece]))))
}

/// The piece that a buffer is, if all processes of the program see it.
///
/// # Errors
/// What the buffer's owner raises.
pub fn shared_piece(heap: &Arc<Heap>, memory: &Bound<'_, PyAny>) -> PyResult<Option<Piece>> {
    Ok(known(heap, &TakenBuffer::of(memory)?).filter(|piece| piece.access == Access::Shared))
}

/// What is said where there is no room for `what`.
pub fn no_room(heap: &Heap, what: &str, error: &impl std::fmt::Display) -> PyErr {
    let mut text = format!("no shared memory for {what}: {error}");
    if let Some(limit) = heap.limit() {
        text += &format!("; the limits on files and addresses (`ulimit -f`, `ulimit -v`) leave {limit} bytes");
    }
    PyMemoryError::new_err(text)
}

/// Objects over pieces of a message, for unpickling it; `None` for a message without.
///
/// # Errors
/// As [`list`].
pub fn buffers<'py>(py: Python<'py>, pieces: &[Piece]) -> PyResult<Option<Bound<'py, PyAny>>> {
    if pieces.is_empty() {
        return Ok(None);
    }
    Ok(Some(list(py, pieces)?.into_any()))
}

/// The same as a list.
///
/// # Errors
/// `MemoryError` when a piece cannot be mapped.
pub fn list<'py>(py: Python<'py>, pieces: &[Piece]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for piece in pieces {
        list.append(object(py, piece)?)?;
    }
    Ok(list)
}

/// The Python object over a piece.
///
/// # Errors
/// `MemoryError` when it cannot be mapped.
pub fn object(py: Python<'_>, piece: &Piece) -> PyResult<Py<Buffer>> {
    let mapped = spare::map(piece).map_err(|error| {
        PyMemoryError::new_err(format!(
            "a buffer cannot be mapped: {error}; a process may have so many (`sysctl vm.max_map_count`), and so much address \
             space (`ulimit -v`): keep fewer arrays, or one that has them as its rows"
        ))
    })?;
    let len = mapped.len();
    Buffer::new(py, mapped, 0..len, Arc::new(piece.clone()))
}

/// New shared memory of `nbytes` zeros, which everybody who gets it sees and may write to.
#[pyfunction]
pub fn shared_buffer(py: Python<'_>, nbytes: usize) -> PyResult<Py<Buffer>> {
    let heap = heap()?;
    let nbytes = nbytes.max(1);
    let keep = heap.gate().map(|gate| gate.try_keep(nbytes as u64)).transpose();
    let keep = keep.map_err(|never| PyMemoryError::new_err(never.to_string()))?;
    let hold = py.detach(|| heap.zeros(nbytes, keep)).map_err(|error| no_room(&heap, "an array", &error))?;
    object(py, &Piece::shared(hold))
}

/// Whether a stretch of memory lies in shared memory that everybody sees.
#[pyfunction]
pub fn is_shared(address: usize, nbytes: usize) -> bool {
    buffer::find(address as *const u8, nbytes).is_some_and(|found| found.mapped.access() == Access::Shared)
}

/// How many bytes this process has copied into shared memory so far.
#[pyfunction]
pub fn bytes_copied() -> PyResult<u64> {
    Ok(heap()?.copied())
}
