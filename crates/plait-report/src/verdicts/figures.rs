//! What each process and each thread did, as figures to show.

use plait_trace::{Dropped, Nanos, ProcessKey, Sight, State, ThreadKey};
use serde::Serialize;

use super::gil::GilUse;
use super::names;
use super::process::ProcessSurvey;
use super::survey::Survey;
use super::times::Times;
use super::window::{Window, ratio, seconds, share};
use crate::plain_text::one_line;

/// What the program did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// From the first that was seen of it to the last.
    pub window: Window,
    /// Seconds of it in which somebody looked.
    pub seconds: f64,
    /// Seconds at its beginning that are left out, as modules were loaded.
    pub start_up: f64,
    /// How often somebody looked.
    pub samples: u64,
    /// Processors in use on average, where that was counted.
    pub cpu: Option<f64>,
    /// Processors that threads waited for on average, where that was counted.
    pub delay: Option<f64>,
    /// Processors that it may use.
    pub processors: f64,
    /// Processors' worth of time that its control group may use, where that is limited.
    pub quota: Option<f64>,
    /// Seconds for which its control group was stopped for that.
    pub throttled: f64,
    /// Of the periods of that limit, the share in which it was stopped.
    pub throttled_periods: f64,
    /// Its processes.
    pub processes: Vec<ProcessFigures>,
    /// How the program was seen, and what is missing.
    pub missing: Missing,
}

/// How the program was seen, and what is missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missing {
    /// Looks in a second that were asked for.
    pub rate_asked: Option<f64>,
    /// Looks in a second that there were.
    pub rate: f64,
    /// Of all looks, the share that came too late to count.
    pub late: f64,
    /// By how many seconds half of the looks came late, at most.
    pub lateness_p50: f64,
    /// By how many seconds 99 of 100 looks came late, at most.
    pub lateness_p99: f64,
    /// Processors that the observer itself used.
    pub observer: Option<f64>,
    /// How often nobody looked for a while.
    pub gaps: u64,
    /// The share of the time in which nobody did.
    pub gap_share: f64,
    /// What was dropped.
    pub dropped: Dropped,
    /// Stacks that were kept.
    pub stacks: u64,
    /// The recording goes on, or its observer was killed.
    pub is_open: bool,
    /// The file ended in the midst of a block.
    pub is_cut: bool,
    /// What the observer had to say, each on one line.
    pub notes: Vec<String>,
}

/// What a process did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProcessFigures {
    /// Its key in the recording.
    pub key: ProcessKey,
    /// Its number.
    pub pid: u32,
    /// What to call it.
    pub name: String,
    /// The processes that do the same, as [`super::About::name`] has them.
    pub group: String,
    /// The version of CPython it runs.
    pub python: Option<String>,
    /// How closely it was seen.
    pub sight: Sight,
    /// When it did something.
    pub window: Window,
    /// Seconds of it in which somebody looked.
    pub seconds: f64,
    /// How often somebody looked.
    pub samples: u64,
    /// What its GILs were used for, in seconds; the one that was used most first.
    pub gils: Vec<GilUse>,
    /// The share of the time in which somebody had the GIL that is used most; absent where that is not seen.
    pub held: Option<f64>,
    /// How many threads waited for it on average; absent where that is not seen.
    pub waiting: Option<f64>,
    /// Processors in use on average, where that was counted.
    pub cpu: Option<f64>,
    /// Processors that its threads waited for on average, where that was counted.
    pub delay: Option<f64>,
    /// It ran for a good part of the time, or waited for things that happened.
    pub is_busy: bool,
    /// Its threads, the most active first.
    pub threads: Vec<ThreadFigures>,
}

/// What a thread did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThreadFigures {
    /// Its key in the recording.
    pub key: ThreadKey,
    /// Its number in the kernel.
    pub tid: u32,
    /// What to call it.
    pub name: String,
    /// When it was there.
    pub window: Window,
    /// Seconds in each state.
    pub times: Times,
    /// Processors in use on average, where that was counted.
    pub cpu: Option<f64>,
    /// The share of the time in which it waited for a processor, where that was counted.
    pub delay: Option<f64>,
    /// It ran for a good part of the time, or waited for things that happened.
    pub is_busy: bool,
    /// It runs an event loop.
    pub is_loop: bool,
}

impl Figures {
    pub(super) fn of(survey: &Survey<'_>) -> Self {
        let group_of = |place: usize| {
            let group = survey.groups.iter().find(|group| group.processes.contains(&place));
            group.map(|group| group.name.clone()).unwrap_or_default()
        };
        let processes = survey.processes.iter().enumerate();
        Self {
            window: survey.window,
            seconds: survey.seen,
            start_up: seconds(survey.start_up),
            samples: survey.samples,
            cpu: survey.tree.cpu,
            delay: survey.tree.delay,
            processors: survey.tree.processors,
            quota: survey.tree.quota,
            throttled: survey.tree.throttled,
            throttled_periods: survey.tree.throttled_share(),
            processes: processes.map(|(place, process)| of_process(process, group_of(place))).collect(),
            missing: missing(survey),
        }
    }
}

fn of_process(survey: &ProcessSurvey<'_>, group: String) -> ProcessFigures {
    let process = &survey.track.process;
    let totals = &survey.totals;
    let mut gils: Vec<GilUse> = survey.gils.iter().map(|gil| gil.usage).collect();
    gils.sort_by(|a, b| (b.held + b.waited).total_cmp(&(a.held + a.waited)));
    let mut threads: Vec<ThreadFigures> = survey.threads.iter().map(of_thread).collect();
    let active = |thread: &ThreadFigures| -> Nanos { thread.times.sum(super::times::is_active) };
    threads.sort_by_key(|thread| std::cmp::Reverse((thread.is_busy, active(thread))));
    let has_gil = totals.seen_gil > 0.0;
    ProcessFigures {
        key: process.key,
        pid: process.pid,
        name: names::of_process(process),
        group,
        python: process.python.clone(),
        sight: process.sight,
        window: survey.window,
        seconds: totals.seen,
        samples: survey.samples,
        gils,
        held: has_gil.then(|| share(totals.gil.held, totals.seen_gil)),
        waiting: has_gil.then(|| ratio(totals.gil.waited, totals.seen_gil)),
        cpu: totals.cpu.map(|cpu| ratio(cpu, totals.length)),
        delay: totals.delay.map(|delay| ratio(delay, totals.length)),
        is_busy: survey.is_busy(),
        threads,
    }
}

fn of_thread(survey: &super::thread::ThreadSurvey<'_>) -> ThreadFigures {
    ThreadFigures {
        key: survey.lane.thread.key,
        tid: survey.lane.thread.tid,
        name: survey.name.clone(),
        window: survey.window,
        times: survey.times,
        cpu: survey.cpu,
        delay: survey.delay.map(|delay| delay.min(1.0)),
        is_busy: survey.busy,
        is_loop: survey.is_loop,
    }
}

fn missing(survey: &Survey<'_>) -> Missing {
    let recording = survey.recording;
    let ended = recording.ended.unwrap_or_default();
    let length = seconds(recording.length());
    let name = |note: &plait_trace::Note| {
        let process = note.process.and_then(|process| recording.processes.get(process.index()));
        process.map(|track| names::of_process(&track.process))
    };
    let whys = recording.processes.iter().map(|track| &track.process).filter_map(|process| {
        let why = process.why.as_deref()?;
        Some(format!("{}: {}", names::of_process(process), one_line(why)))
    });
    let notes = recording.notes.iter().map(|note| match name(note) {
        Some(name) => format!("{name}: {}", one_line(&note.text)),
        None => one_line(&note.text),
    });
    let mut lines: Vec<String> = Vec::new();
    for line in whys.chain(notes) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    Missing {
        rate_asked: (recording.began.period > 0).then(|| 1e9 / recording.began.period as f64),
        rate: ratio(survey.samples as f64, survey.seen),
        late: share(ended.late as f64, ended.late as f64 + ended.looks as f64),
        lateness_p50: seconds(ended.lateness_p50),
        lateness_p99: seconds(ended.lateness_p99),
        observer: recording.ended.map(|ended| ratio(seconds(ended.cost), length)),
        gaps: survey.gap_count as u64,
        gap_share: survey.gap_share,
        dropped: ended.dropped,
        stacks: survey.processes.iter().flat_map(|process| &process.threads).map(|thread| thread.stacks() as u64).sum(),
        is_open: recording.ended.is_none(),
        is_cut: recording.cut,
        notes: lines,
    }
}

impl ThreadFigures {
    /// The share of the time that was seen, for the states that are asked for.
    pub fn share(&self, which: impl Fn(State) -> bool) -> f64 {
        self.times.share(which)
    }
}
