//! What the lanes show, in tables: native code that kept the GIL, the longest waits for it, and every thread's time.

use maud::{Markup, html};
use plait_trace::{Recording, State};

use super::cards::jump_to;
use super::coarse::Coarse;
use super::names::Names;
use super::waits;
use crate::plain_text::one_line;
use crate::units::{self, NONE};
use crate::verdicts::{Findings, Hog, ProcessFigures, ThreadFigures};

/// Longer tables are not read.
const HOGS: usize = 25;
const WAITS: usize = 10;
/// Threads of a process that have a row of their own; those that did least are counted.
const THREADS: usize = 200;

pub(super) fn tables(recording: &Recording, findings: &Findings) -> Markup {
    html! {
        div.tables {
            (hogs(findings))
            (longest_waits(recording, findings))
            (threads(findings))
        }
    }
}

fn table(id: &str, title: &str, subtitle: &str, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        section.card {
            h2 id=(id) { (title) }
            p.subtitle { (subtitle) }
            div.scroll tabindex="0" role="region" aria-labelledby=(id) {
                table {
                    caption.unseen { (title) ": " (subtitle) }
                    thead { tr { @for head in heads { th scope="col" { (head) } } } }
                    tbody { (rows) }
                }
            }
        }
    }
}

fn hogs(findings: &Findings) -> Markup {
    let name = |hog: &Hog| match (&hog.function, hog.is_gc) {
        (Some(function), _) => one_line(function),
        (None, true) => "garbage collection".to_owned(),
        (None, false) => "native code".to_owned(),
    };
    let rows = html! {
        @for hog in findings.hogs.iter().take(HOGS) {
            tr {
                th scope="row" {
                    bdi.code { (name(hog)) }
                    @if let Some(spot) = &hog.spot { bdi.quiet.below { (spot) } }
                }
                td { (units::seconds(hog.waited)) }
                td { (units::seconds(hog.seconds)) }
                td { (units::seconds(hog.longest)) }
                td { (hog.times) }
            }
        }
    };
    html! {
        @if !findings.hogs.is_empty() {
            (table("hogs", "What kept the GIL", "native code that did not let go, what others waited for longest first",
                &["function", "others waited", "held", "longest", "times"], &rows))
        }
    }
}

fn longest_waits(recording: &Recording, findings: &Findings) -> Markup {
    let names = Names::of(findings);
    let name = |thread: plait_trace::ThreadKey| {
        recording.threads.get(thread.index()).map_or("thread", |lane| names.of_thread(lane))
    };
    let waits = waits::longest(recording, WAITS);
    let rows = html! {
        @for wait in &waits {
            @let (from, to) = (wait.span.from, wait.span.to);
            tr {
                th scope="row" { (jump_to(wait.span.thread.0, from, to, name(wait.span.thread))) }
                td { (units::seconds((to - from) as f64 / 1e9)) }
                td { (units::seconds(from as f64 / 1e9)) }
                td.text {
                    @match wait.holder {
                        Some(holder) => {
                            bdi { (name(holder)) }
                            @if wait.share < 0.995 { ", " (units::share(wait.share)) " of it" }
                            @if let Some(spot) = &wait.spot { bdi.quiet.below { (spot) } }
                        },
                        None => (NONE),
                    }
                }
            }
        }
    };
    html! {
        @if !waits.is_empty() {
            (table("waits", "The longest waits for a GIL", "and who had it meanwhile", &["thread", "for", "at", "who had it"], &rows))
        }
    }
}

type Share = (&'static str, fn(State) -> bool);
const SHARES: [Share; 6] = [
    ("has the GIL", State::holds_gil),
    ("waits for it", State::wants_gil),
    ("runs without", |state| matches!(state, State::Native | State::Attached | State::Detached)),
    ("no processor", |state| state == State::Runnable),
    ("I/O", |state| matches!(state, State::Network | State::Disk)),
    ("rests", |state| matches!(state, State::Poll | State::Sleep | State::Lock | State::Child)),
];

fn threads(findings: &Findings) -> Markup {
    let mut heads = vec!["thread"];
    heads.extend(SHARES.map(|(head, _)| head));
    heads.push("CPU");
    let part = |thread: &ThreadFigures, which: fn(State) -> bool| match thread.share(which) {
        0.0 => NONE.to_owned(),
        part => units::share(part),
    };
    let rows = html! {
        @for process in &findings.figures.processes {
            (heading(process))
            @for thread in process.threads.iter().take(THREADS) {
                tr {
                    th scope="row" { bdi { (thread.name) } }
                    @for (_, which) in SHARES { td { (part(thread, which)) } }
                    td { (thread.cpu.map_or(NONE.to_owned(), units::number)) }
                }
            }
            @if process.threads.len() > THREADS {
                tr { th.quiet scope="row" colspan="8" { (process.threads.len() - THREADS) " threads that did less" } }
            }
        }
    };
    html! {
        @if !findings.figures.processes.is_empty() {
            (table("threads", "Every thread", "shares of the time in which it was seen; processors used", &heads, &rows))
        }
    }
}

fn heading(process: &ProcessFigures) -> Markup {
    let python = process.python.as_deref().map(one_line);
    html! {
        tr.group {
            th scope="rowgroup" { bdi { (process.name) } @if let Some(python) = python { span.quiet { " · Python " (python) } } }
            td { (process.held.map_or(NONE.to_owned(), units::share)) }
            td { (process.waiting.map_or(NONE.to_owned(), units::number)) }
            @for _ in 2..SHARES.len() { td {} }
            td { (process.cpu.map_or(NONE.to_owned(), units::number)) }
        }
    }
}

/// How the program was seen, and what was not.
pub(super) fn seen(findings: &Findings, coarse: &Coarse) -> Markup {
    let text = findings.seen();
    html! {
        h2 { "How it was seen" }
        @for line in text { p { bdi { (line) } } }
        @if coarse.step > 0 {
            p {
                "Drawn coarsely, as there is more of it than a browser draws at once: of what is shorter than "
                (units::seconds(coarse.step as f64 / 1e9)) ", the state that took most of the time stands for all. Verdicts and tables count everything."
            }
        }
        p { "Made by plait." }
    }
}
