//! One thread that waits for all who may not: the coroutines of event loops.
//!
//! Promises: what is given to it ends once, with what it waited for or with the reason why not; a wake-up that comes to this thread is
//! used by one that waits for it here, or passed on. The ends are told by this thread, with nothing held: whoever is told must not
//! block it. Those that wait for the same word are looked at in the order in which they came,
//! as long as they get what they want; one that comes just then may be faster.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::keeper::without_signals;
use super::pending::{Deadline, Left, Pending};
use crate::sync::{Futex, Ordering, sleep_any};

/// One wait, by which it can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The thread, and the way to it. Dropped, it ends all waits as cancelled. A forked child has no such thread, and makes one of its own.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::{Event, LockMemory, Waiters};
///
/// let memory = LockMemory::create(1)?;
/// let event = Event::create(&memory).unwrap().unwrap();
/// let waiters = Waiters::start()?;
/// let (tell, told) = std::sync::mpsc::channel();
/// waiters.add(event.watching()?, None, move |ended, _watching| tell.send(ended).unwrap());
/// event.set();
/// assert!(told.recv()?.is_ok());
/// # Ok(())
/// # }
/// ```
pub struct Waiters {
    post: Arc<Post>,
    thread: Option<JoinHandle<()>>,
}

/// What others leave for the thread.
struct Post {
    /// Counts up with each letter.
    bell: Futex,
    letters: Mutex<Letters>,
}

#[derive(Default)]
struct Letters {
    next: u64,
    new: Vec<(u64, Option<Deadline>, Box<dyn Watched>)>,
    cancelled: Vec<u64>,
    stop: bool,
}

impl Post {
    fn leave<R>(&self, letter: impl FnOnce(&mut Letters) -> R) -> R {
        let left = letter(&mut self.letters.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.fetch_add(1, Ordering::Release);
        self.bell.wake_all();
        left
    }
}

impl Waiters {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, if there is no thread to be had.
    pub fn start() -> io::Result<Self> {
        let post = Arc::new(Post { bell: Futex::new(0), letters: Mutex::default() });
        let theirs = Arc::clone(&post);
        let thread = std::thread::Builder::new().name("plait-waiters".to_owned());
        let started = without_signals(|| thread.spawn(move || Desk::default().work(&theirs)))?;
        Ok(Self { post, thread: Some(started) })
    }

    /// Waits for `pending`, no longer than until `deadline`, and then calls `done` with how it ended, and with `pending`. `done` runs in the
    /// waiting thread; if it panics, that is the end of it alone.
    pub fn add<P, F>(&self, pending: P, deadline: Option<Deadline>, done: F) -> Ticket
    where
        P: Pending + Send + 'static,
        F: FnOnce(Result<P::Out, Left>, P) + Send + 'static,
    {
        self.post.leave(|letters| {
            letters.next += 1;
            letters.new.push((letters.next, deadline, Box::new(Wait(Some((pending, done))))));
            Ticket(letters.next)
        })
    }

    /// Ends a wait, if it has not ended yet: as [`Left::Cancelled`], unless what was waited for comes at this moment.
    pub fn cancel(&self, ticket: Ticket) {
        self.post.leave(|letters| letters.cancelled.push(ticket.0));
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        self.post.leave(|letters| letters.stop = true);
        let thread = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id());
        if let Some(thread) = thread {
            // What it was told to do must not panic, and it catches that.
            let _ = thread.join();
        }
    }
}

/// Where a wait sleeps.
struct Spot {
    word: NonNull<Futex>,
    seen: u32,
    until: Option<Deadline>,
}

/// A [`Pending`] whatever it waits for.
trait Watched: Send {
    /// Where to sleep; nowhere: it has ended, and that was told.
    fn look(&mut self) -> Option<Spot>;
    fn leave(self: Box<Self>, left: Left);
}

struct Wait<P, F>(Option<(P, F)>);

impl<P, F> Watched for Wait<P, F>
where
    P: Pending + Send,
    F: FnOnce(Result<P::Out, Left>, P) + Send,
{
    fn look(&mut self) -> Option<Spot> {
        let (pending, _) = self.0.as_mut()?;
        let out = match pending.look() {
            Ok(out) => out,
            Err(pause) => {
                return Some(Spot { word: NonNull::from(pause.word), seen: pause.seen, until: pause.until });
            }
        };
        let (pending, done) = self.0.take()?;
        let _ = catch_unwind(AssertUnwindSafe(|| done(Ok(out), pending)));
        None
    }

    fn leave(mut self: Box<Self>, left: Left) {
        if let Some((mut pending, done)) = self.0.take() {
            pending.leave();
            let _ = catch_unwind(AssertUnwindSafe(|| done(Err(left), pending)));
        }
    }
}

struct Entry {
    wait: Box<dyn Watched>,
    deadline: Option<Deadline>,
    /// The word that it sleeps on.
    word: usize,
}

/// Those that sleep on one word, in the order in which they came.
struct Group {
    /// Where the first of them sleeps.
    spot: Spot,
    ids: VecDeque<u64>,
}

/// The thread's own.
#[derive(Default)]
struct Desk {
    entries: HashMap<u64, Entry>,
    groups: HashMap<usize, Group>,
    deadlines: BTreeSet<(Deadline, u64)>,
}

impl Desk {
    fn work(mut self, post: &Post) {
        loop {
            // Before the letters are read: one that comes later changes it.
            let seen = post.bell.load(Ordering::Acquire);
            let Letters { new, cancelled, stop, .. } = {
                let mut letters = post.letters.lock().unwrap_or_else(PoisonError::into_inner);
                let next = letters.next;
                std::mem::replace(&mut *letters, Letters { next, ..Letters::default() })
            };
            for (id, deadline, wait) in new {
                self.begin(id, deadline, wait);
            }
            for id in cancelled {
                self.end(id, Left::Cancelled);
            }
            if stop {
                let ids: Vec<u64> = self.entries.keys().copied().collect();
                return ids.into_iter().for_each(|id| self.end(id, Left::Cancelled));
            }
            let words: Vec<usize> = self.groups.keys().copied().collect();
            words.into_iter().for_each(|word| self.look(word));
            while let Some((_, id)) = self.deadlines.first().copied().filter(|(deadline, _)| deadline.is_over()) {
                self.end(id, Left::TimedOut);
            }
            self.sleep(&post.bell, seen);
        }
    }

    fn begin(&mut self, id: u64, deadline: Option<Deadline>, mut wait: Box<dyn Watched>) {
        let Some(spot) = wait.look() else { return };
        let word = spot.word.as_ptr() as usize;
        self.entries.insert(id, Entry { wait, deadline, word });
        self.deadlines.extend(deadline.map(|deadline| (deadline, id)));
        self.groups.entry(word).or_insert_with(|| Group { spot, ids: VecDeque::new() }).ids.push_back(id);
    }

    /// Looks at those that sleep on a word until one goes on sleeping: then so would the others.
    fn look(&mut self, word: usize) {
        let Some(mut group) = self.groups.remove(&word) else { return };
        while let Some(id) = group.ids.front().copied() {
            let Some(entry) = self.entries.get_mut(&id) else {
                group.ids.pop_front();
                continue;
            };
            match entry.wait.look() {
                Some(spot) if spot.word.as_ptr() as usize == word => {
                    group.spot = spot;
                    self.groups.insert(word, group);
                    return;
                }
                moved => {
                    group.ids.pop_front();
                    if let Some(Entry { wait, deadline, .. }) = self.forget(id)
                        && moved.is_some()
                    {
                        self.begin(id, deadline, wait);
                    }
                }
            }
        }
    }

    fn forget(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(entry)
    }

    fn end(&mut self, id: u64, left: Left) {
        let Some(mut entry) = self.forget(id) else { return };
        if let Some(group) = self.groups.get_mut(&entry.word) {
            group.ids.retain(|other| *other != id);
            if group.ids.is_empty() {
                self.groups.remove(&entry.word);
            }
        }
        // The wake-up of its word may have come for it.
        if entry.wait.look().is_some() {
            entry.wait.leave(left);
        }
    }

    fn sleep(&self, bell: &Futex, seen: u32) {
        let mut until = self.deadlines.first().map(|(deadline, _)| *deadline);
        let mut words = vec![(bell, seen)];
        for Group { spot, .. } in self.groups.values() {
            until = [until, spot.until].into_iter().flatten().min();
            // SAFETY: a group has members, each of which keeps the memory mapped in which its word lies, and is let go by this thread alone.
            words.push((unsafe { spot.word.as_ref() }, spot.seen));
        }
        // Whatever ended the sleep: look at everything.
        let _ = sleep_any(&words, until.map(|until| until.0));
    }
}

// SAFETY: a spot's word is an atomic in memory that its wait keeps mapped, whichever thread has both.
unsafe impl Send for Spot {}
