//! The class.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use plait_engine::locks::{Deadline, Left, Name};
use plait_engine::queue::{Bounds, Looks, Message as Waiting, Offer, Queue, Ready, Taken, Wanted, this_thread};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::errors::{empty, full, not_in, not_put, not_taken, shut_down, too_many_done};
use super::letter::{self, Sealed, decode, encode, seal};
use crate::errors::plait_error;
use crate::locks::travel::{self, Pickled, There};
use crate::locks::waiting::{self, Ended, Wait, block};
use crate::scratch::with_message;

thread_local! {
    /// Where the bytes of an item are put before they are decoded.
    static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// How often the item came back that this thread took last.
    static RETURNS: Cell<u32> = const { Cell::new(0) };
}

/// A buffer larger than this is not kept.
const KEEP: usize = 64 << 10;

/// See `plait.Queue`.
#[pyclass(frozen, subclass, weakref, module = "plait._core")]
pub struct QueueBase {
    queue: Queue,
    for_items: Looks,
    for_room: Looks,
    /// Whether it matters of which item it is said that it is done.
    redeliver: bool,
}

/// An item that may have to wait for room.
#[pyclass(frozen, module = "plait._core")]
pub struct Letter(Mutex<Option<Sealed>>);

/// A bound as `queue.Queue` takes it: none, where it is not above zero.
fn bound<N: TryFrom<i64> + Default>(most: i64) -> PyResult<N> {
    N::try_from(most.max(0)).map_err(|_| PyValueError::new_err("maxsize is at most 4294967295; 0 is no bound"))
}

/// Whatever is true, as `queue.Queue` takes it.
fn truth(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.is_truthy()
}

/// How long to wait: not at all, or until then.
fn patience(blocking: bool, timeout: Option<f64>) -> PyResult<Option<Option<Deadline>>> {
    if !blocking {
        return Ok(None);
    }
    if timeout.is_some_and(|timeout| timeout < 0.0) {
        return Err(PyValueError::new_err("'timeout' must be a non-negative number"));
    }
    Ok(Some(waiting::deadline(timeout)?))
}

/// Of what there may be several that take items at the same time: tasks of an event loop, or threads.
fn taker(py: Python<'_>) -> u32 {
    static CURRENT_TASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    // Who has not imported asyncio is in no task.
    let is_loaded = py.import("sys").and_then(|sys| sys.getattr("modules")?.contains("asyncio")).unwrap_or(false);
    let task =
        is_loaded.then(|| CURRENT_TASK.import(py, "asyncio", "current_task").and_then(|current| current.call0()));
    match task {
        Some(Ok(task)) if !task.is_none() => (task.as_ptr() as usize >> 4) as u32 | 1 << 31,
        // Outside of a loop it raises.
        _ => this_thread(),
    }
}

impl QueueBase {
    /// Who takes, where that matters.
    fn who(&self, py: Python<'_>) -> u32 {
        if self.redeliver { taker(py) } else { 0 }
    }

    /// Takes the next item if there is one.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut bytes = BYTES.take();
        bytes.clear();
        let taken = match self.queue.take_as(self.who(py), &mut bytes) {
            Ok(Taken::Message { kind, parcel, times }) => {
                RETURNS.set(times);
                decode(py, kind, &bytes, parcel).map(Some)
            }
            Ok(Taken::Empty) => Ok(None),
            Ok(Taken::Closed) => Err(shut_down(py)),
            Err(error) => Err(not_taken(py, &error)),
        };
        if bytes.capacity() <= KEEP {
            BYTES.set(bytes);
        }
        taken
    }

    /// Puts what was sealed, waiting until the deadline.
    fn put_sealed(&self, py: Python<'_>, sealed: Sealed, deadline: Option<Deadline>) -> PyResult<()> {
        let wanted = sealed.wanted();
        py.detach(|| self.for_room.look(|| self.queue.is_ready(wanted).unwrap_or(true)));
        let message = match sealed {
            Sealed::Bytes(kind, bytes) => Waiting::Bytes { kind, bytes },
            Sealed::Parcel(parcel) => Waiting::Parcel(parcel),
        };
        match block(py, &mut self.queue.putting(message), deadline)? {
            None => Err(full(py)),
            Some(Ok(true)) => Ok(()),
            Some(Ok(false)) => Err(shut_down(py)),
            Some(Err(error)) => Err(not_put(&error)),
        }
    }

    fn put_item(&self, item: &Bound<'_, PyAny>, patience: Option<Option<Deadline>>) -> PyResult<()> {
        let py = item.py();
        with_message(|message| {
            let label = encode(item, message)?;
            let offer = if letter::is_short(message) {
                self.queue.offer(label, &message.bytes).map_err(|error| not_put(&error))?
            } else {
                if patience.is_none() && self.queue.is_full().map_err(not_in)? {
                    return Err(full(py));
                }
                let mut sealed = seal(py, &self.queue, label, message)?;
                match (sealed.offer(&self.queue)?, patience) {
                    (Offer::Full, Some(deadline)) => return self.put_sealed(py, sealed, deadline),
                    (offer, _) => offer,
                }
            };
            match (offer, patience) {
                (Offer::Done, _) => Ok(()),
                (Offer::Closed, _) => Err(shut_down(py)),
                (Offer::Full, None) => Err(full(py)),
                (Offer::Full, Some(deadline)) => {
                    let sealed = seal(py, &self.queue, label, message)?;
                    self.put_sealed(py, sealed, deadline)
                }
            }
        })
    }

    fn get_item<'py>(&self, py: Python<'py>, patience: Option<Option<Deadline>>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(item) = self.take(py)? {
            return Ok(item);
        }
        let Some(deadline) = patience else { return Err(empty(py)) };
        if py.detach(|| self.for_items.look(|| !self.queue.is_empty()))
            && let Some(item) = self.take(py)?
        {
            return Ok(item);
        }
        match block(py, &mut self.queue.getting_as(self.who(py)), deadline)? {
            None => Err(empty(py)),
            Some(Ok(Some(item))) => {
                RETURNS.set(item.times);
                decode(py, item.kind, &item.bytes, item.parcel)
            }
            Some(Ok(None)) => Err(shut_down(py)),
            Some(Err(error)) => Err(not_taken(py, &error)),
        }
    }
}

#[pymethods]
impl QueueBase {
    #[new]
    #[pyo3(signature = (maxsize=0, *, maxbytes=0, redeliver=false, _there=None))]
    fn new(
        py: Python<'_>,
        maxsize: i64,
        maxbytes: i64,
        #[pyo3(from_py_with = truth)] redeliver: bool,
        _there: Option<There>,
    ) -> PyResult<Self> {
        let queue = match _there {
            Some((address, name)) => {
                let found = Queue::at(&travel::at(py, &address)?, Name(name)).map_err(|error| not_put(&error))?;
                found.ok_or_else(|| {
                    plait_error(
                        py,
                        "a queue that was pickled is no more: nobody had kept it, and very many were made since; keep it where it is \
                         sent from",
                    )
                })?
            }
            None => {
                let bounds = Bounds { items: bound(maxsize)?, bytes: bound(maxbytes)?, redeliver };
                let made = Queue::create(&travel::home(py)?, bounds).map_err(|error| not_put(&error))?;
                made.ok_or_else(|| {
                    PyMemoryError::new_err(
                        "there is no room for another queue: this program keeps too many of them, or files may not be \
                         long enough (`ulimit -f`)",
                    )
                })?
            }
        };
        let redeliver = queue.bounds().redeliver;
        Ok(Self { queue, redeliver, for_items: Looks::default(), for_room: Looks::default() })
    }

    /// The most items, 0 where there is no bound.
    #[getter]
    fn maxsize(&self) -> u32 {
        self.queue.bounds().items
    }

    #[setter]
    fn set_maxsize(&self, maxsize: i64) -> PyResult<()> {
        self.queue.set_most(bound(maxsize)?);
        Ok(())
    }

    /// The most bytes of pickled items, 0 where there is no bound.
    #[getter]
    fn maxbytes(&self) -> u64 {
        self.queue.bounds().bytes
    }

    /// Whether an item that was taken, and not said to be done, is given again when the process that took it ends.
    #[getter]
    fn redeliver(&self) -> bool {
        self.redeliver
    }

    /// How often the item that this thread took last had come back: 0 for one that nobody had taken before.
    #[getter]
    fn returns(&self) -> u32 {
        RETURNS.get()
    }

    /// Put an item, waiting for room as `queue.Queue` does.
    #[pyo3(signature = (item, block=true, timeout=None))]
    fn put(
        &self,
        item: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        self.put_item(item, patience(block, timeout)?)
    }

    /// Put an item if there is room, else raise `queue.Full`.
    fn put_nowait(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_item(item, None)
    }

    /// Take the next item, waiting for one as `queue.Queue` does.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.get_item(py, patience(block, timeout)?)
    }

    /// Take the next item if there is one, else raise `queue.Empty`.
    fn get_nowait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_item(py, None)
    }

    /// How many items are in it.
    fn qsize(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is.
    fn empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the next item would have to wait.
    fn full(&self) -> PyResult<bool> {
        self.queue.is_full().map_err(not_in)
    }

    /// Say that an item that was taken is done.
    fn task_done(&self, py: Python<'_>) -> PyResult<()> {
        if self.queue.done_as(self.who(py)).map_err(not_in)? { Ok(()) } else { Err(too_many_done()) }
    }

    /// Wait until all items are done, or lost with those who took them.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        if self.queue.open().map_err(not_in)? == 0 {
            return Ok(());
        }
        block(py, &mut self.queue.joining(), None)?.map_or(Ok(()), |joined| joined.map_err(not_in))
    }

    /// How many items were put and are neither done nor lost: what `join` waits for.
    #[getter]
    fn unfinished_tasks(&self) -> PyResult<u32> {
        self.queue.open().map_err(not_in)
    }

    /// How many items were lost: taken by processes that ended before they said that these were done.
    #[getter]
    fn lost(&self) -> PyResult<u32> {
        self.queue.lost().map_err(not_in)
    }

    /// Let no item in any more; what is in it can be taken, unless it is to be dropped.
    #[pyo3(signature = (immediate=false))]
    fn shutdown(&self, #[pyo3(from_py_with = truth)] immediate: bool) -> PyResult<()> {
        self.queue.close(immediate).map_err(not_in)
    }

    /// Whether it was shut.
    #[getter]
    fn is_shutdown(&self) -> PyResult<bool> {
        self.queue.is_closed().map_err(not_in)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.get_item(py, Some(None)) {
            Ok(item) => Ok(Some(item)),
            Err(error) if error.get_type(py).is(shut_down(py).get_type(py)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An item for a coroutine to put.
    fn _seal(&self, item: &Bound<'_, PyAny>) -> PyResult<Letter> {
        with_message(|message| {
            let label = encode(item, message)?;
            Ok(Letter(Mutex::new(Some(seal(item.py(), &self.queue, label, message)?))))
        })
    }

    /// Put it, if there is room.
    fn _offer(&self, py: Python<'_>, letter: &Letter) -> PyResult<bool> {
        let mut sealed = letter.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(inside) = sealed.as_mut() else { return Err(PyRuntimeError::new_err("it was put already")) };
        match inside.offer(&self.queue)? {
            Offer::Done => {
                *sealed = None;
                Ok(true)
            }
            Offer::Full => Ok(false),
            Offer::Closed => Err(shut_down(py)),
        }
    }

    /// Begin to wait until it is worthwhile to put it; without a letter, until it is to take.
    #[pyo3(signature = (tell, timeout, letter=None))]
    fn _begin(&self, tell: Py<PyAny>, timeout: Option<f64>, letter: Option<&Letter>) -> PyResult<Wait> {
        let ready = self.queue.ready(wanted(letter));
        waiting::begin(ready, waiting::deadline(timeout)?, tell, |out, _: Ready| Box::new(Tried(out)))
    }

    /// Who was told to try does not.
    #[pyo3(signature = (letter=None))]
    fn _pass_on(&self, letter: Option<&Letter>) {
        self.queue.pass_on(wanted(letter));
    }

    /// Begin to wait until all is done.
    fn _begin_join(&self, tell: Py<PyAny>) -> PyResult<Wait> {
        waiting::begin(self.queue.joining(), None, tell, |out, _| Box::new(Tried(out)))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Pickled<'py>> {
        let queue = &slf.get().queue;
        travel::pickled(slf, queue.memory(), queue.name())
    }
}

fn wanted(letter: Option<&Letter>) -> Wanted {
    let Some(letter) = letter else { return Wanted::Message };
    let sealed = letter.0.lock().unwrap_or_else(PoisonError::into_inner);
    sealed.as_ref().map_or(Wanted::Room { len: 0, is_parcel: false }, Sealed::wanted)
}

/// How a wait of a coroutine ended: whether it was in time.
struct Tried(Result<Result<(), plait_engine::locks::JoinError>, Left>);

impl Ended for Tried {
    fn value(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let in_time = match self.0 {
            Ok(Err(error)) => return Err(not_in(error)),
            out => out.is_ok(),
        };
        Ok(in_time.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn undo(self: Box<Self>) {}
}
