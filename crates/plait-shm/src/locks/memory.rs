//! The segment of locks: the roster of those who take part, and lines of 64 bytes for whatever they share.
//!
//! Every process that has it takes lines (a primitive has one or more: see `books`) and tells others their [`Name`], beside the
//! descriptor of the memory. A process takes part from its first use on, and so does a forked child. Promises: what a process held is seen
//! to when it dies (see `keeper`); nothing has a path; each process has one thread and one descriptor for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::process::Resource;

use super::books::{BookWords, Books, Name};
use super::membership::{JoinError, Membership};
use super::pending::Deadline;
use super::roster::{Holder, Roster, RosterWords};
use super::shelf::Page;
use super::tenancy;
use crate::commons::Commons;
use crate::error::OpenError;
use crate::ident::Ident;
use crate::segment::{Segment, file_len, new_file};
use crate::sync::{AtomicU32, AtomicU64, Ordering, Place, Shareable};
use crate::system::{self, Files, Here};

const MAGIC: &[u8; 8] = b"plaitlck";

/// How long the file is, which is sparse, or less where the system allows less; in steps of so many bytes.
const STORE: u64 = 1 << 56;
const STEP: u64 = 64 << 10;

/// The bytes of a line.
pub(crate) const LINE: usize = 64;

/// The most lines there can be, and the fewest that are tried for.
const MOST: usize = 1 << 24;
const LEAST: usize = 1 << 12;

/// Where the identity stands, behind the words of [`Ident`].
const IDENTITY: usize = 40;
const IDENTITY_LEN: usize = 16;

/// What stands in a line, and in those that follow it: who dies is looked for there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Lock = 1,
    Semaphore = 2,
    Event = 3,
    Condition = 4,
    Barrier = 5,
    Queue = 6,
}

impl Kind {
    pub(crate) fn from_word(word: u32) -> Option<Self> {
        [Self::Lock, Self::Semaphore, Self::Event, Self::Condition, Self::Barrier, Self::Queue]
            .into_iter()
            .find(|kind| *kind as u32 == word)
    }
}

/// The words of the segment, wherever its end.
pub(crate) struct Inside {
    home: Arc<Segment>,
    pub(crate) roster: Roster,
    pub(crate) books: Books,
    first_line: usize,
}

impl Inside {
    fn new(home: Arc<Segment>, lines: usize, store: Arc<Commons>) -> Self {
        let roster = Roster(Place::new(&home, ROSTER));
        let kinds = Place::slice(&home, kinds(lines), lines);
        let books = Books::new(
            Place::new(&home, BOOKS),
            Place::slice(&home, PAGES, lines),
            kinds,
            (store, end_of(lines) as u64),
        );
        Self { home, roster, books, first_line: first_line(lines) }
    }

    /// The `T` that begins in a line. Panics where it would not lie in the segment.
    pub(crate) fn at<T: Shareable>(&self, line: usize) -> Place<T> {
        Place::new(&self.home, self.first_line + line * LINE)
    }

    /// Sees to all that `dead` left, or somebody, as `me`, and wakes all who sleep.
    pub(crate) fn see_to(&self, dead: Option<Holder>, me: Holder) {
        self.books.poke(&self.roster);
        for line in 0..self.books.end() {
            if self.books.kind(line).is_some() {
                // With the books open the line stays what it is.
                let open = self.books.open(&self.roster, me);
                super::see_to(self, line, self.books.kind(line), dead, me);
                dead.into_iter().for_each(|dead| open.forget(line, dead));
            }
        }
    }
}

const ROSTER: usize = LINE;
const BOOKS: usize = ROSTER + size_of::<RosterWords>();
const PAGES: usize = BOOKS + size_of::<BookWords>();

const fn kinds(lines: usize) -> usize {
    PAGES + lines * size_of::<Page>()
}

const fn first_line(lines: usize) -> usize {
    (kinds(lines) + lines * size_of::<AtomicU32>()).next_multiple_of(LINE)
}

/// Where the memory of so many lines ends, and that of queues begins.
const fn end_of(lines: usize) -> usize {
    (first_line(lines) + lines * LINE).next_multiple_of(STEP as usize)
}

/// Memory for locks and their kin, shared by processes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::{Lock, LockMemory};
///
/// let memory = LockMemory::create(1024)?;
/// let lock = Lock::create(&memory)?.unwrap();
/// // In another process, which was given the descriptor and the name:
/// let theirs = LockMemory::open(memory.fd().try_clone_to_owned()?)?;
/// let same = Lock::at(&theirs, lock.name())?.unwrap();
/// assert!(lock.try_acquire()?.is_some());
/// assert!(same.try_acquire()?.is_none());
/// same.release()?;
/// # Ok(())
/// # }
/// ```
pub struct LockMemory {
    inside: Arc<Inside>,
    /// The file of it all: the lines lie at its begin, the items of queues behind them.
    store: Arc<Commons>,
    membership: Membership,
}

impl LockMemory {
    /// Makes memory of up to `lines` lines of 64 bytes: as many as the system's limits allow. Memory is taken as it is used. This process
    /// takes part from its first use on.
    ///
    /// # Errors
    /// Those of `memfd_create`, `ftruncate` and `mmap`.
    pub fn create(lines: usize) -> Result<Arc<Self>, OpenError> {
        Self::open(Self::found(lines)?)
    }

    /// Makes the file alone, to be opened when somebody needs it.
    ///
    /// # Errors
    /// Those of `memfd_create`, `ftruncate` and `pwrite`.
    pub fn found(lines: usize) -> io::Result<OwnedFd> {
        // A part of the addresses that this process may have.
        let most = system::getrlimit(Resource::As)
            .current
            .map_or(MOST, |most| (most / 16) as usize / (LINE + size_of::<Page>()));
        let mut lines = lines.clamp(1, MOST).min(most.max(LEAST));
        let fd = loop {
            match new_file("plait-locks", end_of(lines)) {
                // Files may not be so large.
                Err(error) if lines <= LEAST => return Err(error),
                Err(_) => lines /= 2,
                Ok(made) => break made,
            }
        };
        let mut len = STORE.min(system::getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)) / STEP * STEP;
        while len > end_of(lines) as u64 && system::ftruncate(&fd, len).is_err() {
            len = len / 2 / STEP * STEP;
        }
        Here::seal(fd.as_fd())?;
        let segment = Arc::new(Segment::front(&fd, LINE)?);
        let mut random = [0; IDENTITY_LEN];
        getrandom::fill(&mut random).map_err(io::Error::from)?;
        for (word, bytes) in
            Place::<[AtomicU64]>::slice(&segment, IDENTITY, IDENTITY_LEN / 8).iter().zip(random.chunks(8))
        {
            word.store(bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), Ordering::Relaxed);
        }
        Place::<Ident>::new(&segment, 0).write(MAGIC, [lines as u64, super::roster::SEATS as u64]);
        Ok(fd)
    }

    /// Opens the memory that another process made.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(fd: OwnedFd) -> Result<Arc<Self>, OpenError> {
        let store = Commons::open(fd)?;
        let ident = Arc::new(Segment::front(store.fd(), LINE)?);
        let [lines, seats] = Place::<Ident>::new(&ident, 0).check(MAGIC)?;
        let lines = usize::try_from(lines).ok().filter(|lines| (1..=MOST).contains(lines)).unwrap_or(0);
        let (expected, found) = (end_of(lines), usize::try_from(store.len()).unwrap_or(usize::MAX));
        if lines == 0 || seats != super::roster::SEATS as u64 || found < expected {
            return Err(OpenError::Length { found, expected });
        }
        let segment = Arc::new(Segment::front(store.fd(), expected)?);
        Ok(Arc::new(Self::new(segment, lines, store)?))
    }

    fn new(segment: Arc<Segment>, lines: usize, store: Arc<Commons>) -> io::Result<Self> {
        let inside = Arc::new(Inside::new(segment, lines, Arc::clone(&store)));
        Ok(Self { inside, store, membership: Membership::new()? })
    }

    /// What was sent by this name, which the caller has, does not go: see [`Lock::name`](super::Lock::name).
    pub fn withdraw(&self, name: Name) {
        self.inside().books.arrive(name.line());
    }

    /// Which memory it is: no other has this number, on any machine.
    pub fn identity(&self) -> u128 {
        identity_in(&self.inside.home)
    }

    /// The same of a file that may be one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn identity_of(fd: &OwnedFd) -> Result<u128, OpenError> {
        if !Here::is_sealed(fd.as_fd()) || file_len(fd)? < LINE {
            return Err(OpenError::Alien);
        }
        let segment = Arc::new(Segment::front(fd, LINE)?);
        Place::<Ident>::new(&segment, 0).check(MAGIC)?;
        Ok(identity_in(&segment))
    }

    /// Takes part from now on, if this process does not yet.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join(&self) -> Result<(), JoinError> {
        self.me().map(drop)
    }

    /// From now on, has the threads of this process that watch several words look at them every half millisecond, as they do where the
    /// kernel cannot watch them for them (Linux before 5.16).
    #[doc(hidden)]
    pub fn look_instead() {
        crate::sync::look_instead();
    }

    /// The descriptor, to be handed to other processes.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.store.fd()
    }

    /// Where the items of queues lie, and from where on.
    pub(crate) fn store(&self) -> (&Arc<Commons>, u64) {
        (&self.store, end_of(self.inside.books.lines()) as u64)
    }

    pub(crate) fn inside(&self) -> &Arc<Inside> {
        &self.inside
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.inside.roster
    }

    /// This process, if it takes part.
    pub(crate) fn holder(&self) -> Option<Holder> {
        self.membership.holder()
    }

    /// This process, which takes part from now on if it did not yet: a forked child has a seat of its own.
    pub(crate) fn me(&self) -> Result<Holder, JoinError> {
        match self.membership.holder() {
            Some(me) => Ok(me),
            None => self.membership.join(&self.inside, |me| tenancy::adopt(&self.inside, me)),
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

    /// What the end of the process would do, with all that is still in use.
    #[cfg(test)]
    pub(crate) fn leave_now(&self) {
        self.membership.orders().unwrap().leave();
    }
}

impl Drop for LockMemory {
    fn drop(&mut self) {
        self.membership.leave();
    }
}

fn identity_in(segment: &Arc<Segment>) -> u128 {
    let words = Place::<[AtomicU64]>::slice(segment, IDENTITY, IDENTITY_LEN / 8);
    words.iter().fold(0, |identity, word| identity << 64 | u128::from(word.load(Ordering::Relaxed)))
}
