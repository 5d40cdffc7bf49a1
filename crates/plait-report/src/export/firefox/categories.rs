//! The colours of the activity graph.

use fxprof_processed_profile::{CategoryColor, CategoryHandle, Profile};
use plait_trace::State;

pub(super) struct Categories {
    pub(super) python: CategoryHandle,
    pub(super) keeps: CategoryHandle,
    collects: CategoryHandle,
    pub(super) waits: CategoryHandle,
    native: CategoryHandle,
    runnable: CategoryHandle,
    rests: CategoryHandle,
}

impl Categories {
    pub(super) fn of(profile: &mut Profile) -> Self {
        Self {
            python: profile.add_category("Python code", CategoryColor::Green),
            keeps: profile.add_category("Keeps the GIL", CategoryColor::Red),
            collects: profile.add_category("Garbage collection", CategoryColor::Yellow),
            waits: profile.add_category("Waits for the GIL", CategoryColor::Orange),
            native: profile.add_category("Runs without the GIL", CategoryColor::LightBlue),
            runnable: profile.add_category("Waits for a processor", CategoryColor::Blue),
            rests: profile.add_category("Waits for something else", CategoryColor::Gray),
        }
    }

    pub(super) fn of_state(&self, state: State) -> CategoryHandle {
        match state {
            State::HoldsPython | State::Attached => self.python,
            State::HoldsNative | State::HoldsBlocked => self.keeps,
            State::HoldsGc => self.collects,
            State::Waits | State::HandsOff => self.waits,
            State::Native | State::Detached => self.native,
            State::Runnable => self.runnable,
            State::Network | State::Disk | State::Poll | State::Sleep | State::Lock | State::Child => self.rests,
            State::Unknown => CategoryHandle::OTHER,
        }
    }
}
