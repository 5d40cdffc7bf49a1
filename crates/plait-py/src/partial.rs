//! A chunk that raised in the middle: the values before, and the exception.
//!
//! Form: the values' kind, their length, the values, the exception.

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::{codec, errors};

/// The kind of a raised chunk's payload: some values, then the exception.
pub const PARTIAL: u8 = 1;

/// Appends the values of a chunk up to the item that raised, then the exception.
pub fn encode_partial(py: Python<'_>, done: &Bound<'_, PyList>, error: &PyErr, out: &mut Vec<u8>) {
    let mut values = Vec::new();
    match codec::encode_value(py, done.as_any(), &mut values) {
        Ok(kind) => {
            out.push(kind as u8);
            out.extend((values.len() as u64).to_le_bytes());
            out.extend(values);
            codec::encode_exception(py, error, out);
        }
        // The values before cannot travel: that is the first thing that went wrong in this chunk.
        Err(unsent) => {
            out.push(codec::Kind::Native as u8);
            out.extend(0u64.to_le_bytes());
            codec::encode_exception(py, &unsent, out);
        }
    }
}

/// The values and the exception that [`encode_partial`] wrote.
pub fn decode_partial(py: Python<'_>, bytes: &[u8]) -> PyResult<(Vec<Py<PyAny>>, Option<PyErr>)> {
    let garbled = || errors::plait_error(py, "a message in shared memory is garbled");
    let (&kind, rest) = bytes.split_first().ok_or_else(garbled)?;
    let (len, rest) = rest.split_first_chunk::<8>().ok_or_else(garbled)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| garbled())?;
    let (values, error) = rest.split_at_checked(len).ok_or_else(garbled)?;
    let values = if values.is_empty() {
        Vec::new()
    } else {
        let list = codec::decode_chunk(py, codec::Kind::try_from(kind)?, values)?;
        list.iter().map(Bound::unbind).collect()
    };
    Ok((values, Some(codec::decode_exception(py, error))))
}
