//! Which processes and threads are shown, and in which order.

use std::cmp::Reverse;

use plait_trace::{Recording, ThreadLane, Track};

use super::figures::{Figures, ThreadFigures};
use super::keys::{Choice, Sort};

/// A line of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A process, and how many of its threads are idle and hidden.
    Process(usize, usize),
    Thread(usize),
}

/// Each process and its threads, but for those that were filtered out and those that were over before.
pub(super) fn rows(recording: &Recording, figures: &Figures, choice: &Choice) -> Vec<Row> {
    let mut by_process: Vec<Vec<usize>> = vec![Vec::new(); recording.processes.len()];
    for (thread, lane) in recording.threads.iter().enumerate() {
        by_process[lane.thread.process.index()].push(thread);
    }
    let filter = choice.filter.to_lowercase();
    let mut rows = Vec::new();
    for (process, threads) in by_process.into_iter().enumerate() {
        let track = &recording.processes[process];
        let of_process = is_meant(track, &filter);
        let mut threads: Vec<usize> = threads
            .into_iter()
            .filter(|&thread| {
                let lane = &recording.threads[thread];
                let is_there =
                    lane.ended.is_none_or(|ended| ended > figures.from) || figures.threads[thread].is_known();
                is_there && (of_process || lane.thread.name.to_lowercase().contains(&filter))
            })
            .collect();
        let all = threads.len();
        if choice.hides_idle {
            threads.retain(|&thread| !figures.threads[thread].is_idle());
        }
        let is_there = track.ended.is_none_or(|ended| ended > figures.from);
        if all == 0 && !(is_there && of_process) {
            continue;
        }
        sort(&mut threads, recording, figures, choice.sort);
        rows.push(Row::Process(process, all - threads.len()));
        rows.extend(threads.into_iter().map(Row::Thread));
    }
    rows
}

fn is_meant(track: &Track, filter: &str) -> bool {
    let process = &track.process;
    let texts = [process.command.as_str(), process.role.as_deref().unwrap_or_default()];
    texts.iter().any(|text| text.to_lowercase().contains(filter)) || process.pid.to_string() == filter
}

fn sort(threads: &mut [usize], recording: &Recording, figures: &Figures, sort: Sort) {
    let name = |lane: &ThreadLane| (lane.thread.name.to_lowercase(), lane.thread.tid);
    let by = |share: fn(&ThreadFigures) -> f64| {
        // In steps of 5 %, so that threads that do alike do not change places all the time.
        move |&thread: &usize| (Reverse((share(&figures.threads[thread]) * 20.0).round() as u64), thread)
    };
    match sort {
        Sort::Name => threads.sort_by_cached_key(|&thread| name(&recording.threads[thread])),
        Sort::Gil => threads.sort_by_key(by(ThreadFigures::gil)),
        Sort::Waits => threads.sort_by_key(by(ThreadFigures::waits)),
        Sort::Cpu => threads.sort_by_key(by(|figures| figures.cpu)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{MS, small};

    /// Names of threads, processes by their number; a figure for those that are hidden.
    fn shown(recording: &Recording, choice: &Choice, from: u64, to: u64) -> String {
        let figures = Figures::of(recording, from * MS, to * MS);
        let name = |row: Row| match row {
            Row::Process(process, 0) => format!("[{}]", recording.processes[process].process.pid),
            Row::Process(process, hidden) => format!("[{} -{hidden}]", recording.processes[process].process.pid),
            Row::Thread(thread) => recording.threads[thread].thread.name.clone(),
        };
        rows(recording, &figures, choice).into_iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn threads_are_sorted_within_their_process() {
        let recording = small();
        let by = |sort| shown(&recording, &Choice { sort, ..Choice::default() }, 0, 510);
        assert_eq!(by(Sort::Gil), "[100] parser python reader [120] python");
        assert_eq!(by(Sort::Waits), "[100] python reader parser [120] python");
        assert_eq!(by(Sort::Cpu), "[100] parser python reader [120] python");
        assert_eq!(by(Sort::Name), "[100] parser python reader [120] python");
    }

    #[test]
    fn a_filter_means_threads_or_whole_processes() {
        let recording = small();
        let with = |filter: &str| shown(&recording, &Choice { filter: filter.into(), ..Choice::default() }, 0, 510);
        assert_eq!(with("Read"), "[100] reader");
        assert_eq!(with("WORKER 1"), "[120] python");
        assert_eq!(with("100"), "[100] parser python reader");
        assert_eq!(with("none"), "");
    }

    #[test]
    fn what_is_over_or_idle_is_left_out() {
        let recording = small();
        assert_eq!(shown(&recording, &Choice::default(), 350, 510), "[100] python parser reader");
        let choice = Choice { hides_idle: true, ..Choice::default() };
        assert_eq!(shown(&recording, &choice, 350, 510), "[100 -1] python reader");
    }
}
