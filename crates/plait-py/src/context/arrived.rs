//! Context variables in a worker process: those that came with a call, over those that the worker has by itself.

use std::rc::Rc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

use super::{copy, copy_current, enter, is_empty, new, set};
use crate::worker::while_loading;
use crate::{errors, form};

/// Variables of this process, and what they are to be.
type Values = Vec<(Py<PyAny>, Py<PyAny>)>;

/// What a worker has read, so that it need not be read again with each call of a map.
#[derive(Default)]
pub struct Arrivals {
    last: Option<(Box<[u8]>, Rc<Values>)>,
}

impl Arrivals {
    /// What [`super::push`] wrote. Modules that values need are imported; a variable is set only where its module is there,
    /// or comes while the call runs.
    ///
    /// # Errors
    /// An interrupt; what cannot be had here is left out.
    fn read(&mut self, py: Python<'_>, bytes: &[u8]) -> PyResult<Rc<Values>> {
        if let Some((known, values)) = &self.last
            && **known == *bytes
        {
            return Ok(Rc::clone(values));
        }
        let unpack = py.import(intern!(py, "plait._context"))?.getattr(intern!(py, "unpack"))?;
        let (values, is_lasting) = unpack.call1((PyBytes::new(py, bytes),))?.extract::<(Values, bool)>()?;
        let values = Rc::new(values);
        // Of a value that can be changed the next call gets another copy.
        self.last = is_lasting.then(|| (bytes.into(), Rc::clone(&values)));
        Ok(values)
    }
}

impl Arrivals {
    /// A context for a call that came with this, over the worker's own as it is now.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn context<'py>(&mut self, py: Python<'py>, sent: Option<&[u8]>) -> PyResult<Bound<'py, PyAny>> {
        self.over(copy_current(py)?, sent)
    }

    /// The same for a call within another, over what the worker's variables were when it began.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn context_within<'py>(&mut self, py: Python<'py>, sent: Option<&[u8]>) -> PyResult<Bound<'py, PyAny>> {
        self.over(BASE.get(py).map_or_else(|| new(py), |base| copy(base.bind(py)))?, sent)
    }

    fn over<'py>(&mut self, context: Bound<'py, PyAny>, sent: Option<&[u8]>) -> PyResult<Bound<'py, PyAny>> {
        let Some(sent) = sent else { return Ok(context) };
        let values = while_loading(|| self.read(context.py(), sent))?;
        if !values.is_empty() {
            let entered = enter(context.clone())?;
            for (variable, value) in &*values {
                set(variable.bind(entered.py()), value.bind(entered.py()))?;
            }
        }
        Ok(context)
    }
}

/// What was sent of a context with a message of this form, and the rest of the message.
pub fn split<'a>(py: Python<'_>, form: u8, payload: &'a [u8]) -> PyResult<(Option<&'a [u8]>, &'a [u8])> {
    if form & form::IN_CONTEXT == 0 {
        return Ok((None, payload));
    }
    let parts = payload.split_first_chunk().and_then(|(length, rest)| {
        let length = u32::from_le_bytes(*length) as usize;
        rest.split_at_checked(length)
    });
    let (context, rest) = parts.ok_or_else(|| errors::plait_error(py, "a task with half a context"))?;
    Ok((Some(context), rest))
}

/// What the worker's own variables were when it began to take calls.
static BASE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The worker's initializer has run.
pub fn keep_base(py: Python<'_>) -> PyResult<()> {
    let context = copy_current(py)?;
    if !is_empty(&context)? {
        let _ = BASE.set(py, context.unbind());
    }
    Ok(())
}
