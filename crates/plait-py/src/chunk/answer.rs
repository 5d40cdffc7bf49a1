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
//! | `t` | the length (`u64`) of a table, the table of the shared memory that the next pickle has |
//! | `!` | an exception, to the end |

use plait_engine::heap::Piece;
use plait_engine::pool::Finished;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::codec::Message;
use crate::codec::series::{Part, SeriesReader, SeriesWriter};
use crate::{codec, errors, memory};

/// The kind of a payload that is a chunk's answer.
pub const ANSWER: u8 = 2;

const ALONE: u8 = b'p';
const BASED: u8 = b'q';
const BASE: u8 = b'P';
const TABLE: u8 = b't';
const RAISED: u8 = b'!';

/// Writes the results of a chunk.
pub struct AnswerWriter<'py>(SeriesWriter<'py>);

impl<'py> AnswerWriter<'py> {
    pub fn new() -> Self {
        Self(SeriesWriter::new())
    }

    /// Appends an item's result, whose buffers may travel beside it.
    ///
    /// # Errors
    /// As [`codec::encode_value`]; nothing more can be written then.
    #[inline]
    pub fn push(&mut self, result: &Bound<'py, PyAny>, out: &mut Message) -> PyResult<()> {
        if codec::write_plain(result, &mut out.bytes) {
            return Ok(());
        }
        let Message { bytes, buffers, .. } = out;
        self.0.push(result, buffers, |part, pickle| {
            let tag = match part {
                Part::Alone => ALONE,
                Part::Base => BASE,
                Part::Based => BASED,
            };
            push_long(tag, pickle, bytes);
        })
    }
}

/// Puts what a result has of shared memory before it, for whoever reads it when its worker is dead.
#[cold]
pub fn push_table(table: &[u8], out: &mut Vec<u8>) {
    let mut before = Vec::with_capacity(out.len() + table.len() + 16);
    push_long(TABLE, table, &mut before);
    before.append(out);
    *out = before;
}

fn push_long(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
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

/// Where the buffers of results are found.
pub enum Beside<'a> {
    /// What came with the answer, in the order of the results.
    Told(&'a [Piece]),
    /// What the tables among the results tell of.
    Noted(&'a Finished),
}

/// The results in `bytes`, `expected` of them if nothing was raised.
pub fn read(py: Python<'_>, bytes: &[u8], expected: usize, beside: &Beside<'_>) -> Results {
    // A garbled length must not ask for all memory.
    let mut results = Vec::with_capacity(expected.min(bytes.len()));
    let error = read_into(py, bytes, &mut results, beside).err();
    let error = error.or_else(|| (results.len() != expected).then(|| garbled(py)));
    (results, error)
}

fn read_into(py: Python<'_>, mut bytes: &[u8], results: &mut Vec<Py<PyAny>>, beside: &Beside<'_>) -> PyResult<()> {
    let buffers = Buffers::new(py, beside)?;
    let iter = buffers.as_ref().map(|buffers| &buffers.iter);
    let mut series = SeriesReader::default();
    let mut based = Vec::new();
    loop {
        let mark = |first| matches!(first, ALONE | BASE | BASED | TABLE | RAISED);
        codec::read_plain(py, &mut bytes, mark, results)?;
        while let Some((&tag @ (BASED | TABLE), rest)) = bytes.split_first() {
            let long;
            (long, bytes) = long_in(rest).ok_or_else(|| garbled(py))?;
            match tag {
                BASED => based.push(long),
                _ => buffers.as_ref().map_or(Ok(()), |buffers| buffers.find(long))?,
            }
        }
        if !based.is_empty() {
            series.read(py, &based, iter, results)?;
            based.clear();
            continue;
        }
        match bytes.split_first() {
            None => return Ok(()),
            Some((&RAISED, error)) => return Err(codec::decode_exception(py, error)),
            Some((&first, rest)) => {
                let pickle;
                (pickle, bytes) = long_in(rest).ok_or_else(|| garbled(py))?;
                if first == BASE {
                    series.rebase(pickle);
                } else {
                    results.push(codec::decode_value(py, codec::Kind::Pickle, pickle, iter)?.unbind());
                }
            }
        }
    }
}

/// The buffers of the results, of which each takes its own off the front.
struct Buffers<'a, 'py> {
    beside: &'a Beside<'a>,
    list: Bound<'py, PyList>,
    iter: Bound<'py, PyAny>,
}

impl<'a, 'py> Buffers<'a, 'py> {
    fn new(py: Python<'py>, beside: &'a Beside<'a>) -> PyResult<Option<Self>> {
        let told = match beside {
            Beside::Told([]) => return Ok(None),
            Beside::Told(pieces) => *pieces,
            Beside::Noted(_) => &[],
        };
        let list = memory::list(py, told)?;
        let iter = list.try_iter()?.into_any();
        Ok(Some(Self { beside, list, iter }))
    }

    /// Adds those of the next result, if they are not there.
    fn find(&self, table: &[u8]) -> PyResult<()> {
        let Beside::Noted(finished) = self.beside else { return Ok(()) };
        let py = self.list.py();
        for piece in finished.pieces(table).map_err(|_| garbled(py))? {
            self.list.append(memory::object(py, &piece)?)?;
        }
        Ok(())
    }
}

/// What is behind its length, and what comes after it.
fn long_in(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

fn garbled(py: Python<'_>) -> PyErr {
    errors::plait_error(py, "a message in shared memory is garbled")
}
