//! Whatever was recorded, there is a verdict, no figure is nonsense, and the text keeps to its width.

use plait_report::verdicts::{Findings, judge, judge_between};
use plait_trace::{
    Began, Count, Dropped, Ended, Frame, FrameKey, Gap, Gil, GilKey, Hold, Kind, Nanos, Note, Process, ProcessKey,
    Record, Recording, Shot, Sight, Span, Stack, State, Subject, Task, Thread, ThreadKey,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

/// Times as they are, and as they should never be.
fn time() -> impl Strategy<Value = Nanos> {
    prop_oneof![
        8 => 0..6_000_000_000u64,
        2 => 0..50_000_000u64,
        1 => any::<u64>(),
        1 => prop::sample::select(vec![0, 1, u64::MAX, u64::MAX - 1, 1 << 63]),
    ]
}

/// When something was found: mostly, it was there.
fn found() -> impl Strategy<Value = Nanos> {
    prop_oneof![9 => Just(0), 1 => time()]
}

fn key() -> impl Strategy<Value = u32> {
    prop_oneof![9 => 0..4u32, 1 => any::<u32>()]
}

fn state() -> impl Strategy<Value = State> {
    prop::sample::select(State::ALL.to_vec())
}

fn file() -> impl Strategy<Value = String> {
    let known = [
        "/srv/app.py",
        "/usr/lib/python3.13/asyncio/events.py",
        "/usr/lib/python3.13/asyncio/base_events.py",
        "/usr/lib/python3.13/asyncio/runners.py",
        "/usr/lib/python3.13/threading.py",
        "/usr/lib/python3.13/multiprocessing/process.py",
        "<frozen importlib._bootstrap>",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".*"]
}

fn function() -> impl Strategy<Value = String> {
    let known = ["Handle._run", "Runner.run", "Condition.wait", "main", "gc_collect_main", "BaseProcess._bootstrap"];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".*"]
}

fn process() -> impl Strategy<Value = Record> {
    let sight = prop::sample::select(vec![Sight::Gil, Sight::Gil, Sight::FreeThreaded, Sight::Kernel, Sight::Nothing]);
    let quota = option::of(prop_oneof![0.1..8.0f64, prop::num::f64::ANY]);
    let parent = option::of(key().prop_map(ProcessKey));
    let texts = (".{0,60}", option::of(".*"), option::of(".*"), option::of(".*"));
    (0..4u32, any::<u32>(), parent, found(), texts, sight, 0..5u32, quota).prop_map(
        |(key, pid, parent, found, (command, python, why, role), sight, processors, quota)| {
            let key = ProcessKey(key);
            Record::Process(Process { key, pid, parent, found, command, python, sight, why, processors, quota, role })
        },
    )
}

fn thread() -> impl Strategy<Value = Record> {
    (0..6u32, prop_oneof![3 => Just(0), 1 => 0..4u32], any::<u32>(), ".{0,30}", option::of(-1..3i64), found()).prop_map(
        |(key, process, tid, name, interpreter, found)| {
            let (key, process) = (ThreadKey(key), ProcessKey(process));
            Record::Thread(Thread { key, process, tid, name, interpreter, found })
        },
    )
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        Just(Subject::Machine),
        key().prop_map(|key| Subject::Process(ProcessKey(key))),
        key().prop_map(|key| Subject::Thread(ThreadKey(key))),
        key().prop_map(|key| Subject::Gil(GilKey(key))),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Switches,
        Kind::CpuTime,
        Kind::RunDelay,
        Kind::QuotaPeriods,
        Kind::ThrottledPeriods,
        Kind::ThrottledTime,
        Kind::Pressure,
    ])
}

/// Spans of one thread, one after the other.
fn spans() -> impl Strategy<Value = Vec<Record>> {
    let part =
        (prop_oneof![1 => Just(None), 1 => state().prop_map(Some)], time(), any::<bool>(), option::of(any::<u16>()));
    (key(), time(), state(), vec(part, 1..30)).prop_map(|(thread, start, favourite, parts)| {
        let mut from = start;
        let mut records = Vec::new();
        for (state, length, goes_on, call) in parts {
            let (to, state) = (from.saturating_add(length.max(1)), state.unwrap_or(favourite));
            records.push(Record::Span(Span { thread: ThreadKey(thread), from, to, state, call }));
            from = if goes_on { to } else { to.saturating_add(length / 3) };
        }
        records
    })
}

fn holds() -> impl Strategy<Value = Vec<Record>> {
    (key(), time(), vec((option::of(key()), time()), 1..20)).prop_map(|(gil, start, parts)| {
        let mut from = start;
        let mut records = Vec::new();
        for (thread, length) in parts {
            let to = from.saturating_add(length.max(1));
            records.push(Record::Hold(Hold { gil: GilKey(gil), from, to, thread: thread.map(ThreadKey) }));
            from = to;
        }
        records
    })
}

fn frames() -> impl Strategy<Value = Vec<FrameKey>> {
    vec((0..8u32).prop_map(FrameKey), 0..6)
}

fn other() -> impl Strategy<Value = Record> {
    let dropped = (0..9u64, 0..9u64, 0..9u64, 0..9u64, prop_oneof![9 => Just(0), 1 => any::<u64>()])
        .prop_map(|(stacks, looks, shots, threads, records)| Dropped { stacks, looks, shots, threads, records });
    let ended = (time(), any::<u64>(), any::<u64>(), time(), time(), dropped).prop_map(
        |(at, looks, late, lateness_p50, cost, dropped)| {
            Record::Ended(Ended { at, looks, late, lateness_p50, lateness_p99: cost, cost, dropped })
        },
    );
    prop_oneof![
        6 => (subject(), kind(), time(), any::<u64>()).prop_map(|(of, kind, at, value)| Record::Count(Count { of, kind, at, value })),
        6 => (key(), time(), frames()).prop_map(|(thread, at, frames)| Record::Stack(Stack { thread: ThreadKey(thread), at, frames })),
        3 => (key(), time(), option::of(function()), frames(), time()).prop_map(|(thread, at, function, frames, pause)| {
            Record::Shot(Shot { thread: ThreadKey(thread), at, function, natives: Vec::new(), frames, pause })
        }),
        2 => (time(), time()).prop_map(|(from, to)| Record::Gap(Gap { from, to })),
        1 => (option::of(key().prop_map(ProcessKey)), ".*").prop_map(|(process, text)| Record::Note(Note { process, text })),
        1 => (key().prop_map(ProcessKey), time()).prop_map(|(process, at)| Record::ProcessEnded { process, at }),
        1 => (key().prop_map(ThreadKey), time()).prop_map(|(thread, at)| Record::ThreadEnded { thread, at }),
        1 => (key(), time(), time(), ".*", any::<u64>()).prop_map(|(thread, from, to, name, id)| {
            Record::Task(Task { thread: ThreadKey(thread), from, to, name, id })
        }),
        1 => ended,
    ]
}

fn recording() -> impl Strategy<Value = Recording> {
    let began = (time(), prop_oneof![Just(1_000_000), time()], 0..5u32).prop_map(|(unix, period, processors)| {
        Record::Began(Began { unix, period, processors, what: "python app.py".into(), ..Began::default() })
    });
    let gil = (0..4u32, vec(-1..3i64, 0..3), time())
        .prop_map(|(process, interpreters, interval)| (process, interpreters, interval));
    let code = vec((function(), file(), any::<u32>()), 8..9);
    (
        began,
        vec(process(), 1..4),
        vec(gil, 0..4),
        vec(thread(), 1..8),
        code,
        vec(spans(), 1..8),
        vec(holds(), 0..4),
        vec(other(), 0..60),
    )
        .prop_map(|(began, processes, gils, threads, code, spans, holds, others)| {
            let mut recording = Recording::default();
            let mut put = |record: &Record| {
                // What does not fit is refused, as it is in life.
                let _ = recording.put(record);
            };
            put(&began);
            for (number, record) in processes.into_iter().enumerate() {
                let Record::Process(process) = record else { unreachable!("it makes processes") };
                put(&Record::Process(Process { key: ProcessKey(number as u32), ..process }));
            }
            for (number, (process, interpreters, interval)) in gils.into_iter().enumerate() {
                let gil = Gil { key: GilKey(number as u32), process: ProcessKey(process), interpreters, interval };
                put(&Record::Gil(gil));
            }
            for (number, record) in threads.into_iter().enumerate() {
                let Record::Thread(thread) = record else { unreachable!("it makes threads") };
                put(&Record::Thread(Thread { key: ThreadKey(number as u32), ..thread }));
            }
            for (number, (function, file, line)) in code.into_iter().enumerate() {
                put(&Record::Frame(Frame { key: FrameKey(number as u32), function, file, line }));
            }
            spans.iter().flatten().for_each(&mut put);
            holds.iter().flatten().for_each(&mut put);
            others.iter().for_each(&mut put);
            recording
        })
}

fn check(findings: &Findings) -> Result<(), TestCaseError> {
    prop_assert!(!findings.verdicts.is_empty());
    prop_assert!(findings.verdicts.is_sorted_by_key(|verdict| verdict.word));
    for verdict in &findings.verdicts {
        prop_assert!((0.0..=1.0).contains(&verdict.confidence.share));
        prop_assert!(!verdict.sentence.is_empty() && !verdict.remedy.is_empty());
        for figure in &verdict.figures {
            prop_assert!(figure.value.is_finite(), "{figure:?}");
            if figure.name.starts_with("share") {
                prop_assert!((0.0..=1.0).contains(&figure.value), "{figure:?}");
            }
            if let Some((low, high)) = figure.band {
                prop_assert!(0.0 <= low && low <= figure.value && figure.value <= high && high <= 1.0, "{figure:?}");
            }
        }
    }
    for process in &findings.figures.processes {
        prop_assert!(process.held.is_none_or(|held| (0.0..=1.0).contains(&held)));
        prop_assert!(process.waiting.is_none_or(f64::is_finite));
        for thread in &process.threads {
            let all: f64 = State::ALL.iter().map(|&own| thread.share(|state| state == own)).sum();
            prop_assert!((0.0..=1.000_001).contains(&all), "{all}");
        }
        for gil in &process.gils {
            let parts = [gil.held, gil.python, gil.native, gil.blocked, gil.gc, gil.waited, gil.lost, gil.starved];
            prop_assert!(parts.iter().all(|part| part.is_finite() && *part >= 0.0), "{gil:?}");
        }
    }
    let json = serde_json::to_string(findings);
    prop_assert!(json.is_ok(), "{json:?}");
    for width in [0, 40, 80, 120] {
        let text = findings.to_text(width, false);
        let is_plain = text.ends_with('\n') && !text.contains('\u{1b}');
        prop_assert!(is_plain);
        if width >= 80 {
            let longest = text.lines().max_by_key(|line| line.width()).unwrap_or_default();
            prop_assert!(longest.width() <= width, "{longest}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_recording_is_judged(recording in recording(), from in time(), to in time()) {
        check(&judge(&recording))?;
        check(&judge_between(&recording, from, to))?;
    }

    #[test]
    fn the_same_recording_gives_the_same_findings(recording in recording()) {
        let (one, other) = (judge(&recording), judge(&recording));
        prop_assert_eq!(one.to_text(100, true), other.to_text(100, true));
        prop_assert_eq!(one, other);
    }
}

#[test]
fn the_random_recordings_reach_every_kind_of_verdict() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut words = std::collections::BTreeMap::new();
    for _ in 0..2_000 {
        let recording = recording().new_tree(&mut runner).expect("a recording").current();
        for verdict in judge(&recording).verdicts {
            *words.entry(verdict.word).or_insert(0) += 1;
        }
    }
    // A generator whose recordings all look the same would prove nothing.
    assert!(words.len() >= 14, "{words:?}");
}
