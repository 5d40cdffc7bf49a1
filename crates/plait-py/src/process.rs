//! The process pool's face to Python: submitting, and what futures need of their pool.

mod engine;
mod origin;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use plait_engine::heap::{Heap, Piece, table_of};
use plait_engine::pool::{Awaited, Function, NewTask, Pool};
use plait_observe::Beacon;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustix::process::Signal;

pub(crate) use crate::form;
pub use crate::function::name_of;
use crate::function::{FunctionTable, Prepared};
use crate::future::{FutureCore, Held, Home, Phase, ProcessTicket, new_future};
pub use crate::limits::Limits;
use crate::memory::Effort;
use crate::pools::Published;
pub use crate::program::forks;
use crate::scratch::with_message;
use crate::worker::is_loading;
use crate::{codec, context, errors, exit, logs, memory};
pub use engine::ProcessEngine;

/// A process pool as its futures know it.
pub struct ProcessHome {
    pool: Option<Pool<ProcessTicket>>,
    /// The memory that its workers see.
    heap: Arc<Heap>,
    /// What of it each worker is given at its start: held until the last of them has ended.
    _given: Vec<Piece>,
    published: Published,
    /// Of workers that were asked what they run.
    pub beacons: Mutex<HashMap<i32, Beacon>>,
    functions: Mutex<HashMap<u64, Arc<Function>>>,
    table: FunctionTable,
    forks: u64,
    /// Of calls that were given none of their own.
    limits: Limits,
}

/// How to call something in a worker.
pub struct Callee {
    pub function: Arc<Function>,
    pub direct: bool,
}

const NO_FUNCTION: u64 = 0;

impl ProcessHome {
    pub fn pool(&self) -> &Pool<ProcessTicket> {
        self.pool.as_ref().expect("taken out only while the home is dropped")
    }

    fn is_foreign(&self) -> bool {
        self.forks != forks()
    }

    fn check(&self) -> PyResult<()> {
        if self.is_foreign() {
            return Err(PyRuntimeError::new_err(
                "this pool belongs to the parent process; make a new one after os.fork()",
            ));
        }
        Ok(())
    }

    /// Waits until `core` is done; `false` when the deadline came first.
    pub fn wait(&self, py: Python<'_>, core: &Arc<FutureCore>, deadline: Option<Instant>) -> PyResult<bool> {
        self.check()?;
        let target: Arc<dyn Awaited> = Arc::clone(core) as _;
        let done = py.detach(|| self.pool().wait(&target, deadline, exit::check_signals))?;
        self.hear(py)?;
        Ok(done)
    }

    /// Whether few calls are pending, so that the answer to one may be there soon; then [`Self::glance`] is to follow.
    pub fn expect(&self) -> bool {
        !self.is_foreign() && self.pool().expect()
    }

    /// Looks for the end of `core` for some microseconds; whether it has ended.
    ///
    /// # Errors
    /// Those of [`Self::hear`].
    pub fn glance(&self, py: Python<'_>, core: &Arc<FutureCore>) -> PyResult<bool> {
        let target = Arc::clone(core);
        let done = py.detach(|| self.pool().glance(&*target));
        if done {
            self.hear(py)?;
        }
        Ok(done)
    }

    /// Before a result is handed out: what workers wrote before it has to have been heard.
    ///
    /// # Errors
    /// What stops a log handler that ran on this thread, such as Ctrl-C.
    #[inline]
    pub fn hear(&self, py: Python<'_>) -> PyResult<()> {
        if self.pool().has_notes() && !self.is_foreign() {
            return logs::hearing(|| py.detach(|| self.pool().take_notes()));
        }
        Ok(())
    }

    /// Takes a task back from the pool; whether nobody had begun it.
    pub fn cancel(&self, core: &FutureCore) -> bool {
        !self.is_foreign() && core.task().is_some_and(|task| self.pool().cancel(task).is_some())
    }

    /// Has a task stopped that a worker runs; whether it has not ended.
    pub fn stop(&self, core: &FutureCore) -> bool {
        !self.is_foreign() && core.task().is_some_and(|task| self.pool().stop(task))
    }

    /// Whether a worker runs the task.
    pub fn is_running(&self, core: &FutureCore) -> bool {
        !self.is_foreign() && core.task().is_some_and(|task| self.pool().is_running(task))
    }

    /// Takes results that are there.
    pub fn pump(&self) {
        if !self.is_foreign() {
            self.pool().pump();
        }
    }

    /// Somebody wants to be told of a future's end.
    pub fn watch(&self) {
        if !self.is_foreign() {
            self.pool().watch();
        }
    }

    /// Takes back one [`ProcessHome::watch`].
    pub fn unwatch(&self) {
        if !self.is_foreign() {
            self.pool().unwatch();
        }
    }

    /// Takes no more tasks, cancels those not begun and kills the workers; or, with `politely`, sends them SIGTERM.
    pub fn give_up(&self, politely: bool) {
        if !self.is_foreign() {
            self.published.close();
            self.pool().give_up(if politely { Signal::TERM } else { Signal::KILL }.as_raw());
        }
    }

    /// After a shutdown: waits until all workers have ended.
    pub fn join(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<bool> {
        if self.is_foreign() {
            return Ok(true);
        }
        let ended = py.detach(|| {
            let end = self.pool().end();
            self.pool().wait(&end, deadline, exit::check_signals)
        })?;
        // A log handler of another thread may be slow. It may also wait for this one.
        for _ in 0..LAST_LOOKS {
            if !ended || !self.pool().has_notes() {
                break;
            }
            self.hear(py)?;
            py.check_signals()?;
        }
        Ok(ended)
    }

    /// Makes a function known to the pool.
    pub fn callee(&self, py: Python<'_>, function: &Bound<'_, PyAny>) -> PyResult<Callee> {
        self.check()?;
        refuse_while_loading()?;
        let (number, known) = match self.table.prepare(function)? {
            Prepared::Cached { id, bytes, pieces } => (id, Some((bytes, pieces))),
            Prepared::Direct => (NO_FUNCTION, None),
        };
        let direct = known.is_none();
        {
            let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(function) = functions.get(&number) {
                return Ok(Callee { function: Arc::clone(function), direct });
            }
        }
        let name = if direct { String::new() } else { name_of(function) };
        let (bytes, pieces) = known.unwrap_or_else(|| (table_of(&[]).into(), Vec::new().into()));
        let placed =
            self.pool().place(number, &name, &bytes, &pieces).map_err(|error| errors::refused(py, &error.into()))?;
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in self.table.take_forgotten() {
            functions.remove(&gone);
        }
        let function = functions.entry(number).or_insert(placed);
        Ok(Callee { function: Arc::clone(function), direct })
    }

    /// Submits a call and gives its future, which fails at once if the call cannot be pickled.
    fn submit<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        limits: &Limits,
    ) -> PyResult<Bound<'py, PyAny>> {
        let core = FutureCore::new(Home::Processes(Arc::clone(self)));
        if let Err(error) = self.send_call(py, &core, function, args, kwargs, limits) {
            if !errors::is_not_picklable(py, &error) {
                return Err(error);
            }
            let error = errors::for_future(py, error)?.unbind();
            core.transition(&[Phase::Pending], Phase::Finished, Held::Error(error));
        }
        new_future(py, core)
    }

    fn send_call(
        &self,
        py: Python<'_>,
        core: &Arc<FutureCore>,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        limits: &Limits,
    ) -> PyResult<()> {
        let callee = self.callee(py, function)?;
        with_message(|out| {
            out.takes_buffers = true;
            out.takes_long = true;
            // Not before the function: a variable that it refers to has a name from then on.
            let context = context::of_current(py)?;
            let form = if callee.direct { form::DIRECT } else { form::CALL };
            let form = context::push(context.as_ref(), form, out);
            let kind = if callee.direct {
                codec::encode_direct(py, function, args, kwargs, out)?
            } else {
                codec::encode_call(py, args, kwargs, out)?
            };
            self.send(py, core, &callee, form, kind as u8, out, limits).map(|_| ())
        })
    }

    /// Submits an encoded task whose end `core` will be told; what it took to place its buffers.
    #[expect(clippy::too_many_arguments, reason = "the parts of a message")]
    pub fn send(
        &self,
        py: Python<'_>,
        core: &Arc<FutureCore>,
        callee: &Callee,
        form: u8,
        kind: u8,
        message: &codec::Message,
        limits: &Limits,
    ) -> PyResult<Effort> {
        let Limits { timeout, retries } = *limits;
        let memory::Placed { pieces, rest, effort } = memory::place(py, &self.heap, message)?;
        let (short, long): ([&[u8]; 1], Vec<_>);
        let payload = if message.long.is_empty() {
            short = [&message.bytes];
            &short[..]
        } else {
            long = message.parts().collect();
            &long
        };
        let (pieces, permit) = (&pieces[..], rest.as_ref());
        let task = NewTask { function: &callee.function, form, kind, payload, pieces, permit, retries, timeout };
        let ticket = ProcessTicket::Future(Arc::clone(core));
        // A large copy must not hold up the other threads.
        let sent = if message.len() > LARGE {
            py.detach(|| self.pool().submit(&task, ticket))
        } else {
            self.pool().submit(&task, ticket)
        };
        match sent {
            Ok(task) => {
                core.set_task(task);
                Ok(effort)
            }
            Err((_, refused)) => Err(errors::refused(py, &refused)),
        }
    }
}

const LARGE: usize = 1 << 20;

/// How often the end of a pool waits for records to be heard, without progress.
const LAST_LOOKS: usize = 10;

/// A module that calls plait while a worker imports it for a call would have that call start workers without end.
pub fn refuse_while_loading() -> PyResult<()> {
    if is_loading() {
        return Err(PyRuntimeError::new_err(
            "a worker process was importing a module for a call, and that module calls plait while it is imported; \
             put that call into a function, or under `if __name__ == \"__main__\":`",
        ));
    }
    Ok(())
}

impl Drop for ProcessHome {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        if self.forks == forks() {
            drop(pool);
        } else {
            pool.abandon();
        }
    }
}
