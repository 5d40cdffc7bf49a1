//! The clock: one thread of the program that abandons calls of thread pools at their deadlines.
//!
//! It runs only while calls with a timeout do, and a little longer. It sleeps without the interpreter, and needs none to
//! decide that a call is late; what follows from that, down to the callbacks of futures, is done by the pool's own
//! threads. Python does not know of it, since at the end of a program some versions start no more threads, while the
//! calls that wait then are still made, and may be late.
//!
//! Who ends a try: whoever takes it out of the book, which has one lock. A try that ends leaves the book at once.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use plait_engine::native;
use plait_engine::tally::Counters;
use plait_engine::threads::Pushed;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::future::{Held, Phase};
use crate::process::forks;

use super::limited::Attempt;
use super::work::Works;
use super::{Tasks, ThreadHome};

/// How long the clock stays when there is nothing to watch.
const LINGER: Duration = Duration::from_secs(1);

/// When a try is late; the number tells apart those of the same moment.
type Key = (Instant, u64);

#[derive(Default)]
struct Clock {
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Default)]
struct Book {
    running: BTreeMap<Key, Try>,
    /// Threads whose try was abandoned and has not ended.
    lost: Vec<(Key, ThreadHome, Py<PyAny>)>,
    number: u64,
    /// Until when the clock sleeps.
    sleeps_until: Option<Instant>,
    /// Whether there is a thread.
    alive: bool,
}

/// A try that runs.
struct Try {
    late: Late,
    home: ThreadHome,
    /// The thread it runs in.
    thread: Py<PyAny>,
}

/// What is needed of a try once it is late.
struct Late {
    attempt: Attempt,
    tasks: Arc<Tasks>,
    /// Where its thread is in the tally.
    place: Option<usize>,
    /// Starts a thread of its pool.
    start: Py<PyAny>,
}

impl Clock {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of this process. The lock is held by attached threads only, so no fork happens while it is held.
    fn current(_: Python<'_>) -> Arc<Self> {
        static CURRENT: Mutex<Option<(u64, Arc<Clock>)>> = Mutex::new(None);
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((born, clock)) if *born == forks() => Arc::clone(clock),
            // That of a parent process stays as it is: its lock may be held by a thread that this process does not have.
            _ => {
                let clock = Arc::new(Self::default());
                *current = Some((forks(), Arc::clone(&clock)));
                clock
            }
        }
    }

    /// Sleeps until tries are late, and takes them out of the book; `None`: the thread is to end.
    fn wait_late(&self) -> Option<Vec<Late>> {
        let mut book = self.book();
        let mut leaves_at = None;
        loop {
            let now = Instant::now();
            let late = book.take_late(now);
            if !late.is_empty() {
                return Some(late);
            }
            let until = if let Some((first, _)) = book.running.first_key_value() {
                leaves_at = None;
                // Who ends in time wakes nobody: the clock looks by itself whether there is still something to watch.
                first.0.min(now + LINGER)
            } else {
                let until = *leaves_at.get_or_insert(now + LINGER);
                if now >= until {
                    book.alive = false;
                    return None;
                }
                until
            };
            book.sleeps_until = Some(until);
            book = self.changed.wait_timeout(book, until - now).unwrap_or_else(PoisonError::into_inner).0;
            book.sleeps_until = None;
        }
    }
}

impl Book {
    /// Takes out the tries that are late.
    fn take_late(&mut self, now: Instant) -> Vec<Late> {
        let mut late = Vec::new();
        while let Some(first) = self.running.first_entry()
            && first.key().0 <= now
        {
            let (key, Try { late: found, home, thread }) = first.remove_entry();
            if let Some(place) = found.place.and_then(|at| found.tasks.tally.place(at)) {
                // Under the lock under which the thread learns of it.
                place.lose(true);
            }
            self.lost.push((key, home, thread));
            late.push(found);
        }
        late
    }
}

impl Late {
    /// Gives the try up, and makes sure that somebody does what follows.
    fn abandon(self, py: Python<'_>) {
        let Self { mut attempt, tasks, start, .. } = self;
        let core = attempt.core();
        let counters = tasks.tally.count();
        let next = if attempt.next() {
            Counters::add(&counters.retried);
            core.put_again(Box::new(attempt));
            Some(core)
        } else {
            let held = Held::Error(attempt.abandoned(py));
            Counters::add(&counters.failed);
            let asked = core.transition(&[Phase::Running], Phase::Finished, held);
            (asked == Some(true)).then_some(core)
        };
        if tasks.abandon(next) == Pushed::Hire
            && let Err(error) = start.call0(py)
        {
            // Those who wait have heard of it if nobody is left to run their tasks.
            error.write_unraisable(py, Some(start.bind(py)));
        }
    }
}

/// A try that is in the book.
pub(super) struct Watch {
    clock: Arc<Clock>,
    key: Key,
    home: ThreadHome,
}

/// Writes a try that begins now in this thread into the book. `None`: its end is beyond all clocks.
pub(super) fn watch(py: Python<'_>, works: &Works, attempt: &Attempt, timeout: Duration) -> PyResult<Option<Watch>> {
    let Some(deadline) = Instant::now().checked_add(timeout) else { return Ok(None) };
    let (attempt, tasks, place) = (attempt.clone(), Arc::clone(&works.tasks), works.place);
    let late = Late { attempt, tasks, place, start: works.start.clone_ref(py) };
    let found = Try { late, home: works.home, thread: works.thread.clone_ref(py) };
    let clock = Clock::current(py);
    let mut book = clock.book();
    let key = (deadline, book.number);
    book.number += 1;
    book.running.insert(key, found);
    let alive = std::mem::replace(&mut book.alive, true);
    let notify = book.sleeps_until.is_some_and(|until| deadline < until);
    drop(book);
    if notify {
        clock.changed.notify_one();
    }
    let watch = Watch { clock, key, home: works.home };
    if !alive && let Err(error) = start(&watch.clock) {
        watch.clock.book().alive = false;
        watch.end();
        return Err(PyRuntimeError::new_err(format!("the timeout of a call cannot be watched: {error}")));
    }
    Ok(Some(watch))
}

impl Watch {
    /// The try has ended. `false`: it was abandoned before, and its outcome is nobody's.
    pub(super) fn end(self) -> bool {
        if self.home.is_foreign() {
            // A child forked in the call: the deadline is the parent's.
            return true;
        }
        let mut book = self.clock.book();
        let found = book.running.remove(&self.key);
        let lost = if found.is_none() {
            let at = book.lost.iter().position(|(key, ..)| *key == self.key);
            at.map(|at| book.lost.swap_remove(at))
        } else {
            None
        };
        drop(book);
        drop(lost);
        found.is_some()
    }
}

/// The threads of a pool whose try was abandoned and has not ended.
pub(super) fn abandoned(py: Python<'_>, home: ThreadHome) -> Vec<Py<PyAny>> {
    let clock = Clock::current(py);
    let book = clock.book();
    book.lost.iter().filter(|(_, other, _)| *other == home).map(|(.., thread)| thread.clone_ref(py)).collect()
}

/// Starts the clock's thread.
fn start(clock: &Arc<Clock>) -> io::Result<()> {
    let clock = Arc::clone(clock);
    let run = move || {
        while let Some(late) = clock.wait_late() {
            // Where there is no interpreter any more, nobody waits either.
            Python::try_attach(|py| late.into_iter().for_each(|late| late.abandon(py)));
        }
    };
    native::spawn(thread::Builder::new().name("plait-deadlines".into()), run).map(drop)
}
