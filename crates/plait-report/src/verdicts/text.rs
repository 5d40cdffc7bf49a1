//! The findings as text for a terminal: verdicts, two tables, and what was not seen.

pub(super) mod seen;
mod tables;

use super::Findings;
use super::confidence::Trust;
use super::verdict::{Evidence, Verdict, Word};
use super::window::{Window, seconds};
use crate::units;
use crate::wrap::wrapped;

/// Text is no wider than reads well, and no narrower than can be read.
const WIDEST: usize = 100;
const NARROWEST: usize = 30;
/// How far text under a headline is indented.
const INDENT: &str = "  ";

pub(super) fn text(findings: &Findings, width: usize, color: bool) -> String {
    let page = Page { width: width.max(NARROWEST), color };
    let mut text = String::new();
    let is_one = findings.figures.processes.len() < 2;
    for verdict in &findings.verdicts {
        text.push_str(&verdict_text(verdict, is_one, page));
        text.push('\n');
    }
    for table in [tables::processes(findings, page), tables::hogs(findings, page)] {
        if !table.is_empty() {
            text.push_str(&table);
            text.push('\n');
        }
    }
    text.push_str(&seen::text(findings, page));
    text
}

/// How wide, and whether in color.
#[derive(Clone, Copy)]
struct Page {
    width: usize,
    color: bool,
}

/// The codes that switch a color on and off.
type Paint = (&'static str, &'static str);
const BOLD: Paint = ("\u{1b}[1m", "\u{1b}[22m");
const DIM: Paint = ("\u{1b}[2m", "\u{1b}[22m");
const YELLOW: Paint = ("\u{1b}[33m", "\u{1b}[39m");
const GREEN: Paint = ("\u{1b}[32m", "\u{1b}[39m");

impl Page {
    fn paint(self, text: &str, (on, off): Paint) -> String {
        if self.color && !text.is_empty() { format!("{on}{text}{off}") } else { text.to_owned() }
    }

    /// Text in lines, each with `indent` before it, the first with `first` instead, and in color if one is given.
    fn lines(self, text: &str, first: &str, indent: &str, paint: Option<Paint>) -> String {
        let room = self.width.min(WIDEST).saturating_sub(indent.len()).max(NARROWEST / 2);
        let mut lines = String::new();
        for (number, line) in wrapped(text, room, 0).lines().enumerate() {
            let before = if number == 0 { first } else { indent };
            let line = format!("{before}{line}");
            lines.push_str(&paint.map_or_else(|| line.clone(), |paint| self.paint(&line, paint)));
            lines.push('\n');
        }
        lines
    }
}

fn verdict_text(verdict: &Verdict, is_one: bool, page: Page) -> String {
    let mut head = vec![verdict.title.to_owned()];
    if !is_one {
        head.push(verdict.about.name.clone());
    }
    if verdict.word != Word::NotEnoughData {
        head.push(verdict.confidence.word.to_string());
    }
    let head = page.lines(&head.join(" · "), "", INDENT, None);
    // Color where nothing can be cut: the title is on the first line whole, as it is shorter than any line.
    let head = match head.strip_prefix(verdict.title) {
        Some(rest) => format!("{}{rest}", page.paint(&page.paint(verdict.title, BOLD), color_of(verdict))),
        None => head,
    };
    let mut text = head;
    text.push_str(&page.lines(&verdict.sentence, INDENT, INDENT, None));
    if let Some(example) = verdict.evidence.first().and_then(|evidence| example(verdict.word, evidence)) {
        text.push_str(&page.lines(&example, INDENT, INDENT, Some(DIM)));
    }
    text.push_str(&page.lines(&verdict.remedy, "→ ", INDENT, None));
    text
}

fn color_of(verdict: &Verdict) -> Paint {
    match verdict.word {
        _ if verdict.confidence.word == Trust::Unsure => DIM,
        Word::Saturated | Word::NativeReleasing | Word::FreeThreaded | Word::Idle => GREEN,
        Word::Mixed | Word::NotEnoughData | Word::Unseen => DIM,
        _ => YELLOW,
    }
}

/// When the worst was.
fn example(word: Word, evidence: &Evidence) -> Option<String> {
    let moment = matches!(word, Word::LoopStalled | Word::GilHog | Word::GcPause);
    let window = Window::new(evidence.from, evidence.to);
    moment.then(|| {
        let (at, length) = (units::seconds(seconds(evidence.from)), units::seconds(window.seconds()));
        format!("for example: {}, {at} into the recording, for {length}", evidence.name)
    })
}
