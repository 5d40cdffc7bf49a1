//! Plait's own JSON: everything that is in a recording, in words that stay. `docs/recording-format.md` describes it.

use std::io::{self, BufWriter, Write};

use plait_trace::{
    Count, Dropped, Ended, Frame, Gap, Gil, GilKey, Hold, Kind, Note, ProcessKey, Recording, Shot, Sight, Span, Stack,
    Subject, Task, ThreadKey, ThreadLane, Track,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::stream::{List, list};

/// The version of this form. It grows when something changes its meaning or goes; what is added leaves it.
const VERSION: u32 = 1;

/// Writes everything that is in a recording, in plait's own words.
///
/// # Errors
/// Those of `out`.
pub fn json<W: Write>(recording: &Recording, out: W) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let began = &recording.began;
    let began = json!({
        "unix": began.unix, "monotonic": began.monotonic, "plait": began.plait, "what": began.what, "root": began.root,
        "period": began.period, "processors": began.processors,
    });
    write!(out, "{{\"format\":\"plait-recording\",\"version\":{VERSION},\n\"began\":{began},\n")?;
    writeln!(out, "\"ended\":{},", recording.ended.as_ref().map_or(Value::Null, ended))?;
    write!(out, "\"length\":{},\"cut\":{},\n\"processes\":", recording.length(), recording.cut)?;
    list(&mut out, recording.processes.iter().map(process))?;
    write!(out, ",\n\"gils\":")?;
    let mut gils = List::begin(&mut out)?;
    for lane in &recording.gils {
        let Gil { key, process, interpreters, interval } = &lane.gil;
        let mut out = gils.next()?;
        let interpreters = serde_json::to_string(interpreters)?;
        write!(out, "{{\"key\":{},\"process\":{},\"interpreters\":{interpreters}", key.0, process.0)?;
        write!(out, ",\"interval\":{interval},\"holds\":")?;
        list(&mut out, lane.holds.iter().map(HoldForm::of))?;
        write!(out, "}}")?;
    }
    gils.end()?;
    write!(out, ",\n\"threads\":")?;
    let mut threads = List::begin(&mut out)?;
    for lane in &recording.threads {
        put_thread(threads.next()?, lane)?;
    }
    threads.end()?;
    write!(out, ",\n\"frames\":")?;
    list(&mut out, recording.frames.iter().map(FrameForm::of))?;
    write!(out, ",\n\"counts\":")?;
    list(&mut out, recording.counts.iter().map(CountForm::of))?;
    write!(out, ",\n\"gaps\":")?;
    list(&mut out, recording.gaps.iter().map(|&Gap { from, to }| GapForm { from, to }))?;
    write!(out, ",\n\"notes\":")?;
    let note = |Note { process, text }: &Note| json!({"process": process.map(|key| key.0), "text": text});
    list(&mut out, recording.notes.iter().map(note))?;
    out.write_all(b"}\n")?;
    out.flush()
}

fn ended(ended: &Ended) -> Value {
    let Ended { at, looks, late, lateness_p50, lateness_p99, cost, dropped } = ended;
    let Dropped { stacks, looks: failed, shots, threads, records } = dropped;
    json!({
        "at": at, "looks": looks, "late": late, "lateness_p50": lateness_p50, "lateness_p99": lateness_p99, "cost": cost,
        "dropped": {"stacks": stacks, "looks": failed, "shots": shots, "threads": threads, "records": records},
    })
}

fn process(track: &Track) -> Value {
    let process = &track.process;
    let sight = match process.sight {
        Sight::Gil => "gil",
        Sight::FreeThreaded => "free-threaded",
        Sight::Kernel => "kernel",
        Sight::Nothing => "nothing",
    };
    json!({
        "key": process.key.0, "pid": process.pid, "parent": process.parent.map(|key| key.0), "found": process.found,
        "ended": track.ended, "command": process.command, "python": process.python, "sight": sight, "why": process.why,
        "processors": process.processors, "quota": process.quota, "role": process.role,
    })
}

fn put_thread<W: Write>(mut out: &mut W, lane: &ThreadLane) -> io::Result<()> {
    let thread = &lane.thread;
    let about = json!({
        "key": thread.key.0, "process": thread.process.0, "tid": thread.tid, "name": thread.name,
        "interpreter": thread.interpreter, "found": thread.found, "ended": lane.ended,
    });
    let about = about.to_string();
    write!(out, "{},\"spans\":", about.strip_suffix('}').unwrap_or(&about))?;
    list(&mut out, lane.spans.iter().map(SpanForm::of))?;
    write!(out, ",\"stacks\":")?;
    list(&mut out, lane.stacks.iter().map(|Stack { at, frames, .. }| StackForm { at: *at, frames: numbers(frames) }))?;
    write!(out, ",\"shots\":")?;
    let shot = |shot: &Shot| {
        let Shot { at, function, natives, frames, pause, .. } = shot;
        json!({"at": at, "function": function, "natives": natives, "frames": numbers(frames), "pause": pause})
    };
    list(&mut out, lane.shots.iter().map(shot))?;
    write!(out, ",\"tasks\":")?;
    let task = |Task { from, to, name, id, .. }: &Task| json!({"from": from, "to": to, "name": name, "id": id});
    list(&mut out, lane.tasks.iter().map(task))?;
    write!(out, "}}")
}

fn numbers(frames: &[plait_trace::FrameKey]) -> Vec<u32> {
    frames.iter().map(|frame| frame.0).collect()
}

#[derive(Serialize)]
struct SpanForm {
    from: u64,
    to: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<u16>,
}

impl SpanForm {
    fn of(&Span { from, to, state, call, .. }: &Span) -> Self {
        Self { from, to, state: state.word(), call }
    }
}

#[derive(Serialize)]
struct HoldForm {
    from: u64,
    to: u64,
    thread: Option<u32>,
}

impl HoldForm {
    fn of(&Hold { from, to, thread, .. }: &Hold) -> Self {
        Self { from, to, thread: thread.map(|key| key.0) }
    }
}

#[derive(Serialize)]
struct StackForm {
    at: u64,
    frames: Vec<u32>,
}

#[derive(Serialize)]
struct GapForm {
    from: u64,
    to: u64,
}

#[derive(Serialize)]
struct FrameForm<'a> {
    key: u32,
    function: &'a str,
    file: &'a str,
    line: u32,
}

impl<'a> FrameForm<'a> {
    fn of(Frame { key, function, file, line }: &'a Frame) -> Self {
        Self { key: key.0, function, file, line: *line }
    }
}

#[derive(Serialize)]
struct CountForm {
    of: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<u32>,
    kind: &'static str,
    at: u64,
    value: u64,
}

impl CountForm {
    fn of(&Count { of, kind, at, value }: &Count) -> Self {
        let (of, key) = match of {
            Subject::Machine => ("machine", None),
            Subject::Process(ProcessKey(key)) => ("process", Some(key)),
            Subject::Thread(ThreadKey(key)) => ("thread", Some(key)),
            Subject::Gil(GilKey(key)) => ("gil", Some(key)),
        };
        let kind = match kind {
            Kind::Switches => "switches",
            Kind::CpuTime => "cpu-time",
            Kind::RunDelay => "run-delay",
            Kind::QuotaPeriods => "quota-periods",
            Kind::ThrottledPeriods => "throttled-periods",
            Kind::ThrottledTime => "throttled-time",
            Kind::Pressure => "pressure",
        };
        Self { of, key, kind, at, value }
    }
}
