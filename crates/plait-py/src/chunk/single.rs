//! A chunk that is a future of its own: for maps that take what ends as it ends, see `plait._long`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::Chunk;
use crate::future::{FutureBase, FutureCore, Held, Home, new_future};
use crate::process::{Limits, ProcessEngine, form};
use crate::scratch::with_message;
use crate::{codec, context, errors};

/// Schedules a call of `fn` for each tuple of arguments, all of them one task of a process pool; the first of them is item
/// `first` of its map. Its future ends when they have, and [`take_chunk`] gives what they came to, not its `result`.
#[pyfunction]
pub fn submit_chunk<'py>(
    engine: &Bound<'py, ProcessEngine>,
    r#fn: &Bound<'py, PyAny>,
    calls: Vec<Bound<'py, PyAny>>,
    first: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let py = engine.py();
    let home = engine.get().home()?;
    let callee = home.callee(py, r#fn)?;
    let core = FutureCore::new(Home::Processes(Arc::clone(home)));
    let future = new_future(py, Arc::clone(&core))?;
    with_message(|out| {
        out.takes_buffers = true;
        out.takes_long = true;
        let form = context::push(context::of_current(py)?.as_ref(), form::STAR_CHUNK, out);
        let kind = if callee.direct {
            codec::encode_direct_chunk(py, r#fn, &calls, first, out)?
        } else {
            codec::encode_chunk(py, &calls, first, out)?
        };
        home.send(py, &core, &callee, form, kind as u8, out, &Limits::new(None, 0)?)
    })?;
    Ok(future)
}

/// What came of a chunk.
type Taken<'py> = (Bound<'py, PyList>, Option<Py<PyAny>>, f64, Vec<usize>);

/// What a chunk of so many items, whose future has ended, came to: the results, in order; the exception that came where
/// the next one would be, which ended it; the seconds it took, 0 if its worker died; and the places of results of class
/// `marker`. Can be asked once, and again after an interrupt.
///
/// # Errors
/// What stands for the whole chunk, because no item began.
#[pyfunction]
pub fn take_chunk<'py>(
    py: Python<'py>,
    future: &Bound<'py, FutureBase>,
    items: usize,
    first: u64,
    marker: &Bound<'py, PyAny>,
) -> PyResult<Taken<'py>> {
    let chunk = Chunk { core: Arc::clone(future.get().core()), first, items, bytes: 0, placing: Default::default() };
    let held = std::mem::replace(&mut chunk.core.slot().held, Held::Nothing);
    let Held::Told(outcome) = held else { return Err(errors::cancelled(py)) };
    let taken = chunk.read(py, &outcome);
    let interrupt = match &taken {
        Ok(ended) => ended.results.1.as_ref(),
        Err(error) => Some(error),
    };
    if let Some(error) = interrupt.filter(|error| codec::is_interrupt(py, error)) {
        // Such as Ctrl-C while results were unpickled: they are there for the next who asks.
        let error = error.clone_ref(py);
        chunk.core.slot().held = Held::Told(outcome);
        return Err(error);
    }
    let ended = taken?;
    let (values, error) = ended.results;
    let is_marked = |value: &Py<PyAny>| value.bind(py).get_type().is(marker);
    let marked = (0..values.len()).filter(|&place| is_marked(&values[place])).collect();
    let error = error.map(|error| error.into_value(py).into_any());
    let seconds = ended.cost.map_or(0.0, |(nanos, _)| nanos as f64 * 1e-9);
    Ok((PyList::new(py, values)?, error, seconds, marked))
}
