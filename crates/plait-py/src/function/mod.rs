//! Functions go to a worker once: the table knows what was pickled, and sees when it is no longer true.
//!
//! A function that a worker can import goes by name and is known by its identity. All others go by value, by cloudpickle, and
//! are known by a [`fingerprint`]: as long as it matches, the bytes made before still say what the function does. Where
//! something mutable is captured no fingerprint can tell, so the function is pickled anew each time and the bytes are compared:
//! slower (some 20 µs), never stale. Same bytes, same id.
//!
//! In the worker, one id is one function object: what it keeps in globals or closures lives from call to call, as it
//! does for functions of imported modules.

mod fingerprint;
pub mod hooks;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plait_engine::heap::{Heap, Piece, table_of};
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyType};

use crate::codec::{Content, Message, Root, byname, dumps_by_value, dumps_into, load_message};
use crate::memory;
use fingerprint::Fingerprint;
use table::{Entry, Key, Table};

/// How a callable goes to a worker.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// As a function that the worker keeps: load `bytes` with [`decode_function`] once, then `id` says it all.
    Cached {
        /// Never used twice in one table.
        id: u64,
        /// The pickled function, and the table of what it refers to.
        bytes: Arc<[u8]>,
        /// What it refers to in shared memory.
        pieces: Arc<[Piece]>,
    },
    /// With the arguments, each time ([`crate::codec::encode_direct`]): partial objects, bound methods, callable instances.
    Direct,
}

/// How a function was found to be.
enum Nature {
    /// Imported by the worker; held, so that its address stays its own.
    ByName { _function: Py<PyAny> },
    /// By value, and nothing in it can change unseen.
    Watched(Fingerprint),
    /// By value, and something in it can.
    Volatile,
}

/// What this process has prepared for the workers of one pool.
pub struct FunctionTable {
    table: Mutex<Table<Nature>>,
    /// Where large data that functions capture is put, beside their pickles; nowhere: into them.
    heap: Option<Arc<Heap>>,
}

impl Default for FunctionTable {
    fn default() -> Self {
        Self::new()
    }
}

impl FunctionTable {
    /// An empty table that keeps up to 4096 functions and 256 MiB of their pickles; the least recently used go first.
    pub fn new() -> FunctionTable {
        Self::with_limits(4096, 256 << 20)
    }

    /// The same, and what functions capture of large data goes into shared memory.
    pub fn with_buffers(heap: Arc<Heap>) -> FunctionTable {
        FunctionTable { heap: Some(heap), ..Self::with_limits(4096, 1 << 30) }
    }

    /// An empty table with limits of its own. The function prepared last is always kept.
    pub fn with_limits(functions: usize, bytes: usize) -> FunctionTable {
        FunctionTable { table: Mutex::new(Table::new(functions, bytes)), heap: None }
    }

    /// Says how `function` goes to a worker, as it is now.
    ///
    /// # Errors
    /// `plait.NotPicklable` with the path to the culprit.
    pub fn prepare(&self, function: &Bound<'_, PyAny>) -> PyResult<Prepared> {
        let py = function.py();
        let epoch = byname::epoch(py);
        let by_identity = Key::identity(function.as_ptr());
        if let Some(entry) = self.table().get(by_identity).filter(|entry| entry.epoch == epoch)
            && matches!(entry.nature, Nature::ByName { .. })
        {
            return Ok(cached(&entry));
        }
        let Ok(plain) = function.cast_exact::<PyFunction>() else {
            return self.prepare_other(function, by_identity, epoch);
        };
        let by_shape = fingerprint::shape(plain);
        let known = self.table().get(by_shape);
        if let Some(entry) = &known
            && entry.epoch == epoch
            && let Nature::Watched(fingerprint) = &entry.nature
            && fingerprint.matches(plain)
        {
            return Ok(cached(entry));
        }
        if known.is_none() && byname::resolves(function)? {
            return self.by_name(function, by_identity, epoch);
        }
        // Taken before pickling: what changes in between is a mismatch the next time, not a stale function.
        let nature = Fingerprint::take(plain)?.map_or(Nature::Volatile, Nature::Watched);
        self.by_value(function, by_shape, epoch, nature)
    }

    /// Callables that are not Python functions.
    fn prepare_other(&self, function: &Bound<'_, PyAny>, key: Key, epoch: u64) -> PyResult<Prepared> {
        if byname::resolves(function)? {
            return self.by_name(function, key, epoch);
        }
        if function.is_instance_of::<PyType>() {
            // A class can be changed in place at any time.
            return self.by_value(function, key, epoch, Nature::Volatile);
        }
        Ok(Prepared::Direct)
    }

    fn by_name(&self, function: &Bound<'_, PyAny>, key: Key, epoch: u64) -> PyResult<Prepared> {
        let mut out = Message::default();
        dumps_into(function.py(), function, Root::Function, &mut out)?;
        self.keep(key, epoch, Nature::ByName { _function: function.clone().unbind() }, out, function.py())
    }

    fn by_value(&self, function: &Bound<'_, PyAny>, key: Key, epoch: u64, nature: Nature) -> PyResult<Prepared> {
        let mut out = Message { takes_buffers: self.heap.is_some(), ..Message::default() };
        dumps_by_value(function.py(), function, Root::Function, &mut out)?;
        self.keep(key, epoch, nature, out, function.py())
    }

    fn keep(&self, key: Key, epoch: u64, nature: Nature, mut out: Message, py: Python<'_>) -> PyResult<Prepared> {
        // Data that did not change lies where it lay, so equal bytes mean equal data.
        let pieces = match &self.heap {
            Some(heap) => memory::place(py, heap, &out)?.pieces,
            None => Vec::new(),
        };
        let weight = out.weight();
        out.bytes.extend_from_slice(&table_of(&pieces));
        // Dropped after the lock: giving up a function may run Python code, even this table's.
        let (entry, _outdated) = self.table().insert(key, epoch, nature, &out.bytes, weight, pieces);
        Ok(cached(&entry))
    }

    /// The ids that the table has given up since the last call, for the workers to give up too. One that is in flight is
    /// still good: its bytes are held by whoever got them.
    pub fn take_forgotten(&self) -> Vec<u64> {
        self.table().take_forgotten()
    }

    /// How many functions the table holds.
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Held for look-ups alone, never while Python code runs.
    fn table(&self) -> MutexGuard<'_, Table<Nature>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cached(entry: &Entry<Nature>) -> Prepared {
    Prepared::Cached { id: entry.id, bytes: Arc::clone(&entry.bytes), pieces: Arc::clone(&entry.pieces) }
}

/// The function that [`FunctionTable::prepare`] pickled; `bytes` without their table.
///
/// # Errors
/// What unpickling raises (such as `ModuleNotFoundError`), with a note that says where.
pub fn decode_function(py: Python<'_>, bytes: &[u8], buffers: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
    load_message(py, bytes, buffers, Content::Function).map(Bound::unbind).inspect_err(|error| {
        let _ = error.value(py).call_method1("add_note", ("raised while a plait worker loaded the function",));
    })
}

/// What errors call a function.
pub fn name_of(function: &Bound<'_, PyAny>) -> String {
    let text = |name| function.getattr(name).and_then(|value| value.extract::<String>());
    match (text("__module__"), text("__qualname__")) {
        (Ok(module), Ok(name)) if module != "__main__" && module != "builtins" => format!("{module}.{name}"),
        (_, Ok(name)) => name,
        _ => function.get_type().name().map_or_else(|_| String::new(), |name| name.to_string()),
    }
}
