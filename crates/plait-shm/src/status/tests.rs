//! The status from both sides: what was noted, and who wins between the end of a task and its doom.

use super::*;
use crate::{Region, WorkerMemory};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

fn both_sides() -> (Arc<WorkerMemory>, Arc<WorkerMemory>) {
    let (parent, _control, _results, fd) = WorkerMemory::create(0, 0, [Region::default(); 2]).unwrap();
    let (worker, ..) = WorkerMemory::open(fd).unwrap();
    (parent, worker)
}

fn block(offset: u64, len: u64) -> Block {
    Block { offset, len }
}

#[test]
fn the_status_tells_what_runs() {
    let (parent, worker) = both_sides();
    let (noted, seen) = (worker.status(), parent.status());
    assert_eq!(seen.current(), None);
    noted.begin(TaskId::new(3, 4), 99);
    assert_eq!(seen.current(), Some((TaskId::new(3, 4), 99)));
    assert!(noted.end());
    assert_eq!(seen.current(), None);
    noted.begin(TaskId::new(5, 6), 100);
    assert_eq!(seen.current(), Some((TaskId::new(5, 6), 100)));
}

#[test]
fn progress_is_of_the_task_that_runs() {
    let (parent, worker) = both_sides();
    let (noted, seen) = (worker.status(), parent.status());
    assert_eq!(seen.progress(), None);
    noted.begin(TaskId::new(1, 1), 1);
    assert_eq!(seen.progress(), None);
    noted.set_draft(block(4096, 100));
    assert_eq!(seen.progress(), Some(Progress { items: 0, block: block(4096, 0) }));
    noted.set_progress(1, 60);
    noted.set_progress(2, 90);
    assert_eq!(seen.progress(), Some(Progress { items: 2, block: block(4096, 90) }));
    // It has grown out of its block, and moves with what it has.
    noted.set_draft(block(65536, 1000));
    assert_eq!(seen.progress(), Some(Progress { items: 2, block: block(65536, 90) }));
    noted.set_progress(3, 130);
    assert!(seen.doom(TaskId::new(1, 1)));
    assert_eq!(seen.progress(), Some(Progress { items: 3, block: block(65536, 130) }));

    let (parent, worker) = both_sides();
    let (noted, seen) = (worker.status(), parent.status());
    noted.begin(TaskId::new(1, 1), 1);
    noted.set_progress(7, 0);
    assert_eq!(seen.progress(), Some(Progress { items: 7, block: block(0, 0) }));
    assert!(noted.end());
    assert_eq!(seen.progress(), None);
    noted.begin(TaskId::new(2, 1), 1);
    assert_eq!(seen.progress(), None, "that was another task's");
    noted.set_progress(1, 0);
    assert_eq!(seen.progress(), Some(Progress { items: 1, block: block(0, 0) }));
}

#[test]
fn doom_strikes_the_task_that_it_names_and_no_other() {
    let (parent, worker) = both_sides();
    let (noted, seen) = (worker.status(), parent.status());
    let (first, second) = (TaskId::new(1, 1), TaskId::new(2, 1));
    assert!(!seen.doom(first), "it runs nothing");
    noted.begin(first, 10);
    assert!(!seen.doom(second));
    assert!(noted.end());
    assert!(!seen.doom(first), "it has ended");
    noted.begin(second, 20);
    assert!(!seen.doom(first), "another one runs");
    assert!(!seen.is_doomed() && !noted.is_doomed());
    assert!(seen.doom(second));
    assert!(seen.is_doomed() && noted.is_doomed());
    assert!(!seen.doom(second), "true once");
    for _ in 0..2 {
        assert!(!noted.end());
        assert_eq!(seen.current(), Some((second, 20)));
    }
}

/// The two words of a note come from one `begin`, however fast tasks change.
#[test]
fn a_note_is_never_half_old() {
    let (parent, worker) = both_sides();
    let done = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&done);
    let writer = std::thread::spawn(move || {
        for i in 0..if cfg!(miri) { 300 } else { 300_000 } {
            worker.status().begin(TaskId::from_bits(i), !i);
            assert!(worker.status().end());
        }
        ended.store(true, Ordering::Release);
    });
    while !done.load(Ordering::Acquire) {
        if let Some((task, since)) = parent.status().current() {
            assert_eq!(task.bits(), !since);
        }
    }
    writer.join().unwrap();
}

/// The items and the bytes of a note come from one `set_progress`, and from the task that runs.
#[test]
fn progress_is_never_half_old() {
    let (parent, worker) = both_sides();
    let done = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&done);
    let writer = std::thread::spawn(move || {
        for task in 0..if cfg!(miri) { 30 } else { 30_000 } {
            worker.status().begin(TaskId::from_bits(task), 0);
            worker.status().set_draft(block(task, 100));
            (1..10).for_each(|item| worker.status().set_progress(item, task * u64::from(item)));
            assert!(worker.status().end());
        }
        ended.store(true, Ordering::Release);
    });
    let mut latest = 0;
    while !done.load(Ordering::Acquire) {
        if let Some(Progress { items, block }) = parent.status().progress() {
            assert!(block.offset >= latest, "an earlier task's");
            assert_eq!(block.len, u64::from(items) * block.offset);
            latest = block.offset;
        }
    }
    writer.join().unwrap();
}

/// A worker that runs one short task after another, and a parent that dooms whichever it finds: the doomed one is the last.
#[test]
fn the_doomed_task_is_the_last() {
    for _ in 0..if cfg!(miri) { 4 } else { 200 } {
        let (parent, worker) = both_sides();
        let begun = Arc::new(AtomicU64::new(0));
        let last = Arc::clone(&begun);
        let worker = std::thread::spawn(move || {
            for task in 1.. {
                worker.status().begin(TaskId::from_bits(task), task);
                last.store(task, Ordering::Release);
                (0..task % 100).for_each(|_| std::hint::spin_loop());
                if !worker.status().end() {
                    return task;
                }
            }
            unreachable!("there are tasks for ever")
        });
        let doomed = loop {
            if let Some((task, _)) = parent.status().current()
                && parent.status().doom(task)
            {
                break task;
            }
        };
        assert_eq!(parent.status().current(), Some((doomed, doomed.bits())));
        assert_eq!(worker.join().unwrap(), doomed.bits());
        assert_eq!(begun.load(Ordering::Relaxed), doomed.bits());
    }
}
