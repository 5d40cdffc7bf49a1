//! The processed profile of profiler.firefox.com.
//!
//! A thread for each thread: stacks are its samples, states, tasks and looks at native calls its markers. Where no stack was
//! taken, the state alone is a sample. The innermost frame of a sample has the category of the thread's state at that
//! moment, so the activity graph has the colours of the states. A GIL is a thread, too, with a marker for each that held it,
//! and a graph of how much it was held. Processor time is a counter of the process. A last process is the observer: gaps and
//! notes.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use fxprof_processed_profile::{
    CpuDelta, Frame, FrameFlags, FrameInfo, MarkerTiming, Profile, ReferenceTimestamp, SamplingInterval, StackHandle,
    ThreadHandle, Timestamp,
};
use plait_trace::{Nanos, Recording, Shot, State, ThreadLane};

use super::load::Load;
use super::stacks;
use categories::Categories;
use markers::Markers;
use samples::samples;

mod categories;
mod markers;
mod samples;

/// So many threads are shown at first; the viewer has a menu for the others.
const VISIBLE: usize = 60;

struct Builder<'r> {
    recording: &'r Recording,
    profile: Profile,
    categories: Categories,
    markers: Markers,
}

/// Writes a recording as a processed profile of Firefox's.
///
/// # Errors
/// Those of `out`.
pub fn firefox<W: Write>(recording: &Recording, out: W) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    serde_json::to_writer(&mut out, &Builder::new(recording).build())?;
    out.write_all(b"\n")?;
    out.flush()
}

fn time(at: Nanos) -> Timestamp {
    Timestamp::from_nanos_since_reference(at)
}

fn between(from: Nanos, to: Nanos) -> MarkerTiming {
    MarkerTiming::Interval(time(from), time(to))
}

impl<'r> Builder<'r> {
    fn new(recording: &'r Recording) -> Self {
        let began = &recording.began;
        let start = ReferenceTimestamp::from_duration_since_unix_epoch(Duration::from_nanos(began.unix));
        let product = if began.what.is_empty() { "a recording of plait's" } else { &began.what };
        let mut profile = Profile::new(product, start, SamplingInterval::from_nanos(stacks::patience(recording) / 3));
        profile.set_os_name("Linux");
        profile.set_symbolicated(true);
        let categories = Categories::of(&mut profile);
        let markers = Markers::of(&mut profile);
        Self { recording, profile, categories, markers }
    }

    fn build(mut self) -> Profile {
        let recording = self.recording;
        let load = Load::of(recording);
        let mut threads = Vec::with_capacity(recording.threads.len());
        let mut processes = Vec::with_capacity(recording.processes.len());
        for track in &recording.processes {
            let process = &track.process;
            let name = process.role.clone().map(|role| role + ": ").unwrap_or_default() + &process.command;
            let handle = self.profile.add_process(&name, process.pid, time(process.found));
            if let Some(ended) = track.ended {
                self.profile.set_process_end_time(handle, time(ended));
            }
            processes.push(handle);
        }
        let patience = stacks::patience(recording);
        let mut main_is_known = vec![false; processes.len()];
        for lane in &recording.threads {
            let known = &lane.thread;
            let process = known.process.index();
            let is_main = known.tid == recording.processes[process].process.pid && !main_is_known[process];
            main_is_known[process] |= is_main;
            let thread = self.profile.add_thread(processes[process], known.tid, time(known.found), is_main);
            let name = if known.name.is_empty() { "thread" } else { &known.name };
            self.profile.set_thread_name(thread, name);
            self.profile.set_thread_show_markers_in_timeline(thread, true);
            if let Some(ended) = lane.ended {
                self.profile.set_thread_end_time(thread, time(ended));
            }
            self.put_samples(thread, lane, patience);
            self.put_markers(thread, lane);
            threads.push(thread);
        }
        let mut shown = self.put_gils(&processes, &load);
        shown.extend(busiest(recording).into_iter().map(|lane| threads[lane]));
        for (place, &thread) in shown.iter().take(VISIBLE).enumerate() {
            self.profile.add_initial_visible_thread(thread);
            if place == 0 {
                self.profile.add_initial_selected_thread(thread);
            }
        }
        self.put_counters(&processes, &load);
        self.put_observer();
        self.profile
    }

    fn stack(&mut self, thread: ThreadHandle, labels: Vec<String>, state: State) -> Option<StackHandle> {
        let outermost_first = labels.len().checked_sub(1)?;
        let frames: Vec<FrameInfo> = labels
            .iter()
            .rev()
            .enumerate()
            .map(|(depth, label)| FrameInfo {
                frame: Frame::Label(self.profile.intern_string(label)),
                category_pair: if depth == outermost_first {
                    self.categories.of_state(state)
                } else {
                    self.categories.python
                }
                .into(),
                flags: FrameFlags::empty(),
            })
            .collect();
        self.profile.intern_stack_frames(thread, frames.into_iter())
    }

    fn put_samples(&mut self, thread: ThreadHandle, lane: &ThreadLane, patience: Nanos) {
        let held = stacks::held(self.recording, lane, patience);
        let end = lane.ended.unwrap_or(Nanos::MAX).min(self.recording.length());
        for sample in samples(&lane.spans, &held, patience / 3, end) {
            let rests = sample.state.is_blocked() || sample.state == State::Unknown;
            let labels = match sample.stack {
                Some(stack) => stacks::places(self.recording, &stack.frames).collect(),
                None if rests => Vec::new(),
                None => vec![format!("[no stack taken] {}", sample.state.label())],
            };
            let stack = self.stack(thread, labels, sample.state);
            self.profile.add_sample(thread, time(sample.at), stack, CpuDelta::from_nanos(sample.used), 1);
        }
    }

    fn put_markers(&mut self, thread: ThreadHandle, lane: &ThreadLane) {
        for span in &lane.spans {
            let marker = self.markers.state(&mut self.profile, &self.categories, span);
            self.profile.add_marker(thread, between(span.from, span.to), marker);
        }
        for task in &lane.tasks {
            let marker = self.markers.task(&mut self.profile, task);
            self.profile.add_marker(thread, between(task.from, task.to), marker);
        }
        for shot in &lane.shots {
            let Shot { at, natives, frames, .. } = shot;
            let marker = self.markers.shot(&mut self.profile, &self.categories, shot);
            let handle = self.profile.add_marker(thread, MarkerTiming::Instant(time(*at)), marker);
            let labels = natives.iter().cloned().chain(stacks::places(self.recording, frames)).collect();
            let stack = self.stack(thread, labels, State::HoldsNative);
            self.profile.set_marker_stack(thread, handle, stack);
        }
    }

    /// A thread for each GIL.
    fn put_gils(&mut self, processes: &[fxprof_processed_profile::ProcessHandle], load: &Load) -> Vec<ThreadHandle> {
        let recording = self.recording;
        let mut gils = Vec::new();
        for (lane, load) in recording.gils.iter().zip(&load.gils) {
            let found = recording.processes[lane.gil.process.index()].process.found;
            let thread = self.profile.add_thread(processes[lane.gil.process.index()], 0, time(found), false);
            self.profile.set_thread_name(thread, &super::gil_title(recording, lane));
            for hold in &lane.holds {
                let holder = hold.thread.and_then(|thread| recording.threads.get(thread.index()));
                let marker = self.markers.hold(&mut self.profile, &self.categories, holder);
                self.profile.add_marker(thread, between(hold.from, hold.to), marker);
            }
            for ((begin, end, held), (.., waiters)) in load.held.steps().zip(load.waiters.steps()) {
                let marker = self.markers.load(held, waiters);
                self.profile.add_marker(thread, between(begin, end), marker);
            }
            gils.push(thread);
        }
        gils
    }

    fn put_counters(&mut self, processes: &[fxprof_processed_profile::ProcessHandle], load: &Load) {
        for (place, (load, &process)) in load.processes.iter().zip(processes).enumerate() {
            let has_threads = self.recording.threads.iter().any(|lane| lane.thread.process.index() == place);
            let mut steps = load.cpu.steps().peekable();
            let Some(&(first, ..)) = steps.peek().filter(|_| has_threads) else { continue };
            // By this name and category the viewer knows what to draw. Each value is what was used since the last one.
            let counter = self.profile.add_counter(process, "processCPU", "CPU", "Processor time of all threads");
            self.profile.add_counter_sample(counter, time(first), 0.0, 0);
            for (begin, end, cores) in steps {
                self.profile.add_counter_sample(counter, time(end), cores * (end - begin) as f64 / 1000.0, 0);
            }
        }
    }

    /// A process of its own, so that there is a thread in every profile.
    fn put_observer(&mut self) {
        let process = self.profile.add_process("plait, the observer", 0, time(0));
        let thread = self.profile.add_thread(process, 0, time(0), false);
        self.profile.set_thread_name(thread, "gaps and notes");
        for gap in self.recording.gaps.iter().filter(|gap| gap.from < gap.to) {
            let marker = self.markers.note(&mut self.profile, "gap", "nobody looked");
            self.profile.add_marker(thread, between(gap.from, gap.to), marker);
        }
        for note in &self.recording.notes {
            let process = note.process.and_then(|process| self.recording.processes.get(process.index()));
            let about = process.map(|track| format!("PID {}: ", track.process.pid)).unwrap_or_default();
            let marker = self.markers.note(&mut self.profile, "note", &(about + &note.text));
            self.profile.add_marker(thread, MarkerTiming::Instant(time(0)), marker);
        }
        if self.recording.threads.is_empty() {
            self.profile.add_initial_visible_thread(thread);
            self.profile.add_initial_selected_thread(thread);
        }
    }
}

/// The threads that did something, the busiest first; all of them where none did.
fn busiest(recording: &Recording) -> Vec<usize> {
    let busy = |lane: &ThreadLane| -> u128 {
        let active = lane.spans.iter().filter(|span| !span.state.is_blocked() && span.state != State::Unknown);
        active.map(|span| u128::from(span.to - span.from)).sum()
    };
    let mut threads: Vec<(u128, usize)> =
        recording.threads.iter().enumerate().map(|(place, lane)| (busy(lane), place)).collect();
    if threads.iter().any(|&(busy, _)| busy > 0) {
        threads.retain(|&(busy, _)| busy > 0);
    }
    threads.sort_by_key(|&(busy, place)| (std::cmp::Reverse(busy), place));
    threads.into_iter().map(|(_, place)| place).collect()
}
