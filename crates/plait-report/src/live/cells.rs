//! A lane in cells: of all that happened in one, the state that matters most.

use plait_trace::{Nanos, Span, State};

/// The time spent in each state, by its place in [`State::ALL`].
pub(super) type Spent = [Nanos; State::ALL.len()];

/// A native call that keeps the GIL for so long is shown, whatever else there was in its cell.
const HOG: Nanos = 10_000_000;

/// The state of each of `count` cells of `width` nanoseconds, the first of which begins at `from`; nothing where nothing is
/// known, and after `until`.
pub(super) fn cells(spans: &[Span], (from, until): (Nanos, Nanos), width: Nanos, count: usize) -> Vec<Option<State>> {
    let mut cells = Vec::with_capacity(count);
    let mut spans = &spans[spans.partition_point(|span| span.to <= from)..];
    let mut begin = from;
    while cells.len() < count && begin < until {
        let end = begin.saturating_add(width).min(until);
        let mut spent: Spent = [0; State::ALL.len()];
        while let [span, rest @ ..] = spans
            && span.from < end
        {
            spent[span.state as usize] += span.to.min(end) - span.from.max(begin);
            if span.to > end {
                break;
            }
            spans = rest;
        }
        cells.push(dominant(&spent, width));
        begin = end;
    }
    cells.resize(count, None);
    cells
}

/// The state that stands for a stretch of time.
fn dominant(spent: &Spent, width: Nanos) -> Option<State> {
    let hogs = [State::HoldsNative, State::HoldsBlocked, State::HoldsGc];
    let longest = hogs.into_iter().max_by_key(|&state| spent[state as usize])?;
    if spent[longest as usize] >= HOG.min(width / 5).max(1) {
        return Some(longest);
    }
    // Of equals, the first in the order of the legend.
    let mut best = (0, None);
    for state in State::ALL {
        let weighted = spent[state as usize].saturating_mul(WEIGHTS[state as usize]);
        if weighted > best.0 {
            best = (weighted, Some(state));
        }
    }
    best.1
}

/// Moments with the GIL are short, and matter more than rest.
const WEIGHTS: [u64; State::ALL.len()] = {
    let mut weights = [2; State::ALL.len()];
    let mut place = 0;
    while place < weights.len() {
        let state = State::ALL[place];
        if state.holds_gil() {
            weights[place] = 8;
        } else if state.wants_gil() || state.wants_processor() {
            weights[place] = 4;
        } else if matches!(state, State::Unknown) {
            weights[place] = 1;
        }
        place += 1;
    }
    weights
};

#[cfg(test)]
mod tests {
    use plait_trace::ThreadKey;

    use super::*;

    const MS: Nanos = 1_000_000;

    /// A letter is 10 ms.
    fn spans(lane: &str) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (place, letter) in (0..).zip(lane.chars()) {
            let Some(state) = State::ALL.into_iter().find(|state| state.letter() == letter) else { continue };
            let (from, to) = (place * 10 * MS, (place + 1) * 10 * MS);
            match spans.last_mut() {
                Some(last) if last.state == state && last.to == from => last.to = to,
                _ => spans.push(Span { thread: ThreadKey(0), from, to, state, call: None }),
            }
        }
        spans
    }

    fn drawn(lane: &str, from: Nanos, width: Nanos, count: usize) -> String {
        let cells = cells(&spans(lane), (from * MS, u64::MAX), width * MS, count);
        cells.into_iter().map(|cell| cell.map_or(' ', State::letter)).collect()
    }

    #[test]
    fn states_are_numbered_in_their_order() {
        for (place, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, place);
        }
    }

    #[test]
    fn at_full_size_a_lane_is_itself() {
        assert_eq!(drawn("PPwwNN lls", 0, 10, 12), "PPwwNN lls  ");
        assert_eq!(
            drawn("PPwwNN lls", 15, 10, 4),
            "PwNN",
            "of equals, what comes first in the legend, hogs before all"
        );
        let until = cells(&spans("PPwwNN"), (0, 35 * MS), 10 * MS, 6);
        assert_eq!(until.into_iter().map(|cell| cell.map_or(' ', State::letter)).collect::<String>(), "PPww  ");
        assert_eq!(drawn("PPww", 500, 10, 3), "   ");
    }

    #[test]
    fn a_short_hog_is_shown() {
        assert_eq!(drawn("llllllllNlllllllllllPPPPPPPPPP", 0, 100, 3), "NlP");
        assert_eq!(drawn("PPPPPPGPPPwwwwwwwwwwwwwwwwwwBw", 0, 100, 3), "GwB");
    }

    #[test]
    fn work_outweighs_rest() {
        assert_eq!(drawn("PPllllllll", 0, 100, 1), "P", "a fifth");
        assert_eq!(drawn("Plllllllll", 0, 100, 1), "l", "a tenth");
        assert_eq!(drawn("wwwwllllll", 0, 100, 1), "w");
        assert_eq!(drawn("PPPwwwwwww", 0, 100, 1), "w", "it waited more than it had");
        assert_eq!(drawn("?????????l", 0, 100, 1), "?");
        assert_eq!(drawn("??????llll", 0, 100, 1), "l");
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        let span = Span { thread: ThreadKey(0), from: u64::MAX - 5, to: u64::MAX, state: State::Native, call: None };
        assert_eq!(cells(&[span], (u64::MAX - 10, u64::MAX), 4, 3), [None, Some(State::Native), Some(State::Native)]);
        assert_eq!(cells(&[span], (0, u64::MAX), u64::MAX, 2), [Some(State::Native), None]);
    }
}
