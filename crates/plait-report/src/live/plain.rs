//! A line a second, for outputs that are no terminal.

use plait_trace::{Nanos, Recording};

use super::figures::{Figures, ThreadFigures};
use super::hog;
use crate::plain_text::one_line;
use crate::units;

const SECOND: Nanos = 1_000_000_000;
/// Nobody reads more.
const MOST: usize = 86_400;

/// What happened from one moment to another, in nanoseconds since the recording began: a line for each second that began in
/// it, and one for what is left over. Each tells the time at its end, how much the busiest GIL was held, how many threads
/// waited for one, how many processors were used, who had the GIL most, and what kept it.
///
/// ```text
///  12 s  GIL  93 %  waiting  2.4  CPU  1.02  most: worker-3 61 %  hog: worker-3 in _json_loads (load, app.py:12) for 340 ms
/// ```
pub fn plain(recording: &Recording, from: Nanos, to: Nanos) -> Vec<String> {
    let begins = std::iter::successors(Some(from), |begin| begin.checked_add(SECOND)).take_while(|&begin| begin < to);
    begins.take(MOST).map(|begin| line(recording, begin, begin.saturating_add(SECOND).min(to))).collect()
}

fn line(recording: &Recording, from: Nanos, to: Nanos) -> String {
    let figures = Figures::of(recording, from, to);
    let gil = figures.processes.iter().flat_map(|process| process.gils.iter().copied()).reduce(f64::max);
    let gil = gil.map_or_else(|| "  –".to_owned(), |share| format!("{:3.0}", share * 100.0));
    let waiters: f64 = figures.processes.iter().map(|process| process.waiters).sum();
    let cpu: f64 = figures.processes.iter().map(|process| process.cpu).sum();
    let mut line = format!("{:>8}  GIL {gil} %  waiting {waiters:4.1}  CPU {cpu:5.2}", clock(to));
    if let Some(throttled) = figures.processes.iter().filter_map(|process| process.throttled).reduce(f64::max)
        && throttled >= 0.005
    {
        line += &format!("  throttled {:.0} %", throttled * 100.0);
    }
    let most = figures.threads.iter().enumerate().max_by(|(_, one), (_, other)| one.gil().total_cmp(&other.gil()));
    if let Some((thread, share)) = most.map(|(thread, figures)| (thread, ThreadFigures::gil(figures)))
        && share >= 0.005
    {
        line += &format!("  most: {} {:.0} %", name(recording, thread), share * 100.0);
    }
    if let Some(hog) = hog::find(recording, &figures, to)
        && let Some(lane) = hog.lane(recording)
    {
        let lasted = units::seconds(hog.lasted() as f64 / 1e9);
        let name = name(recording, lane.thread.key.index());
        line += &format!("  hog: {name} in {} for {lasted}", one_line(&hog.what(recording, lane)));
    }
    line
}

/// A thread's name; its process where there are several.
fn name(recording: &Recording, thread: usize) -> String {
    let known = &recording.threads[thread].thread;
    let name = if known.name.is_empty() { format!("thread {}", known.tid) } else { one_line(&known.name) };
    if recording.processes.len() < 2 {
        return name;
    }
    format!("{name} of {}", recording.processes[known.process.index()].process.pid)
}

/// `12 s`, and a digit more where the second is not whole.
fn clock(at: Nanos) -> String {
    let tenths = at / (SECOND / 10);
    if at.is_multiple_of(SECOND) { format!("{} s", at / SECOND) } else { format!("{}.{} s", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{MS, small};

    #[test]
    fn a_line_a_second() {
        let recording = small();
        assert_eq!(
            plain(&recording, 0, 510 * MS),
            [
                "   0.5 s  GIL  78 %  waiting  0.9  CPU  1.01  throttled 5 %  most: python of 120 63 %  hog: parser of 100 in \
             _json_loads (Parser.load, parser.py:12) for 200 ms"
            ]
        );
        assert_eq!(
            plain(&recording, 2 * SECOND, 4 * SECOND),
            ["     3 s  GIL   0 %  waiting  0.0  CPU  0.00", "     4 s  GIL   0 %  waiting  0.0  CPU  0.00"]
        );
        assert_eq!(plain(&recording, 5, 5), [""; 0]);
    }

    #[test]
    fn times_have_no_end() {
        assert_eq!(plain(&Recording::default(), u64::MAX - 1, u64::MAX).len(), 1);
        assert_eq!(plain(&Recording::default(), 0, u64::MAX).len(), MOST);
        assert_eq!(plain(&Recording::default(), 9, 3).len(), 0);
    }
}
