//! What a verdict names: functions, lines, threads, processes; and what is left out of it.

use plait_report::verdicts::{Findings, Verdict, Word, judge, judge_between};
use plait_trace::{Gil, GilKey, Kind, ProcessKey, Record, Recording, Thread, ThreadKey};

use crate::gil::hog;
use crate::loops::stalls;
use crate::scene::{Scene, TICK};
use crate::words;

fn verdict(findings: &Findings, word: Word) -> &Verdict {
    let found = findings.verdicts.iter().find(|verdict| verdict.word == word);
    found.unwrap_or_else(|| panic!("no {word} in {:?}", words(findings)))
}

#[test]
fn a_hog_is_named_with_its_line_and_the_librarys_own() {
    let findings = judge(&hog(40, 10, true).build());
    let evidence = &verdict(&findings, Word::GilHog).evidence[0];
    assert_eq!(evidence.function.as_deref(), Some("_sre_SRE_Pattern_findall"));
    assert_eq!((evidence.from, evidence.to, evidence.name.as_str()), (0, 40 * TICK, "main thread"));
    let spot = evidence.spot.as_ref().map(ToString::to_string);
    assert_eq!(spot.as_deref(), Some("scan (app.py:12), in Pattern.findall (re/__init__.py:5)"));
}

#[test]
fn one_native_stack_names_all_holds_of_its_line() {
    let mut recording = hog(40, 10, true).build();
    recording.threads[0].shots.truncate(1);
    let findings = judge(&recording);
    assert_eq!(findings.hogs.len(), 1);
    assert_eq!((findings.hogs[0].times, findings.hogs[0].function.as_deref()), (8, Some("_sre_SRE_Pattern_findall")));
    let figures = [findings.hogs[0].seconds, findings.hogs[0].waited, findings.hogs[0].longest];
    assert_eq!(figures.map(|figure| (figure * 1e6).round()), [3.2e6, 3.2e6, 0.4e6]);
}

#[test]
fn hogs_are_ranked_by_what_others_waited() {
    let long = "NNNNNNNNNNNNNNNNNNNN";
    let scene = Scene::new()
        .lane("alone", &format!("{long}{long}ssssssssss").repeat(8))
        .shots('N', "builtin_sorted", &["sort /srv/app.py:1"])
        .lane("watched", &format!("{0}{0}NNNNNNNNNs", "s".repeat(20)).repeat(8))
        .shots('N', "_pickle_dumps", &["dump /srv/app.py:2"])
        .lane("other", &format!("{0}{0}wwwwwwwwws", "s".repeat(20)).repeat(8));
    let findings = judge(&scene.build());
    let names: Vec<_> = findings.hogs.iter().filter_map(|hog| hog.function.as_deref()).collect();
    assert_eq!(names, ["_pickle_dumps", "builtin_sorted"]);
    let sentence = &verdict(&findings, Word::GilHog).sentence;
    assert!(sentence.starts_with("_pickle_dumps, called from dump (app.py:2), kept the GIL"), "{sentence}");
}

#[test]
fn a_stalled_loop_names_its_callback_and_what_it_does() {
    let calls = ["fetch /srv/app.py:20", "handle /srv/app.py:10", "Handle._run asyncio/events.py:88"];
    for (letter, does, remedy) in [
        ("s", "sleeps", "asyncio.sleep"),
        ("i", "waits for the network", "asynchronous library"),
        ("P", "runs Python code", "process"),
        ("N", "is in native code that keeps the GIL", "A thread is not enough"),
        ("n", "is in native code", "asyncio.to_thread"),
    ] {
        let findings = judge(&stalls(30, &letter.repeat(20), 8).seen(letter, &calls).build());
        let stalled = verdict(&findings, Word::LoopStalled);
        let expected = format!("handle (app.py:10) {does}");
        assert!(stalled.sentence.contains(&expected), "{}", stalled.sentence);
        assert!(stalled.sentence.contains("in fetch (app.py:20)"), "{}", stalled.sentence);
        assert!(stalled.remedy.contains(remedy), "{}", stalled.remedy);
        let evidence = &stalled.evidence[0];
        assert_eq!(evidence.callback.as_ref().map(|spot| spot.place.line), Some(10));
        let length = evidence.to - evidence.from;
        assert!((180_000_000..=200_000_000).contains(&length), "{letter} {length}");
    }
}

#[test]
fn the_start_of_a_program_is_left_out_where_enough_remains() {
    let program = |rest: usize| {
        let lane = format!("{}{}", "P".repeat(200), "i".repeat(rest - 1) + "P").replace("iiiiiiiiii", "iiiiiiiiiP");
        Scene::new().lane("main", &lane).seen("P", &["get /srv/app.py:7"])
    };
    // Only its beginning is spent importing.
    let starts = |rest: usize| {
        let mut recording = program(rest).build();
        let early = plait_trace::Frame {
            key: plait_trace::FrameKey(recording.frames.len() as u32),
            function: "_find_and_load".into(),
            file: "<frozen importlib._bootstrap>".into(),
            line: 1,
        };
        let key = early.key;
        recording.put(&Record::Frame(early)).expect("a frame");
        for stack in recording.threads[0].stacks.iter_mut().filter(|stack| stack.at < 200 * TICK) {
            stack.frames.insert(0, key);
        }
        recording
    };
    let findings = judge(&starts(300));
    assert_eq!(words(&findings), ["io-bound"]);
    assert!((1.9..2.0).contains(&findings.figures.start_up), "{}", findings.figures.start_up);
    assert!(findings.to_text(80, false).contains("in which modules were loaded"));
    let findings = judge(&starts(80));
    assert_eq!((words(&findings), findings.figures.start_up), (vec!["python-cpu-bound"], 0.0));
}

#[test]
fn a_time_in_between_is_judged_alone() {
    let recording = Scene::new().lane("main", &format!("{}{}", "s".repeat(300), "P".repeat(300))).build();
    assert_eq!(words(&judge(&recording)), ["mixed"]);
    assert_eq!(words(&judge_between(&recording, 0, 300 * TICK)), ["idle"]);
    assert_eq!(words(&judge_between(&recording, 300 * TICK, u64::MAX)), ["python-cpu-bound"]);
    assert_eq!(words(&judge_between(&recording, 500 * TICK, 100 * TICK)), ["not-enough-data"]);
}

#[test]
fn interpreters_with_a_gil_each_do_not_hold_each_other_up() {
    let recording = Scene::on(4).lane("main", &"P".repeat(300)).build();
    let thread = Thread { key: ThreadKey(1), tid: 101, interpreter: Some(1), ..recording.threads[0].thread.clone() };
    let gil = Gil { key: GilKey(1), process: ProcessKey(0), interpreters: vec![1], interval: 5_000_000 };
    let mut recording: Recording = recording;
    for record in [Record::Gil(gil), Record::Thread(thread)] {
        recording.put(&record).expect("it fits");
    }
    for span in recording.threads[0].spans.clone() {
        recording.put(&Record::Span(plait_trace::Span { thread: ThreadKey(1), ..span })).expect("a span");
    }
    let findings = judge(&recording);
    let process = &findings.figures.processes[0];
    assert_eq!((process.gils.len(), process.held, process.waiting), (2, Some(1.0), Some(0.0)));
    assert_eq!([process.gils[0].held, process.gils[1].held], [3.0, 3.0]);
}

#[test]
fn workers_of_a_pool_are_judged_together() {
    let scene = Scene::on(8).lane("main", &"l".repeat(300));
    let scene = (0..4).fold(scene, |scene, worker| {
        let scene =
            scene.process("python app.py").with(|process| process.role = Some(format!("plait worker {worker}")));
        scene.lane("main", &"P".repeat(300))
    });
    let findings = judge(&scene.build());
    let bound = verdict(&findings, Word::PythonCpuBound);
    assert_eq!((bound.about.name.as_str(), bound.about.processes.len()), ("4 plait workers", 4));
    assert!(bound.remedy.contains("over processes already"), "{}", bound.remedy);
    assert_eq!(bound.samples, 12_000);
}

#[test]
fn what_was_forked_is_no_part_of_its_parent() {
    let scene = (0..3).fold(Scene::on(8).lane("main", &"P".repeat(300)), |scene, _| {
        scene.process("python app.py").lane("main", &"P".repeat(300))
    });
    let findings = judge(&scene.build());
    let names: Vec<&str> = findings.verdicts.iter().map(|verdict| verdict.about.name.as_str()).collect();
    assert_eq!(names, ["3 child processes of app.py", "app.py (PID 100)"]);
}

#[test]
fn advice_knows_how_many_processors_there_are() {
    let remedy = |scene: Scene| {
        let findings = judge(&scene.build());
        verdict(&findings, Word::PythonCpuBound).remedy.clone()
    };
    let lane = "P".repeat(300);
    assert!(remedy(Scene::on(2).lane("main", &lane)).contains("backend=\"processes\""));
    assert!(remedy(Scene::on(1).lane("main", &lane)).contains("one processor only (affinity)"));
    let limited = Scene::on(4).with(|process| process.quota = Some(1.0)).lane("main", &lane);
    assert!(remedy(limited).contains("one processor only (quota)"));
}

#[test]
fn where_nobody_looked_the_rest_stands_for_it_and_counters_go_on() {
    let lane = |letters: &str| format!("{}{}", letters.repeat(75), "?".repeat(150));
    let scene = Scene::new().lane("a", &lane("Pw")).lane("b", &lane("wP")).uncounted().gap(150, 300);
    let findings = judge(&scene.grows(Kind::CpuTime, 300 * TICK).build());
    let process = &findings.figures.processes[0];
    assert_eq!((process.held, process.waiting), (Some(1.0), Some(1.0)));
    assert_eq!((process.cpu, findings.figures.cpu), (Some(1.0), Some(1.0)));
    assert_eq!((process.seconds, findings.figures.seconds, findings.figures.missing.gap_share), (1.5, 1.5, 0.5));
}
