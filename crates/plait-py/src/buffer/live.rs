//! The mappings that there are now, by address: so that memory which lies in one is known when it is sent on.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use plait_engine::heap::{Access, Mapped, Piece};
use plait_engine::queue::Parcel;

use super::spare;

/// What keeps a block from being used anew.
pub type Keep = Arc<dyn Any + Send + Sync>;

/// A mapped block. What keeps it is let go after the memory is unmapped, or kept where nobody looks at it.
pub struct Mapping {
    // Dropped in this order.
    mapped: Arc<Mapped>,
    keep: Keep,
}

/// The mappings by the addresses of their first bytes.
pub type Live = BTreeMap<usize, Weak<Mapping>>;

/// All of them. Held for look-ups alone: nothing is dropped and no Python code runs under it. A fork takes it, see
/// [`crate::program`].
pub static LIVE: Mutex<Live> = Mutex::new(BTreeMap::new());

/// How many there are, so that a program without any need not look.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// How many of them everybody writes to.
static SHARED: AtomicUsize = AtomicUsize::new(0);

impl Mapping {
    /// The mapping of this memory, which is made known. What is mapped has one `keep`, however often this is called.
    pub fn of(mapped: Arc<Mapped>, keep: Keep) -> Arc<Self> {
        let new = Arc::new(Self { mapped, keep });
        let known = {
            let mut live = live();
            let known = live.get(&new.address()).and_then(Weak::upgrade);
            if known.is_none() {
                live.insert(new.address(), Arc::downgrade(&new));
                COUNT.fetch_add(1, Ordering::Relaxed);
                SHARED.fetch_add(new.shared(), Ordering::Relaxed);
            }
            known
        };
        known.unwrap_or(new)
    }

    /// The memory.
    pub fn mapped(&self) -> &Mapped {
        &self.mapped
    }

    fn address(&self) -> usize {
        self.mapped.as_ptr() as usize
    }

    /// What it counts among those that everybody writes to.
    fn shared(&self) -> usize {
        usize::from(self.mapped.access() == Access::Shared)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Before it is unmapped: the next mapping may get the address. It may be known anew, or was not made known at all.
        let mut live = live();
        let is_known = live.get(&self.address()).is_some_and(|known| std::ptr::eq(known.as_ptr(), self));
        if is_known {
            let _ours = live.remove(&self.address());
            COUNT.fetch_sub(1, Ordering::Relaxed);
            SHARED.fetch_sub(self.shared(), Ordering::Relaxed);
        }
        drop(live);
        if !is_known {
            return;
        }
        if let Some(piece) = self.keep.downcast_ref::<Piece>() {
            spare::give_back(piece, &self.mapped);
        } else if let Some(parcel) = self.keep.downcast_ref::<Parcel>() {
            spare::give_back_parcel(parcel, &self.mapped);
        }
    }
}

/// Memory that lies in a mapping.
pub struct Found {
    /// What is mapped there, which stays so while this lives.
    pub mapped: Arc<Mapped>,
    /// Where in it the memory begins.
    pub at: usize,
    /// What keeps the block.
    pub keep: Keep,
}

/// The mapping that holds all of these bytes; nothing for none.
pub fn find(ptr: *const u8, len: usize) -> Option<Found> {
    if len == 0 || count() == 0 {
        return None;
    }
    let address = ptr as usize;
    // Looked into outside of the lock, because this may come to be the last reference.
    let known = live().range(..=address).next_back().and_then(|(_, mapping)| mapping.upgrade());
    let mapping = known?;
    let at = address - mapping.address();
    let inside = at.checked_add(len).is_some_and(|end| end <= mapping.mapped.len());
    inside.then(|| Found { mapped: Arc::clone(&mapping.mapped), at, keep: Arc::clone(&mapping.keep) })
}

/// How many mappings are known.
fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// Whether any of them is memory that everybody writes to.
pub fn any_shared() -> bool {
    SHARED.load(Ordering::Relaxed) > 0
}

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
