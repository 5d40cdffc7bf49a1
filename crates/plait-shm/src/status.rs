//! What a worker notes down of its work, for the parent to read while it lives and after it was killed.
//!
//! Promises: the task and its beginning are read together or not at all; noting is a few stores without a system call; after a
//! death the note is what the worker wrote last, however it ended.

use plait_trace::TaskId;

#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU32, AtomicU64, Line, Ordering, fence};

/// What a worker runs, as it notes it down for the parent.
///
/// | word | meaning | who writes, when |
/// |---|---|---|
/// | `turns` | twice the tasks ended, plus one while a task runs | the worker, in `begin` and `end` |
/// | `task`, `since` | the task that runs, and since when | the worker, in `begin`, while `turns` is even |
/// | `item` | which item of the task's chunk runs | the worker, in `begin` (0) and `set_item` |
/// | `stop` | the worker is to end after its task | the parent, once |
#[repr(C)]
pub struct WorkerStatus {
    noted: Line<Noted>,
    stop: Line<AtomicU32>,
}

#[repr(C)]
struct Noted {
    turns: AtomicU64,
    task: AtomicU64,
    since: AtomicU64,
    item: AtomicU32,
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for WorkerStatus {}

impl WorkerStatus {
    /// The worker begins `task` at `now_ns` of the clock that it shares with the parent. To be called in `ClaimConsumer::claim`'s
    /// `on_claim`.
    pub fn begin(&self, task: TaskId, now_ns: u64) {
        let noted = &self.noted;
        let turns = noted.turns.load(Ordering::Relaxed);
        debug_assert!(turns.is_multiple_of(2), "a worker runs one task at a time");
        // SYNC POINT with the fence in `current`: who reads a word written below sees that the turn before has ended.
        fence(Ordering::Release);
        noted.task.store(task.bits(), Ordering::Relaxed);
        noted.since.store(now_ns, Ordering::Relaxed);
        noted.item.store(0, Ordering::Relaxed);
        // SYNC POINT with the first load in `current`.
        noted.turns.store(turns | 1, Ordering::Release);
    }

    /// The worker has ended its task; to be called after the result was published.
    pub fn end(&self) {
        let noted = &self.noted;
        let turns = noted.turns.load(Ordering::Relaxed);
        debug_assert!(!turns.is_multiple_of(2), "only a task that runs can end");
        // SYNC POINT with `tasks_done`: who counts the task sees what was published before.
        noted.turns.store(turns.next_multiple_of(2), Ordering::Release);
    }

    /// Which task the worker runs, and since when.
    ///
    /// Exact once the worker is dead. While it lives, `None` can also mean that tasks change too fast to be read.
    pub fn current(&self) -> Option<(TaskId, u64)> {
        let noted = &self.noted;
        // A task shorter than these loads hides the next one for one attempt; a live worker cannot hold the parent here.
        for _ in 0..16 {
            // SYNC POINT with the store in `begin`.
            let turns = noted.turns.load(Ordering::Acquire);
            if turns.is_multiple_of(2) {
                return None;
            }
            let task = noted.task.load(Ordering::Relaxed);
            let since = noted.since.load(Ordering::Relaxed);
            // SYNC POINT with the fence in `begin`.
            fence(Ordering::Acquire);
            if noted.turns.load(Ordering::Relaxed) == turns {
                return Some((TaskId::from_bits(task), since));
            }
        }
        None
    }

    /// How many tasks the worker has ended.
    pub fn tasks_done(&self) -> u64 {
        // SYNC POINT with `end`.
        self.noted.turns.load(Ordering::Acquire) / 2
    }

    /// The worker goes on to item `i` of its task's chunk.
    pub fn set_item(&self, i: u32) {
        self.noted.item.store(i, Ordering::Relaxed);
    }

    /// Which item of its task's chunk the worker runs.
    pub fn item(&self) -> u32 {
        self.noted.item.load(Ordering::Relaxed)
    }

    /// The parent asks the worker to end after its task; then wakes it.
    pub fn set_stop(&self) {
        self.stop.store(1, Ordering::Release);
    }

    /// Has the parent asked the worker to end?
    pub fn stop(&self) -> bool {
        self.stop.load(Ordering::Acquire) != 0
    }
}

#[cfg(all(test, loom))]
impl WorkerStatus {
    fn new() -> Self {
        let [turns, task, since] = [0; 3].map(AtomicU64::new);
        Self { noted: Line(Noted { turns, task, since, item: AtomicU32::new(0) }), stop: Line(AtomicU32::new(0)) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::WorkerMemory;
    use std::sync::Arc;

    fn both_sides() -> (Arc<WorkerMemory>, Arc<WorkerMemory>) {
        let (parent, ..) = WorkerMemory::create(0, 0).unwrap();
        let (worker, ..) = WorkerMemory::open(parent.fd().try_clone_to_owned().unwrap()).unwrap();
        (parent, worker)
    }

    #[test]
    fn the_status_tells_what_runs() {
        let (parent, worker) = both_sides();
        let (noted, seen) = (worker.status(), parent.status());
        assert_eq!((seen.current(), seen.tasks_done()), (None, 0));
        noted.begin(TaskId::new(3, 4), 99);
        noted.set_item(17);
        assert_eq!((seen.current(), seen.tasks_done(), seen.item()), (Some((TaskId::new(3, 4), 99)), 0, 17));
        noted.end();
        assert_eq!((seen.current(), seen.tasks_done()), (None, 1));
        noted.begin(TaskId::new(5, 6), 100);
        assert_eq!((seen.current(), seen.item()), (Some((TaskId::new(5, 6), 100)), 0));
    }

    /// The two words of a note come from one `begin`, however fast tasks change.
    #[test]
    fn a_note_is_never_half_old() {
        let (parent, worker) = both_sides();
        let writer = std::thread::spawn(move || {
            for i in 0..300_000 {
                worker.status().begin(TaskId::from_bits(i), !i);
                worker.status().end();
            }
        });
        while parent.status().tasks_done() < 300_000 {
            if let Some((task, since)) = parent.status().current() {
                assert_eq!(task.bits(), !since);
            }
        }
        writer.join().unwrap();
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::model;
    use loom::thread;
    use std::sync::Arc;

    /// The writer runs in the model's first thread: loom overlooks races with a thread that loads a word before it stores it.
    #[test]
    fn a_note_is_never_half_old() {
        model(|| {
            let status = Arc::new(WorkerStatus::new());
            let seen = Arc::clone(&status);
            let parent = thread::spawn(move || {
                if let Some((task, since)) = seen.current() {
                    assert!(task.bits() == 1 || task.bits() == 2);
                    assert_eq!(since, task.bits() * 10);
                }
            });
            for task in 1..3 {
                status.begin(TaskId::from_bits(task), task * 10);
                status.end();
            }
            parent.join().unwrap();
            assert_eq!((status.current(), status.tasks_done()), (None, 2));
        });
    }
}
