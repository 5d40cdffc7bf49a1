//! Stretches of time that overlap, put on rows where none overlaps another unless it lies within it, for viewers drop what
//! does not.

use std::cmp::Reverse;

use plait_trace::{Gap, Nanos, Task};

/// Tasks row by row. In a row, a task comes after the one it lies in.
///
/// A thread that waits for a task may run another meanwhile, which lies within the first; what was seen of them from outside
/// is not as exact.
pub(super) fn rows(tasks: &[Task]) -> Vec<Vec<&Task>> {
    let micros = |at: Nanos| at / 1000;
    let mut sorted: Vec<&Task> = tasks.iter().collect();
    sorted.sort_by_key(|task| (task.from, Reverse(task.to)));
    let mut rows: Vec<Vec<&Task>> = Vec::new();
    // Of each row, the ends of what is going on, the innermost last.
    let mut ends: Vec<Vec<Nanos>> = Vec::new();
    for task in sorted {
        let fits = |open: &mut Vec<Nanos>| {
            while open.last().is_some_and(|&end| end <= micros(task.from)) {
                open.pop();
            }
            open.last().is_none_or(|&end| micros(task.to) <= end)
        };
        let row = ends.iter_mut().position(fits).unwrap_or_else(|| {
            rows.push(Vec::new());
            ends.push(Vec::new());
            rows.len() - 1
        });
        rows[row].push(task);
        ends[row].push(micros(task.to));
    }
    rows
}

/// Gaps in the order of time, those that overlap made one.
pub(super) fn apart(gaps: &[Gap]) -> Vec<Gap> {
    let mut sorted: Vec<Gap> = gaps.iter().copied().filter(|gap| gap.from < gap.to).collect();
    sorted.sort_by_key(|gap| gap.from);
    let mut apart: Vec<Gap> = Vec::new();
    for gap in sorted {
        match apart.last_mut() {
            Some(last) if gap.from <= last.to => last.to = last.to.max(gap.to),
            _ => apart.push(gap),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use plait_trace::ThreadKey;

    use super::*;

    fn tasks(times: &[(Nanos, Nanos)]) -> Vec<Task> {
        let task = |(id, &(from, to)): (u64, &(Nanos, Nanos))| Task {
            thread: ThreadKey(0),
            from: from * 1000,
            to: to * 1000,
            name: String::new(),
            id,
        };
        (0..).zip(times).map(task).collect()
    }

    fn ids(times: &[(Nanos, Nanos)]) -> Vec<Vec<u64>> {
        rows(&tasks(times)).iter().map(|row| row.iter().map(|task| task.id).collect()).collect()
    }

    #[test]
    fn one_row_where_tasks_follow_or_lie_within_each_other() {
        assert_eq!(ids(&[(10, 20), (0, 10), (12, 15), (13, 15), (20, 20)]), [[1, 0, 2, 3, 4]]);
    }

    #[test]
    fn another_row_where_they_cross() {
        assert_eq!(ids(&[(0, 10), (5, 15), (10, 12), (14, 20)]), [vec![0, 2, 3], vec![1]]);
    }

    #[test]
    fn gaps_do_not_overlap() {
        let gaps = [(5, 9), (0, 6), (20, 20), (30, 40)].map(|(from, to)| Gap { from, to });
        assert_eq!(apart(&gaps), [(0, 9), (30, 40)].map(|(from, to)| Gap { from, to }));
    }
}
