//! Figures of measured calls, replayed: what the chooser makes of them, in full, as snapshots.
//!
//! Each file of `traces/` is what was measured of one function on one machine: `figures`, `machine`, `bounds`, as Python
//! hands them over, and `expected`, the backends that are right for it. So a change of the predictions shows all decisions
//! that it changes, and none can be wrong unseen.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use plait_engine::chooser::{Backend, Bounds, Choice, Figures, Machine, choose, revise};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trace {
    about: String,
    figures: Figures,
    machine: Machine,
    #[serde(default)]
    bounds: Bounds,
    expected: Vec<Backend>,
    /// What was measured later, and what is right then.
    #[serde(default)]
    later: Option<Later>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Later {
    figures: Figures,
    /// Null: it goes on as it is.
    expected: Option<Backend>,
}

fn traces() -> Vec<(String, Trace)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let trace = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            (file.file_stem().unwrap().to_str().unwrap().to_owned(), trace)
        })
        .collect()
}

fn shown(choice: &Choice) -> String {
    let size = choice.chunksize.map_or("as it measures".to_owned(), |size| size.to_string());
    let mut text =
        format!("{} x {} (at most {}), chunks {size}\n", choice.backend.name(), choice.workers, choice.most_workers);
    for reason in &choice.reasons {
        writeln!(text, "- {reason}").unwrap();
    }
    let runner_up = choice.runner_up.map_or("none", Backend::name);
    let margin = choice.margin.map_or("-".to_owned(), |margin| format!("{margin:.2}"));
    writeln!(text, "runner-up: {runner_up}, {margin}").unwrap();
    for candidate in &choice.candidates {
        let why_not = candidate.why_not.as_deref().map_or(String::new(), |why| format!("  ({why})"));
        let backend = candidate.backend.name();
        writeln!(text, "  {backend:9} x {:3} {:12.6} s{why_not}", candidate.workers, candidate.seconds).unwrap();
    }
    text
}

#[test]
fn each_trace_is_decided_as_before() {
    for (name, trace) in traces() {
        let choice = choose(&trace.figures, &trace.machine, &trace.bounds);
        assert!(trace.expected.contains(&choice.backend), "{name}: {}", shown(&choice));
        let mut text = format!("{}\n\n{}", trace.about, shown(&choice));
        if let Some(later) = &trace.later {
            let next = revise(&choice, &later.figures, &trace.machine, &trace.bounds, 0);
            let found = next.as_ref().map(|next| next.backend);
            assert_eq!(found, later.expected, "{name}, later: {next:?}");
            text += "\nlater: ";
            text += &next.as_ref().map_or("as before\n".to_owned(), shown);
        }
        insta::assert_snapshot!(name.as_str(), text);
    }
}

#[test]
fn the_traces_are_there() {
    assert!(traces().len() >= 25);
}
