//! The segment of locks: the roster of those who take part, and lines of 64 bytes for whatever they share.
//!
//! Who made it hands out lines (a primitive has one or more), and tells others the line's number beside the descriptor; every
//! process that opens it takes part, and so does a forked child, from its first use on. Promises: what a process held is seen to
//! when it dies (see `keeper`); nothing has a name; each process has one thread and one descriptor for it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use super::membership::{JoinError, Membership};
use super::pending::Deadline;
use super::roster::{Holder, Roster, RosterWords};
use crate::error::OpenError;
use crate::ident::Ident;
use crate::segment::Segment;
use crate::sync::{AtomicU32, AtomicU64, Line, Ordering, Place, Shareable};

const MAGIC: &[u8; 8] = b"plaitlck";

/// The bytes of a line.
const LINE: usize = 64;

/// What stands in a line, and in those that follow it: who dies is looked for there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Lock = 1,
    Semaphore = 2,
    Event = 3,
    Condition = 4,
    Barrier = 5,
}

impl Kind {
    pub(crate) fn from_word(word: u32) -> Option<Self> {
        [Self::Lock, Self::Semaphore, Self::Event, Self::Condition, Self::Barrier]
            .into_iter()
            .find(|kind| *kind as u32 == word)
    }
}

/// The words of the segment, wherever its end.
pub(crate) struct Inside {
    home: Arc<Segment>,
    pub(crate) roster: Roster,
    /// No line from here on is in use.
    end: Place<Line<AtomicU32>>,
    /// For each line: the [`Kind`] of what begins there, or 0.
    kinds: Place<[AtomicU32]>,
    first_line: usize,
}

// SAFETY: an atomic.
unsafe impl Shareable for Line<AtomicU32> {}

impl Inside {
    fn new(home: Arc<Segment>, lines: usize) -> Self {
        let roster = Roster(Place::new(&home, LINE));
        let at = LINE + size_of::<RosterWords>();
        let end = Place::new(&home, at);
        let kinds = Place::slice(&home, at + LINE, lines);
        Self { home, roster, end, kinds, first_line: first_line(lines) }
    }

    fn lines(&self) -> usize {
        self.kinds.len()
    }

    /// The `T` that begins in a line. Panics where it would not lie in the segment.
    pub(crate) fn at<T: Shareable>(&self, line: usize) -> Place<T> {
        Place::new(&self.home, self.first_line + line * LINE)
    }

    /// Sees to all that `dead` left, or somebody, as `me`, and wakes all who sleep.
    pub(crate) fn see_to(&self, dead: Option<Holder>, me: Holder) {
        let end = (self.end.load(Ordering::Acquire) as usize).min(self.lines());
        for line in 0..end {
            // SYNC POINT with `LockMemory::put`.
            super::see_to(self, line, self.kinds[line].load(Ordering::Acquire), dead, me);
        }
    }
}

const fn first_line(lines: usize) -> usize {
    let kinds = LINE + size_of::<RosterWords>() + LINE;
    (kinds + lines * size_of::<AtomicU32>()).next_multiple_of(LINE)
}

/// Which lines are free, in the process that made the memory.
struct Free {
    /// Runs of lines that were given back: where they begin, and how many they are.
    runs: BTreeMap<usize, usize>,
    /// No line from here on was ever taken.
    end: usize,
}

/// Memory for locks and their kin, shared by processes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::{Lock, LockMemory};
///
/// let memory = LockMemory::create(1024)?;
/// let lock = Lock::create(&memory).unwrap();
/// // In another process, which was given the descriptor and the number of the line:
/// let theirs = LockMemory::open(memory.fd().try_clone_to_owned()?)?;
/// let same = Lock::at(&theirs, lock.line()).unwrap();
/// assert!(lock.try_acquire()?.is_some());
/// assert!(same.try_acquire()?.is_none());
/// same.release()?;
/// # Ok(())
/// # }
/// ```
pub struct LockMemory {
    inside: Arc<Inside>,
    fd: OwnedFd,
    free: Option<Mutex<Free>>,
    /// Who made it, in which process alone `free` is used.
    maker: Option<Holder>,
    membership: Membership,
}

impl LockMemory {
    /// Makes memory of `lines` lines of 64 bytes, and takes part in it. Memory is taken as it is used.
    ///
    /// # Errors
    /// Those of `memfd_create`, `ftruncate` and `mmap`; that no thread could be started.
    pub fn create(lines: usize) -> Result<Arc<Self>, OpenError> {
        let lines = lines.clamp(1, 1 << 24);
        let (segment, fd) = Segment::create("plait-locks", first_line(lines) + lines * LINE)?;
        let segment = Arc::new(segment);
        Place::<Ident>::new(&segment, 0).write(MAGIC, [lines as u64, super::roster::SEATS as u64]);
        let free = Mutex::new(Free { runs: BTreeMap::new(), end: 0 });
        let mut memory = Self::new(segment, lines, fd, Some(free))?;
        memory.maker = Some(memory.me().map_err(io::Error::other)?);
        Ok(Arc::new(memory))
    }

    /// Opens the memory that another process made, and takes part in it.
    ///
    /// # Errors
    /// [`OpenError`]; that of [`JoinError`] within an [`io::Error`].
    pub fn open(fd: OwnedFd) -> Result<Arc<Self>, OpenError> {
        let segment = Arc::new(Segment::open(&fd)?);
        if segment.len() < LINE {
            return Err(OpenError::Alien);
        }
        let [lines, seats] = Place::<Ident>::new(&segment, 0).check(MAGIC)?;
        let lines = usize::try_from(lines).ok().filter(|lines| (1..=1 << 24).contains(lines)).unwrap_or(0);
        let expected = first_line(lines) + lines * LINE;
        if lines == 0 || seats != super::roster::SEATS as u64 || segment.len() != expected {
            return Err(OpenError::Length { found: segment.len(), expected });
        }
        let memory = Self::new(segment, lines, fd, None)?;
        memory.me().map_err(io::Error::other)?;
        Ok(Arc::new(memory))
    }

    fn new(segment: Arc<Segment>, lines: usize, fd: OwnedFd, free: Option<Mutex<Free>>) -> io::Result<Self> {
        let inside = Arc::new(Inside::new(segment, lines));
        Ok(Self { inside, fd, free, maker: None, membership: Membership::new()? })
    }

    /// From now on, has the threads of this process that watch several words look at them every half millisecond, as they do where the
    /// kernel cannot watch them for them (Linux before 5.16).
    #[doc(hidden)]
    pub fn look_instead() {
        crate::sync::look_instead();
    }

    /// The descriptor, to be handed to other processes.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn inside(&self) -> &Inside {
        &self.inside
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.inside.roster
    }

    /// This process, which takes part from now on if it did not yet: a forked child has a seat of its own.
    pub(crate) fn me(&self) -> Result<Holder, JoinError> {
        match self.membership.holder() {
            Some(me) => Ok(me),
            None => self.membership.join(&self.inside),
        }
    }

    /// Waits until what the dead held has been seen to, if anybody is dead.
    pub(crate) fn settle(&self) -> Result<(), JoinError> {
        while self.roster().dead().next().is_some() {
            self.me()?;
            let joins = &self.roster().joins;
            let seen = joins.load(Ordering::Acquire);
            self.membership.look();
            if self.roster().dead().next().is_some() {
                let _ = joins.sleep_until(seen, Some(Deadline::after(std::time::Duration::from_millis(1)).0));
            }
        }
        Ok(())
    }

    /// Takes `count` lines in a row, all zeros; `None` when there are none, and in a process that did not make the memory.
    pub(crate) fn take(&self, count: usize) -> Option<usize> {
        let mut free = self.mine()?;
        let run = free.runs.iter().find(|(_, len)| **len >= count).map(|(at, len)| (*at, *len));
        let line = match run {
            Some((at, len)) => {
                free.runs.remove(&at);
                if len > count {
                    free.runs.insert(at + count, len - count);
                }
                at
            }
            None if count <= self.inside.lines() - free.end => {
                let at = free.end;
                free.end += count;
                at
            }
            None => return None,
        };
        let words: Place<[AtomicU64]> =
            Place::slice(&self.inside.home, self.inside.first_line + line * LINE, count * LINE / 8);
        words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        Some(line)
    }

    /// Says what stands in a line from now on.
    pub(crate) fn put(&self, line: usize, kind: Kind) {
        // SYNC POINT with `Inside::see_to` and `is`.
        self.inside.kinds[line].store(kind as u32, Ordering::Release);
        self.inside.end.fetch_max(line as u32 + 1, Ordering::AcqRel);
    }

    /// Does something of this kind begin in the line, and do `count` lines lie in this memory?
    pub(crate) fn is(&self, line: usize, count: usize, kind: Kind) -> bool {
        line.checked_add(count).is_some_and(|end| end <= self.inside.lines())
            && self.inside.kinds[line].load(Ordering::Acquire) == kind as u32
    }

    /// Takes lines back, of which nobody makes use any more. False in a process that did not make the memory.
    pub(crate) fn give(&self, line: usize, count: usize) -> bool {
        let Some(mut free) = self.mine() else { return false };
        self.inside.kinds[line].store(0, Ordering::Release);
        let (mut at, mut len) = (line, count);
        if let Some((&before, &its)) = free.runs.range(..at).next_back().filter(|(before, its)| **before + **its == at)
        {
            free.runs.remove(&before);
            (at, len) = (before, its + len);
        }
        if let Some(its) = free.runs.remove(&(at + len)) {
            len += its;
        }
        free.runs.insert(at, len);
        true
    }

    /// What the end of the process would do, with all that is still in use.
    #[cfg(test)]
    pub(crate) fn leave_now(&self) {
        self.membership.orders().unwrap().leave();
    }

    fn mine(&self) -> Option<std::sync::MutexGuard<'_, Free>> {
        // A forked child has a copy of the list, and must not hand out the same lines.
        let maker = self.maker.is_some() && self.membership.holder() == self.maker;
        let free = self.free.as_ref().filter(|_| maker)?;
        Some(free.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for LockMemory {
    fn drop(&mut self) {
        self.membership.leave();
    }
}
