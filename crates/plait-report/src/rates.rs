//! How fast the counts of a recording grow.

use std::collections::BTreeMap;

use plait_trace::{Kind, Nanos, Recording, Subject};

/// Counts are read some ten times a second, and written down where they have changed. So what a count has grown by since
/// it was last written down, however long ago, it has grown by in about this time.
const READING: Nanos = 250_000_000;

/// By how much a count grew, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
    pub(crate) by: u64,
}

/// All that has grown, in the order of time for each subject. What went backwards says nothing, and is left out.
pub(crate) fn growths(recording: &Recording) -> BTreeMap<(Subject, Kind), Vec<Growth>> {
    let mut last: BTreeMap<(Subject, Kind), (Nanos, u64)> = BTreeMap::new();
    let mut growths: BTreeMap<(Subject, Kind), Vec<Growth>> = BTreeMap::new();
    for count in &recording.counts {
        let key = (count.of, count.kind);
        if let Some((at, value)) = last.insert(key, (count.at, count.value))
            && let Some(by) = count.value.checked_sub(value)
            && count.at > at
        {
            // Nothing takes more than its time: a thread that computed for a second did so for a second.
            let from = at.max(count.at.saturating_sub(by.max(READING)));
            growths.entry(key).or_default().push(Growth { from, to: count.at, by });
        }
    }
    growths
}

#[cfg(test)]
mod tests {
    use plait_trace::{Count, Record};

    use super::*;

    #[test]
    fn growth_is_what_came_since_the_last_reading() {
        const MS: Nanos = 1_000_000;
        let mut recording = Recording::default();
        for (at, value) in [(0, 5), (100, 55), (5_000, 60), (5_100, 2), (5_200, 4)] {
            let count = Count { of: Subject::Machine, kind: Kind::Pressure, at: at * MS, value: value * MS };
            recording.put(&Record::Count(count)).expect("of the machine");
        }
        let grown = &growths(&recording)[&(Subject::Machine, Kind::Pressure)];
        let wanted = [(0, 100, 50), (4_750, 5_000, 5), (5_100, 5_200, 2)];
        assert_eq!(*grown, wanted.map(|(from, to, by)| Growth { from: from * MS, to: to * MS, by: by * MS }));
    }
}
