//! The queue between submitters and the threads of a thread pool.
//!
//! First in, first out. The lock is held for a push or a pop only, never while anything foreign runs. A submitter
//! pays for a wake-up only when a thread sleeps, and learns from [`Queue::push`] whether another thread would help.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A closable queue of tasks.
#[derive(Debug)]
pub struct Queue<T> {
    inner: Mutex<Inner<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    tasks: VecDeque<T>,
    /// Threads that sleep and have not been woken yet.
    sleeping: usize,
    /// Threads that were woken and have not looked yet.
    called: usize,
    closed: bool,
}

/// What a push tells the submitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// A sleeping thread was woken for it.
    Woken,
    /// Every thread is busy: one more would help, if the pool may have one.
    AllBusy,
}

/// What a pop found.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Popped<T> {
    /// The oldest task.
    Task(T),
    /// Nothing now.
    Empty,
    /// Nothing, and nothing will come any more.
    Closed,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Queue<T> {
    /// An empty, open queue.
    pub fn new() -> Self {
        let inner = Inner { tasks: VecDeque::new(), sleeping: 0, called: 0, closed: false };
        Self { inner: Mutex::new(inner), ready: Condvar::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a task; gives it back when the queue is closed.
    pub fn push(&self, task: T) -> Result<Pushed, T> {
        let mut inner = self.inner();
        if inner.closed {
            return Err(task);
        }
        inner.tasks.push_back(task);
        if inner.sleeping == 0 {
            return Ok(Pushed::AllBusy);
        }
        inner.sleeping -= 1;
        inner.called += 1;
        drop(inner);
        self.ready.notify_one();
        Ok(Pushed::Woken)
    }

    /// Takes the oldest task, without waiting.
    pub fn pop_nowait(&self) -> Popped<T> {
        Self::take(&mut self.inner())
    }

    /// Takes the oldest task, waiting for one up to `timeout` (without end when `None`).
    pub fn pop_wait(&self, timeout: Option<Duration>) -> Popped<T> {
        let mut inner = self.inner();
        loop {
            match Self::take(&mut inner) {
                Popped::Empty => {}
                found => return found,
            }
            inner.sleeping += 1;
            let timed_out;
            (inner, timed_out) = match timeout {
                None => (self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner), false),
                Some(timeout) => {
                    let (inner, result) =
                        self.ready.wait_timeout(inner, timeout).unwrap_or_else(PoisonError::into_inner);
                    (inner, result.timed_out())
                }
            };
            // Whether called, timed out or woken for nothing: exactly one of the two counts held this thread.
            if inner.called > 0 {
                inner.called -= 1;
            } else {
                inner.sleeping -= 1;
            }
            if timed_out {
                return Self::take(&mut inner);
            }
        }
    }

    /// Takes all tasks that no thread has taken, in order.
    pub fn drain(&self) -> Vec<T> {
        self.inner().tasks.drain(..).collect()
    }

    /// No more tasks: those in the queue are still handed out, then every thread is told to end.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.called += std::mem::take(&mut inner.sleeping);
        drop(inner);
        self.ready.notify_all();
    }

    /// Tasks that no thread has taken.
    pub fn len(&self) -> usize {
        self.inner().tasks.len()
    }

    /// Whether no task waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(inner: &mut Inner<T>) -> Popped<T> {
        match inner.tasks.pop_front() {
            Some(task) => Popped::Task(task),
            None if inner.closed => Popped::Closed,
            None => Popped::Empty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn tasks_come_out_in_order_and_then_the_end() {
        let queue = Queue::new();
        assert_eq!(queue.push(1), Ok(Pushed::AllBusy));
        assert_eq!(queue.push(2), Ok(Pushed::AllBusy));
        queue.close();
        assert_eq!(queue.push(3), Err(3));
        assert_eq!(queue.pop_nowait(), Popped::Task(1));
        assert_eq!(queue.pop_wait(None), Popped::Task(2));
        assert_eq!(queue.pop_wait(None), Popped::Closed);
    }

    #[test]
    fn waiting_ends_with_the_time() {
        let queue: Queue<()> = Queue::new();
        assert_eq!(queue.pop_wait(Some(Duration::from_millis(1))), Popped::Empty);
        assert_eq!(queue.push(()), Ok(Pushed::AllBusy), "nobody sleeps any more");
    }

    #[test]
    fn each_task_reaches_exactly_one_thread() {
        let (queue, sum, count) = (Queue::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Popped::Task(value) = queue.pop_wait(None) {
                        sum.fetch_add(value, Ordering::Relaxed);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for value in 1..=10_000 {
                let _ = queue.push(value).unwrap();
            }
            queue.close();
        });
        assert_eq!((sum.into_inner(), count.into_inner()), (10_000 * 10_001 / 2, 10_000));
    }

    #[test]
    fn draining_leaves_nothing_for_the_threads() {
        let queue = Queue::new();
        let _ = queue.push(1).unwrap();
        let _ = queue.push(2).unwrap();
        assert_eq!(queue.drain(), [1, 2]);
        assert_eq!(queue.pop_nowait(), Popped::Empty);
    }
}
