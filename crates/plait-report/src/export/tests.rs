use std::collections::HashMap;

use plait_trace::Nanos;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::made::{any_recording, small};

fn written(recording: &Recording, format: Format) -> String {
    let mut out = Vec::new();
    format.write(recording, &mut out).expect("memory takes all");
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn parsed(recording: &Recording, format: Format) -> Value {
    serde_json::from_str(&written(recording, format)).expect("valid JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key}"))
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {value}"))
}

#[test]
fn perfetto_of_a_small_recording() {
    insta::assert_snapshot!(written(&small(), Format::Perfetto));
}

#[test]
fn firefox_of_a_small_recording() {
    // One column of a table a line.
    let text = serde_json::to_string(&parsed(&small(), Format::Firefox)).expect("it was read");
    insta::assert_snapshot!(text.replace("],\"", "],\n\"").replace("},\"", "},\n\"").replace("},{", "},\n{"));
}

#[test]
fn speedscope_of_a_small_recording() {
    insta::assert_snapshot!(written(&small(), Format::Speedscope));
}

#[test]
fn svg_of_a_small_recording() {
    insta::assert_snapshot!(written(&small(), Format::Svg).replace("><", ">\n<"));
}

#[test]
fn json_of_a_small_recording() {
    insta::assert_snapshot!(written(&small(), Format::Json));
}

#[test]
fn endings_say_formats() {
    let said = |path: &str| Format::of_path(path);
    for (path, format) in [
        ("a.json", Format::Perfetto),
        ("dir.plait/a.JSON", Format::Perfetto),
        ("a.perfetto.json", Format::Perfetto),
        ("a.b.firefox.json", Format::Firefox),
        ("a.gecko.json", Format::Firefox),
        ("/tmp/a.speedscope.json", Format::Speedscope),
        ("a.plait.json", Format::Json),
    ] {
        assert_eq!(said(path), Ok(format), "{path}");
    }
    for path in ["", "json", "a.txt", "a.json/b", "a.plait"] {
        assert_eq!(said(path), Err(FormatError::Ending { name: path.into() }));
    }
    assert_eq!(said("a.html"), Ok(Format::Html));
    for format in Format::ALL {
        assert_eq!(Format::of_name(format.name()), Ok(format));
        for ending in format.endings() {
            assert_eq!(said(&format!("a{ending}")), Ok(format));
        }
    }
    assert_eq!(Format::of_name("html"), Ok(Format::Html));
}

#[test]
fn what_is_no_format_is_told_with_those_that_are() {
    let told = |error: FormatError| error.to_string();
    assert_eq!(
        told(Format::of_path("a.txt").expect_err("no format")),
        "the name \"a.txt\" says no format: let it end in .html (html), .svg (svg), .json (perfetto), .firefox.json (firefox), \
         .speedscope.json (speedscope), .plait.json (json), or use --format html|svg|perfetto|firefox|speedscope|json"
    );
    assert_eq!(
        told(Format::of_name("pdf").expect_err("no format")),
        "there is no format \"pdf\": use html, svg, perfetto, firefox, speedscope, json"
    );
}

#[test]
fn a_writer_that_fails_ends_it() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in Format::ALL {
        let error = format.write(&small(), Full(100)).expect_err("the disk is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{format}");
        assert!(format.write(&small(), Full(1 << 20)).is_ok());
    }
}

/// Slices of a track lie apart, or one within another; the outer one comes first.
fn check_slices(events: &[Value]) {
    let mut tracks: HashMap<(u64, u64), Vec<(u64, u64)>> = HashMap::new();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let (from, lasts) = (number(event, "ts"), number(event, "dur"));
        tracks.entry((number(event, "pid"), number(event, "tid"))).or_default().push((from, from + lasts));
    }
    for slices in tracks.values_mut() {
        slices.sort_by_key(|&(from, _)| from);
        let mut open: Vec<u64> = Vec::new();
        for &(from, to) in slices.iter() {
            while open.last().is_some_and(|&end| end <= from) {
                open.pop();
            }
            assert!(open.last().is_none_or(|&end| to <= end), "{from}–{to} crosses another that ends at {open:?}");
            open.push(to);
        }
    }
}

fn check_perfetto(recording: &Recording) {
    let value = parsed(recording, Format::Perfetto);
    let events = list(&value, "traceEvents");
    check_slices(events);
    let mut processes: HashMap<u64, usize> = HashMap::new();
    let mut threads: HashMap<u64, u64> = HashMap::new();
    for event in events {
        let (pid, tid) = (number(event, "pid"), number(event, "tid"));
        assert!(pid > 0 && tid > 0 && pid <= u64::from(u32::MAX) && tid <= u64::from(u32::MAX));
        match event["ph"].as_str() {
            Some("M") if event["name"] == "process_name" => *processes.entry(pid).or_default() += 1,
            Some("M" | "X" | "i") => {}
            Some("C") => {
                let values = event["args"].as_object().expect("a curve has values");
                assert!(values.values().all(|value| value.as_f64().is_some_and(|value| value >= 0.0)), "{event}");
            }
            other => panic!("an event of phase {other:?}"),
        }
        assert_eq!(*threads.entry(tid).or_insert(pid), pid, "thread {tid} is in two processes");
    }
    assert_eq!(processes.len(), recording.processes.len() + 1, "each process has a number of its own");
    assert!(processes.values().all(|&names| names == 1));
    let count = |cat: &str| events.iter().filter(|event| event["cat"] == cat).count();
    let spans: usize = recording.threads.iter().map(|lane| lane.spans.len()).sum();
    let states: usize = plait_trace::State::ALL.iter().map(|state| count(state.word())).sum();
    assert_eq!(states, spans);
    assert_eq!(count("gil"), recording.gils.iter().map(|lane| lane.holds.len()).sum::<usize>());
    assert_eq!(count("task"), recording.threads.iter().map(|lane| lane.tasks.len()).sum::<usize>());
    assert_eq!(count("hog"), recording.threads.iter().map(|lane| lane.shots.len()).sum::<usize>());
}

fn check_firefox(recording: &Recording) {
    let value = parsed(recording, Format::Firefox);
    let threads = list(&value, "threads");
    assert_eq!(threads.len(), recording.threads.len() + recording.gils.len() + 1);
    let patience = stacks::patience(recording);
    let held = |lane| stacks::held(recording, lane, patience).len();
    let samples = |thread: &Value| number(&thread["samples"], "length") as usize;
    assert!(threads.iter().map(samples).sum::<usize>() >= recording.threads.iter().map(held).sum::<usize>());
    for thread in threads {
        let strings = list(thread, "stringArray").len() as u64;
        let table = |name: &str| (number(&thread[name], "length"), &thread[name]);
        let below = |(_, table): (u64, &Value), column: &str, limit: u64| {
            let mut values = list(table, column).iter().filter(|value| !value.is_null());
            assert!(values.all(|value| value.as_u64().is_some_and(|value| value < limit)), "{column}: {table}");
        };
        below(table("samples"), "stack", table("stackTable").0);
        below(table("stackTable"), "frame", table("frameTable").0);
        below(table("frameTable"), "func", table("funcTable").0);
        below(table("funcTable"), "name", strings);
        below(table("markers"), "name", strings);
        let samples = &thread["samples"];
        let pairs = list(samples, "timeDeltas").iter().zip(list(samples, "threadCPUDelta"));
        for (wall, cpu) in pairs {
            let (wall, cpu) = (wall.as_f64().expect("ms"), cpu.as_f64().expect("us"));
            // Times are fractions of milliseconds, and processor time is whole microseconds.
            assert!(wall >= 0.0 && cpu <= wall * 1000.0 * 1.000_001 + 2.0, "{cpu} us in {wall} ms");
        }
    }
    for index in list(&value["meta"], "initialVisibleThreads") {
        assert!(index.as_u64().is_some_and(|index| (index as usize) < threads.len()));
    }
    for counter in list(&value, "counters") {
        assert!((number(counter, "mainThreadIndex") as usize) < threads.len());
    }
}

fn check_speedscope(recording: &Recording) {
    let value = parsed(recording, Format::Speedscope);
    let frames = list(&value["shared"], "frames").len() as u64;
    let profiles = list(&value, "profiles");
    assert!((number(&value, "activeProfileIndex") as usize) < profiles.len());
    for profile in profiles {
        let (samples, weights) = (list(profile, "samples"), list(profile, "weights"));
        assert_eq!(samples.len(), weights.len());
        let sum: Nanos = weights.iter().map(|weight| weight.as_u64().expect("a time")).sum();
        assert_eq!((number(profile, "startValue"), sum), (0, number(profile, "endValue")));
        assert_eq!(sum, recording.length());
        for frame in samples.iter().flat_map(|sample| sample.as_array().expect("a stack")) {
            assert!(frame.as_u64().is_some_and(|frame| frame < frames));
        }
    }
}

fn check_json(recording: &Recording) {
    let value = parsed(recording, Format::Json);
    assert_eq!((&value["format"], &value["version"]), (&"plait-recording".into(), &1.into()));
    assert_eq!(number(&value, "length"), recording.length());
    let lengths = |key: &str| list(&value, key).len();
    let wanted = [
        ("processes", recording.processes.len()),
        ("gils", recording.gils.len()),
        ("threads", recording.threads.len()),
        ("frames", recording.frames.len()),
        ("counts", recording.counts.len()),
        ("gaps", recording.gaps.len()),
        ("notes", recording.notes.len()),
    ];
    for (key, length) in wanted {
        assert_eq!(lengths(key), length, "{key}");
    }
    for (lane, told) in recording.gils.iter().zip(list(&value, "gils")) {
        assert_eq!(list(told, "holds").len(), lane.holds.len());
    }
    for (lane, told) in recording.threads.iter().zip(list(&value, "threads")) {
        assert_eq!(told["name"], lane.thread.name);
        for (span, told) in lane.spans.iter().zip(list(told, "spans")) {
            assert_eq!((number(told, "from"), number(told, "to")), (span.from, span.to));
            assert_eq!(told["state"], span.state.word());
            assert_eq!(told["call"].as_u64(), span.call.map(u64::from));
        }
        let lengths = ["spans", "stacks", "shots", "tasks"].map(|key| list(told, key).len());
        assert_eq!(lengths, [lane.spans.len(), lane.stacks.len(), lane.shots.len(), lane.tasks.len()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_was_recorded_can_be_read_by_others(recording in any_recording()) {
        check_perfetto(&recording);
        check_firefox(&recording);
        check_speedscope(&recording);
        check_json(&recording);
    }
}

#[test]
fn an_empty_recording_can_be_read_by_others() {
    let recording = Recording::default();
    check_perfetto(&recording);
    check_firefox(&recording);
    check_speedscope(&recording);
    check_json(&recording);
}

#[test]
fn the_page_on_the_format_names_every_word() {
    let page = include_str!("../../../../docs/recording-format.md");
    for state in plait_trace::State::ALL {
        assert!(page.contains(&format!("`{}`", state.word())), "{state}");
    }
    for format in Format::ALL {
        assert!(page.contains(&format!("`{format}`")));
        for ending in format.endings().iter().filter(|ending| **ending != ".perfetto.json") {
            assert!(page.contains(&format!("`{ending}`")), "{ending}");
        }
    }
    // What stands before a colon in quotes, but for the arguments of processes, is a member of something.
    let value = parsed(&small(), Format::Json);
    let mut pending = vec![&value];
    while let Some(value) = pending.pop() {
        if let Value::Array(list) = value {
            pending.extend(list);
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            assert!(page.contains(&format!("`{key}`")), "{key}");
            pending.push(value);
        }
    }
}

#[test]
fn the_page_on_the_format_numbers_records_as_the_file_does() {
    use plait_trace::{
        Began, Count, Ended, Frame, FrameKey, Gap, Gil, GilKey, Hold, Kind, Note, Process, ProcessKey, Record, Shot,
        Sight, Span, Stack, State, Subject, Task, Thread, ThreadKey,
    };
    let page = include_str!("../../../../docs/recording-format.md");
    let recording = small();
    let (process, thread, gil) = (ProcessKey(1), ThreadKey(2), GilKey(3));
    let text = String::new;
    let records = [
        Record::Began(Began::default()),
        Record::Process(Process { sight: Sight::Gil, ..recording.processes[0].process.clone() }),
        Record::ProcessEnded { process, at: 0 },
        Record::Gil(Gil { key: gil, process, interpreters: vec![], interval: 0 }),
        Record::Thread(Thread { key: thread, process, tid: 0, name: text(), interpreter: None, found: 0 }),
        Record::ThreadEnded { thread, at: 0 },
        Record::Span(Span { thread, from: 3, to: 300, state: State::Unknown, call: Some(7) }),
        Record::Hold(Hold { gil, from: 0, to: 0, thread: None }),
        Record::Count(Count { of: Subject::Gil(gil), kind: Kind::Pressure, at: 4, value: 5 }),
        Record::Frame(Frame { key: FrameKey(0), function: text(), file: text(), line: 0 }),
        Record::Stack(Stack { thread, at: 0, frames: vec![] }),
        Record::Shot(Shot { thread, at: 0, function: None, natives: vec![], frames: vec![], pause: 0 }),
        Record::Task(Task { thread, from: 0, to: 0, name: text(), id: 0 }),
        Record::Gap(Gap { from: 0, to: 0 }),
        Record::Note(Note { process: None, text: text() }),
        Record::Ended(Ended::default()),
    ];
    let encoded = |record: &Record| postcard::to_stdvec(record).expect("all can be encoded");
    for record in &records {
        let debug = format!("{record:?}");
        let name = debug.split(['(', ' ']).next().expect("a name");
        let row = format!("| {} | `{name}` |", encoded(record)[0]);
        assert!(page.contains(&row), "{row}");
    }
    assert_eq!(encoded(&records[6]), [6, 2, 3, 0xac, 2, 16, 1, 7], "a span as the page says");
    assert_eq!(encoded(&records[8]), [8, 3, 3, 6, 4, 5], "a count as the page says");
}

#[test]
fn fuzz_report() {
    use plait_trace::fuzz;
    let small = fuzz::contents_of(&small());
    fuzz::fuzz("report", env!("CARGO_MANIFEST_DIR"), &[small], |bytes| {
        let Ok(recording) = plait_trace::read(fuzz::trace_of(bytes).as_slice()) else { return };
        let judged = crate::verdicts::judge(&recording);
        assert!(!judged.to_text(80, true).is_empty());
        for format in Format::ALL {
            format.write(&recording, io::sink()).expect("it takes all");
        }
    });
}
