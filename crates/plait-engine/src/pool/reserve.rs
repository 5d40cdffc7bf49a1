//! How large the regions of the shared file are. Addresses and a file's length cost nothing where they are free, and have to
//! be shared out where `ulimit -v` or `ulimit -f` counts them.

use rustix::process::{Resource, getrlimit};

/// Each of the two regions of a worker: its messages, and what lies beside them.
const WORKER: u64 = 1 << 38;

/// With less than this a region is of no use.
const LEAST: u64 = 1 << 20;

/// The length of each region of a worker, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserves {
    pub(crate) worker: u64,
}

impl Reserves {
    /// The length of the region of a program, where nothing limits it; memory is used only for what is in it.
    pub(crate) const PROGRAM: u64 = 1 << 40;

    /// The length of the file, where nothing limits it.
    pub(crate) const COMMONS: u64 = 1 << 62;

    /// For so many workers, in this process, with a file of this length.
    pub(super) fn new(workers: usize, commons: u64) -> Self {
        Self::within(getrlimit(Resource::As).current, workers, commons)
    }

    /// Of the addresses a quarter is for the program's region, and another for those of all workers: the rest is for the
    /// program, and a pool beside this one. Of the file a quarter is for the program, and half for the workers.
    fn within(limit: Option<u64>, workers: usize, commons: u64) -> Self {
        let all = (limit.unwrap_or(u64::MAX) / 4).min(commons / 2);
        Self { worker: (all / (2 * workers.max(1)) as u64).clamp(LEAST, WORKER) }
    }

    /// The length of the program's own region, in a file of this length.
    pub(crate) fn of_program(commons: u64) -> u64 {
        Self::program_within(getrlimit(Resource::As).current, commons)
    }

    fn program_within(limit: Option<u64>, commons: u64) -> u64 {
        (limit.unwrap_or(u64::MAX).min(commons) / 4).clamp(LEAST.min(commons), Self::PROGRAM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_addresses_are_free() {
        assert_eq!(Reserves::within(None, 192, Reserves::COMMONS).worker, WORKER);
        assert_eq!(Reserves::program_within(None, Reserves::COMMONS), Reserves::PROGRAM);
    }

    #[test]
    fn with_one_half_of_it_is_left_alone() {
        for (addresses, file) in [(8 << 30, Reserves::COMMONS), (u64::MAX, 8 << 30)] {
            let each = Reserves::within(Some(addresses), 4, file).worker;
            assert!(Reserves::program_within(Some(addresses), file) + 8 * each <= 6 << 30);
            assert!(each >= 200 << 20);
        }
    }
}
