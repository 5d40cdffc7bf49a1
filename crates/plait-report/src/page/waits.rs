//! The longest waits for a GIL, with who had it meanwhile.

use std::collections::BTreeMap;

use plait_trace::{Nanos, Recording, Span, ThreadKey};

use crate::verdicts::{Code, Spot};

/// A wait for a GIL.
pub(super) struct Wait {
    pub span: Span,
    /// Who had it for the most of that time.
    pub holder: Option<ThreadKey>,
    /// The share of that time for which it was that one.
    pub share: f64,
    /// Where the holder was in the user's code.
    pub spot: Option<Spot>,
}

/// So many of the longest waits, the longest first.
pub(super) fn longest(recording: &Recording, count: usize) -> Vec<Wait> {
    let mut spans: Vec<Span> =
        recording.threads.iter().flat_map(|lane| &lane.spans).filter(|span| span.state.wants_gil()).copied().collect();
    let length = |span: &Span| span.to - span.from;
    spans.sort_by_key(|span| (std::cmp::Reverse(length(span)), span.from));
    spans.truncate(count);
    let code = Code::of(recording);
    spans.into_iter().map(|span| explained(recording, &code, span)).collect()
}

fn explained(recording: &Recording, code: &Code<'_>, span: Span) -> Wait {
    let process = recording.threads.get(span.thread.index()).map(|lane| lane.thread.process);
    let mut held: BTreeMap<ThreadKey, Nanos> = BTreeMap::new();
    for lane in recording.gils.iter().filter(|lane| Some(lane.gil.process) == process) {
        let first = lane.holds.partition_point(|hold| hold.to <= span.from);
        for hold in lane.holds[first..].iter().take_while(|hold| hold.from < span.to) {
            let Some(thread) = hold.thread.filter(|thread| *thread != span.thread) else { continue };
            *held.entry(thread).or_default() += hold.to.min(span.to) - hold.from.max(span.from);
        }
    }
    let most = held.into_iter().max_by_key(|&(_, time)| time);
    let spot = most.and_then(|(thread, _)| {
        let lane = recording.threads.get(thread.index())?;
        let stacks = lane.stacks.iter().filter(|stack| (span.from..span.to).contains(&stack.at)).map(|it| &it.frames);
        let shots = lane.shots.iter().filter(|shot| (span.from..span.to).contains(&shot.at)).map(|it| &it.frames);
        let (spot, _, _) = code.most(stacks.chain(shots).filter_map(|frames| code.spot(frames)))?;
        code.show(spot)
    });
    let share = most.map_or(0.0, |(_, time)| time as f64 / (span.to - span.from) as f64);
    Wait { span, holder: most.map(|(thread, _)| thread), share, spot }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{MS, small};

    #[test]
    fn the_longest_wait_names_who_had_the_gil_and_where() {
        let recording = small();
        let waits = longest(&recording, 2);
        let [first, second] = &waits[..] else { panic!("two were asked for") };
        let times = |wait: &Wait| (wait.span.from / MS, wait.span.to / MS);
        assert_eq!((times(first), times(second)), ((50, 250), (100, 250)));
        let holder = first.holder.and_then(|thread| recording.threads.get(thread.index()));
        assert_eq!(holder.map(|lane| lane.thread.name.as_str()), Some("parser"));
        assert_eq!(first.share, 1.0);
        assert_eq!(first.spot.as_ref().map(ToString::to_string).as_deref(), Some("Parser.load (parser.py:12)"));
    }
}
