//! The answer of a chunk as bytes: the results one after the other, then the exception that ended it, if one did.
//!
//! Each result is written when it is there and stands for itself, so whatever the worker wrote before it died is an
//! answer too, only shorter. Promises: reading gives what each result was when its item ended; what was read before a
//! result that cannot be read is not lost.
//!
//! | first byte | what follows |
//! |---|---|
//! | a tag of the native form | the rest of the value |
//! | `p` | the length (`u64`) of a pickle, the pickle |
//! | `q` | the same of a pickle that comes after a base, see [`codec::series`] |
//! | `P` | the same of a base, which is nobody's result |
//! | `!` | an exception, to the end |

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::codec::Message;
use crate::codec::series::{Part, SeriesReader, SeriesWriter};
use crate::{codec, errors};

/// The kind of a payload that is a chunk's answer.
pub const ANSWER: u8 = 2;

const ALONE: u8 = b'p';
const BASED: u8 = b'q';
const BASE: u8 = b'P';
const RAISED: u8 = b'!';

/// Writes the results of a chunk.
pub struct AnswerWriter<'py>(SeriesWriter<'py>);

impl<'py> AnswerWriter<'py> {
    pub fn new() -> Self {
        Self(SeriesWriter::new())
    }

    /// Appends an item's result.
    ///
    /// # Errors
    /// As [`codec::encode_value`]; nothing more can be written then.
    #[inline]
    pub fn push(&mut self, result: &Bound<'py, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
        if codec::write_plain(result, out) {
            return Ok(());
        }
        self.0.push(result, |part, bytes| {
            out.push(match part {
                Part::Alone => ALONE,
                Part::Base => BASE,
                Part::Based => BASED,
            });
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        })
    }
}

/// Appends the only result of a chunk, whose buffers may travel beside it.
///
/// # Errors
/// As [`codec::encode_value`].
pub fn push_only(result: &Bound<'_, PyAny>, out: &mut Message) -> PyResult<()> {
    if codec::write_plain(result, &mut out.bytes) {
        return Ok(());
    }
    let mut pickle = Message::outgoing();
    codec::encode_pickle(result.py(), result, &mut pickle)?;
    out.bytes.push(ALONE);
    out.bytes.extend_from_slice(&(pickle.len() as u64).to_le_bytes());
    out.append(pickle);
    Ok(())
}

/// Appends the exception that ended the chunk; nothing comes after it.
pub fn push_raised(py: Python<'_>, error: &PyErr, out: &mut Vec<u8>) {
    out.push(RAISED);
    codec::encode_exception(py, error, out);
}

/// Results in the order of their items, and what was raised where the next one would be.
pub type Results = (Vec<Py<PyAny>>, Option<PyErr>);

/// The results in `bytes`, `expected` of them if nothing was raised. `buffers` are those of the only one.
pub fn read(py: Python<'_>, bytes: &[u8], expected: usize, buffers: Option<&Bound<'_, PyList>>) -> Results {
    // A garbled length must not ask for all memory.
    let mut results = Vec::with_capacity(expected.min(bytes.len()));
    let error = read_into(py, bytes, &mut results, buffers).err();
    let error = error.or_else(|| (results.len() != expected).then(|| garbled(py)));
    (results, error)
}

fn read_into(
    py: Python<'_>,
    mut bytes: &[u8],
    results: &mut Vec<Py<PyAny>>,
    buffers: Option<&Bound<'_, PyList>>,
) -> PyResult<()> {
    let mut series = SeriesReader::default();
    let mut based = Vec::new();
    loop {
        let mark = |first| matches!(first, ALONE | BASE | BASED | RAISED);
        codec::read_plain(py, &mut bytes, mark, results)?;
        while let Some((&BASED, rest)) = bytes.split_first() {
            let pickle;
            (pickle, bytes) = pickle_in(rest).ok_or_else(|| garbled(py))?;
            based.push(pickle);
        }
        if !based.is_empty() {
            series.read(py, &based, results)?;
            based.clear();
            continue;
        }
        match bytes.split_first() {
            None => return Ok(()),
            Some((&RAISED, error)) => return Err(codec::decode_exception(py, error)),
            Some((&first, rest)) => {
                let pickle;
                (pickle, bytes) = pickle_in(rest).ok_or_else(|| garbled(py))?;
                if first == BASE {
                    series.rebase(pickle);
                } else {
                    results.push(codec::decode_value(py, codec::Kind::Pickle, pickle, buffers)?.unbind());
                }
            }
        }
    }
}

/// A pickle behind its length, and what comes after it.
fn pickle_in(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

fn garbled(py: Python<'_>) -> PyErr {
    errors::plait_error(py, "a message in shared memory is garbled")
}
