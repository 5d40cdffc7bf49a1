//! The comparison as JSON: figures in base units, `null` for what is absent.

use serde::Serialize;

use super::measurements::Machine;
use super::row::Row;
use super::spread::Spread;
use super::{Comparison, Reason};

/// The document. Keys are fixed: other programs read them.
#[derive(Serialize)]
struct Document<'a> {
    function: &'a str,
    file: Option<&'a str>,
    items: usize,
    rounds_planned: usize,
    interrupted: bool,
    machine: &'a Machine,
    rows: Vec<RowDocument<'a>>,
    best: Option<&'a str>,
    best_workers: Option<usize>,
    verdict: String,
    reasons: &'a [Reason],
    code: Option<String>,
}

#[derive(Serialize)]
struct RowDocument<'a> {
    backend: &'a str,
    peer: bool,
    workers: usize,
    rounds: usize,
    seconds: Option<f64>,
    seconds_min: Option<f64>,
    seconds_max: Option<f64>,
    seconds_q1: Option<f64>,
    seconds_q3: Option<f64>,
    speedup: Option<f64>,
    speedup_q1: Option<f64>,
    speedup_q3: Option<f64>,
    startup_seconds: Option<f64>,
    cpu_seconds: Option<f64>,
    cores: Option<f64>,
    gil_wait: Option<f64>,
    pss_bytes: Option<u64>,
    call_seconds: Option<f64>,
    longest_call_seconds: Option<f64>,
    failed_calls: usize,
    error: Option<&'a str>,
}

pub(super) fn json(comparison: &Comparison) -> String {
    let document = Document {
        function: &comparison.function,
        file: comparison.file.as_deref(),
        items: comparison.items,
        rounds_planned: comparison.rounds_planned,
        interrupted: comparison.interrupted,
        machine: &comparison.machine,
        rows: comparison.rows.iter().map(RowDocument::from).collect(),
        best: comparison.best().map(|row| row.backend.as_str()),
        best_workers: comparison.best().map(|row| row.workers),
        verdict: comparison.verdict.to_string(),
        reasons: &comparison.verdict.reasons,
        code: comparison.code_line(),
    };
    serde_json::to_string_pretty(&document).expect("names and figures always have a JSON form")
}

impl<'a> From<&'a Row> for RowDocument<'a> {
    fn from(row: &'a Row) -> Self {
        let of = |spread: Option<Spread>, figure: fn(Spread) -> f64| spread.map(figure);
        Self {
            backend: &row.backend,
            peer: row.peer,
            workers: row.workers,
            rounds: row.seconds.map_or(0, |seconds| seconds.rounds),
            seconds: of(row.seconds, |s| s.median),
            seconds_min: of(row.seconds, |s| s.min),
            seconds_max: of(row.seconds, |s| s.max),
            seconds_q1: of(row.seconds, |s| s.q1),
            seconds_q3: of(row.seconds, |s| s.q3),
            speedup: of(row.speedup, |s| s.median),
            speedup_q1: of(row.speedup, |s| s.q1),
            speedup_q3: of(row.speedup, |s| s.q3),
            startup_seconds: row.startup_seconds,
            cpu_seconds: row.cpu_seconds,
            cores: row.cores,
            gil_wait: row.gil_wait,
            pss_bytes: row.pss_bytes,
            call_seconds: row.call_seconds,
            longest_call_seconds: row.longest_call_seconds,
            failed_calls: row.failed_calls,
            error: row.error.as_deref(),
        }
    }
}
