//! The first line of every segment: what it is, and which layout it has.

use crate::error::OpenError;
use crate::sync::{AtomicU32, AtomicU64, Line, Ordering, Shareable};

/// The version of all layouts of this crate; each change of one counts it up.
pub(crate) const LAYOUT: u32 = 5;

/// | word | meaning | who writes, when |
/// |---|---|---|
/// | `magic` | the kind of segment | the parent, last, when it made the segment |
/// | `layout` | [`LAYOUT`] | the parent, when it made the segment |
/// | `opened` | how often a worker has opened it | a worker, by adding one |
/// | `sizes` | what the kind of segment needs to know of its own size | the parent, when it made the segment |
#[repr(C)]
struct Words {
    magic: AtomicU64,
    layout: AtomicU32,
    opened: AtomicU32,
    sizes: [AtomicU64; 2],
}

#[repr(transparent)]
pub(crate) struct Ident(Line<Words>);

// SAFETY: atomics.
unsafe impl Shareable for Ident {}

impl Ident {
    pub(crate) fn write(&self, magic: &[u8; 8], sizes: [u64; 2]) {
        self.0.layout.store(LAYOUT, Ordering::Relaxed);
        for (to, size) in self.0.sizes.iter().zip(sizes) {
            to.store(size, Ordering::Relaxed);
        }
        // SYNC POINT with `Ident::check`.
        self.0.magic.store(u64::from_ne_bytes(*magic), Ordering::Release);
    }

    /// The sizes, if the segment is of the kind `magic` and of this layout.
    pub(crate) fn check(&self, magic: &[u8; 8]) -> Result<[u64; 2], OpenError> {
        // SYNC POINT with `Ident::write`.
        if self.0.magic.load(Ordering::Acquire) != u64::from_ne_bytes(*magic) {
            return Err(OpenError::Alien);
        }
        let found = self.0.layout.load(Ordering::Relaxed);
        if found != LAYOUT {
            return Err(OpenError::Version { found, expected: LAYOUT });
        }
        Ok([0, 1].map(|i| self.0.sizes[i].load(Ordering::Relaxed)))
    }

    /// Was this the first time that somebody took the segment?
    pub(crate) fn take(&self) -> bool {
        self.0.opened.fetch_add(1, Ordering::Relaxed) == 0
    }
}
