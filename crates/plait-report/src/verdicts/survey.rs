//! A recording looked into: processes, the groups they form, the program as a whole, and the machine around it.

use std::collections::BTreeMap;

use plait_trace::{Kind, Nanos, ProcessKey, Recording, Subject, Track};

use super::code::Code;
use super::counts::Counts;
use super::hogs::{Hog, hogs};
use super::names;
use super::process::{ProcessSurvey, Totals, start_up, window_of};
use super::window::{Union, Window, gaps, ratio, seconds, share};

/// The least that must have been seen for anything to be said: time, and looks.
pub(super) const ENOUGH: Nanos = 1_000_000_000;
pub(super) const ENOUGH_LOOKS: u64 = 200;
/// Before so much was seen, nothing is sure.
pub(super) const PLENTY: Nanos = 2_000_000_000;
/// The time between two looks, where nobody says.
const USUAL_PERIOD: Nanos = 1_000_000;

/// A recording that is looked into.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    pub recording: &'a Recording,
    pub code: Code<'a>,
    /// From the first that was seen of the program to the last.
    pub window: Window,
    /// What of its beginning is left out, as modules were loaded.
    pub start_up: Nanos,
    pub seen: f64,
    pub gap_share: f64,
    pub gap_count: usize,
    pub samples: u64,
    pub processes: Vec<ProcessSurvey<'a>>,
    pub groups: Vec<Group>,
    /// Native code that kept the GIL, what others waited for longest first.
    pub hogs: Vec<Hog>,

    pub tree: Tree,
}

/// Processes that do the same work: the workers of a pool, or one process alone.
#[derive(Debug)]
pub(super) struct Group {
    pub name: String,
    /// Places in the survey's list.
    pub processes: Vec<usize>,
    pub totals: Totals,
    pub samples: u64,
    pub is_busy: bool,
}

/// The whole program.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tree {
    /// Processors in use.
    pub cpu: Option<f64>,
    /// Processors that threads waited for, on average.
    pub delay: Option<f64>,
    /// Processors that it may use by affinity.
    pub processors: f64,
    /// Processors' worth of time that its control group may use.
    pub quota: Option<f64>,
    pub quota_periods: u64,
    pub throttled_periods: u64,
    /// Seconds.
    pub throttled: f64,
}

impl Tree {
    /// Processors that it may use, all told.
    pub fn allowed(&self) -> f64 {
        self.quota.map_or(self.processors, |quota| quota.min(self.processors))
    }

    /// Of the time in which threads could run, the share in which they had no processor.
    pub fn delay_share(&self) -> f64 {
        match (self.cpu, self.delay) {
            (Some(cpu), Some(delay)) => share(delay, cpu + delay),
            _ => 0.0,
        }
    }

    /// Threads that could run, on average.
    pub fn demand(&self) -> f64 {
        self.cpu.unwrap_or(0.0) + self.delay.unwrap_or(0.0)
    }

    pub fn throttled_share(&self) -> f64 {
        share(self.throttled_periods as f64, self.quota_periods as f64)
    }
}

impl<'a> Survey<'a> {
    pub fn of(recording: &'a Recording, within: Window) -> Self {
        let mut windows: Vec<Window> =
            recording.processes.iter().map(|track| window_of(recording, track, within)).collect();
        let code = Code::of(recording);
        let gaps = gaps(recording);
        let mut window = around(&windows);
        let start_up = leave_out_start_up(recording, &mut windows, &mut window);
        let counts = Counts::of(recording, |subject| window_of_subject(recording, subject, &windows, window));
        let unseen = gaps.of_window(window);
        let tree_seen = window.length().saturating_sub(unseen);
        let looks = Looks::of(recording, &gaps);
        let processes: Vec<ProcessSurvey<'a>> = recording
            .processes
            .iter()
            .zip(&windows)
            .map(|(track, &own)| {
                let mut process = ProcessSurvey::of(&code, recording, track, own, &counts, &gaps);
                process.samples = looks.within(own.length().saturating_sub(gaps.of_window(own)));
                process
            })
            .collect();
        let groups = groups(recording, &processes);
        let hogs = hogs(&code, &processes, &groups);
        let tree = tree(recording, &processes, &counts, window);
        Self {
            recording,
            code,
            window,
            start_up,
            seen: seconds(tree_seen),
            gap_share: share(unseen as f64, window.length() as f64),
            gap_count: gaps.count_in(window),
            samples: looks.within(tree_seen),
            processes,
            groups,
            hogs,
            tree,
        }
    }

    /// The processes of a group.
    pub fn of_group<'b>(&'b self, group: &'b Group) -> impl Iterator<Item = &'b ProcessSurvey<'a>> + Clone {
        group.processes.iter().map(|&place| &self.processes[place])
    }

    /// Whether more can be said of it than that it was there.
    pub fn is_enough(&self, group: &Group) -> bool {
        group.totals.seen >= seconds(ENOUGH) && group.samples >= ENOUGH_LOOKS
    }
}

/// How often somebody looks.
struct Looks {
    /// Looks in a nanosecond.
    rate: f64,
}

impl Looks {
    fn of(recording: &Recording, gaps: &Union) -> Self {
        let period = if recording.began.period == 0 { USUAL_PERIOD } else { recording.began.period };
        let asked = 1.0 / period as f64;
        let got = recording.ended.and_then(|ended| {
            let seen = ended.at.saturating_sub(gaps.of_window(Window::new(0, ended.at)));
            (seen > 0).then(|| ended.looks as f64 / seen as f64)
        });
        Self { rate: got.map_or(asked, |got| got.min(asked)) }
    }

    fn within(&self, time: Nanos) -> u64 {
        (self.rate * time as f64).round() as u64
    }
}

fn around(windows: &[Window]) -> Window {
    let used = || windows.iter().filter(|window| !window.is_empty());
    let from = used().map(|window| window.from).min().unwrap_or(0);
    Window::new(from, used().map(|window| window.to).max().unwrap_or(0))
}

/// A program that loads its modules runs Python code, whatever it does later: where enough remains, that is left out.
fn leave_out_start_up(recording: &Recording, windows: &mut [Window], window: &mut Window) -> Nanos {
    let mut left_out = 0;
    for (place, own) in windows.iter_mut().enumerate() {
        let Some(end) = recording.processes.get(place).and_then(|track| start_up(recording, track, *own)) else {
            continue;
        };
        let rest = Window::new(end, own.to);
        if rest.length() < ENOUGH {
            continue;
        }
        if own.from == window.from {
            left_out = end - own.from;
        }
        *own = rest;
    }
    *window = around(windows);
    left_out
}

fn window_of_subject(recording: &Recording, subject: Subject, windows: &[Window], all: Window) -> Window {
    let process = match subject {
        Subject::Machine => None,
        Subject::Process(process) => Some(process),
        Subject::Thread(thread) => recording.threads.get(thread.index()).map(|lane| lane.thread.process),
        Subject::Gil(gil) => recording.gils.get(gil.index()).map(|lane| lane.gil.process),
    };
    process.and_then(|process| windows.get(process.index()).copied()).unwrap_or(all)
}

/// Processes that have the same part in the program: the same role, or the same command from the same parent.
fn groups(recording: &Recording, processes: &[ProcessSurvey<'_>]) -> Vec<Group> {
    let mut places: BTreeMap<(Option<ProcessKey>, String), Vec<usize>> = BTreeMap::new();
    for (place, process) in processes.iter().enumerate() {
        let own = &process.track.process;
        places.entry((own.parent, names::part_played(own))).or_default().push(place);
    }
    let mut groups: Vec<Group> = places.into_values().map(|places| group(recording, processes, places)).collect();
    groups.sort_by_key(|group| group.processes.first().copied());
    groups
}

fn group(recording: &Recording, processes: &[ProcessSurvey<'_>], places: Vec<usize>) -> Group {
    let mut totals = Totals::default();
    let mut samples = 0u64;
    for &place in &places {
        totals.add(&processes[place].totals);
        samples = samples.saturating_add(processes[place].samples);
    }
    let tracks: Vec<&Track> = places.iter().map(|&place| processes[place].track).collect();
    let is_busy = places.iter().any(|&place| processes[place].is_busy());
    Group { name: names::of_group(recording, &tracks), processes: places, totals, samples, is_busy }
}

fn tree(recording: &Recording, processes: &[ProcessSurvey<'_>], counts: &Counts, window: Window) -> Tree {
    let sum = |of: fn(&Totals) -> Option<f64>| {
        let known = processes.iter().filter_map(|process| of(&process.totals));
        known.reduce(|a, b| a + b).map(|all| ratio(all, window.seconds()))
    };
    let most = |kind| {
        // One group's counters, read for each of its processes, are the same ones.
        let grown = counts.all(kind).filter(|(of, _)| *of != Subject::Machine).map(|(_, growth)| growth.amount());
        grown.max().or_else(|| counts.get(Subject::Machine, kind).map(|growth| growth.amount())).unwrap_or(0)
    };
    let machine = match recording.began.processors {
        0 => u32::MAX,
        processors => processors,
    };
    let own = processes.iter().map(|process| process.track.process.processors).max().unwrap_or(0);
    let processors = if own == 0 { machine } else { own.min(machine) };
    let quotas = processes.iter().filter_map(|process| process.track.process.quota);
    let throttled = seconds(most(Kind::ThrottledTime));
    Tree {
        cpu: sum(|totals| totals.cpu),
        delay: sum(|totals| totals.delay),
        processors: if processors == u32::MAX { 1.0 } else { f64::from(processors.max(1)) },
        quota: quotas.filter(|quota| quota.is_finite() && *quota > 0.0).reduce(f64::max),
        quota_periods: most(Kind::QuotaPeriods),
        throttled_periods: most(Kind::ThrottledPeriods),
        throttled: throttled.min(window.seconds()),
    }
}
