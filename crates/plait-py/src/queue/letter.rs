//! Values as messages of a queue.
//!
//! A message is a value's bytes; or, where large buffers travel beside them, in a parcel: the number of the buffers and the lengths of
//! the bytes and of each buffer as words of 8 bytes, then all of these, each from a multiple of [`ALIGN`] on.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use plait_engine::queue::{Offer, Parcel, PutError, Queue, Wanted};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::errors::not_put;
use crate::buffer::{Buffer, spare};
use crate::codec::{self, Kind, Message};

/// The bit of a label that says so.
const WITH_BUFFERS: u8 = 2;

/// Where buffers may begin: as far apart as those of fresh arrays.
const ALIGN: usize = 64;

/// A value that is to be put, and may have to wait.
pub enum Sealed {
    /// Its bytes.
    Bytes(u8, Vec<u8>),
    /// It lies in the queue's memory.
    Parcel(Parcel),
}

impl Sealed {
    /// Puts it, if there is room.
    ///
    /// # Errors
    /// As [`not_put`].
    pub fn offer(&mut self, queue: &Queue) -> PyResult<Offer> {
        match self {
            Self::Bytes(label, bytes) => queue.offer(*label, bytes),
            Self::Parcel(parcel) => queue.offer_parcel(parcel),
        }
        .map_err(|error| not_put(&error))
    }

    /// What it waits for.
    pub fn wanted(&self) -> Wanted {
        match self {
            Self::Bytes(_, bytes) => Wanted::Room { len: bytes.len() as u64, is_parcel: false },
            Self::Parcel(parcel) => Wanted::Room { len: parcel.len(), is_parcel: true },
        }
    }
}

/// Encodes a value into an empty message; gives its label.
///
/// # Errors
/// `NotPicklable`.
pub fn encode(value: &Bound<'_, PyAny>, message: &mut Message) -> PyResult<u8> {
    message.takes_buffers = true;
    message.takes_long = true;
    let kind = codec::encode_item(value.py(), value, message)? as u8;
    Ok(if message.buffers.is_empty() { kind } else { kind | WITH_BUFFERS })
}

/// Whether a message is in `bytes` alone.
pub fn is_short(message: &Message) -> bool {
    message.long.is_empty() && message.buffers.is_empty()
}

/// A message that may have to wait, or is large.
///
/// # Errors
/// As [`not_put`].
pub fn seal(py: Python<'_>, queue: &Queue, label: u8, message: &mut Message) -> PyResult<Sealed> {
    if is_short(message) {
        return Ok(Sealed::Bytes(label, message.bytes.clone()));
    }
    let message = &*message;
    let parcel = py.detach(|| pack(queue, label, message));
    parcel.map(Sealed::Parcel).map_err(|error| not_put(&PutError::Io(error)))
}

fn pack(queue: &Queue, label: u8, message: &Message) -> std::io::Result<Parcel> {
    if message.buffers.is_empty() {
        return queue.pack(label, message.len() as u64, message.parts());
    }
    const ZEROS: [u8; ALIGN] = [0; ALIGN];
    let lens = iter::once(message.len()).chain(message.buffers.iter().map(|buffer| buffer.len()));
    let head: Vec<u8> =
        iter::once(message.buffers.len()).chain(lens).flat_map(|len| (len as u64).to_le_bytes()).collect();
    let gap = |len: usize| &ZEROS[..len.next_multiple_of(ALIGN) - len];
    let len = [head.len(), message.len()]
        .into_iter()
        .chain(message.buffers.iter().map(|buffer| buffer.len()))
        .map(|len| len.next_multiple_of(ALIGN))
        .sum::<usize>();
    let parts = [head.as_slice(), gap(head.len())]
        .into_iter()
        .chain(message.parts())
        .chain([gap(message.len())])
        .chain(message.buffers.iter().flat_map(|buffer| [buffer.bytes(), gap(buffer.len())]));
    queue.pack(label, len as u64, parts)
}

/// The value of a message that was taken.
///
/// # Errors
/// As `codec::decode_value`; `MemoryError` when it cannot be mapped.
pub fn decode<'py>(py: Python<'py>, label: u8, bytes: &[u8], parcel: Option<Parcel>) -> PyResult<Bound<'py, PyAny>> {
    let kind = Kind::try_from(label & !WITH_BUFFERS)?;
    let Some(parcel) = parcel else { return codec::decode_item(py, kind, bytes, None) };
    let mapped = spare::map_parcel(&parcel).map_err(|error| {
        PyMemoryError::new_err(format!(
            "an item of a queue cannot be mapped: {error}; a process may have so many (`sysctl vm.max_map_count`), and so much \
             address space (`ulimit -v`): keep fewer large items"
        ))
    })?;
    // SAFETY: so many bytes are mapped as long as `mapped` lives. They are those of the message, which stay as they are while the
    // parcel lives; what unpickling writes to buffers of the same snapshot lies behind them, in other bytes.
    let all = unsafe { std::slice::from_raw_parts(mapped.as_ptr(), mapped.len()) };
    if label & WITH_BUFFERS == 0 {
        return codec::decode_item(py, kind, all, None);
    }
    let (body, ranges) = table(all).ok_or_else(|| PyValueError::new_err("an item of a queue is garbled"))?;
    let body = &all[body];
    let keep = Arc::new(parcel);
    let buffers = PyList::empty(py);
    for range in ranges {
        buffers.append(Buffer::new(py, Arc::clone(&mapped), range, keep.clone())?)?;
    }
    codec::decode_item(py, kind, body, Some(buffers.as_any()))
}

/// Where the bytes and the buffers lie.
fn table(all: &[u8]) -> Option<(Range<usize>, Vec<Range<usize>>)> {
    let word = |at: usize| -> Option<usize> {
        let bytes = all.get(at * 8..)?.first_chunk()?;
        usize::try_from(u64::from_le_bytes(*bytes)).ok()
    };
    let count = word(0)?.checked_add(1).filter(|count| *count <= all.len() / 8)?;
    let mut end = (8 * (count + 1)).next_multiple_of(ALIGN);
    let mut ranges = Vec::with_capacity(count);
    for part in 0..count {
        let range = end..end.checked_add(word(part + 1)?).filter(|end| *end <= all.len())?;
        end = range.end.checked_next_multiple_of(ALIGN)?;
        ranges.push(range);
    }
    let body = ranges.remove(0);
    Some((body, ranges))
}
