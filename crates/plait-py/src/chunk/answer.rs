//! The answer of a chunk as bytes: the results one after the other, then the exception that ended it, if one did.
//!
//! Each result is written when it is there and stands for itself, so whatever the worker wrote before it died is an
//! answer too, only shorter. Promises: reading gives what each result was when its item ended; what was read before a
//! result that cannot be read is not lost.
//!
//! | first byte | what follows |
//! |---|---|
//! | a tag of the native form | the rest of the value |
//! | `p` | a pickle's length (`u64`), the pickle |
//! | `!` | an exception, to the end |

use pyo3::prelude::*;

use crate::{codec, errors};

/// The kind of a payload that is a chunk's answer.
pub const ANSWER: u8 = 2;

const PICKLE: u8 = b'p';
const RAISED: u8 = b'!';

/// Appends an item's result.
///
/// # Errors
/// As [`codec::encode_value`]; `out` is as it was then.
#[inline]
pub fn push_result(py: Python<'_>, result: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    if codec::write_plain(result, out) {
        return Ok(());
    }
    let start = out.len();
    out.extend([PICKLE; 9]);
    match codec::pickle_value(py, result, out) {
        Ok(()) => {
            let length = (out.len() - start - 9) as u64;
            out[start + 1..start + 9].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Appends the exception that ended the chunk; nothing comes after it.
pub fn push_raised(py: Python<'_>, error: &PyErr, out: &mut Vec<u8>) {
    out.push(RAISED);
    codec::encode_exception(py, error, out);
}

/// Results in the order of their items, and what was raised where the next one would be.
pub type Results = (Vec<Py<PyAny>>, Option<PyErr>);

/// The results in `bytes`, `expected` of them if nothing was raised.
pub fn read(py: Python<'_>, bytes: &[u8], expected: usize) -> Results {
    // A garbled length must not ask for all memory.
    let mut results = Vec::with_capacity(expected.min(bytes.len()));
    let error = read_into(py, bytes, &mut results).err();
    let error = error.or_else(|| (results.len() != expected).then(|| garbled(py)));
    (results, error)
}

fn read_into(py: Python<'_>, mut bytes: &[u8], results: &mut Vec<Py<PyAny>>) -> PyResult<()> {
    loop {
        codec::read_plain(py, &mut bytes, |first| matches!(first, PICKLE | RAISED), results)?;
        let Some((&first, rest)) = bytes.split_first() else { return Ok(()) };
        if first == RAISED {
            return Err(codec::decode_exception(py, rest));
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(|| garbled(py))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| garbled(py))?;
        let (pickle, rest) = rest.split_at_checked(length).ok_or_else(|| garbled(py))?;
        results.push(codec::decode_value(py, codec::Kind::Pickle, pickle)?.unbind());
        bytes = rest;
    }
}

fn garbled(py: Python<'_>) -> PyErr {
    errors::plait_error(py, "a message in shared memory is garbled")
}
