//! Native code that kept the GIL, by the Python line that called it and the C function that it was.

use std::collections::BTreeMap;

use plait_trace::{Nanos, State};
use serde::Serialize;

use super::code::{Code, Spot};
use super::gil::NativeHold;
use super::process::ProcessSurvey;
use super::survey::{Group, Survey};
use super::thread::ThreadSurvey;
use super::verdict::Evidence;
use super::window::seconds;

/// Native code that kept the GIL: all its holds that came from one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hog {
    /// Whose: as in [`super::About`].
    pub name: String,
    /// The C function; absent where no native stack was taken, or none of its symbols names it.
    pub function: Option<String>,
    /// The Python code that called it.
    pub spot: Option<Spot>,
    /// How often it kept the GIL for long enough to be seen.
    pub times: u64,
    /// How often it did while others waited, for 20 ms or four switch intervals at least.
    pub noticed: u64,
    /// Seconds, in all.
    pub seconds: f64,
    /// Seconds of the holds that were noticed.
    pub noticed_seconds: f64,
    /// The longest, in seconds.
    pub longest: f64,
    /// Seconds for which others waited for it; those of several threads add up.
    pub waited: f64,
    /// Seconds for which it slept.
    pub blocked: f64,
    /// It collected garbage.
    pub is_gc: bool,
    /// The place of its group in the survey.
    #[serde(skip)]
    pub(super) group: usize,
}

/// Everything that kept the GIL for long, what others waited for longest first.
pub(super) fn hogs(code: &Code<'_>, processes: &[ProcessSurvey<'_>], groups: &[Group]) -> Vec<Hog> {
    let mut hogs = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        let mut lines: BTreeMap<(bool, Option<Spot>), BTreeMap<Option<String>, Hog>> = BTreeMap::new();
        for process in group.processes.iter().map(|&place| &processes[place]) {
            for hold in process.holds() {
                let spot = spot(code, process, hold);
                // The innermost call differs from look to look; what is the same is the line of the user's own code.
                let line = lines.entry((hold.is_gc, spot.map(|spot| Spot { within: None, ..spot }))).or_default();
                let hog = line.entry(hold.function.clone()).or_insert_with(|| nothing(place, &group.name, hold.is_gc));
                add(hog, hold);
            }
        }
        for ((_, spot), functions) in lines {
            hogs.extend(named(functions).into_iter().map(|hog| Hog { spot: spot.clone(), ..hog }));
        }
    }
    hogs.sort_by(|a, b| (b.waited, b.seconds).partial_cmp(&(a.waited, a.seconds)).unwrap_or(std::cmp::Ordering::Equal));
    hogs
}

/// Native stacks are taken of some holds only: the others of the same line are those of the function seen most there.
fn named(mut functions: BTreeMap<Option<String>, Hog>) -> Vec<Hog> {
    if functions.len() > 1
        && let Some(nameless) = functions.remove(&None)
        && let Some(most) =
            functions.values_mut().reduce(|most, next| if next.times > most.times { next } else { most })
    {
        most.times += nameless.times;
        most.noticed += nameless.noticed;
        most.seconds += nameless.seconds;
        most.noticed_seconds += nameless.noticed_seconds;
        most.longest = most.longest.max(nameless.longest);
        most.waited += nameless.waited;
        most.blocked += nameless.blocked;
    }
    functions.into_iter().map(|(function, hog)| Hog { function, ..hog }).collect()
}

fn nothing(group: usize, name: &str, is_gc: bool) -> Hog {
    Hog {
        name: name.to_owned(),
        function: None,
        spot: None,
        times: 0,
        noticed: 0,
        seconds: 0.0,
        noticed_seconds: 0.0,
        longest: 0.0,
        waited: 0.0,
        blocked: 0.0,
        is_gc,
        group,
    }
}

fn add(hog: &mut Hog, hold: &NativeHold) {
    let time = seconds(hold.window.length());
    hog.times += 1;
    hog.seconds += time;
    hog.longest = hog.longest.max(time);
    hog.waited += seconds(hold.waited);
    hog.blocked += seconds(hold.blocked);
    if hold.is_noticed {
        hog.noticed += 1;
        hog.noticed_seconds += time;
    }
}

/// The Python code that a hold was seen in.
fn spot(code: &Code<'_>, process: &ProcessSurvey<'_>, hold: &NativeHold) -> Option<Spot> {
    let calls = process.threads.get(hold.thread)?.calls_in(hold.window);
    let (spot, _, _) = code.most(calls.iter().filter_map(|(_, frames)| code.spot(frames)))?;
    code.show(spot)
}

/// The holds of a group that count most, as evidence.
pub(super) fn evidence(
    survey: &Survey<'_>,
    group: usize,
    which: impl Fn(&NativeHold) -> bool,
    limit: usize,
) -> Vec<Evidence> {
    let Some(group) = survey.groups.get(group) else { return Vec::new() };
    let mut holds: Vec<(&ProcessSurvey<'_>, &NativeHold)> = survey
        .of_group(group)
        .flat_map(|process| process.holds().map(move |hold| (process, hold)))
        .filter(|(_, hold)| which(hold))
        .collect();
    let weight = |hold: &NativeHold| -> (Nanos, Nanos) { (hold.waited, hold.window.length()) };
    holds.sort_by_key(|(_, hold)| std::cmp::Reverse(weight(hold)));
    let seen = |(process, hold): (&ProcessSurvey<'_>, &NativeHold)| -> Option<Evidence> {
        let thread: &ThreadSurvey<'_> = process.threads.get(hold.thread)?;
        let state = match () {
            () if hold.is_gc => State::HoldsGc,
            () if hold.blocked > hold.window.length() / 2 => State::HoldsBlocked,
            () => State::HoldsNative,
        };
        Some(Evidence {
            thread: thread.lane.thread.key,
            name: thread.name.clone(),
            from: hold.window.from,
            to: hold.window.to,
            state: Some(state),
            function: hold.function.clone(),
            spot: spot(&survey.code, process, hold),
            callback: None,
        })
    };
    holds.into_iter().take(limit).filter_map(seen).collect()
}
