//! The Python extension module `plait._core`: where the engine meets the interpreter.
//!
//! Private: its names may change at any time. Everything of PyO3 is in this crate, and no decision is.

mod beacon;
mod buffer;
mod callout;
mod cell;
mod choose;
mod chunk;
mod codec;
mod compare;
mod context;
mod death;
mod errors;
mod exit;
mod form;
mod function;
mod future;
mod gauge;
mod limits;
mod locks;
mod logs;
mod machine;
mod map;
mod memory;
mod own;
mod pools;
mod process;
mod program;
mod queue;
mod record;
mod report;
mod scratch;
mod serial;
mod stats;
mod terminal;
mod thread;
mod top;
mod view;
mod watch;
mod watch_gil;
mod worker;

use pyo3::prelude::*;

/// See `plait`.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::beacon::call_as;
    #[pymodule_export]
    use crate::buffer::{Buffer, address_of, buffer_span, memory_view};
    #[pymodule_export]
    use crate::cell::{Array, Value, array_at, value_at};
    #[pymodule_export]
    use crate::choose::{Climber, choose, revise};
    #[pymodule_export]
    use crate::chunk::{submit_chunk, take_chunk};
    #[pymodule_export]
    use crate::compare::{Figures, Meter, Watch, WatchReport};
    #[pymodule_export]
    use crate::context::{Apart, forget_contexts};
    #[pymodule_export]
    use crate::exit::leave_callbacks;
    #[pymodule_export]
    use crate::future::{FutureBase, set_future_class, set_kept_class};
    #[pymodule_export]
    use crate::gauge::Gauge;
    #[pymodule_export]
    use crate::locks::{
        EventBase, LockBase, Passage, Places, RLockBase, SemaphoreBase, Turnstile, Wait, Waiting, lock_address,
        lock_arrived, new_holder, set_lock_address,
    };
    #[pymodule_export]
    use crate::logs::RecordWriter;
    #[pymodule_export]
    use crate::machine::{
        control_groups, cpu_count, default_workers, machine, memory_available, memory_budget, physical_cores,
    };
    #[pymodule_export]
    use crate::map::{ProcessMap, process_map};
    #[pymodule_export]
    use crate::memory::{bytes_copied, is_shared, shared_buffer, shared_table};
    #[pymodule_export]
    use crate::own::{OwnEngine, is_worker};
    #[pymodule_export]
    use crate::pools::PoolTally;
    #[pymodule_export]
    use crate::process::ProcessEngine;
    #[pymodule_export]
    use crate::program::{after_fork, before_fork, join_orphans};
    #[pymodule_export]
    use crate::queue::{Letter, QueueBase};
    #[pymodule_export]
    use crate::record::{Recorder, gil_refusal, process_tree};
    #[pymodule_export]
    use crate::report::{Trace, form_of, forms};
    #[pymodule_export]
    use crate::serial::{SerialMap, call_batch};
    #[pymodule_export]
    use crate::terminal::{ask_terminal, breakpoint_after, without_stdin};
    #[pymodule_export]
    use crate::thread::{ThreadEngine, ThreadQueue, start_native};
    #[pymodule_export]
    use crate::top::{PoolLooker, programs};
    #[pymodule_export]
    use crate::watch::Watcher;
    #[pymodule_export]
    use crate::watch_gil::{GilHolds, name_functions};
    #[pymodule_export]
    use crate::worker::{NurseryServer, WorkerLoop};

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::beacon::light();
        crate::pools::light();
        crate::program::prepare_for_forks();
        crate::codec::hooks::add_to(module)?;
        crate::function::hooks::add_to(module)?;
        module.add("PLATFORM", plait_engine::PLATFORM)?;
        module.add("STOP_SIGNAL", plait_engine::pool::STOP_SIGNAL)?;
        module.add("DUMP_SIGNAL", plait_engine::pool::DUMP_SIGNAL)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
