//! Chrome's trace format, which ui.perfetto.dev and chrome://tracing open.
//!
//! One process for each process. In it, a track for each GIL with who holds it, and for each thread up to three: the tasks
//! of plait's that it ran, its states, its Python calls as far as stacks show them. Beside them the curves: GIL, waiters,
//! processor time, throttling. A last process is the observer: gaps, notes, and the pressure on the machine.
//!
//! Times are whole microseconds. Perfetto cuts fractions off, in binary: neighbours would overlap by a nanosecond, and it
//! drops slices that overlap.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use plait_trace::{Nanos, Recording, Shot, ThreadLane};
use serde::Serialize;
use serde_json::json;

use super::load::Load;
use super::stacks;
use super::stream::List;
use crate::calls;
use tracks::Tracks;

mod nest;
mod tracks;

/// One event of the format.
#[derive(Serialize)]
struct Event<'a, A: Serialize> {
    ph: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cat: &'static str,
    pid: u32,
    tid: u32,
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<A>,
}

/// The events of one track.
struct Lane<'w, W: Write> {
    list: &'w mut List<W>,
    pid: u32,
    tid: u32,
}

/// Writes a recording in Chrome's trace format.
///
/// # Errors
/// Those of `out`.
pub fn perfetto<W: Write>(recording: &Recording, out: W) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    out.write_all(b"{\"traceEvents\":")?;
    let mut list = List::begin(&mut out)?;
    let tracks = Tracks::of(recording);
    tracks::name(recording, &tracks, &mut list)?;
    put_observer(recording, &tracks, &mut list)?;
    for (lane, &(pid, tid)) in recording.gils.iter().zip(&tracks.gils) {
        let mut track = Lane { list: &mut list, pid, tid };
        for hold in &lane.holds {
            let holder = hold.thread.and_then(|thread| recording.threads.get(thread.index()));
            let name = holder.map_or(Cow::Borrowed("unknown thread"), |lane| Cow::Owned(thread_title(lane)));
            track.slice(&name, "gil", hold.from, hold.to, None::<()>)?;
        }
    }
    let patience = stacks::patience(recording);
    for (lane, ids) in recording.threads.iter().zip(&tracks.threads) {
        put_tasks(lane, ids, &mut list)?;
        put_states(recording, lane, ids, &mut list)?;
        let mut track = Lane { list: &mut list, pid: ids.pid, tid: ids.calls };
        for call in stacks::calls(&stacks::held(recording, lane, patience)) {
            let Some(frame) = recording.frames.get(call.frame.index()) else { continue };
            let place = json!({"file": frame.file, "line": frame.line});
            track.slice(&frame.function, "python", call.from, call.to, Some(place))?;
        }
    }
    put_curves(recording, &tracks, &mut list)?;
    list.end()?;
    write!(out, ",\n\"otherData\":")?;
    serde_json::to_writer(&mut out, &about(recording))?;
    out.write_all(b"}\n")?;
    out.flush()
}

impl<W: Write> Lane<'_, W> {
    fn slice(
        &mut self,
        name: &str,
        cat: &'static str,
        from: Nanos,
        to: Nanos,
        args: Option<impl Serialize>,
    ) -> io::Result<()> {
        let (ts, end) = (from / 1000, to / 1000);
        let (pid, tid) = (self.pid, self.tid);
        self.list.put(&Event { ph: "X", name, cat, pid, tid, ts, dur: Some(end.saturating_sub(ts)), s: None, args })
    }

    fn instant(&mut self, name: &str, cat: &'static str, at: Nanos, args: impl Serialize) -> io::Result<()> {
        let (pid, tid) = (self.pid, self.tid);
        let s = Some("t");
        self.list.put(&Event { ph: "i", name, cat, pid, tid, ts: at / 1000, dur: None, s, args: Some(args) })
    }

    /// A curve: `unit` is part of its name.
    fn curve(&mut self, name: &str, unit: &str, steps: impl Iterator<Item = (Nanos, Nanos, f64)>) -> io::Result<()> {
        let mut put = |at: Nanos, value: f64| {
            let args = Some(std::iter::once((unit, value)).collect::<std::collections::BTreeMap<_, _>>());
            let (pid, tid) = (self.pid, self.tid);
            self.list.put(&Event { ph: "C", name, cat: "", pid, tid, ts: at / 1000, dur: None, s: None, args })
        };
        let mut last: Option<(Nanos, f64)> = None;
        for (begin, end, value) in steps {
            let value = (value * 1000.0).round() / 1000.0;
            match last {
                Some((until, _)) if until != begin => {
                    // Nothing is known in between, which the format cannot say.
                    put(until, 0.0)?;
                    put(begin, value)?;
                }
                Some((_, before)) if before == value => {}
                _ => put(begin, value)?,
            }
            last = Some((end, value));
        }
        last.map_or(Ok(()), |(until, _)| put(until, 0.0))
    }
}

fn put_tasks<W: Write>(lane: &ThreadLane, ids: &tracks::ThreadTracks, list: &mut List<W>) -> io::Result<()> {
    for (tasks, &tid) in nest::rows(&lane.tasks).iter().zip(&ids.tasks) {
        let mut track = Lane { list, pid: ids.pid, tid };
        for task in tasks {
            let name = if task.name.is_empty() { "task" } else { &task.name };
            track.slice(name, "task", task.from, task.to, Some(json!({"task": task.id})))?;
        }
    }
    Ok(())
}

fn put_states<W: Write>(
    recording: &Recording,
    lane: &ThreadLane,
    ids: &tracks::ThreadTracks,
    list: &mut List<W>,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct InCall {
        call: Cow<'static, str>,
    }
    let mut track = Lane { list, pid: ids.pid, tid: ids.tid };
    for span in &lane.spans {
        let args = span.call.map(|number| InCall { call: calls::name(number) });
        track.slice(span.state.label(), span.state.word(), span.from, span.to, args)?;
    }
    for shot in &lane.shots {
        let Shot { at, function, natives, frames, pause, .. } = shot;
        let name = format!("keeps the GIL: {}", function.as_deref().unwrap_or("unnamed native code"));
        let python: Vec<String> = stacks::places(recording, frames).collect();
        let args = json!({"function": function, "native": natives, "python": python, "stopped for us": pause / 1000});
        track.instant(&name, "hog", *at, args)?;
    }
    Ok(())
}

fn put_curves<W: Write>(recording: &Recording, tracks: &Tracks, list: &mut List<W>) -> io::Result<()> {
    let load = Load::of(recording);
    let percent = |(begin, end, value): (Nanos, Nanos, f64)| (begin, end, value * 100.0);
    for ((lane, load), &(pid, tid)) in recording.gils.iter().zip(&load.gils).zip(&tracks.gils) {
        let mut track = Lane { list, pid, tid };
        let gil = super::gil_title(recording, lane);
        track.curve(&format!("{gil} held"), "%", load.held.steps().map(percent))?;
        track.curve(&format!("{gil} waited for by"), "threads", load.waiters.steps())?;
        let per_second = |(begin, end, value): (Nanos, Nanos, f64)| (begin, end, value * 1e9);
        track.curve(&format!("{gil} handed over"), "times/s", load.switches.steps().map(per_second))?;
    }
    for (load, &pid) in load.processes.iter().zip(&tracks.processes) {
        let mut track = Lane { list, pid, tid: pid };
        track.curve("CPU", "cores", load.cpu.steps())?;
        track.curve("wait for a processor", "threads", load.delay.steps())?;
        track.curve("throttled", "%", load.throttled.steps().map(percent))?;
    }
    let mut track = Lane { list, pid: tracks.observer, tid: tracks.observer };
    track.curve("pressure on the processors", "%", load.pressure.steps().map(percent))
}

fn put_observer<W: Write>(recording: &Recording, tracks: &Tracks, list: &mut List<W>) -> io::Result<()> {
    let mut track = Lane { list, pid: tracks.observer, tid: tracks.observer };
    for note in &recording.notes {
        let process = note.process.and_then(|process| tracks.processes.get(process.index()));
        track.instant(&note.text, "note", 0, json!({"pid": process}))?;
    }
    for gap in nest::apart(&recording.gaps) {
        track.slice("nobody looked", "gap", gap.from, gap.to, None::<()>)?;
    }
    Ok(())
}

/// What the recording says of itself.
fn about(recording: &Recording) -> serde_json::Value {
    let began = &recording.began;
    let ended = recording.ended.as_ref();
    json!({
        "recorded by": format!("plait {}", began.plait),
        "what": began.what,
        "nanoseconds since 1970": began.unix,
        "period us": began.period / 1000,
        "looks": ended.map(|ended| ended.looks),
        "late looks": ended.map(|ended| ended.late),
        "cost us": ended.map(|ended| ended.cost / 1000),
        "stacks dropped": ended.map(|ended| ended.dropped.stacks),
        "records dropped": ended.map(|ended| ended.dropped.records),
        "notes": recording.notes.iter().map(|note| &note.text).collect::<Vec<_>>(),
    })
}

fn thread_title(lane: &ThreadLane) -> String {
    let thread = &lane.thread;
    if thread.name.is_empty() { format!("thread {}", thread.tid) } else { format!("{} {}", thread.name, thread.tid) }
}
