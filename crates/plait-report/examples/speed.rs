//! How long a recording of half a million spans takes to be written in each format, and a full screen of lanes to be drawn.
//!
//! `cargo run --release -p plait-report --example speed`

use std::io;
use std::time::Instant;

use plait_report::export::Format;
use plait_report::live::{Palette, View};
use plait_trace::{
    Began, Count, Frame, FrameKey, Gil, GilKey, Hold, Kind, Nanos, Process, ProcessKey, Record, Recording, Sight, Span,
    Stack, State, Subject, Thread, ThreadKey,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// Takes everything and counts it.
struct Counted(u64);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Threads that hand the GIL round, and rest now and then: `spans` of 1 ms each in all.
fn recording(threads: u32, spans: u64) -> Recording {
    let mut recording = Recording::default();
    let mut put = |record: Record| recording.put(&record).expect("in order");
    put(Record::Began(Began { what: "made up".into(), period: 1_000_000, ..Began::default() }));
    let process = ProcessKey(0);
    put(Record::Process(Process {
        key: process,
        pid: 1000,
        parent: None,
        found: 0,
        command: "python many.py".into(),
        python: Some("3.13.1".into()),
        sight: Sight::Gil,
        why: None,
        processors: 8,
        quota: None,
        role: None,
    }));
    put(Record::Gil(Gil { key: GilKey(0), process, interpreters: vec![0], interval: 5_000_000 }));
    for key in 0..threads {
        let name = format!("worker-{key}");
        put(Record::Thread(Thread {
            key: ThreadKey(key),
            process,
            tid: 1000 + key,
            name,
            interpreter: Some(0),
            found: 0,
        }));
    }
    for key in 0..200 {
        let (function, file) = (format!("function_{key}"), "/srv/app/module.py".into());
        put(Record::Frame(Frame { key: FrameKey(key), function, file, line: key }));
    }
    let cycle = [State::Waits, State::HoldsPython, State::Network, State::Lock, State::Native, State::HoldsNative];
    for step in 0..spans / u64::from(threads) {
        let (from, to): (Nanos, Nanos) = (step * 1_000_000, (step + 1) * 1_000_000);
        for thread in (0..threads).map(ThreadKey) {
            let state = cycle[(step as usize + thread.index()) % cycle.len()];
            put(Record::Span(Span { thread, from, to, state, call: state.is_blocked().then_some(202) }));
            if step % 20 == 0 && state.holds_gil() {
                let frames = (0..15).map(|depth| FrameKey((step as u32 / 20 + depth) % 200)).collect();
                put(Record::Stack(Stack { thread, at: from, frames }));
            }
            if step % 100 == 0 {
                let (of, kind) = (Subject::Thread(thread), Kind::CpuTime);
                put(Record::Count(Count { of, kind, at: from, value: from / 4 }));
            }
        }
        let thread = Some(ThreadKey(step as u32 % threads));
        put(Record::Hold(Hold { gil: GilKey(0), from, to, thread }));
    }
    recording
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: unknown");
    line.trim_start_matches("VmHWM:").trim().to_owned()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let long = recording(20, 500_000);
    let spans: usize = long.threads.iter().map(|lane| lane.spans.len()).sum();
    println!("{spans} spans, {} s, peak memory before: {}", long.length() / 1_000_000_000, peak());
    for format in [Format::Perfetto, Format::Json, Format::Speedscope, Format::Firefox] {
        let mut out = Counted(0);
        let begin = Instant::now();
        format.write(&long, &mut out)?;
        let (ms, mb) = (begin.elapsed().as_millis(), out.0 / 1_000_000);
        println!("{format:10}  {ms:5} ms  {mb:4} MB  peak memory {}", peak());
    }
    let screen = TestBackend::new(240, 215);
    let mut terminal = Terminal::new(screen)?;
    for spans in [40_000, 400_000, 2_000_000] {
        let many = recording(200, spans);
        let mut view = View::new(Palette::Colors);
        let mut times = Vec::new();
        for _ in 0..21 {
            let begin = Instant::now();
            terminal.draw(|frame| view.draw(frame, &many, many.length()))?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let (quickest, median) = (times[0], times[times.len() / 2]);
        println!("200 threads x 200 columns, {spans:7} spans in the window: {median:.1} ms, {quickest:.1} ms at best");
    }
    Ok(())
}
