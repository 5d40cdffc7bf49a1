//! Pickles in a row, of which each is written when it is there, and which together look each class up once.
//!
//! A pickle of a small object is mostly names: of its class, its module. Writing and reading them takes longer than all
//! the rest, so one pickle for many objects costs a third of many. Here the writer makes a *base* once it has met
//! names that recur: a pickle of just the classes and functions behind them. Later pickles refer to the base as if they
//! had begun with it. Promises: nothing but such globals is shared, so that each value arrives as it was when it was
//! written, whatever became of it since; what cannot profit is written as [`super::pickle`] does.
//!
//! What makes that work is the memo. The pickler's is set back to that of the base before each value. The unpickler's
//! goes on growing (it cannot be set back: CPython forgets to reset its count), so a pickle after a base says with each
//! object that it memoizes under which number, as pickles did before protocol 4, and not that it is the next one.

use std::ops::{ControlFlow, Range};

use pyo3::exceptions::{PyBaseException, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyFunction, PyList, PyType};

use super::byname::{self, Reach};
use super::globals::{Pickle, Step, Unknown, Walk, each_global};
use super::load::{Content, explained};
use super::message::Message;
use super::pickle::{Root, dumps_into, is_final};
use super::taken::{Frame, TakenBuffer, callback};
use crate::buffer::any_shared;

/// So many pickles with names are written alone before a base is made: one costs as much as it saves in a few.
const ALONE: u32 = 4;

/// Who meets more names than this has no use for a base: each would be longer than the one before.
const MOST_GLOBALS: usize = 64;

/// What is read at a time: a copy of it is made.
const RUN: usize = 1 << 20;

const LONG_BINPUT: u8 = b'r';

/// How a pickle of a series is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// By itself.
    Alone,
    /// It is a base.
    Base,
    /// After the base before it.
    Based,
}

/// Writes a series.
pub struct SeriesWriter<'py> {
    base: Option<Base<'py>>,
    /// The globals met so far, in the order of the base.
    globals: Globals<'py>,
    /// Pickles with names that were written alone since the last base.
    alone: u32,
    given_up: bool,
    /// The pickle in hand, if it is written alone.
    message: Message,
}

#[derive(Default)]
struct Globals<'py> {
    names: Vec<Name>,
    objects: Vec<Bound<'py, PyAny>>,
    /// Some were met after the last base was made.
    grown: bool,
}

/// Module and qualified name.
type Name = (Box<[u8]>, Box<[u8]>);

/// A pickler that begins each time as if it had written the base.
struct Base<'py> {
    memo: Bound<'py, PyAny>,
    /// Entries of the memo.
    known: usize,
    pickler: Bound<'py, PyAny>,
    dump: Bound<'py, PyAny>,
    /// What the pickler writes to.
    parts: Bound<'py, PyList>,
    numbers: Numbers,
    /// Arrays are among what it names, and shared ones are not for this pickler.
    has_arrays: bool,
}

impl<'py> SeriesWriter<'py> {
    pub fn new() -> Self {
        let message = Message { takes_buffers: true, ..Message::default() };
        Self { base: None, globals: Globals::default(), alone: 0, given_up: false, message }
    }

    /// Hands `write` a pickle of a result, and before it that of a new base when one is due. What leaves the pickle is added
    /// to `buffers`.
    ///
    /// # Errors
    /// As `encode_value`.
    pub fn push(
        &mut self,
        value: &Bound<'py, PyAny>,
        buffers: &mut Vec<TakenBuffer>,
        mut write: impl FnMut(Part, &[u8]),
    ) -> PyResult<()> {
        let py = value.py();
        if self.alone >= ALONE && !self.given_up {
            self.alone = 0;
            self.renew(py, &mut write)?;
        }
        if let Some(base) = &mut self.base
            && base.write(value, buffers, &mut write)?
        {
            return Ok(());
        }
        self.message.bytes.clear();
        dumps_into(py, value, Root::Value, &mut self.message)?;
        buffers.append(&mut self.message.buffers);
        let pickle = &self.message.bytes;
        write(Part::Alone, pickle);
        if !self.given_up && self.globals.learn(py, pickle)? {
            self.alone += 1;
        }
        Ok(())
    }

    /// Makes a base of what was met; gives up where that would be the one there is, or cannot be made.
    fn renew(&mut self, py: Python<'py>, write: &mut impl FnMut(Part, &[u8])) -> PyResult<()> {
        let grown = std::mem::take(&mut self.globals.grown);
        let base = if grown { Base::new(py, &self.globals)? } else { None };
        match base {
            Some((base, pickle)) => {
                write(Part::Base, pickle.as_bytes());
                self.base = Some(base);
            }
            None => {
                self.base = None;
                self.given_up = true;
            }
        }
        Ok(())
    }
}

impl<'py> Globals<'py> {
    /// Adds the classes and functions that a pickle names; whether it names any.
    fn learn(&mut self, py: Python<'py>, pickle: &[u8]) -> PyResult<bool> {
        let mut named = false;
        let walked = each_global(Pickle::whole(pickle), |module, name| {
            named = true;
            let known = || self.names.iter().any(|(known, of)| **known == *module && **of == *name);
            if self.names.len() == MOST_GLOBALS || known() {
                return ControlFlow::Continue(());
            }
            match byname::find(py, module, name) {
                Ok(Some(found)) if is_global(&found) && !self.objects.iter().any(|known| known.is(&found)) => {
                    self.names.push((module.into(), name.into()));
                    self.objects.push(found);
                    self.grown = true;
                    ControlFlow::Continue(())
                }
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        });
        match walked {
            Ok(ControlFlow::Break(error)) => Err(error),
            // cloudpickle's bytes may hold opcodes that C pickle does not write.
            Ok(ControlFlow::Continue(())) | Err(Unknown) => Ok(named),
        }
    }

    /// Whether a pickle names just these, in their order.
    fn are_all_of(&self, pickle: &[u8]) -> bool {
        let mut names = self.names.iter();
        let walked = each_global(Pickle::whole(pickle), |module, name| match names.next() {
            Some((known, of)) if **known == *module && **of == *name => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        });
        matches!(walked, Ok(ControlFlow::Continue(()))) && names.next().is_none()
    }
}

/// Whether it is of those that go by name, as a rule. Values with exceptions are not for C pickle alone.
fn is_global(object: &Bound<'_, PyAny>) -> bool {
    match object.cast::<PyType>() {
        Ok(class) => !class.is_subclass_of::<PyBaseException>().unwrap_or(true),
        Err(_) => object.is_instance_of::<PyFunction>() || object.is_instance_of::<PyCFunction>(),
    }
}

impl<'py> Base<'py> {
    /// With its pickle; `None` if that is not what it is meant to be, for whatever reason.
    fn new(py: Python<'py>, globals: &Globals<'py>) -> PyResult<Option<(Self, Bound<'py, PyBytes>)>> {
        static NAMESPACE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        static PICKLER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let parts = PyList::empty(py);
        let sink = NAMESPACE.import(py, "types", "SimpleNamespace")?.call0()?;
        sink.setattr(intern!(py, "write"), parts.getattr(intern!(py, "append"))?)?;
        let new_pickler = PICKLER.import(py, "_pickle", "Pickler")?;
        let source = new_pickler.call1((&sink, 5))?;
        match source.call_method1(intern!(py, "dump"), (PyList::new(py, &globals.objects)?,)) {
            Ok(_) => {}
            Err(error) if is_final(py, &error) => return Err(error),
            Err(_) => return Ok(None),
        }
        let pickle = take(&parts)?;
        if !globals.are_all_of(pickle.as_bytes()) || byname::reach(py, Pickle::whole(pickle.as_bytes()))? != Reach::Same
        {
            return Ok(None);
        }
        let memo = source.getattr(intern!(py, "memo"))?;
        let known = memo.call_method0(intern!(py, "copy"))?.cast_into::<PyDict>()?.len();
        let options = PyDict::new(py);
        options.set_item(intern!(py, "buffer_callback"), callback(py)?)?;
        let pickler = new_pickler.call((&sink, 5), Some(&options))?;
        let dump = pickler.getattr(intern!(py, "dump"))?;
        let has_arrays = globals.names.iter().any(|(module, _)| module.starts_with(b"numpy"));
        Ok(Some((Self { memo, known, pickler, dump, parts, numbers: Numbers::default(), has_arrays }, pickle)))
    }

    /// Writes a value after the base; false, and nothing written, when it cannot be, or names what the base does not have.
    fn write(
        &mut self,
        value: &Bound<'py, PyAny>,
        buffers: &mut Vec<TakenBuffer>,
        write: &mut impl FnMut(Part, &[u8]),
    ) -> PyResult<bool> {
        let py = value.py();
        if self.has_arrays && any_shared() {
            return Ok(false);
        }
        let frame = Frame::open();
        self.pickler.setattr(intern!(py, "memo"), &self.memo)?;
        let dumped = self.dump.call1((value,));
        let pickle = take(&self.parts)?;
        match dumped {
            Ok(_) => {}
            Err(error) if is_final(py, &error) => return Err(error),
            // It is written alone, by cloudpickle if need be.
            Err(_) => return Ok(false),
        }
        let Ok(numbered) = self.numbers.rewrite(pickle.as_bytes(), self.known) else { return Ok(false) };
        frame.give(buffers);
        write(Part::Based, numbered);
        Ok(true)
    }
}

/// Rewrites pickles so that they number what they memoize.
#[derive(Default)]
struct Numbers {
    out: Vec<u8>,
    /// Where opcodes are replaced, and by which object's number.
    cuts: Vec<(Range<usize>, Option<usize>)>,
    recalled: Vec<usize>,
}

impl Numbers {
    /// For a pickle that begins with `known` objects memoized. What it memoizes and does not refer to it goes without, and
    /// without frames.
    ///
    /// # Errors
    /// [`Unknown`] also when it names a global.
    fn rewrite(&mut self, pickle: &[u8], known: usize) -> Result<&[u8], Unknown> {
        let Self { out, cuts, recalled } = self;
        out.clear();
        cuts.clear();
        recalled.clear();
        let mut walk = Walk::new(Pickle::whole(pickle));
        let mut memoized = known;
        loop {
            let start = walk.position;
            match walk.step()? {
                Step::Memoize => {
                    cuts.push((start..walk.position, Some(memoized)));
                    memoized += 1;
                }
                Step::Frame(_) => cuts.push((start..walk.position, None)),
                Step::Recall(index) if index >= memoized => return Err(Unknown),
                Step::Recall(index) if index >= known => recalled.push(index),
                Step::Recall(_) | Step::Text(_) | Step::Other => {}
                Step::Global => return Err(Unknown),
                Step::Stop => break,
            }
        }
        recalled.sort_unstable();
        let mut copied = 0;
        for (cut, index) in cuts.drain(..) {
            out.extend_from_slice(&pickle[copied..cut.start]);
            copied = cut.end;
            if let Some(index) = index.filter(|index| recalled.binary_search(index).is_ok()) {
                out.push(LONG_BINPUT);
                out.extend_from_slice(&u32::try_from(index).map_err(|_| Unknown)?.to_le_bytes());
            }
        }
        out.extend_from_slice(&pickle[copied..walk.position]);
        Ok(out)
    }
}

/// What a pickler has written, which is taken away.
fn take<'py>(parts: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyBytes>> {
    let count = parts.len();
    let pickle = if count == 1 {
        parts.get_item(0)?.cast_into()?
    } else {
        // What is long comes in pieces.
        PyBytes::new(parts.py(), b"").call_method1(intern!(parts.py(), "join"), (parts,))?.cast_into()?
    };
    parts.del_slice(0, count)?;
    Ok(pickle)
}

/// Reads a series.
#[derive(Default)]
pub struct SeriesReader<'a> {
    base: &'a [u8],
}

impl<'a> SeriesReader<'a> {
    /// Goes on with a base.
    pub fn rebase(&mut self, base: &'a [u8]) {
        self.base = base;
    }

    /// Reads pickles that come after the base, as far as they can be read. `buffers` is an iterator of what left them.
    ///
    /// # Errors
    /// As `decode_value`; `ValueError` for bytes that no writer wrote.
    pub fn read(
        &self,
        py: Python<'_>,
        pickles: &[&[u8]],
        buffers: Option<&Bound<'_, PyAny>>,
        values: &mut Vec<Py<PyAny>>,
    ) -> PyResult<()> {
        let mut rest = pickles;
        while !rest.is_empty() {
            let mut length = 0;
            let fits = |pickle: &&&[u8]| {
                length += pickle.len();
                length <= RUN
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let run;
            (run, rest) = rest.split_at(count);
            let bytes = concat(py, self.base, run)?;
            let (file, unpickler) = unpickler(&bytes, buffers)?;
            let load = unpickler.getattr(intern!(py, "load"))?;
            let load = || load.call0().map_err(|error| explained(py, error, self.base, Content::Value));
            load()?;
            for _ in run {
                values.push(load()?.unbind());
            }
            if file.call_method0(intern!(py, "tell"))?.extract::<usize>()? != bytes.as_bytes().len() {
                return Err(PyValueError::new_err("pickles that no writer wrote: they were cut short or overwritten"));
            }
        }
        Ok(())
    }
}

fn concat<'py>(py: Python<'py>, base: &[u8], run: &[&[u8]]) -> PyResult<Bound<'py, PyBytes>> {
    let length = base.len() + run.iter().map(|part| part.len()).sum::<usize>();
    PyBytes::new_with(py, length, |mut room| {
        for part in std::iter::once(&base).chain(run) {
            let (here, rest) = room.split_at_mut(part.len());
            here.copy_from_slice(part);
            room = rest;
        }
        Ok(())
    })
}

/// An unpickler of these bytes, which takes `buffers` as it needs them, and the file that it reads.
fn unpickler<'py>(
    bytes: &Bound<'py, PyBytes>,
    buffers: Option<&Bound<'_, PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    static BYTES_IO: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static READER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static UNPICKLER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = bytes.py();
    let file = BYTES_IO.import(py, "_io", "BytesIO")?.call1((bytes,))?;
    // It can be looked into ahead, which saves a call for each opcode.
    let file = READER.import(py, "_io", "BufferedReader")?.call1((file,))?;
    let options = PyDict::new(py);
    options.set_item(intern!(py, "buffers"), buffers)?;
    let unpickler = UNPICKLER.import(py, "_pickle", "Unpickler")?.call((&file,), Some(&options))?;
    Ok((file, unpickler))
}
