//! The status in every interleaving: notes are whole, and a doom strikes the task that it names or nobody.
//!
//! The worker runs in the model's first thread: loom overlooks races with a thread that loads a word before it stores it.

use super::*;
use crate::model;
use crate::sync::Area;
use loom::thread;
use std::sync::Arc;

impl WorkerStatus {
    fn new() -> Self {
        let [turns, task, since] = [0; 3].map(AtomicU64::new);
        Self {
            noted: Line(Noted { turns, task, since }),
            progress: ProgressWords::new(),
            growth: Line(AtomicU64::new(0)),
            stop: Line(AtomicU32::new(0)),
            leaves: AtomicU32::new(0),
        }
    }
}

fn task(bits: u64) -> TaskId {
    TaskId::from_bits(bits)
}

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
        for bits in 1..3 {
            status.begin(task(bits), bits * 10);
            assert!(status.end());
        }
        parent.join().unwrap();
        assert_eq!(status.current(), None);
    });
}

/// The worker runs tasks 1 and 2 and gives the one after which it had to stop, and 0 if there was none.
fn run_two(status: &WorkerStatus) -> u64 {
    for bits in 1..3 {
        status.begin(task(bits), bits * 10);
        if !status.end() {
            return bits;
        }
    }
    0
}

/// In both orders: the doom of the first task against its end and the next task's beginning, and the doom of the next.
#[test]
fn a_doom_strikes_the_task_that_it_names_or_nobody() {
    for target in 1..3 {
        model(move || {
            let status = Arc::new(WorkerStatus::new());
            let seen = Arc::clone(&status);
            let parent = thread::spawn(move || {
                let doomed = seen.doom(task(target));
                if doomed {
                    assert!(seen.is_doomed());
                    assert_eq!(seen.current(), Some((task(target), target * 10)));
                }
                doomed
            });
            let stopped_after = run_two(&status);
            let doomed = parent.join().unwrap();
            assert_eq!(stopped_after, if doomed { target } else { 0 });
            assert_eq!(status.is_doomed(), doomed);
            assert_eq!(status.current(), doomed.then(|| (task(target), target * 10)));
        });
    }
}

/// Two reasons to end the same task, a deadline and a cancel: one of them dooms it, if it does not end before.
#[test]
fn a_task_is_doomed_once() {
    model(|| {
        let status = Arc::new(WorkerStatus::new());
        status.begin(task(1), 10);
        let parents = [0; 2].map(|_| {
            let seen = Arc::clone(&status);
            thread::spawn(move || seen.doom(task(1)))
        });
        let ended = status.end();
        let dooms = parents.map(|parent| parent.join().unwrap());
        assert_eq!(dooms.into_iter().filter(|doomed| *doomed).count(), usize::from(!ended));
    });
}

/// The parent that comes too late finds the result at once.
#[test]
fn a_task_that_ends_before_its_doom_has_published() {
    model(|| {
        let status = Arc::new(WorkerStatus::new());
        let ring = Area::new(8);
        status.begin(task(1), 10);
        let (seen, results) = (Arc::clone(&status), ring.clone());
        let parent = thread::spawn(move || {
            if !seen.doom(task(1)) {
                // SAFETY: none is needed in the model, which checks that the write came before.
                assert_eq!(unsafe { results.read_word(0) }, 7);
            }
        });
        // SAFETY: as above.
        unsafe { ring.write_word(0, 7) };
        let _ = status.end();
        parent.join().unwrap();
    });
}

/// Items and bytes are of one note, of the task that runs, and the bytes are there.
#[test]
fn progress_is_whole_and_written() {
    model(|| {
        let status = Arc::new(WorkerStatus::new());
        let draft = Area::new(16);
        status.begin(task(1), 10);
        status.set_progress(9, 0);
        assert!(status.end());
        let (seen, results) = (Arc::clone(&status), draft.clone());
        let parent = thread::spawn(move || {
            if let Some(Progress { items, block }) = seen.progress() {
                assert!(items < 3, "of the task before");
                assert_eq!((block.offset, block.len), (64, 8 * u64::from(items)));
                for at in 0..items as usize {
                    // SAFETY: none is needed in the model, which checks that the write came before.
                    assert_eq!(unsafe { results.read_word(8 * at) }, at as u64 + 1);
                }
            }
        });
        status.begin(task(2), 20);
        status.set_draft(Block { offset: 64, len: 16 });
        for item in 1..3 {
            // SAFETY: as above.
            unsafe { draft.write_word(8 * (item as usize - 1), item.into()) };
            status.set_progress(item, 8 * u64::from(item));
        }
        parent.join().unwrap();
        assert_eq!(status.progress(), Some(Progress { items: 2, block: Block { offset: 64, len: 16 } }));
    });
}
