//! A worker watches its own memory between tasks, where the pool wants to know whether it grows.

use std::sync::Arc;
use std::time::Duration;

use plait_shm::WorkerMemory;

use crate::clock::now;
use crate::machine::MemoryReader;

/// Looking costs some microseconds, so it is done this often at most.
const PERIOD: Duration = Duration::from_millis(20);

/// What is known of the growth.
#[derive(Debug)]
pub(super) struct Growth {
    reader: MemoryReader,
    /// After the first task, in bytes.
    first: Option<u64>,
    next: u64,
}

impl Growth {
    /// Of this process; `None` when its memory cannot be read.
    pub(super) fn of_this_process() -> Option<Self> {
        let reader = MemoryReader::open(rustix::process::getpid().as_raw_pid())?;
        Some(Self { reader, first: None, next: 0 })
    }

    /// A task has ended.
    pub(super) fn look(&mut self, memory: &Arc<WorkerMemory>) {
        let time = now();
        if time < self.next {
            return;
        }
        self.next = time + PERIOD.as_nanos() as u64;
        let Some(used) = self.reader.private() else { return };
        let first = *self.first.get_or_insert(used);
        memory.status().note_growth(used.saturating_sub(first));
    }
}
