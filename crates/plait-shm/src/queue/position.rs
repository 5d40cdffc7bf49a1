//! A place in the ring of a queue: how many items, and how many units of memory, have gone by.
//!
//! Both are counted modulo 2³² in one word, so that one store tells both. Differences are right as long as less than that lies between.

/// The unit in which records are laid out, in bytes.
pub(crate) const UNIT: usize = 16;

/// Items in the upper half, units in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    pub(crate) fn items(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn units(self) -> u32 {
        self.0 as u32
    }

    /// The place behind a record of so many units that begins here.
    pub(crate) fn behind(self, units: u32) -> Self {
        Self(u64::from(self.items().wrapping_add(1)) << 32 | u64::from(self.units().wrapping_add(units)))
    }

    /// How many items lie between an earlier place and this one.
    pub(crate) fn items_since(self, earlier: Self) -> u32 {
        self.items().wrapping_sub(earlier.items())
    }

    /// How many units do.
    pub(crate) fn units_since(self, earlier: Self) -> u32 {
        self.units().wrapping_sub(earlier.units())
    }
}
