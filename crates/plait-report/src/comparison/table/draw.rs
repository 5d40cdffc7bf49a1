//! The table itself, drawn in one layout.

use tabled::Table;
use tabled::builder::Builder;
use tabled::settings::formatting::AlignmentStrategy;
use tabled::settings::object::{Cell, Columns, Rows};
use tabled::settings::style::HorizontalLine;
use tabled::settings::{Alignment, Color, Modify, Padding, Span, Style};
use unicode_width::UnicodeWidthStr;

use super::Layout;

use crate::comparison::Comparison;
use crate::comparison::column::Column;
use crate::comparison::row::Row;
use crate::wrap::{truncated, wrapped};

/// A drawn table, without the last line end.
pub(super) struct Drawn {
    pub text: String,
    /// The errors that are not whole in their rows, with the names of the rows.
    pub shortened: Vec<String>,
}

/// What stands before the best row's name, and before the others'.
const MARK: &str = "▸ ";
const NO_MARK: &str = "  ";

/// The table in `layout`; an error takes its row from the first figure on, as far as `width` goes.
pub(super) fn draw(comparison: &Comparison, layout: &Layout, width: Option<usize>, color: bool) -> Drawn {
    let rows = comparison.rows();
    let names: Vec<String> = (0..rows.len()).map(|index| name(comparison, index, layout.name_width)).collect();
    let name_width = names.iter().flat_map(|name| name.lines()).map(UnicodeWidthStr::width).max().unwrap_or(0);
    // Without the errors first: they may use the room that the figures need, and where there is more, all of it.
    let figures = width_of(&render(comparison, layout, &names, &vec![String::new(); rows.len()], false));
    let before = name_width.max("backend".len() + MARK.width()) + layout.gap;
    let room = width.unwrap_or(figures.max(100)).max(figures).saturating_sub(before);
    let mut shortened = Vec::new();
    let errors: Vec<String> = rows.iter().map(|row| row.error_line().unwrap_or_default()).collect();
    let cells: Vec<String> = errors.iter().map(|error| truncated(error, room)).collect();
    for (row, (error, cell)) in rows.iter().zip(errors.iter().zip(&cells)) {
        if error != cell {
            shortened.push(format!("{}: {error}", row.name()));
        }
    }
    Drawn { text: render(comparison, layout, &names, &cells, color), shortened }
}

fn render(comparison: &Comparison, layout: &Layout, names: &[String], errors: &[String], color: bool) -> String {
    let rows = comparison.rows();
    let mut builder = Builder::new();
    let head = |column: &Column| match layout.tall_heads {
        true => column.tall_head(),
        false => column.head().to_owned(),
    };
    builder.push_record(std::iter::once(format!("{NO_MARK}backend")).chain(layout.columns.iter().map(head)));
    for ((row, name), error) in rows.iter().zip(names).zip(errors) {
        let cells: Vec<String> = match row.error {
            Some(_) => {
                std::iter::once(error.clone()).chain(layout.columns.iter().skip(1).map(|_| String::new())).collect()
            }
            None => layout.columns.iter().map(|column| column.cell(row)).collect(),
        };
        builder.push_record(std::iter::once(name.clone()).chain(cells));
    }
    let mut table = builder.build();
    table
        .with(Style::empty().horizontals([(1, HorizontalLine::new('─'))]))
        .with(Padding::new(0, layout.gap, 0, 0))
        .with(Alignment::right())
        .with(AlignmentStrategy::PerLine)
        .with(Modify::new(Columns::first()).with(Alignment::left()))
        .with(Modify::new(Columns::last()).with(Padding::zero()))
        .with(Modify::new(Rows::first()).with(Alignment::bottom()));
    // A time and its deviation are read as one.
    if let Some(place) = layout.columns.iter().position(|&column| column == Column::Deviation) {
        table.with(Modify::new(Columns::one(place)).with(Padding::new(0, 1, 0, 0)));
    }
    for (index, row) in rows.iter().enumerate() {
        style_row(&mut table, index + 1, row, comparison.best == Some(index), layout, color);
    }
    if color {
        table.with(Modify::new(Rows::first()).with(Color::BOLD));
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn style_row(table: &mut Table, line: usize, row: &Row, best: bool, layout: &Layout, color: bool) {
    if row.error.is_some() {
        let span = layout.columns.len() as isize;
        table.with(
            Modify::new(Cell::new(line, 1)).with(Span::column(span)).with(Alignment::left()).with(Padding::zero()),
        );
    }
    let paint = match (row.error.is_some(), best) {
        (true, _) => Some(Color::FG_RED),
        (_, true) => Some(Color::FG_GREEN),
        _ => None,
    };
    if let Some(paint) = paint.filter(|_| color) {
        table.with(Modify::new(Rows::one(line)).with(paint));
    }
}

fn name(comparison: &Comparison, index: usize, width: usize) -> String {
    let name = comparison.rows()[index].name();
    let mark = if comparison.best == Some(index) { MARK } else { NO_MARK };
    let lines = wrapped(&name, width, 0);
    let lines: Vec<String> = match lines.lines().count() {
        // A hostile name does not get more than three lines.
        0..=3 => lines.lines().map(str::to_owned).collect(),
        _ => vec![truncated(&name, width)],
    };
    let margins = std::iter::once(mark).chain(std::iter::repeat(NO_MARK));
    margins.zip(lines).map(|(margin, line)| format!("{margin}{line}")).collect::<Vec<_>>().join("\n")
}

/// The columns that the widest line takes.
pub(super) fn width_of(text: &str) -> usize {
    text.lines().map(|line| without_color(line).width()).max().unwrap_or(0)
}

/// `line` without the color codes that were put around its cells.
fn without_color(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut codes = line.split('\u{1b}');
    plain.push_str(codes.next().unwrap_or_default());
    for code in codes {
        plain.push_str(code.split_once('m').map_or("", |(_, text)| text));
    }
    plain
}
