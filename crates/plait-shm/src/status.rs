//! What a worker notes down of its work, for the parent to read while it lives and after it was killed; and the parent's word
//! that the task which runs is the worker's last.
//!
//! Promises: the task and its beginning are read together or not at all; noting is a few stores without a system call; after a
//! death the note is what the worker wrote last, however it ended; a doomed worker never begins another task.

use plait_trace::TaskId;

use crate::block::Block;
use crate::progress::{Progress, ProgressWords};
#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU32, AtomicU64, Line, Ordering, fence};

/// Bit of `turns`: a task runs.
const RUNS: u64 = 1;
/// Bit of `turns`: it is the last one.
const DOOMED: u64 = 2;

/// What a worker runs, as it notes it down for the parent.
///
/// | word | meaning | who writes, when |
/// |---|---|---|
/// | `turns` | four times the tasks ended; plus 1 while a task runs; plus 2 once that task is known to be the worker's last | the worker, in `begin` (from even to odd) and in `end` (from odd to even, by compare-and-swap); the parent, in `doom` (odd, plus 2, by compare-and-swap) |
/// | `task`, `since` | the task that runs, and since when | the worker, in `begin`, while `turns` is even; `since` also in `set_since` |
/// | `progress` | see `progress.rs` | the worker, while `turns` is odd |
/// | `growth` | by how much the worker's private memory has grown since its first task, in bytes | the worker, between two tasks, where it is asked to |
/// | `stop` | the worker is to end after its task | the parent, once |
/// | `leaves` | its last task is over, which it ended although doomed | the worker, in `end`, once |
#[repr(C)]
pub struct WorkerStatus {
    noted: Line<Noted>,
    progress: ProgressWords,
    growth: Line<AtomicU64>,
    stop: Line<AtomicU32>,
    leaves: AtomicU32,
}

#[repr(C)]
struct Noted {
    turns: AtomicU64,
    task: AtomicU64,
    since: AtomicU64,
}

// SAFETY: atomics, and what is made of them.
#[cfg(not(loom))]
unsafe impl Shareable for WorkerStatus {}

impl WorkerStatus {
    /// The worker begins `task` at `now_ns` of the clock that it shares with the parent. To be called in `ClaimConsumer::claim`'s
    /// `on_claim`; by a worker that has run no task yet, or whose last [`WorkerStatus::end`] was true.
    pub fn begin(&self, task: TaskId, now_ns: u64) {
        let noted = &self.noted;
        let turns = noted.turns.load(Ordering::Relaxed);
        debug_assert!(turns & (RUNS | DOOMED) == 0, "a worker runs one task at a time, and none after its last");
        // SYNC POINT with the fence in `current`: who reads a word written below sees that the turn before has ended.
        fence(Ordering::Release);
        noted.task.store(task.bits(), Ordering::Relaxed);
        noted.since.store(now_ns, Ordering::Relaxed);
        // SYNC POINT with the first loads in `current` and `doom`. A plain store, since nobody else changes an even word.
        noted.turns.store(turns | RUNS, Ordering::Release);
    }

    /// The task that runs counts from `at_ns` on, which may lie in the future: what it needs before its call is not its own time.
    pub fn set_since(&self, at_ns: u64) {
        self.noted.since.store(at_ns, Ordering::Relaxed);
    }

    /// The worker has ended its task; to be called after the result was published.
    ///
    /// False when the task was the worker's last: the parent may kill this process at any moment from now on, so it claims no
    /// other task, and ends. `current` goes on telling the task.
    #[must_use = "a doomed worker must not claim another task"]
    pub fn end(&self) -> bool {
        let turns = self.noted.turns.load(Ordering::Relaxed);
        debug_assert!(turns & RUNS != 0, "only a task that runs can end");
        let ended = (turns | RUNS | DOOMED).wrapping_add(1);
        // SYNC POINT with `doom`: who sees that the task has ended sees what was published before.
        let goes_on = turns & DOOMED == 0
            && self.noted.turns.compare_exchange(turns, ended, Ordering::Release, Ordering::Relaxed).is_ok();
        if !goes_on {
            self.leaves.store(1, Ordering::Relaxed);
        }
        goes_on
    }

    /// Has the worker ended its last task, though it was doomed? Then it is about to end by itself.
    pub fn leaves(&self) -> bool {
        self.leaves.load(Ordering::Relaxed) != 0
    }

    /// The parent makes `task` the last one of this worker. True for one call, if the worker runs exactly this task at that
    /// moment: then it never begins another one, and may be killed without harm to any other task.
    ///
    /// False when it runs another task or none, or is doomed already. If it ran `task` before, the result is published by now;
    /// if it has claimed `task` and not yet begun it, a later call will do.
    pub fn doom(&self, task: TaskId) -> bool {
        let noted = &self.noted;
        // SYNC POINT with the store in `begin`: the task is the one of this turn or a later one. And with `end`.
        let turns = noted.turns.load(Ordering::Acquire);
        if turns & (RUNS | DOOMED) != RUNS || noted.task.load(Ordering::Relaxed) != task.bits() {
            return false;
        }
        // It succeeds only within the turn that was read, and then there is no later one. SYNC POINT with `end` when it fails.
        noted.turns.compare_exchange(turns, turns | DOOMED, Ordering::Relaxed, Ordering::Acquire).is_ok()
    }

    /// Is the task that runs, or ran when the worker died, its last one by the parent's word?
    pub fn is_doomed(&self) -> bool {
        self.noted.turns.load(Ordering::Relaxed) & DOOMED != 0
    }

    /// Which task the worker runs, and since when.
    ///
    /// Exact once the worker is dead or doomed. While it lives, `None` can also mean that tasks change too fast to be read.
    pub fn current(&self) -> Option<(TaskId, u64)> {
        let noted = &self.noted;
        // A task shorter than these loads hides the next one for one attempt; a live worker cannot hold the parent here.
        for _ in 0..16 {
            // SYNC POINT with the store in `begin`.
            let turns = noted.turns.load(Ordering::Acquire);
            if turns & RUNS == 0 {
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

    /// The worker collects the results of its chunk in `draft`, a block of its own arena, from now on. What it has written into
    /// an earlier draft of this task is at the front of this one already, and the earlier one may be released afterwards.
    pub fn set_draft(&self, draft: Block) {
        self.progress
            .note(self.turn(), |last| Progress { block: Block { offset: draft.offset, ..last.block }, ..last });
    }

    /// The worker has ended `items` items of its chunk, and their results are the first `bytes` bytes of the draft. To be called
    /// after these were written, and at least after the draft was set if there are any.
    pub fn set_progress(&self, items: u32, bytes: u64) {
        self.progress.note(self.turn(), |last| Progress { items, block: Block { len: bytes, ..last.block } });
    }

    /// How far the worker has come with the task that it runs; `None` when it has told nothing of it, or runs none.
    ///
    /// Exact once the worker is dead. While it lives, it may be of the task after the one that `current` told, and `None` can
    /// also mean that it changes too fast to be read.
    pub fn progress(&self) -> Option<Progress> {
        // SYNC POINT with the store in `begin`.
        let turns = self.noted.turns.load(Ordering::Acquire);
        (turns & RUNS != 0).then(|| self.progress.read(turns & !DOOMED)).flatten()
    }

    /// The turn that the worker is in; never 0 while a task runs.
    fn turn(&self) -> u64 {
        self.noted.turns.load(Ordering::Relaxed) & !DOOMED
    }

    /// Where in this process the first three words lie (`turns`, `task`, `since`), for observers of its memory.
    pub fn address(&self) -> u64 {
        (&raw const *self.noted).expose_provenance() as u64
    }

    /// How many tasks the worker has ended; a doomed one does not end its last.
    pub fn tasks_ended(&self) -> u64 {
        self.noted.turns.load(Ordering::Relaxed) / 4
    }

    /// The worker tells by how much its private memory has grown since its first task, in bytes.
    pub fn note_growth(&self, bytes: u64) {
        self.growth.store(bytes, Ordering::Relaxed);
    }

    /// By how much the worker's private memory has grown, as it told last.
    pub fn growth(&self) -> u64 {
        self.growth.load(Ordering::Relaxed)
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

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
