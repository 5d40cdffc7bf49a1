//! The comparison as a table for a terminal, with the errors in full and a legend below it.
//!
//! It is no wider than asked for, down to the two dozen columns that a name, a time and a speed-up need: heads go on
//! two lines, the range becomes one figure, gaps narrow, names wrap, and then columns go, the most dispensable first;
//! the legend says which.

mod draw;

use draw::{draw, width_of};

use super::Comparison;
use super::column::Column;
use crate::units::count;
use crate::wrap::wrapped;

/// One way to lay the table out.
#[derive(Debug, Clone)]
struct Layout {
    columns: Vec<Column>,
    tall_heads: bool,
    gap: usize,
    /// Names longer than this wrap.
    name_width: usize,
}

/// What a narrow terminal does without, first to last.
const DISPENSABLE: [Column; 7] =
    [Column::Cpu, Column::Call, Column::Deviation, Column::Workers, Column::StartUp, Column::Memory, Column::GilWait];
/// Below this a name cannot be told from another.
const SHORTEST_NAME: usize = 6;
/// Text below the table is no wider than reads well.
const WIDEST_TEXT: usize = 120;

pub(super) fn table(comparison: &Comparison, width: Option<usize>, color: bool) -> String {
    let mut layouts = layouts().into_iter().peekable();
    let (layout, drawn) = loop {
        let Some(layout) = layouts.next() else {
            return String::new();
        };
        let drawn = draw(comparison, &layout, width, color);
        let fits = width.is_none_or(|width| width_of(&drawn.text) <= width);
        if fits || layouts.peek().is_none() {
            break (layout, drawn);
        }
    };
    let text_width = width.unwrap_or(WIDEST_TEXT).clamp(20, WIDEST_TEXT);
    let mut text = drawn.text;
    text.push_str("\n\n");
    for error in &drawn.shortened {
        text.push_str(&paint(&wrapped(error, text_width, 2), color.then_some(RED)));
    }
    for note in notes(comparison, &layout) {
        text.push_str(&paint(&wrapped(&note, text_width, 2), color.then_some(DIM)));
    }
    text
}

const RED: (&str, &str) = ("\u{1b}[31m", "\u{1b}[39m");
const DIM: (&str, &str) = ("\u{1b}[2m", "\u{1b}[22m");

/// The layouts from the widest to the narrowest.
fn layouts() -> Vec<Layout> {
    let all = Column::ALL.to_vec();
    let short: Vec<Column> =
        all.iter().map(|&column| if column == Column::Range { Column::Deviation } else { column }).collect();
    let layout = |columns: &[Column], tall_heads, gap, name_width| Layout {
        columns: columns.to_vec(),
        tall_heads,
        gap,
        name_width,
    };
    let mut layouts = vec![
        layout(&all, false, 2, 30),
        layout(&all, true, 2, 30),
        layout(&short, true, 2, 30),
        layout(&short, true, 2, 18),
        layout(&short, true, 1, 18),
    ];
    let mut left = short;
    for gone in DISPENSABLE {
        left.retain(|&column| column != gone);
        layouts.push(layout(&left, true, 2, 18));
        layouts.push(layout(&left, true, 1, 18));
    }
    layouts.push(layout(&left, true, 1, 12));
    layouts.push(layout(&left, true, 1, SHORTEST_NAME));
    layouts
}

fn notes(comparison: &Comparison, layout: &Layout) -> Vec<String> {
    let mut notes = Vec::new();
    let rounds = comparison.rounds();
    if rounds > 0 {
        let median = match rounds {
            1 => "one round".to_owned(),
            _ => format!("median of {rounds} rounds"),
        };
        let of = if comparison.interrupted {
            format!(", {} were planned", comparison.rounds_planned.max(rounds))
        } else {
            String::new()
        };
        let items = count(comparison.items, "item");
        notes.push(format!(
            "time: {median} of {items}{of}, without start-up; speed-up: median of the ratios to serial, round by round; \
             memory: PSS of parent and workers"
        ));
    }
    let shown = |column: &Column| {
        layout.columns.contains(column) || *column == Column::Range && layout.columns.contains(&Column::Deviation)
    };
    let hidden: Vec<&str> = Column::ALL.iter().filter(|column| !shown(column)).map(|column| column.head()).collect();
    if !hidden.is_empty() {
        notes.push(format!("no room for: {}", hidden.join(", ")));
    }
    notes
}

/// Each line of `text` between the two codes, so that none runs into the next line.
fn paint(text: &str, codes: Option<(&str, &str)>) -> String {
    match codes {
        Some((on, off)) => text.lines().map(|line| format!("{on}{line}{off}\n")).collect(),
        None => text.to_owned(),
    }
}
