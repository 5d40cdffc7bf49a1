//! Whatever was measured, every face is text, the JSON is JSON, and no verdict rests on a figure that is none.

mod fixtures;

use plait_report::comparison::{Call, Machine, Measurements, Round, Run, Scaled};
use plait_report::sketch::{Lane, Sketch};
use plait_report::{Comparison, comparison_from_json};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Times as they are, and as they should never be.
fn time() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 1e-7..1e3f64,
        1 => prop::num::f64::ANY,
        1 => prop::sample::select(vec![0.0, -0.0, -1.0, 5e-324, f64::MAX, f64::INFINITY, f64::NAN, 1e-300]),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    (0..9usize, time(), time(), any::<usize>()).prop_map(|(item, start, seconds, worker)| Call {
        item,
        start,
        seconds,
        worker,
    })
}

fn round() -> impl Strategy<Value = Round> {
    let figures =
        (option::of(time()), option::of(time()), option::of(time()), option::of(time()), option::of(any::<u64>()));
    (time(), figures, vec(call(), 0..6), prop_oneof![9 => Just(0), 1 => any::<usize>()]).prop_map(
        |(seconds, (startup_seconds, cpu_seconds, starved_seconds, gil_wait, pss_bytes), calls, failed_calls)| Round {
            seconds,
            startup_seconds,
            cpu_seconds,
            starved_seconds,
            gil_wait,
            pss_bytes,
            calls,
            failed_calls,
        },
    )
}

fn run() -> impl Strategy<Value = Run> {
    let names = prop_oneof![
        4 => prop::sample::select(vec!["serial", "threads", "processes", "loky"]).prop_map(str::to_owned),
        1 => ".*",
    ];
    let error = prop_oneof![4 => Just(None), 1 => option::of(".*")];
    let lane = (0..3usize, ".*", ".{0,20}").prop_map(|(process, name, letters)| Lane { process, name, letters });
    let sketch =
        (time(), vec(lane, 0..4), 0..3usize).prop_map(|(seconds, lanes, left_out)| Sketch { seconds, lanes, left_out });
    let scaled =
        (prop_oneof![0..9usize, any::<usize>()], time()).prop_map(|(workers, seconds)| Scaled { workers, seconds });
    let drawn = (option::of(sketch), vec(scaled, 0..4));
    (names, any::<bool>(), prop_oneof![0..9usize, any::<usize>()], vec(round(), 0..5), error, drawn).prop_map(
        |(backend, peer, workers, rounds, error, (sketch, scaling))| Run {
            backend,
            peer,
            workers,
            rounds,
            error,
            sketch,
            scaling,
        },
    )
}

fn measurements() -> impl Strategy<Value = Measurements> {
    let head = (".*", option::of(".*"), option::of(".*"), prop_oneof![0..9usize, any::<usize>()]);
    let machine = (prop_oneof![0..9usize, any::<usize>()], option::of(".*"), ".*", any::<bool>());
    (head, any::<usize>(), any::<bool>(), machine, vec(run(), 0..6)).prop_map(
        |(head, planned, interrupted, machine, runs)| {
            let (function, file, call_expr, items) = head;
            let (cpus, cpu_model, python, gil) = machine;
            let machine = Machine { cpus, cpu_model, python, gil, plait: "0.1.0".into() };
            Measurements { function, file, call_expr, items, rounds_planned: planned, interrupted, machine, runs }
        },
    )
}

/// Whether no word of `text` is what Rust prints for a float that is no figure.
fn shows_only_figures(text: &str) -> bool {
    !text.split(|c: char| !c.is_alphanumeric()).any(|word| matches!(word, "NaN" | "inf"))
}

/// Found by a property once in a hundred thousand cases: a share of so large a figure is past what a float holds.
#[test]
fn the_largest_of_figures_is_one_still() {
    let measured = fixtures::measured(vec![
        fixtures::rounds("serial", 1, &[1.0, 1.0, f64::MAX]),
        fixtures::rounds("threads", 2, &[0.99, 0.99, 0.99]),
    ]);
    let comparison = Comparison::from(measured);
    for text in [comparison.verdict().to_string(), comparison.table(Some(80), false), comparison.html()] {
        assert!(shows_only_figures(&text), "{text}");
    }
    assert!(comparison.verdict().to_string().contains("differed by up to >1000000 %"), "{}", comparison.verdict());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn every_face_is_made(measured in measurements(), width in 0..200usize) {
        let comparison = Comparison::from(measured.clone());
        let json: serde_json::Value = serde_json::from_str(&comparison.to_json()).expect("JSON");
        prop_assert_eq!(json["rows"].as_array().map(Vec::len), Some(measured.runs.len()));
        prop_assert_eq!(json["best"].as_str(), comparison.best().map(|row| row.backend.as_str()));
        prop_assert_eq!(json["code"].as_str().map(str::to_owned), comparison.code_line());
        for (row, run) in json["rows"].as_array().expect("rows").iter().zip(&measured.runs) {
            prop_assert_eq!(row["backend"].as_str(), Some(run.backend.as_str()));
            for key in ["seconds", "speedup", "startup_seconds", "cpu_seconds", "gil_wait", "call_seconds"] {
                prop_assert!(row[key].is_null() || row[key].as_f64().is_some_and(|v| v.is_finite() && v >= 0.0), "{}", row);
            }
        }
        for reason in json["reasons"].as_array().expect("reasons") {
            for (key, value) in reason.as_object().expect("a reason") {
                prop_assert!(!value.is_null() || ["busy", "gil_wait", "speedup", "start_up", "memory"].contains(&key.as_str()));
            }
        }
        prop_assert!(comparison.table(Some(width), true).ends_with('\n'));
        prop_assert!(comparison.table(None, false).ends_with('\n'));
        prop_assert!(comparison.html().ends_with("</html>"));
        prop_assert!(comparison.svg().ends_with("</svg>\n"));
    }

    #[test]
    fn a_best_row_ran_and_is_no_peer(measured in measurements()) {
        let comparison = Comparison::from(measured);
        if let Some(best) = comparison.best() {
            prop_assert!(best.ran() && !best.peer);
        } else {
            prop_assert!(comparison.rows().iter().all(|row| row.peer || !row.ran()));
        }
    }

    /// Names that are words, so that what looks like no figure is none.
    #[test]
    fn no_sentence_shows_what_is_no_figure(runs in vec(run(), 0..6)) {
        let words = |mut run: Run| { run.backend.retain(|c| c.is_ascii_lowercase()); run.error = None; run };
        let comparison = Comparison::from(fixtures::measured(runs.into_iter().map(words).collect()));
        for text in [comparison.verdict().to_string(), comparison.table(None, false), comparison.html()] {
            prop_assert!(shows_only_figures(&text), "{}", text);
        }
    }

    #[test]
    fn whatever_the_text_it_is_read_or_refused(text in ".*") {
        prop_assert!(comparison_from_json(&text).is_err());
    }

    /// Twice the time everywhere is the same verdict about who is best: no rule but those about start-up and short
    /// calls knows a length.
    #[test]
    fn the_best_does_not_depend_on_the_unit(times in vec((1e-3..10.0f64, 1e-3..10.0, 1e-3..10.0), 1..6), factor in 0.1..10.0f64) {
        let runs = |factor: f64| {
            let column = |pick: fn(&(f64, f64, f64)) -> f64| times.iter().map(|t| pick(t) * factor).collect::<Vec<_>>();
            fixtures::measured(vec![
                fixtures::rounds("serial", 1, &column(|t| t.0)),
                fixtures::rounds("threads", 2, &column(|t| t.1)),
                fixtures::rounds("processes", 2, &column(|t| t.2)),
            ])
        };
        let best = |factor| Comparison::from(runs(factor)).best().map(|row| row.backend.clone());
        prop_assert_eq!(best(1.0), best(factor));
    }
}
