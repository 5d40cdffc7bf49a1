//! A stretch of a recording as one line, for what is watched on an output that is no terminal.

use std::fmt::Write;

use plait_trace::{GilLane, Hold, Kind, Nanos, Recording, State, Subject, ThreadLane};

/// Threads that are named, at most.
const NAMED: usize = 3;

/// The line on what was between two moments: how long the GIL was held, how many threads waited for it, what processors
/// were used, who held it, and the last function that would not let go.
pub fn line(recording: &Recording, from: Nanos, to: Nanos) -> String {
    let over = Over { from, to };
    let mut line = format!("{:7.1} s", to as f64 / 1e9);
    if over.length() == 0.0 {
        line.push_str("  nothing seen yet");
        return line;
    }
    match busiest(recording, over) {
        Some((lane, share)) => {
            let pid = recording.processes.get(lane.gil.process.index()).map_or(0, |track| track.process.pid);
            let _ = write!(line, "  GIL {}", percent(share));
            if recording.gils.len() > 1 {
                let _ = write!(line, " of {pid}");
            }
            let waiting = over.spent(recording.threads.iter(), State::wants_gil) / over.length();
            let _ = write!(line, "  waiting {waiting:.1}");
        }
        None => line.push_str("  GIL not seen"),
    }
    if let Some(processors) = processors(recording, over) {
        let _ = write!(line, "  CPU {processors:.2}");
    }
    for (name, share) in holders(recording, over) {
        let _ = write!(line, "  {name} {}", percent(share));
    }
    if let Some((function, place)) = hog(recording, over) {
        let _ = write!(line, "  keeps it: {function}");
        if let Some(place) = place {
            let _ = write!(line, " ({place})");
        }
    }
    line
}

/// A stretch of time.
#[derive(Clone, Copy)]
struct Over {
    from: Nanos,
    to: Nanos,
}

impl Over {
    fn length(self) -> f64 {
        self.to.saturating_sub(self.from) as f64
    }

    /// How much of another stretch lies in this one.
    fn of(self, from: Nanos, to: Nanos) -> f64 {
        to.min(self.to).saturating_sub(from.max(self.from)) as f64
    }

    fn spent<'a>(self, lanes: impl Iterator<Item = &'a ThreadLane>, is_meant: impl Fn(State) -> bool) -> f64 {
        let recent = lanes.flat_map(|lane| since(&lane.spans, self.from, |span| span.to));
        // From 0.0: the sum of nothing is -0.0 else.
        recent.filter(|span| is_meant(span.state)).fold(0.0, |sum, span| sum + self.of(span.from, span.to))
    }

    fn held(self, holds: &[Hold], is_meant: impl Fn(&Hold) -> bool) -> f64 {
        let recent = since(holds, self.from, |hold| hold.to);
        recent.iter().filter(|hold| is_meant(hold)).map(|hold| self.of(hold.from, hold.to)).sum()
    }
}

/// The last of a list in the order of time: what ends after `from`.
fn since<T>(list: &[T], from: Nanos, end: impl Fn(&T) -> Nanos) -> &[T] {
    &list[list.partition_point(|each| end(each) <= from)..]
}

fn busiest(recording: &Recording, over: Over) -> Option<(&GilLane, f64)> {
    let shares = recording.gils.iter().map(|lane| (lane, over.held(&lane.holds, |_| true) / over.length()));
    shares.max_by(|one, other| one.1.total_cmp(&other.1))
}

/// The processors' worth of time that all processes used.
fn processors(recording: &Recording, over: Over) -> Option<f64> {
    let recent = since(&recording.counts, over.from, |count| count.at + 1);
    let (mut used, mut seen) = (0, false);
    for index in 0..recording.processes.len() {
        let mut figures = recent.iter().filter(|count| {
            matches!(count.of, Subject::Process(key) if key.index() == index) && count.kind == Kind::CpuTime
        });
        if let (Some(first), Some(last)) = (figures.next(), figures.next_back()) {
            used += last.value.saturating_sub(first.value);
            seen = true;
        }
    }
    seen.then(|| used as f64 / over.length())
}

/// Who had a GIL for longest, with their shares.
fn holders(recording: &Recording, over: Over) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    for lane in &recording.gils {
        for thread in &recording.threads {
            let share = over.held(&lane.holds, |hold| hold.thread == Some(thread.thread.key)) / over.length();
            if share >= 0.01 && thread.thread.process == lane.gil.process {
                found.push((format!("{}/{}", thread.thread.name, thread.thread.tid), share));
            }
        }
    }
    found.sort_by(|one, other| other.1.total_cmp(&one.1));
    found.truncate(NAMED);
    found
}

/// The last function that did not let go of a GIL, and the line of Python that called it.
fn hog(recording: &Recording, over: Over) -> Option<(&str, Option<String>)> {
    let shots = recording.threads.iter().filter_map(|lane| lane.shots.last());
    let last = shots.filter(|shot| shot.at >= over.from).max_by_key(|shot| shot.at)?;
    let place = last.frames.first().and_then(|frame| recording.frames.get(frame.index()));
    let place = place.map(|frame| {
        let file = frame.file.rsplit('/').next().unwrap_or(&frame.file);
        format!("{file}:{} {}", frame.line, frame.function)
    });
    Some((last.function.as_deref().unwrap_or("native code"), place))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests;
