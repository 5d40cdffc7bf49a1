//! The file format of speedscope.app: Python stacks of each thread, over the time of the whole recording.
//!
//! Its scheme: <https://www.speedscope.app/file-format-schema.json>. Each thread that has stacks is a sampled profile. Where no
//! stack is known, the sample is empty, so all threads share one axis, and weights add up to the length of the recording.

use std::io::{self, BufWriter, Write};

use plait_trace::{Frame, Nanos, Recording, ThreadLane};
use serde::Serialize;

use super::stacks::{self, Held};
use super::stream::{List, list};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

#[derive(Serialize)]
struct SharedFrame<'a> {
    name: &'a str,
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl<'a> SharedFrame<'a> {
    fn of(frame: &'a Frame) -> Self {
        Self { name: &frame.function, file: &frame.file, line: (frame.line > 0).then_some(frame.line) }
    }
}

/// Writes a recording for speedscope.
///
/// # Errors
/// Those of `out`.
pub fn speedscope<W: Write>(recording: &Recording, out: W) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let exporter = format!("plait {}", recording.began.plait);
    let what = if recording.began.what.is_empty() { "a recording of plait's" } else { &recording.began.what };
    write!(out, "{{\"$schema\":{},\"exporter\":{},", text(SCHEMA)?, text(&exporter)?)?;
    write!(out, "\"name\":{},\"activeProfileIndex\":{},", text(what)?, busiest(recording))?;
    write!(out, "\"shared\":{{\"frames\":")?;
    list(&mut out, recording.frames.iter().map(SharedFrame::of))?;
    write!(out, "}},\n\"profiles\":")?;
    let patience = stacks::patience(recording);
    let mut profiles = List::begin(&mut out)?;
    for lane in with_stacks(recording) {
        let held = stacks::held(recording, lane, patience);
        put_profile(profiles.next()?, recording, &title(recording, lane), &held)?;
    }
    if with_stacks(recording).next().is_none() {
        // The viewer asks for one.
        put_profile(profiles.next()?, recording, "no stacks were recorded", &[])?;
    }
    profiles.end()?;
    out.write_all(b"}\n")?;
    out.flush()
}

fn put_profile<W: Write>(mut out: &mut W, recording: &Recording, name: &str, held: &[Held]) -> io::Result<()> {
    let end = recording.length();
    write!(out, "{{\"type\":\"sampled\",\"name\":{},\"unit\":\"nanoseconds\",", text(name)?)?;
    write!(out, "\"startValue\":0,\"endValue\":{end},\"samples\":")?;
    list(&mut out, samples(held, end).map(|(stack, _)| stack.map_or(Vec::new(), Held::outermost_first)))?;
    write!(out, ",\"weights\":")?;
    list(&mut out, samples(held, end).map(|(_, weight)| weight))?;
    write!(out, "}}")
}

impl Held<'_> {
    fn outermost_first(&self) -> Vec<u32> {
        self.stack.frames.iter().rev().map(|frame| frame.0).collect()
    }
}

/// Stacks and their weights, with nothing where none is known, from 0 to `end`.
fn samples<'a>(held: &'a [Held<'a>], end: Nanos) -> impl Iterator<Item = (Option<&'a Held<'a>>, Nanos)> {
    let mut until = 0;
    let stretches = held.iter().flat_map(move |held| {
        let before = held.from - until;
        until = held.to;
        [(None, before), (Some(held), held.to - held.from)]
    });
    let last = held.last().map_or(0, |held| held.to);
    stretches.chain([(None, end.saturating_sub(last))]).filter(|&(_, weight)| weight > 0)
}

fn with_stacks(recording: &Recording) -> impl Iterator<Item = &ThreadLane> {
    recording.threads.iter().filter(|lane| !lane.stacks.is_empty())
}

/// The thread with the most stacks is shown first.
fn busiest(recording: &Recording) -> usize {
    let counts = with_stacks(recording).map(|lane| lane.stacks.len()).enumerate();
    counts.max_by_key(|&(place, count)| (count, std::cmp::Reverse(place))).map_or(0, |(place, _)| place)
}

fn title(recording: &Recording, lane: &ThreadLane) -> String {
    let thread = &lane.thread;
    let name = if thread.name.is_empty() { "thread" } else { &thread.name };
    match recording.processes.get(thread.process.index()) {
        Some(track) if recording.processes.len() > 1 => format!("{name} {} of PID {}", thread.tid, track.process.pid),
        _ => format!("{name} {}", thread.tid),
    }
}

fn text(text: &str) -> io::Result<String> {
    Ok(serde_json::to_string(text)?)
}
