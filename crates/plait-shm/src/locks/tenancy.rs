//! What this process refers to: each handle on something in a memory has a share in its lines, and the last one lets go of them.
//!
//! There is one table for the process, whose lock a fork must find free ([`hold_still`]). A forked child has a copy of it, and tells the
//! books when it takes part; until then what it has counts as on its way.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::books::Name;
use super::membership::JoinError;
use super::memory::{Inside, Kind, LINE, LockMemory};
use super::roster::Holder;
use crate::sync::{AtomicU64, Ordering, Place, Shareable};

/// What this process has of a line.
struct Share {
    inside: Arc<Inside>,
    name: Name,
    handles: u32,
}

type Table = HashMap<(usize, usize), Share>;

static SHARES: Mutex<Option<Table>> = Mutex::new(None);

fn shares() -> MutexGuard<'static, Option<Table>> {
    SHARES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For the time of a fork: see [`hold_still`].
pub struct Still(#[expect(dead_code, reason = "it is held")] MutexGuard<'static, Option<Table>>);

/// To be called before this process forks, and its result dropped after that, in both: what the process has is the child's, too.
pub fn hold_still() -> Still {
    let shares = shares();
    for share in shares.iter().flat_map(HashMap::values) {
        share.inside.books.pass_uncounted(share.name.line());
    }
    Still(shares)
}

fn number(inside: &Arc<Inside>) -> usize {
    Arc::as_ptr(inside) as usize
}

/// A handle's share in something.
pub(crate) struct Tenancy {
    pub(crate) memory: Arc<LockMemory>,
    pub(crate) name: Name,
}

impl Tenancy {
    /// Takes `count` lines, all zeros; `None` when there are none. [`Tenancy::put`] says what stands there.
    pub(crate) fn take(memory: &Arc<LockMemory>, count: usize) -> Result<Option<Arc<Self>>, JoinError> {
        let me = memory.me()?;
        let inside = memory.inside();
        let mut shares = shares();
        let Some(name) = inside.books.open(memory.roster(), me).take(count, me) else { return Ok(None) };
        let share = Share { inside: Arc::clone(inside), name, handles: 1 };
        shares.get_or_insert_default().insert((number(inside), name.line()), share);
        for line in name.line()..name.line() + count {
            let words: Place<Words> = inside.at(line);
            words.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        Ok(Some(Arc::new(Self { memory: Arc::clone(memory), name })))
    }

    /// Says what stands there from now on.
    pub(crate) fn put(&self, kind: Kind) {
        self.memory.inside().books.put(self.name.line(), kind);
    }

    /// A share in what is called `name`; `None` where that is no more, or something else.
    pub(crate) fn of(memory: &Arc<LockMemory>, name: Name, kind: Kind) -> Result<Option<Arc<Self>>, JoinError> {
        let me = memory.me()?;
        let inside = memory.inside();
        let mut shares = shares();
        let found = match shares.get_or_insert_default().entry((number(inside), name.line())) {
            Entry::Occupied(mut share) => {
                let same = share.get().name == name;
                share.get_mut().handles += u32::from(same);
                same
            }
            Entry::Vacant(place) => {
                let there = inside.books.open(memory.roster(), me).refer(name, me);
                if there {
                    place.insert(Share { inside: Arc::clone(inside), name, handles: 1 });
                }
                there
            }
        };
        if found {
            inside.books.arrive(name.line());
        }
        drop(shares);
        let tenancy = found.then(|| Arc::new(Self { memory: Arc::clone(memory), name }));
        Ok(tenancy.filter(|_| inside.books.kind(name.line()) == Some(kind)))
    }

    /// The name, to be sent to another process: what it names stays for that.
    pub(crate) fn pass(&self) -> Name {
        self.memory.inside().books.pass(self.name.line());
        self.name
    }

    /// The words in its lines.
    pub(crate) fn words<T: Shareable>(&self) -> Place<T> {
        self.memory.inside().at(self.name.line())
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        let (inside, line) = (self.memory.inside(), self.name.line());
        let mut shares = shares();
        let Some(table) = shares.as_mut() else { return };
        let Entry::Occupied(mut share) = table.entry((number(inside), line)) else { return };
        share.get_mut().handles -= 1;
        if share.get().handles == 0 {
            share.remove();
            // A child that has not taken part has nothing to let go of.
            if let Some(me) = self.memory.holder() {
                inside.books.open(self.memory.roster(), me).forget(line, me);
            }
        }
    }
}

#[repr(C, align(64))]
struct Words([AtomicU64; LINE / 8]);

// SAFETY: atomics.
unsafe impl Shareable for Words {}

/// A child that takes part tells the books what it has of its parent's.
pub(crate) fn adopt(inside: &Arc<Inside>, me: Holder) -> Result<(), JoinError> {
    let shares = shares();
    let mine = shares.iter().flatten().filter(|((memory, _), _)| *memory == number(inside));
    let open = inside.books.open(&inside.roster, me);
    let mut all = true;
    for (_, share) in mine {
        all &= open.refer(share.name, me);
    }
    if all { Ok(()) } else { Err(JoinError::Gone) }
}
