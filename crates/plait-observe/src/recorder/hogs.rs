//! Which holds of a GIL deserve a closer look: a stack and, if allowed, the native calls of the one thread that holds it.

use plait_trace::{Nanos, ThreadKey};

use crate::lanes::Hogging;

/// A hold for which others wait is looked at once it has lasted so long; a bytecode loop lets go sooner.
const WAITED_FOR: Nanos = 10_000_000;
/// And one for which nobody waits, later.
const UNWAITED: Nanos = 20_000_000;
/// The time between two looks of a process's threads that are stopped for it: at most five in a second.
const BETWEEN: Nanos = 200_000_000;
/// A hold that goes on is looked at again after so long.
const AGAIN: Nanos = 1_000_000_000;

/// The closer looks taken in one process.
#[derive(Debug, Default)]
pub(super) struct Hogs {
    last: Option<(ThreadKey, Nanos, Nanos)>,
}

impl Hogs {
    /// Whether `hog` is to be looked at now; if so, it is taken note of.
    pub fn is_due(&mut self, hog: &Hogging, at: Nanos) -> bool {
        let lasted = at.saturating_sub(hog.since);
        if lasted < if hog.waiters > 0 { WAITED_FOR } else { UNWAITED } {
            return false;
        }
        if let Some((thread, since, taken)) = self.last {
            let same = (thread, since) == (hog.thread, hog.since);
            if at.saturating_sub(taken) < if same { AGAIN } else { BETWEEN } {
                return false;
            }
        }
        self.last = Some((hog.thread, hog.since, at));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn hog(since: Nanos, waiters: usize) -> Hogging {
        Hogging { thread: ThreadKey(1), since, waiters }
    }

    #[test]
    fn a_hold_is_looked_at_once_it_is_long() {
        let mut hogs = Hogs::default();
        assert!(!hogs.is_due(&hog(0, 1), 9 * MS));
        assert!(hogs.is_due(&hog(0, 1), 10 * MS));
        assert!(!hogs.is_due(&hog(0, 1), 300 * MS), "the same hold");
        assert!(hogs.is_due(&hog(0, 1), 1_010 * MS), "it goes on and on");
    }

    #[test]
    fn one_for_which_nobody_waits_has_more_time() {
        let mut hogs = Hogs::default();
        assert!(!hogs.is_due(&hog(0, 0), 19 * MS));
        assert!(hogs.is_due(&hog(0, 0), 20 * MS));
    }

    #[test]
    fn no_more_than_five_in_a_second() {
        let mut hogs = Hogs::default();
        let taken = (0..1000).filter(|&turn| hogs.is_due(&hog(turn / 15 * 15 * MS, 1), turn * MS)).count();
        assert!((4..=5).contains(&taken), "{taken}");
    }
}
