//! One call of a task to its own pool, encoded: as it travels, and as it is run where it came from.
//!
//! Run in place it does what it would do in another worker: the function and the arguments are copies, the result is one,
//! an exception comes with the traceback of where it was raised. So nothing depends on who runs it, but time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plait_engine::heap::{Heap, Piece};
use plait_engine::pool::{Outcome, Payload, TimedOut};
use plait_engine::wire::Verdict;
use plait_engine::wire::inner::Submit;
use plait_engine::wire::table::{self, HAS_TABLE};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{Own, locked};
use crate::function::{self, FunctionTable, Prepared};
use crate::process::{Limits, form, name_of};
use crate::worker::while_loading;
use crate::{beacon, codec, context, memory};

/// The definition of no function: a table without lines.
const NOTHING: [u8; 4] = [0; 4];

/// Functions that a worker keeps loaded for calls that it runs in place.
const MAX_FUNCTIONS: usize = 1024;

/// See the file's head.
pub struct OwnCall {
    /// The function's number and pickle; nothing where it travels with its arguments.
    function: Option<(u64, Arc<[u8]>)>,
    name: Box<str>,
    form: u8,
    kind: codec::Kind,
    payload: Vec<u8>,
    pieces: Vec<Piece>,
    limits: Limits,
}

impl OwnCall {
    /// The call, as it is now.
    pub fn encode(
        py: Python<'_>,
        table: &FunctionTable,
        heap: &Arc<Heap>,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        limits: &Limits,
    ) -> PyResult<Self> {
        let mut payload = codec::Message { takes_buffers: true, ..codec::Message::default() };
        let prepared = table.prepare(function)?;
        let form = if matches!(prepared, Prepared::Direct) { form::DIRECT } else { form::CALL };
        let form = context::push(context::of_current(py)?.as_ref(), form, &mut payload);
        let (kind, prepared, name) = match prepared {
            Prepared::Cached { id, bytes, .. } => {
                let kind = codec::encode_call(py, args, kwargs, &mut payload)?;
                (kind, Some((id, bytes)), name_of(function))
            }
            Prepared::Direct => (codec::encode_direct(py, function, args, kwargs, &mut payload)?, None, String::new()),
        };
        let pieces = memory::place(py, heap, &payload)?.pieces;
        Ok(Self { function: prepared, name: name.into(), form, kind, payload: payload.bytes, pieces, limits: *limits })
    }

    /// How it is told to the parent.
    pub fn message(&self) -> Submit<'_> {
        let definition = self.function.as_ref().map_or(&NOTHING[..], |(_, bytes)| bytes);
        let Limits { timeout, retries } = self.limits;
        let Self { name, form, kind, payload, pieces, .. } = self;
        let kind = *kind as u8 | if pieces.is_empty() { 0 } else { HAS_TABLE };
        Submit { timeout, retries, form: *form, kind, name, definition, payload }
    }

    /// What of shared memory belongs to it.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Makes the call here, as often as it may be tried. The error is that of the call around it, which is to end.
    pub fn run(&self, py: Python<'_>, own: &Own) -> Result<Outcome, PyErr> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut out = codec::Message { takes_buffers: true, ..codec::Message::default() };
            let begun = Instant::now();
            let called = self.call(py, own, &mut out);
            let took = begun.elapsed();
            if let Err(error) = &called
                && is_order_to_end(py, error)
            {
                return Err(error.clone_ref(py));
            }
            let late = self.limits.timeout.filter(|&timeout| took > timeout);
            if (called.is_err() || late.is_some()) && tries <= self.limits.retries {
                continue;
            }
            let placed = called.and_then(|kind| Ok((kind, memory::place(py, own.desk.heap(), &out)?.pieces)));
            return Ok(match (placed, late) {
                (_, Some(timeout)) => self.late(timeout, tries),
                (Ok((kind, pieces)), None) => told(Verdict::Returned, kind as u8, &out.bytes, pieces, took),
                (Err(error), None) => {
                    out.clear();
                    codec::encode_exception(py, &error, &mut out.bytes);
                    told(Verdict::Raised, 0, &out.bytes, Vec::new(), took)
                }
            });
        }
    }

    fn call(&self, py: Python<'_>, own: &Own, out: &mut codec::Message) -> PyResult<codec::Kind> {
        let buffers = memory::buffers(py, &self.pieces)?;
        let (sent, payload) = context::split(py, self.form, &self.payload)?;
        let context = || context::Arrivals::default().context_within(py, sent).and_then(context::enter);
        let value = match &self.function {
            Some((number, definition)) => {
                let function = load(py, own, *number, definition)?;
                let (args, kwargs) = while_loading(|| codec::decode_call(py, self.kind, payload, buffers.as_ref()))?;
                let _context = context()?;
                let _running = beacon::begin_next(function.bind(py));
                function.bind(py).call(args, kwargs.as_ref())?
            }
            None => {
                let (function, args, kwargs) = while_loading(|| codec::decode_direct(py, payload, buffers.as_ref()))?;
                let _context = context()?;
                let _running = beacon::begin_next(&function);
                function.call(args, kwargs.as_ref())?
            }
        };
        codec::encode_value(py, &value, out)
    }

    /// It ended, but too late. Here nobody could stop it.
    fn late(&self, timeout: Duration, tries: u32) -> Outcome {
        Outcome::TimedOut(Box::new(TimedOut {
            function: Arc::from(&*self.name),
            tries,
            timeout,
            pid: std::process::id() as i32,
            raised: None,
            stack: None,
        }))
    }
}

fn told(verdict: Verdict, kind: u8, bytes: &[u8], pieces: Vec<Piece>, took: Duration) -> Outcome {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    Outcome::Called { verdict, payload: Payload::copied(kind, bytes).with_pieces(pieces), nanos }
}

/// The function as a worker would load it, once.
fn load(py: Python<'_>, own: &Own, number: u64, definition: &[u8]) -> PyResult<Py<PyAny>> {
    if let Some(function) = locked(&own.loaded).get(&number).map(|function| function.clone_ref(py)) {
        return Ok(function);
    }
    // Nothing is beside it.
    let pickle = table::split(definition).map_or(definition, |(pickle, _)| pickle);
    let function = while_loading(|| function::decode_function(py, pickle, None))?;
    let outdated = {
        let mut loaded = locked(&own.loaded);
        let outdated = if loaded.len() >= MAX_FUNCTIONS { std::mem::take(&mut *loaded) } else { Default::default() };
        loaded.insert(number, function.clone_ref(py));
        outdated
    };
    drop(outdated);
    Ok(function)
}

/// Whether this ends the task that this process runs for the pool: its time is over, or nobody wants it.
fn is_order_to_end(py: Python<'_>, error: &PyErr) -> bool {
    let class = py.import(intern!(py, "plait._errors")).and_then(|module| module.getattr(intern!(py, "CallStopped")));
    class.is_ok_and(|class| error.matches(py, class).unwrap_or(false))
}
