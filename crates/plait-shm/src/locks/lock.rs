//! `Lock` and `RLock` of shared memory, for threads of any process that takes part.
//!
//! | word of the line | meaning | who writes, when |
//! |---|---|---|
//! | `word` | whose it is | see `word` |
//! | `depth` | how often its holder has taken it | an `RLock`'s holder |
//! | `dead` | the pid of the last holder that died, for messages | a keeper |
//! | `owner` | who of which process: the caller's number in the upper half, the [`Holder`] below | an `RLock`'s holder, after it took it; 0 before it lets go |

use std::sync::Arc;

use super::books::Name;
use super::error::{ReleaseError, WaitError};
use super::membership::JoinError;
use super::memory::{Kind, LockMemory};
use super::pending::{Deadline, Pause, Pending, wait};
use super::roster::{Holder, Roster};
use super::tenancy::Tenancy;
use super::word::{LockWord, Patience, Taken};
use crate::sync::{AtomicU32, AtomicU64, Ordering, Place, Shareable};

#[repr(C, align(64))]
pub(crate) struct LockLine {
    pub(crate) word: LockWord,
    depth: AtomicU32,
    owner: AtomicU64,
    dead: AtomicU32,
}

impl LockLine {
    /// Lets the next one have what a dead one holds.
    pub(crate) fn see_to(&self, roster: &Roster) {
        let holder = self.word.holder().filter(|holder| roster.is_dead(*holder));
        if let Some(pid) = holder.and_then(|holder| roster.pid(holder)) {
            // For a message only: somebody else may take the lock just now. Before anybody is woken, who reads it.
            self.dead.store(pid, Ordering::Relaxed);
        }
        self.word.poke(roster);
    }
}

// SAFETY: atomics.
unsafe impl Shareable for LockLine {}

/// How a lock was acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Acquired {
    /// The process that held it and has died, if that is how it came to be free: what the lock guards may be half done.
    pub died: Option<Died>,
}

/// A process that has died while it held something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Died {
    /// Its pid, if that is still known.
    pub pid: Option<u32>,
}

/// A lock that any thread of any process acquires, and any releases. Acquiring and releasing it costs a
/// compare-and-swap each when nobody waits.
///
/// When a process dies that holds it, the next one gets it, and is told ([`Acquired::died`]). A thread that ends leaves it held.
#[derive(Clone)]
pub struct Lock {
    tenancy: Arc<Tenancy>,
    pub(crate) words: Place<LockLine>,
}

impl Lock {
    /// A new lock; `None` when the memory has no line left.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn create(memory: &Arc<LockMemory>) -> Result<Option<Self>, JoinError> {
        Ok(Tenancy::take(memory, 1)?.map(|tenancy| {
            tenancy.put(Kind::Lock);
            Self::over(tenancy)
        }))
    }

    /// The lock that is called so; `None` if it is no more, or never was.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn at(memory: &Arc<LockMemory>, name: Name) -> Result<Option<Self>, JoinError> {
        Ok(Tenancy::of(memory, name, Kind::Lock)?.map(Self::over))
    }

    fn over(tenancy: Arc<Tenancy>) -> Self {
        Self { words: tenancy.words(), tenancy }
    }

    /// The name by which other processes find it: it is sent from now on, and stays for who gets it.
    pub fn name(&self) -> Name {
        self.tenancy.pass()
    }

    /// The memory that it lies in.
    pub fn memory(&self) -> &Arc<LockMemory> {
        &self.tenancy.memory
    }

    /// Acquires it if it is free and nobody waits for it: the quick way.
    ///
    /// # Errors
    /// [`JoinError`].
    #[inline]
    pub fn try_idle(&self) -> Result<bool, JoinError> {
        Ok(self.words.word.try_take(self.tenancy.memory.me()?))
    }

    /// Acquires it if that needs no waiting.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn try_acquire(&self) -> Result<Option<Acquired>, JoinError> {
        let me = self.tenancy.memory.me()?;
        Ok(self.words.word.try_look(self.tenancy.memory.roster(), me).map(|taken| self.acquired(taken)))
    }

    /// Acquires it, waiting until `deadline`, or for as long as it takes.
    ///
    /// # Errors
    /// [`WaitError`]; the lock was not acquired.
    pub fn acquire(&self, deadline: Option<Deadline>) -> Result<Acquired, WaitError> {
        let me = self.tenancy.memory.me()?;
        if self.words.word.try_take(me) {
            return Ok(Acquired { died: None });
        }
        let mut waiting = self.words.word.waiting(self.tenancy.memory.roster(), me);
        Ok(self.acquired(wait(&mut waiting, deadline)?))
    }

    /// The same as something to wait for.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn acquiring(&self) -> Result<Acquiring, JoinError> {
        Ok(Acquiring { lock: self.clone(), me: self.tenancy.memory.me()?, patience: Patience::default() })
    }

    /// Releases it, whoever holds it.
    ///
    /// # Errors
    /// [`ReleaseError::NotHeld`].
    pub fn release(&self) -> Result<(), ReleaseError> {
        if self.words.word.release() { Ok(()) } else { Err(ReleaseError::NotHeld) }
    }

    /// Does a process hold it that lives?
    pub fn is_held(&self) -> bool {
        self.words.word.holder().is_some_and(|holder| !self.tenancy.memory.roster().is_dead(holder))
    }

    /// The pid of the process that holds it, if one does.
    pub fn holder(&self) -> Option<u32> {
        self.tenancy.memory.roster().pid(self.words.word.holder()?)
    }

    fn acquired(&self, taken: Taken) -> Acquired {
        let died = match taken {
            Taken::Free => None,
            Taken::From(dead) => {
                let noted = self.words.dead.load(Ordering::Relaxed);
                Some(Died { pid: self.tenancy.memory.roster().pid(dead).or((noted != 0).then_some(noted)) })
            }
        };
        Acquired { died }
    }
}

/// Somebody waits for a [`Lock`].
pub struct Acquiring {
    lock: Lock,
    me: Holder,
    patience: Patience,
}

impl Pending for Acquiring {
    type Out = Acquired;

    fn look(&mut self) -> Result<Acquired, Pause<'_>> {
        let Self { lock, me, patience } = self;
        let taken = lock.words.word.look(lock.tenancy.memory.roster(), *me, patience)?;
        Ok(lock.acquired(taken))
    }

    fn leave(&mut self) {
        self.lock.words.word.leave(&self.patience);
    }
}

/// A lock that its holder may acquire again, and alone releases. Holders are threads, or whatever the caller numbers: `who` is
/// a number that nobody else in the process has meanwhile.
#[derive(Clone)]
pub struct RLock(Lock);

impl RLock {
    /// As [`Lock::create`].
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn create(memory: &Arc<LockMemory>) -> Result<Option<Self>, JoinError> {
        Ok(Lock::create(memory)?.map(Self))
    }

    /// As [`Lock::at`].
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn at(memory: &Arc<LockMemory>, name: Name) -> Result<Option<Self>, JoinError> {
        Ok(Lock::at(memory, name)?.map(Self))
    }

    /// The name by which other processes find it: it is sent from now on, and stays for who gets it.
    pub fn name(&self) -> Name {
        self.0.name()
    }

    /// The memory that it lies in.
    pub fn memory(&self) -> &Arc<LockMemory> {
        self.0.memory()
    }

    /// Acquires it if it is the caller's, or free and nobody waits for it: the quick way.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn try_idle(&self, who: u32) -> Result<bool, JoinError> {
        let me = self.0.tenancy.memory.me()?;
        if self.again(me, who).is_some() {
            return Ok(true);
        }
        let idle = self.0.words.word.try_take(me);
        if idle {
            let _ = self.first(me, who, Acquired { died: None });
        }
        Ok(idle)
    }

    /// Acquires it if that needs no waiting.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn try_acquire(&self, who: u32) -> Result<Option<Acquired>, JoinError> {
        let me = self.0.tenancy.memory.me()?;
        if let Some(again) = self.again(me, who) {
            return Ok(Some(again));
        }
        Ok(self.0.try_acquire()?.map(|acquired| self.first(me, who, acquired)))
    }

    /// Acquires it, waiting until `deadline`, or for as long as it takes.
    ///
    /// # Errors
    /// [`WaitError`]; the lock was not acquired.
    pub fn acquire(&self, who: u32, deadline: Option<Deadline>) -> Result<Acquired, WaitError> {
        let me = self.0.tenancy.memory.me()?;
        if let Some(again) = self.again(me, who) {
            return Ok(again);
        }
        Ok(self.first(me, who, self.0.acquire(deadline)?))
    }

    /// The same as something to wait for.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn acquiring(&self, who: u32) -> Result<Reacquiring, JoinError> {
        Ok(Reacquiring { lock: self.clone(), who, inner: self.0.acquiring()? })
    }

    /// Releases it once.
    ///
    /// # Errors
    /// [`ReleaseError`]; nothing was done.
    pub fn release(&self, who: u32) -> Result<(), ReleaseError> {
        self.check(who)?;
        let depth = self.0.words.depth.load(Ordering::Relaxed);
        if depth > 1 {
            self.0.words.depth.store(depth - 1, Ordering::Relaxed);
            return Ok(());
        }
        self.let_go()
    }

    /// Releases it wholly, however often it was acquired; gives that count, for [`RLock::set_depth`].
    ///
    /// # Errors
    /// [`ReleaseError`]; nothing was done.
    pub fn release_all(&self, who: u32) -> Result<u32, ReleaseError> {
        self.check(who)?;
        let depth = self.0.words.depth.load(Ordering::Relaxed);
        self.let_go()?;
        Ok(depth)
    }

    /// Says how often its holder has acquired it.
    ///
    /// # Errors
    /// [`ReleaseError`]; nothing was done.
    pub fn set_depth(&self, who: u32, depth: u32) -> Result<(), ReleaseError> {
        self.check(who)?;
        self.0.words.depth.store(depth.max(1), Ordering::Relaxed);
        Ok(())
    }

    /// How often `who` has acquired it and not released it.
    pub fn depth(&self, who: u32) -> u32 {
        if self.is_mine(who) { self.0.words.depth.load(Ordering::Relaxed) } else { 0 }
    }

    /// Does `who` of this process hold it?
    pub fn is_mine(&self, who: u32) -> bool {
        self.check(who).is_ok()
    }

    /// As [`Lock::is_held`].
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// As [`Lock::holder`].
    pub fn holder(&self) -> Option<u32> {
        self.0.holder()
    }

    fn owns(&self, me: Holder, who: u32) -> bool {
        // Only who holds it writes its own name here, and takes it off before it lets go.
        self.0.words.owner.load(Ordering::Relaxed) == name(me, who) && self.0.words.word.holder() == Some(me)
    }

    fn check(&self, who: u32) -> Result<(), ReleaseError> {
        match self.0.tenancy.memory.me() {
            Ok(me) if self.owns(me, who) => Ok(()),
            _ if self.is_held() => Err(ReleaseError::NotMine),
            _ => Err(ReleaseError::NotHeld),
        }
    }

    fn again(&self, me: Holder, who: u32) -> Option<Acquired> {
        let depth = &self.0.words.depth;
        self.owns(me, who).then(|| {
            depth.store(depth.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
            Acquired { died: None }
        })
    }

    fn first(&self, me: Holder, who: u32, acquired: Acquired) -> Acquired {
        self.0.words.owner.store(name(me, who), Ordering::Relaxed);
        self.0.words.depth.store(1, Ordering::Relaxed);
        acquired
    }

    fn let_go(&self) -> Result<(), ReleaseError> {
        self.0.words.owner.store(0, Ordering::Relaxed);
        self.0.release()
    }
}

fn name(me: Holder, who: u32) -> u64 {
    u64::from(who) << 32 | u64::from(me.0)
}

/// Somebody waits for an [`RLock`].
pub struct Reacquiring {
    lock: RLock,
    who: u32,
    inner: Acquiring,
}

impl Pending for Reacquiring {
    type Out = Acquired;

    fn look(&mut self) -> Result<Acquired, Pause<'_>> {
        let me = self.inner.me;
        if let Some(again) = self.lock.again(me, self.who) {
            return Ok(again);
        }
        let acquired = self.inner.look()?;
        Ok(self.lock.first(me, self.who, acquired))
    }

    fn leave(&mut self) {
        self.inner.leave();
    }
}
