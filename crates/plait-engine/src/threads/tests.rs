//! Tests of the queue: its order, its end, and who is to start or to leave.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn tasks_come_out_in_order_and_then_the_end() {
    let queue = Queue::new(1);
    assert_eq!(queue.push(1), Ok(Pushed::Hire));
    assert_eq!(queue.push(2), Ok(Pushed::Queued));
    queue.close();
    assert_eq!(queue.push(3), Err(3));
    assert_eq!(queue.pop_nowait(), Popped::Task(1));
    assert_eq!(queue.pop_wait(None), Popped::Task(2));
    assert!(!queue.wait_left(Duration::ZERO), "the thread has not been told");
    assert_eq!(queue.pop_wait(None), Popped::Leave);
    assert!(queue.wait_left(Duration::ZERO));
}

#[test]
fn waiting_ends_with_the_time() {
    let queue = Queue::new(2);
    assert_eq!(queue.push(()), Ok(Pushed::Hire));
    assert_eq!(queue.pop_nowait(), Popped::Task(()));
    assert_eq!(queue.pop_wait(Some(Duration::from_millis(1))), Popped::Empty);
    assert_eq!(queue.push(()), Ok(Pushed::Hire), "nobody sleeps any more");
}

/// As many tasks, with these numbers.
const LAST: usize = if cfg!(miri) { 50 } else { 10_000 };

#[test]
fn each_task_reaches_exactly_one_thread() {
    let (queue, sum, count) = (Queue::new(4), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let work = || {
            while let Popped::Task(value) = queue.pop_wait(None) {
                sum.fetch_add(value, Ordering::Relaxed);
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        let mut hired = 0;
        for value in 1..=LAST {
            if queue.push(value).unwrap() == Pushed::Hire {
                hired += 1;
                scope.spawn(work);
            }
        }
        assert!((1..=4).contains(&hired));
        queue.close();
        while !queue.wait_left(Duration::from_secs(1)) {}
    });
    assert_eq!((sum.into_inner(), count.into_inner()), (LAST * (LAST + 1) / 2, LAST));
}

#[test]
fn draining_leaves_nothing_for_the_threads() {
    let queue = Queue::new(1);
    let _ = queue.push(1).unwrap();
    let _ = queue.push(2).unwrap();
    assert_eq!(queue.drain(), [1, 2]);
    assert_eq!(queue.pop_nowait(), Popped::Empty);
}

/// A queue whose only thread has taken its only task.
fn busy() -> Queue<&'static str> {
    let queue = Queue::new(1);
    assert_eq!(queue.push("hung"), Ok(Pushed::Hire));
    assert_eq!(queue.pop_nowait(), Popped::Task("hung"));
    queue
}

#[test]
fn an_abandoned_thread_is_replaced_when_a_task_waits_and_leaves_in_the_end() {
    let queue = busy();
    assert_eq!(queue.push("next"), Ok(Pushed::Queued));
    assert_eq!(queue.abandon(None), Pushed::Hire);
    queue.come_back();
    assert_eq!(queue.pop_nowait(), Popped::Leave, "there is another in its place");
    assert_eq!(queue.pop_nowait(), Popped::Task("next"));
}

#[test]
fn an_abandoned_thread_that_nobody_replaced_works_on() {
    let queue = busy();
    assert_eq!(queue.abandon(None), Pushed::Queued);
    queue.come_back();
    assert_eq!(queue.push("next"), Ok(Pushed::Queued));
    assert_eq!(queue.pop_nowait(), Popped::Task("next"));
}

#[test]
fn a_thread_may_come_back_before_its_abandonment_is_known() {
    let queue = busy();
    assert_eq!(queue.push("next"), Ok(Pushed::Queued));
    queue.come_back();
    assert_eq!(queue.pop_nowait(), Popped::Leave);
    assert_eq!(queue.abandon(None), Pushed::Hire, "it is gone, so the task needs another");
}

#[test]
fn what_follows_from_an_abandonment_comes_first_also_after_the_close() {
    let queue = busy();
    assert_eq!(queue.push("last"), Ok(Pushed::Queued));
    queue.close();
    assert_eq!(queue.abandon(Some("again")), Pushed::Hire);
    assert!(!queue.wait_left(Duration::ZERO));
    assert_eq!(queue.pop_nowait(), Popped::Task("again"));
    assert_eq!(queue.pop_nowait(), Popped::Task("last"));
    assert_eq!(queue.pop_nowait(), Popped::Leave);
    assert!(queue.wait_left(Duration::ZERO), "nobody waits for the one that was abandoned");
    queue.come_back();
    assert_eq!(queue.pop_nowait(), Popped::Leave);
}

#[test]
fn a_place_that_is_lent_takes_one_thread_and_gives_it_back() {
    let queue = busy();
    assert_eq!(queue.push("awaited"), Ok(Pushed::Queued));
    assert_eq!(queue.lend(), Pushed::Hire);
    assert_eq!(queue.pop_nowait(), Popped::Task("awaited"));
    queue.take_back();
    assert_eq!(queue.pop_nowait(), Popped::Leave);
    assert_eq!(queue.pop_nowait(), Popped::Empty, "the first one stays");
}

#[test]
fn a_place_that_is_taken_back_wakes_a_thread_that_sleeps() {
    let queue = busy();
    assert_eq!(queue.push("awaited"), Ok(Pushed::Queued));
    assert_eq!(queue.lend(), Pushed::Hire);
    assert_eq!(queue.pop_nowait(), Popped::Task("awaited"));
    thread::scope(|scope| {
        let second = scope.spawn(|| queue.pop_wait(None));
        while queue.inner().sleeping == 0 {
            thread::yield_now();
        }
        queue.take_back();
        assert_eq!(second.join().unwrap(), Popped::Leave);
    });
}

#[test]
fn what_is_waited_for_comes_first_and_the_latest_waiters_before_the_others() {
    let queue = Queue::new(1);
    assert_eq!(queue.push("outer"), Ok(Pushed::Hire));
    assert_eq!(queue.pop_nowait(), Popped::Task("outer"));
    for task in ["other", "a", "b", "c"] {
        assert_eq!(queue.push(task), Ok(Pushed::Queued));
    }
    queue.prefer(1, "a");
    queue.prefer(1, "b");
    assert_eq!(queue.pop_nowait(), Popped::Task("a"));
    queue.prefer(2, "c");
    assert_eq!((queue.pop_nowait(), queue.pop_nowait()), (Popped::Task("c"), Popped::Task("b")));
    queue.close();
    let again = ["other", "a", "b", "c"].map(|_| queue.pop_nowait());
    assert_eq!(again, ["other", "a", "b", "c"].map(Popped::Task), "each may be met twice");
    assert_eq!(queue.pop_nowait(), Popped::Leave);
}

#[test]
fn what_was_drained_is_not_met_again() {
    let queue = busy();
    assert_eq!(queue.push("awaited"), Ok(Pushed::Queued));
    queue.prefer(1, "awaited");
    assert_eq!(queue.drain(), ["awaited"]);
    assert_eq!(queue.pop_nowait(), Popped::Empty);
}

#[test]
fn places_that_are_lent_are_counted_apart_from_the_pools_own() {
    let queue = busy();
    assert_eq!(queue.lend(), Pushed::Queued);
    assert_eq!(queue.resize(2, false), 0);
    for task in ["a", "b"] {
        assert_eq!(queue.push(task), Ok(Pushed::Hire));
    }
    assert_eq!(queue.push("c"), Ok(Pushed::Queued));
    queue.take_back();
    assert_eq!(queue.pop_nowait(), Popped::Leave, "two places, three threads");
    assert_eq!(queue.pop_nowait(), Popped::Task("a"));
}

#[test]
fn a_thread_that_could_not_be_started_leaves_its_place() {
    let queue = Queue::new(1);
    assert_eq!(queue.push(1), Ok(Pushed::Hire));
    assert_eq!(queue.gone(), 0);
    assert_eq!(queue.push(2), Ok(Pushed::Hire));
}

#[test]
fn more_places_are_filled_with_what_waits() {
    let queue = Queue::new(1);
    assert_eq!(queue.push(1), Ok(Pushed::Hire));
    for task in 2..=4 {
        assert_eq!(queue.push(task), Ok(Pushed::Queued));
    }
    assert_eq!(queue.resize(3, false), 2);
    assert_eq!(queue.resize(3, false), 0);
    assert_eq!(queue.push(5), Ok(Pushed::Queued));
    assert_eq!(queue.resize(64, false), 5, "none has come for its task yet");
}

#[test]
fn with_fewer_places_those_that_sleep_leave_and_those_that_work_leave_later() {
    let queue = Queue::new(3);
    for task in 0..3 {
        assert_eq!(queue.push(task), Ok(Pushed::Hire));
    }
    let left = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Popped::Task(_) = queue.pop_wait(None) {}
                left.fetch_add(1, Ordering::Relaxed);
            });
        }
        while !queue.is_empty() {
            thread::yield_now();
        }
        assert_eq!(queue.resize(1, false), 0);
        while left.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        assert_eq!(queue.push(3), Ok(Pushed::Queued), "the third thread is present");
        assert_eq!(queue.pop_nowait(), Popped::Task(3));
    });
}

#[test]
fn threads_without_a_place_park_until_there_is_one() {
    let queue = Queue::new(4);
    for task in 0..4 {
        assert_eq!(queue.push(task), Ok(Pushed::Hire));
    }
    let (left, most, working) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Popped::Task(_) = queue.pop_wait(None) {
                    let now = working.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    thread::yield_now();
                    working.fetch_sub(1, Ordering::SeqCst);
                }
                left.fetch_add(1, Ordering::SeqCst);
            });
        }
        for turn in 0..200 {
            let places = 1 + turn % 4;
            assert_eq!(queue.resize(places, true), 0, "nobody has left");
            while !queue.is_empty() || working.load(Ordering::SeqCst) > 0 {
                thread::yield_now();
            }
            most.store(0, Ordering::SeqCst);
            for task in 0..8 {
                let pushed = queue.push(task).expect("the queue is open");
                assert_ne!(pushed, Pushed::Hire, "there are threads that park");
            }
            while !queue.is_empty() || working.load(Ordering::SeqCst) > 0 {
                thread::yield_now();
            }
            assert!(most.load(Ordering::SeqCst) <= places, "{places} places");
        }
        assert_eq!(left.load(Ordering::SeqCst), 0);
        assert_eq!(queue.resize(1, false), 0);
        while left.load(Ordering::SeqCst) < 3 {
            thread::yield_now();
        }
        queue.close();
    });
    assert_eq!(left.load(Ordering::SeqCst), 4);
    assert!(queue.wait_left(Duration::ZERO));
}
