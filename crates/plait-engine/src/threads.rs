//! The queue between submitters and the threads of a thread pool, and how many threads there are to be.
//!
//! First in, first out. The lock is held for a push or a pop only, never while anything foreign runs. A submitter
//! pays for a wake-up only when a thread sleeps, and learns from [`Pushed`] whether it is to start another thread.
//!
//! A pool has *places*, and threads that are *present* in them. A thread whose call was abandoned is not present: its
//! place is free for another, and it comes back when its call has ended after all. Whoever looks for a task while more
//! threads are present than there are places is told to leave, so that the right number is left in the end. Where the
//! number of places goes up and down, it *parks* instead: it sleeps until there is a place for it again.
//!
//! A call that waits for another of its pool *lends* its place to a further thread (`waits`). What is waited for so comes
//! before all else, the latest waiter's first: so waits go deep before they go wide, and there are about as many threads
//! as the pool has places, times the depth of the waits.

pub mod waits;

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use waits::Waiter;

/// A closable queue of tasks.
#[derive(Debug)]
pub struct Queue<T> {
    inner: Mutex<Inner<T>>,
    ready: Condvar,
    parking: Condvar,
    left: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    tasks: VecDeque<T>,
    /// Those of the tasks that waiters have asked for, by waiter. They are among `tasks`, too, and may have been taken.
    awaited: Vec<(Waiter, VecDeque<T>)>,
    /// Threads that sleep and have not been woken yet.
    sleeping: usize,
    /// Threads that were woken and have not looked yet.
    called: usize,
    closed: bool,
    /// How many threads may be present, but for those that are lent a place.
    places: usize,
    /// Places that are lent.
    lent: usize,
    /// Threads that were started, or are about to be, and have neither left, nor parked, nor been abandoned.
    present: usize,
    /// Threads that wait for a place.
    parked: usize,
    /// Whether threads park for which there is no place.
    parks: bool,
}

/// What a new task means for the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// A sleeping thread was woken for it.
    Woken,
    /// Every thread is busy and there is a place left: the caller starts a thread, which counts as present already.
    Hire,
    /// Every thread is busy, and there may be no more: the task waits.
    Queued,
}

/// What a pop found.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Popped<T> {
    /// The oldest task.
    Task(T),
    /// Nothing now.
    Empty,
    /// The thread ends, and is not present any more: there will be no more tasks, or there is no place for it.
    Leave,
}

impl<T> Queue<T> {
    /// An empty, open queue for so many threads.
    pub fn new(places: usize) -> Self {
        let inner = Inner {
            tasks: VecDeque::new(),
            awaited: Vec::new(),
            sleeping: 0,
            called: 0,
            closed: false,
            places,
            lent: 0,
            present: 0,
            parked: 0,
            parks: false,
        };
        Self { inner: Mutex::new(inner), ready: Condvar::new(), parking: Condvar::new(), left: Condvar::new() }
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
        Ok(self.staff(inner))
    }

    /// How many places there are, but for those that are lent.
    pub fn places(&self) -> usize {
        self.inner().places
    }

    /// Makes room for another thread, while one of those that are present waits for a task of this queue.
    pub fn lend(&self) -> Pushed {
        let mut inner = self.inner();
        inner.lent += 1;
        if inner.tasks.is_empty() { Pushed::Queued } else { self.staff(inner) }
    }

    /// Takes back one [`Queue::lend`].
    pub fn take_back(&self) {
        let mut inner = self.inner();
        inner.lent -= 1;
        if inner.present > inner.room() && inner.sleeping > 0 {
            // One of those that sleep is too many now.
            self.call_one(inner);
        }
    }

    /// A task of this queue is to come before those that nobody waits for. Whoever takes tasks may meet it twice then.
    pub fn prefer(&self, waiter: Waiter, task: T) {
        let mut inner = self.inner();
        match inner.awaited.iter_mut().rev().find(|(other, _)| *other == waiter) {
            Some((_, tasks)) => tasks.push_back(task),
            None => inner.awaited.push((waiter, VecDeque::from([task]))),
        }
    }

    /// Sets how many places there are. Returns how many threads the caller starts for tasks that wait, which count as
    /// present already; what is too many leaves when it next looks for a task, or `parks`.
    #[must_use]
    pub fn resize(&self, places: usize, parks: bool) -> usize {
        let mut inner = self.inner();
        (inner.places, inner.parks) = (places, parks);
        if inner.parked > 0 && (!parks || inner.present < inner.room()) {
            self.parking.notify_all();
        }
        if inner.present > inner.room() && inner.sleeping > 0 {
            inner.called += std::mem::take(&mut inner.sleeping);
            drop(inner);
            self.ready.notify_all();
            return 0;
        }
        // Threads that were called are on their way to a task each.
        let waiting = inner.tasks.len().saturating_sub(inner.called + inner.parked);
        let hired = inner.room().saturating_sub(inner.present + inner.parked).min(waiting);
        inner.present += hired;
        hired
    }

    /// The call of a present thread is given up: the thread does not count until it comes back. `task` is what follows
    /// from that, and comes before all others, also when the queue is closed.
    pub fn abandon(&self, task: Option<T>) -> Pushed {
        let mut inner = self.inner();
        inner.present -= 1;
        if let Some(task) = task {
            inner.tasks.push_front(task);
        }
        if inner.tasks.is_empty() {
            self.tell_if_left(&inner);
            return Pushed::Queued;
        }
        self.staff(inner)
    }

    /// A thread that was abandoned has ended its call, and counts again.
    pub fn come_back(&self) {
        self.inner().present += 1;
    }

    /// A thread is gone without being told to: it could not be started, or not be made ready. Returns how many are left.
    pub fn gone(&self) -> usize {
        let mut inner = self.inner();
        inner.present -= 1;
        self.tell_if_left(&inner);
        inner.present + inner.parked
    }

    /// Takes the oldest task, without waiting.
    pub fn pop_nowait(&self) -> Popped<T> {
        let mut inner = self.inner();
        if inner.is_to_park() { Popped::Empty } else { self.take(&mut inner) }
    }

    /// Takes the oldest task, waiting for one up to `timeout` (without end when `None`).
    pub fn pop_wait(&self, timeout: Option<Duration>) -> Popped<T> {
        let mut inner = self.inner();
        loop {
            if inner.is_to_park() {
                inner = self.park(inner);
            }
            match self.take(&mut inner) {
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
                return if inner.is_to_park() { Popped::Empty } else { self.take(&mut inner) };
            }
        }
    }

    /// Takes all tasks that no thread has taken, in order.
    pub fn drain(&self) -> Vec<T> {
        let mut inner = self.inner();
        let tasks = inner.tasks.drain(..).collect();
        let awaited = std::mem::take(&mut inner.awaited);
        self.tell_if_left(&inner);
        drop(inner);
        drop(awaited);
        tasks
    }

    /// No more tasks: those in the queue are still handed out, then every thread is told to leave.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.called += std::mem::take(&mut inner.sleeping);
        self.tell_if_left(&inner);
        drop(inner);
        self.ready.notify_all();
        self.parking.notify_all();
    }

    /// Whether it takes no more tasks.
    pub fn is_closed(&self) -> bool {
        self.inner().closed
    }

    /// Waits until the queue is closed and empty and no thread is present; `false` when the time is over first.
    pub fn wait_left(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut inner = self.inner();
        while !inner.is_left() {
            let Some(time) = deadline.checked_duration_since(Instant::now()) else { return false };
            inner = self.left.wait_timeout(inner, time).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Tasks that no thread has taken.
    pub fn len(&self) -> usize {
        self.inner().tasks.len()
    }

    /// Whether no task waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds a thread for a task that was put into the queue.
    fn staff(&self, mut inner: MutexGuard<'_, Inner<T>>) -> Pushed {
        if inner.sleeping > 0 {
            self.call_one(inner);
            Pushed::Woken
        } else if inner.present < inner.room() && inner.parked > 0 {
            self.parking.notify_one();
            Pushed::Woken
        } else if inner.present < inner.room() {
            inner.present += 1;
            Pushed::Hire
        } else {
            Pushed::Queued
        }
    }

    /// Wakes one of those that sleep.
    fn call_one(&self, mut inner: MutexGuard<'_, Inner<T>>) {
        inner.sleeping -= 1;
        inner.called += 1;
        drop(inner);
        self.ready.notify_one();
    }

    fn take(&self, inner: &mut Inner<T>) -> Popped<T> {
        if inner.present > inner.room() {
            inner.present -= 1;
            return Popped::Leave;
        }
        match inner.pop() {
            Some(task) => Popped::Task(task),
            None if inner.closed => {
                inner.present -= 1;
                self.tell_if_left(inner);
                Popped::Leave
            }
            None => Popped::Empty,
        }
    }

    /// Sleeps, not present, until there is a place.
    fn park<'a>(&self, mut inner: MutexGuard<'a, Inner<T>>) -> MutexGuard<'a, Inner<T>> {
        inner.present -= 1;
        inner.parked += 1;
        while inner.parks && !inner.closed && inner.present >= inner.room() {
            inner = self.parking.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.parked -= 1;
        inner.present += 1;
        inner
    }

    fn tell_if_left(&self, inner: &Inner<T>) {
        if inner.is_left() {
            self.left.notify_all();
        }
    }
}

impl<T> Inner<T> {
    fn room(&self) -> usize {
        self.places + self.lent
    }

    fn pop(&mut self) -> Option<T> {
        while let Some((_, tasks)) = self.awaited.last_mut() {
            if let Some(task) = tasks.pop_front() {
                return Some(task);
            }
            self.awaited.pop();
        }
        self.tasks.pop_front()
    }

    fn is_to_park(&self) -> bool {
        self.parks && !self.closed && self.present > self.room()
    }

    fn is_left(&self) -> bool {
        self.closed && self.present + self.parked == 0 && self.tasks.is_empty()
    }
}

#[cfg(test)]
mod tests;
