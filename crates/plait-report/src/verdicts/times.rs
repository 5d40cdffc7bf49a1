//! Time in each state.

use plait_trace::{Nanos, State};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::window::{seconds, share};

/// The time spent in each state. As JSON: seconds by the state's word, those that are not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times([Nanos; State::ALL.len()]);

impl Times {
    pub(super) fn add(&mut self, state: State, time: Nanos) {
        let own = &mut self.0[state as usize];
        *own = own.saturating_add(time);
    }

    /// The time in one state, in nanoseconds.
    pub fn of(&self, state: State) -> Nanos {
        self.0[state as usize]
    }

    /// The time in all states that are asked for, in nanoseconds.
    pub fn sum(&self, which: impl Fn(State) -> bool) -> Nanos {
        State::ALL.iter().filter(|&&state| which(state)).fold(0, |sum, &state| sum.saturating_add(self.of(state)))
    }

    /// The time that was seen: all but [`State::Unknown`].
    pub fn seen(&self) -> Nanos {
        self.sum(|state| state != State::Unknown)
    }

    /// The share of the time that was seen, for the states that are asked for.
    pub fn share(&self, which: impl Fn(State) -> bool) -> f64 {
        share(seconds(self.sum(|state| state != State::Unknown && which(state))), seconds(self.seen()))
    }

    /// Seconds in the states that are asked for.
    pub(super) fn seconds(&self, which: impl Fn(State) -> bool) -> f64 {
        seconds(self.sum(which))
    }

    /// The state with the most time, of those that were seen.
    pub fn most(&self) -> Option<State> {
        let seen = State::ALL.iter().copied().filter(|&state| state != State::Unknown && self.of(state) > 0);
        seen.reduce(|most, next| if self.of(next) > self.of(most) { next } else { most })
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let used = || State::ALL.iter().filter(|&&state| self.of(state) > 0);
        let mut map = serializer.serialize_map(Some(used().count()))?;
        for &state in used() {
            map.serialize_entry(state.word(), &seconds(self.of(state)))?;
        }
        map.end()
    }
}

/// Whether a thread in this state runs.
pub(super) fn runs(state: State) -> bool {
    matches!(
        state,
        State::HoldsPython
            | State::HoldsNative
            | State::HoldsGc
            | State::HoldsBlocked
            | State::Native
            | State::Attached
            | State::Detached
    )
}

/// Whether a thread in this state runs, or wants to.
pub(super) fn is_active(state: State) -> bool {
    runs(state) || state.wants_gil() || state == State::Runnable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_place() {
        for (place, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, place);
        }
    }

    #[test]
    fn what_was_not_seen_is_no_part_of_a_share() {
        let mut times = Times::default();
        times.add(State::Native, 3);
        times.add(State::Sleep, 1);
        times.add(State::Unknown, 100);
        times.add(State::Unknown, Nanos::MAX);
        assert_eq!(times.share(|state| state == State::Native), 0.75);
        assert_eq!(times.most(), Some(State::Native));
        assert_eq!(Times::default().most(), None);
        assert_eq!(Times::default().share(|_| true), 0.0);
        assert_eq!(
            serde_json::to_string(&times).ok().as_deref().map(|text| text.starts_with(r#"{"native":"#)),
            Some(true)
        );
    }
}
