//! Calls with a timeout, or with retries.
//!
//! A thread cannot be stopped. At its deadline a call is abandoned: it goes on in its thread, and nobody will hear how
//! it ends. Each try of a call is ended by exactly one: the thread that made it, or the clock of `deadlines`.

use std::sync::Arc;
use std::time::Duration;

use plait_engine::tally::Counters;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;

use crate::future::{FutureCore, Held};
use crate::process::name_of;

use super::work::Works;
use super::{Call, Tasks, deadlines, finish};

/// What a call may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// From the start of each try; at its end the try is abandoned.
    pub(super) timeout: Option<Duration>,
    /// Tries after the first one.
    pub(super) retries: u32,
}

impl Limits {
    /// `None` where nothing is limited. A timeout that is too long to be counted is none.
    pub(super) fn new(timeout: Option<f64>, retries: u32) -> Option<Self> {
        let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        (timeout.is_some() || retries > 0).then_some(Self { timeout, retries })
    }
}

/// A call that has begun, and its future.
struct Begun {
    core: Arc<FutureCore>,
    call: Call,
    limits: Limits,
}

/// A try of a call.
#[derive(Clone)]
pub struct Attempt {
    begun: Arc<Begun>,
    /// Tries that have failed before.
    failed: u32,
}

impl Attempt {
    /// The first try of a call that has limits.
    pub(super) fn first(core: Arc<FutureCore>, mut call: Call) -> Self {
        let limits = call.limits.take().map_or(Limits { timeout: None, retries: 0 }, |limits| *limits);
        Self { begun: Arc::new(Begun { core, call, limits }), failed: 0 }
    }

    /// The future.
    pub(super) fn core(&self) -> Arc<FutureCore> {
        Arc::clone(&self.begun.core)
    }

    /// This try has failed: the next one, if there is one left.
    pub(super) fn next(&mut self) -> bool {
        self.failed += 1;
        self.failed <= self.begun.limits.retries
    }

    /// Ends the future; the arguments go before the result is known, as when a plain call returns.
    fn end(self, py: Python<'_>, tasks: &Tasks, held: Held) {
        let core = Arc::clone(&self.begun.core);
        drop(self);
        finish(py, tasks, &core, held);
    }

    /// Ends the future because its last try was abandoned, and there will be no other.
    pub(super) fn give_up(self, py: Python<'_>, tasks: &Tasks) {
        let error = self.abandoned(py);
        self.end(py, tasks, Held::Error(error));
    }

    /// The exception of a call whose last try, which is counted among the failed ones, was abandoned.
    pub(super) fn abandoned(&self, py: Python<'_>) -> Py<PyAny> {
        let made = (|| {
            let seconds = self.begun.limits.timeout.map_or(0.0, |timeout| timeout.as_secs_f64());
            let name = name_of(self.begun.call.function.bind(py));
            let message = format!(
                "{name} took longer than its timeout of {seconds} s and was abandoned: a thread cannot be stopped, so \
                 the call goes on in its thread, and what comes of it is dropped"
            );
            let class = py.import(intern!(py, "plait._errors"))?.getattr(intern!(py, "TaskTimeout"))?;
            let error = class.call1((message,))?;
            error.setattr(intern!(py, "timeout"), seconds)?;
            error.setattr(intern!(py, "task"), name)?;
            error.setattr(intern!(py, "tries"), self.failed)?;
            self.note_tries(&error)?;
            Ok(error)
        })();
        made.unwrap_or_else(|error: PyErr| error.into_value(py).into_bound(py).into_any()).unbind()
    }

    fn note_tries(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.failed > 1 {
            let note = format!("plait: failed in each of {} tries", self.failed);
            error.call_method1(intern!(error.py(), "add_note"), (note,))?;
        }
        Ok(())
    }
}

/// Makes this try, and those after it, until one returns, none is left or one is abandoned.
pub(super) fn run(py: Python<'_>, works: &Works, mut attempt: Attempt) {
    loop {
        let watch = match attempt.begun.limits.timeout {
            None => None,
            Some(timeout) => match deadlines::watch(py, works, &attempt, timeout) {
                Ok(watch) => watch,
                Err(error) => return attempt.end(py, &works.tasks, Held::Error(error.into_value(py).into_any())),
            },
        };
        works.timed.set(watch.is_some());
        let (_, called) = works.during(py, attempt.core(), || attempt.begun.call.make(py, works.initialized.as_ref()));
        works.timed.set(false);
        if let Some(watch) = watch
            && !watch.end()
        {
            drop((called, attempt));
            works.tasks.come_back();
            works.come_back();
            return;
        }
        let error = match called {
            Ok(value) => {
                works.hear();
                return attempt.end(py, &works.tasks, Held::Value(value));
            }
            Err(error) => error,
        };
        let again = attempt.next();
        let value = error.into_value(py).into_bound(py).into_any();
        if value.is_instance_of::<PyException>() {
            if again {
                Counters::add(&works.tasks.tally.count().retried);
                continue;
            }
            if let Err(error) = attempt.note_tries(&value) {
                error.write_unraisable(py, Some(&value));
            }
        }
        works.hear();
        return attempt.end(py, &works.tasks, Held::Error(value.unbind()));
    }
}
