//! The recording as the page's script reads it: a header of JSON, then columns of whole numbers, all of it deflated.
//!
//! Times are whole microseconds: nobody sees less. Each list of spans is three columns, the gaps before them, their lengths,
//! and what they are, so that like stands beside like; a number takes seven bits of each byte, the lowest first.
//! `web/src/data/` reads it.

use std::collections::HashMap;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use plait_trace::{FrameKey, Nanos, Recording, State, Task, ThreadLane};
use serde_json::{Value, json};

use super::coarse::Coarse;
use super::names::Names;
use crate::calls;
use crate::colors;
use crate::export::{gil_title, load, stacks};
use crate::plain_text::{one_line, shortened};
use crate::verdicts::Findings;

/// Names are cut here: they come from the recorded program, which may have them as long as it likes.
const LONGEST: usize = 200;

/// The recording, deflated.
pub(super) fn packed(recording: &Recording, findings: &Findings, from: Nanos, coarse: &Coarse) -> io::Result<Vec<u8>> {
    let mut columns = Columns::default();
    let header = header(recording, &Names::of(findings), from, coarse, &mut columns);
    let header = serde_json::to_vec(&header)?;
    let mut out = DeflateEncoder::new(Vec::new(), Compression::default());
    out.write_all(&u32::try_from(header.len()).map_err(io::Error::other)?.to_le_bytes())?;
    out.write_all(&header)?;
    out.write_all(&columns.0)?;
    out.finish()
}

/// The same as text that can stand in a page.
pub(super) fn packed_text(recording: &Recording, findings: &Findings, coarse: &Coarse) -> io::Result<String> {
    packed(recording, findings, 0, coarse).map(|bytes| STANDARD.encode(bytes))
}

fn header(recording: &Recording, names: &Names<'_>, from: Nanos, coarse: &Coarse, columns: &mut Columns) -> Value {
    let mut tables = Tables::default();
    let lanes = recording.threads.iter();
    let threads: Vec<Value> =
        lanes.map(|lane| thread(lane, names.of_thread(lane), coarse, &mut tables, columns)).collect();
    let gils: Vec<Value> = recording
        .gils
        .iter()
        .map(|lane| {
            let holds = coarse.holds(&lane.holds);
            columns.stretches(
                holds.iter().map(|hold| (hold.from, hold.to, hold.thread.map_or(0, |thread| u64::from(thread.0) + 1))),
            );
            let title = gil_title(recording, lane);
            json!({"process": lane.gil.process.0, "title": title, "count": {"holds": holds.len()}})
        })
        .collect();
    let processes = recording.processes.iter().map(|track| {
        let process = &track.process;
        json!({
            "pid": process.pid, "name": names.of_process(process.key), "command": cut(&process.command),
            "python": process.python, "why": process.why.as_deref().map(cut),
            "found": us(process.found), "ended": track.ended.map(us),
        })
    });
    let frames = recording.frames.iter().map(|frame| json!([cut(&frame.function), cut(&frame.file), frame.line]));
    let shots = recording.threads.iter().flat_map(|lane| &lane.shots).map(|shot| {
        let natives: Vec<String> = shot.natives.iter().map(|name| cut(name)).collect();
        json!({"thread": shot.thread.0, "at": us(shot.at), "function": shot.function.as_deref().map(cut), "natives": natives})
    });
    json!({
        "what": cut(&recording.began.what),
        "length": us(recording.length()),
        "from": us(from),
        "states": State::ALL.map(|state| {
            let (light, dark) = colors::of(state);
            json!({"word": state.word(), "label": state.label(), "light": light, "dark": dark})
        }),
        "kinds": tables.kinds,
        "processes": processes.collect::<Vec<_>>(),
        "threads": threads,
        "gils": gils,
        "frames": frames.collect::<Vec<_>>(),
        "stacks": tables.stacks,
        "patience": us(stacks::patience(recording)),
        "names": tables.names,
        "shots": shots.collect::<Vec<_>>(),
        "gaps": recording.gaps.iter().map(|gap| [us(gap.from), us(gap.to)]).collect::<Vec<_>>(),
        "curves": curves(recording),
    })
}

fn thread(lane: &ThreadLane, name: &str, coarse: &Coarse, tables: &mut Tables, columns: &mut Columns) -> Value {
    let spans = coarse.spans(&lane.spans);
    columns.stretches(spans.iter().map(|span| (span.from, span.to, tables.kind(span.state, span.call))));
    let mut seen: Vec<_> = coarse.stacks(&lane.stacks).collect();
    seen.sort_by_key(|stack| stack.at);
    columns.moments(seen.iter().map(|stack| (stack.at, tables.stack(&stack.frames))));
    let mut tasks: Vec<&Task> = lane.tasks.iter().collect();
    tasks.sort_by_key(|task| task.from);
    columns.moments(tasks.iter().map(|task| (task.from, tables.name(&task.name))));
    for task in &tasks {
        columns.put(us(task.to) - us(task.from));
    }
    for task in &tasks {
        // Numbers of tasks are small; the script keeps whole numbers up to 2^53.
        columns.put(task.id & ((1 << 53) - 1));
    }
    let thread = &lane.thread;
    json!({
        "process": thread.process.0, "tid": thread.tid, "name": cut(name),
        "found": us(thread.found), "ended": lane.ended.map(us),
        "count": {"spans": spans.len(), "stacks": seen.len(), "tasks": tasks.len()},
    })
}

/// Processors' worth of time of the whole program, in equal steps.
fn curves(recording: &Recording) -> Value {
    let load = load::Load::of(recording);
    let step = load.pressure.width();
    let sum = |of: fn(&load::ProcessLoad) -> &load::Curve| {
        let mut sums: Vec<Option<f64>> = vec![None; load.pressure.len()];
        for (begin, _, value) in load.processes.iter().flat_map(|process| of(process).steps()) {
            let sum = sums[(begin / step) as usize].get_or_insert(0.0);
            *sum = ((*sum + value) * 1000.0).round() / 1000.0;
        }
        sums
    };
    json!({
        "step": step as f64 / 1000.0,
        "cpu": sum(|process| &process.cpu),
        "delay": sum(|process| &process.delay),
        "throttled": sum(|process| &process.throttled),
    })
}

/// What the columns name by number.
#[derive(Default)]
struct Tables {
    kinds: Vec<Value>,
    kind_keys: HashMap<(State, Option<u16>), u64>,
    stacks: Vec<Vec<u32>>,
    stack_keys: HashMap<Vec<FrameKey>, u64>,
    names: Vec<String>,
    name_keys: HashMap<String, u64>,
}

impl Tables {
    fn kind(&mut self, state: State, call: Option<u16>) -> u64 {
        let kinds = &mut self.kinds;
        *self.kind_keys.entry((state, call)).or_insert_with(|| {
            kinds.push(json!({"state": state as usize, "call": call.map(calls::name)}));
            kinds.len() as u64 - 1
        })
    }

    fn stack(&mut self, frames: &[FrameKey]) -> u64 {
        if let Some(&key) = self.stack_keys.get(frames) {
            return key;
        }
        self.stacks.push(frames.iter().map(|frame| frame.0).collect());
        let key = self.stacks.len() as u64 - 1;
        self.stack_keys.insert(frames.to_vec(), key);
        key
    }

    fn name(&mut self, name: &str) -> u64 {
        let names = &mut self.names;
        let name = if name.is_empty() { "task".to_owned() } else { cut(name) };
        *self.name_keys.entry(name.clone()).or_insert_with(|| {
            names.push(name);
            names.len() as u64 - 1
        })
    }
}

/// Numbers of seven bits a byte.
#[derive(Default)]
struct Columns(Vec<u8>);

impl Columns {
    fn put(&mut self, mut value: u64) {
        while value >= 128 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Stretches in the order of time: gaps, lengths, and what they are.
    fn stretches(&mut self, all: impl Iterator<Item = (Nanos, Nanos, u64)>) {
        let all: Vec<_> = all.map(|(from, to, what)| (us(from), us(to), what)).collect();
        let mut end = 0;
        for &(from, to, _) in &all {
            self.put(from - end);
            end = to;
        }
        for &(from, to, _) in &all {
            self.put(to - from);
        }
        for &(_, _, what) in &all {
            self.put(what);
        }
    }

    /// Moments in the order of time: steps, and what is at them.
    fn moments(&mut self, all: impl Iterator<Item = (Nanos, u64)>) {
        let all: Vec<_> = all.map(|(at, what)| (us(at), what)).collect();
        let mut last = 0;
        for &(at, _) in &all {
            self.put(at - last);
            last = at;
        }
        for &(_, what) in &all {
            self.put(what);
        }
    }
}

/// Whole microseconds, and none that the script could not count.
fn us(at: Nanos) -> u64 {
    (at / 1000).min((1 << 53) - 1)
}

fn cut(text: &str) -> String {
    shortened(&one_line(text), LONGEST)
}
