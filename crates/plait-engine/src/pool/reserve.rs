//! How many addresses the arenas reserve. They cost nothing where addresses are free, and have to be shared out where
//! `ulimit -v` counts them.

use rustix::process::{Resource, getrlimit};

/// Address space reserved for arguments; memory is used only for what is in flight.
const ARGUMENTS: u64 = 1 << 40;

/// Address space reserved for a worker's large results.
const RESULTS: u64 = 1 << 38;

/// With less than this an arena is of no use.
const LEAST: u64 = 1 << 20;

/// The reserves of one pool, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserves {
    pub(crate) arguments: usize,
    pub(crate) results: usize,
}

impl Reserves {
    /// For so many workers, in this process.
    pub(super) fn new(workers: usize) -> Self {
        Self::within(getrlimit(Resource::As).current, workers)
    }

    /// A quarter of what is allowed for the arguments, another for the results of all workers: the rest is for the
    /// program, and a pool beside this one.
    fn within(limit: Option<u64>, workers: usize) -> Self {
        let quarter = limit.map_or(u64::MAX, |limit| limit / 4);
        let each = quarter / workers.max(1) as u64;
        let size = |bytes: u64| usize::try_from(bytes.max(LEAST)).unwrap_or(usize::MAX);
        Self { arguments: size(quarter.min(ARGUMENTS)), results: size(each.min(RESULTS)) }
    }

    pub(super) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(self.arguments as u64).to_le_bytes());
        bytes[8..].copy_from_slice(&(self.results as u64).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; 16]) -> Self {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            usize::try_from(u64::from_le_bytes(number)).unwrap_or(usize::MAX)
        };
        Self { arguments: number(0), results: number(8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_addresses_are_free() {
        let free = Reserves::within(None, 192);
        assert_eq!((free.arguments as u64, free.results as u64), (ARGUMENTS, RESULTS));
    }

    #[test]
    fn with_one_half_of_it_is_left_alone() {
        let limit = 8 << 30;
        let tight = Reserves::within(Some(limit), 4);
        assert!((tight.arguments + 4 * tight.results) as u64 <= limit / 2);
        assert!(tight.results as u64 >= 400 << 20);
        assert_eq!(Reserves::decode(tight.encode()), tight);
    }
}
