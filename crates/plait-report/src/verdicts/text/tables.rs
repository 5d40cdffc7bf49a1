//! The tables: what processes and threads did, and what kept the GIL.

use plait_trace::State;
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::style::HorizontalLine;
use tabled::settings::{Alignment, Color, Modify, Padding, Style};
use unicode_width::UnicodeWidthStr;

use super::{DIM, INDENT, Page};
use crate::plain_text::one_line;
use crate::units::{NONE, number, seconds, share};
use crate::verdicts::figures::{ProcessFigures, ThreadFigures};
use crate::verdicts::window::ratio;
use crate::verdicts::{Findings, Hog};
use crate::wrap::truncated;

/// Threads and processes of one kind that are shown by name; the others are counted.
const SHOWN: usize = 8;
/// Lines of native code that are shown.
const HOGS: usize = 8;
/// Columns between two columns.
const GAP: usize = 2;
/// Text in a table is cut to no less than this.
const SHORTEST: usize = 10;

/// A column of figures, for a thread or a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Gil,
    Waits,
    Native,
    Ready,
    Io,
    Rest,
    Cpu,
}

impl Column {
    /// In the order in which a narrow terminal does without them, the first first, after [`Column::Gil`] and so on.
    const DISPENSABLE: [Self; 4] = [Self::Ready, Self::Rest, Self::Io, Self::Native];
    const ALL: [Self; 7] = [Self::Gil, Self::Waits, Self::Native, Self::Ready, Self::Io, Self::Rest, Self::Cpu];

    fn head(self) -> &'static str {
        match self {
            Self::Gil => "GIL",
            Self::Waits => "waits",
            Self::Native => "native",
            Self::Ready => "ready",
            Self::Io => "I/O",
            Self::Rest => "rests",
            Self::Cpu => "CPU",
        }
    }

    fn has(self, state: State) -> bool {
        match self {
            Self::Gil => state.holds_gil(),
            Self::Waits => state.wants_gil(),
            Self::Native => matches!(state, State::Native | State::Attached | State::Detached),
            Self::Ready => state == State::Runnable,
            Self::Io => matches!(state, State::Network | State::Disk),
            Self::Rest => matches!(state, State::Poll | State::Sleep | State::Lock | State::Child),
            Self::Cpu => false,
        }
    }

    fn of_thread(self, thread: &ThreadFigures) -> String {
        match self {
            Self::Cpu => thread.cpu.map_or(NONE.to_owned(), number),
            _ => match thread.share(|state| self.has(state)) {
                0.0 => NONE.to_owned(),
                part => share(part),
            },
        }
    }

    /// Of processes that do the same: threads at a time, on average over the processes.
    fn of_processes(self, processes: &[&ProcessFigures]) -> String {
        let mean = |values: Vec<Option<f64>>| -> Option<f64> {
            let known: Vec<f64> = values.into_iter().flatten().collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        match self {
            Self::Gil => mean(processes.iter().map(|one| one.held).collect()).map_or(NONE.to_owned(), share),
            Self::Cpu => {
                // Of several, what they use together is the figure that compares with the processors there are.
                let known: Vec<f64> = processes.iter().filter_map(|one| one.cpu).collect();
                if known.is_empty() { NONE.to_owned() } else { number(known.iter().sum()) }
            }
            _ => {
                let of = |one: &&ProcessFigures| {
                    let time: f64 =
                        one.threads.iter().map(|thread| thread.times.seconds(|state| self.has(state))).sum();
                    Some(ratio(time, one.seconds))
                };
                match mean(processes.iter().map(of).collect()) {
                    Some(threads) if threads >= 0.005 => number(threads),
                    _ => NONE.to_owned(),
                }
            }
        }
    }
}

/// A line of the table: what, and whether it is a process.
struct Line<'a> {
    name: String,
    is_process: bool,
    of: Of<'a>,
}

enum Of<'a> {
    Processes(Vec<&'a ProcessFigures>),
    Thread(&'a ThreadFigures),
    Nothing,
}

/// What processes and threads did; empty where there are none.
pub(super) fn processes(findings: &Findings, page: Page) -> String {
    let lines = lines(findings);
    if lines.is_empty() {
        return String::new();
    }
    let mut columns = Column::ALL.to_vec();
    let mut leaves = Column::DISPENSABLE.into_iter();
    let text = loop {
        let text = draw(&lines, &columns, page);
        if let Some(text) = text {
            break text;
        }
        match leaves.next() {
            Some(gone) => columns.retain(|column| *column != gone),
            None => break String::new(),
        }
    };
    let legend = "processes: GIL in use, threads at a time, processors; threads: shares of their time. ready: without a \
                  processor; I/O: network and files; rests: events, sleep, locks, children";
    format!("{text}{}", page.lines(legend, INDENT, INDENT, Some(DIM)))
}

fn lines(findings: &Findings) -> Vec<Line<'_>> {
    let mut groups: Vec<(&str, Vec<&ProcessFigures>)> = Vec::new();
    for process in &findings.figures.processes {
        match groups.iter_mut().find(|(name, _)| *name == process.group) {
            Some((_, own)) => own.push(process),
            None => groups.push((&process.group, vec![process])),
        }
    }
    let mut lines = Vec::new();
    for (name, own) in groups {
        lines.push(Line { name: name.to_owned(), is_process: true, of: Of::Processes(own.clone()) });
        if let [process] = own[..] {
            let shown = |thread: &&ThreadFigures| thread.is_busy;
            let busy: Vec<&ThreadFigures> = process.threads.iter().filter(shown).take(SHOWN).collect();
            // A process where nothing happens has a main thread all the same.
            let busy = if busy.is_empty() { process.threads.iter().take(1).collect() } else { busy };
            let others = process.threads.len() - busy.len();
            lines.extend(busy.into_iter().map(thread_line));
            lines.extend((others > 0).then(|| more(others, "thread")));
        } else {
            lines.extend(own.iter().take(SHOWN).map(|process| Line {
                name: format!("{INDENT}{}", process.name),
                is_process: false,
                of: Of::Processes(vec![process]),
            }));
            let others = own.len().saturating_sub(SHOWN);
            lines.extend((others > 0).then(|| more(others, "process")));
        }
    }
    lines
}

fn thread_line(thread: &ThreadFigures) -> Line<'_> {
    let event_loop = if thread.is_loop { " (event loop)" } else { "" };
    Line { name: format!("{INDENT}{}{event_loop}", thread.name), is_process: false, of: Of::Thread(thread) }
}

fn more(number: usize, what: &str) -> Line<'static> {
    let plural = match (number, what) {
        (1, what) => what.to_owned(),
        (_, "process") => "processes".to_owned(),
        (_, what) => format!("{what}s"),
    };
    Line { name: format!("{INDENT}{number} more {plural}"), is_process: false, of: Of::Nothing }
}

/// The table with these columns; absent where it does not fit, and could with fewer.
fn draw(lines: &[Line<'_>], columns: &[Column], page: Page) -> Option<String> {
    let cell = |line: &Line<'_>, column: Column| match &line.of {
        Of::Processes(processes) => column.of_processes(processes),
        Of::Thread(thread) => column.of_thread(thread),
        Of::Nothing => String::new(),
    };
    let rows: Vec<Vec<String>> =
        lines.iter().map(|line| columns.iter().map(|&column| cell(line, column)).collect()).collect();
    let width = |place: usize, column: &Column| {
        let cells = rows.iter().map(|row| row[place].width()).max().unwrap_or(0);
        GAP + cells.max(column.head().width())
    };
    let figures: usize = columns.iter().enumerate().map(|(place, column)| width(place, column)).sum();
    let longest = lines.iter().map(|line| line.name.width()).max().unwrap_or(0);
    let room = page.width.saturating_sub(figures);
    if room < longest.min(2 * SHORTEST) && columns.len() > Column::ALL.len() - Column::DISPENSABLE.len() {
        return None;
    }
    let mut builder = Builder::new();
    builder.push_record(std::iter::once(String::new()).chain(columns.iter().map(|column| column.head().to_owned())));
    for (line, row) in lines.iter().zip(rows) {
        let name = truncated(&line.name, room.max(SHORTEST));
        builder.push_record(std::iter::once(name).chain(row));
    }
    let bold: Vec<usize> =
        lines.iter().enumerate().filter(|(_, line)| line.is_process).map(|(place, _)| place + 1).collect();
    Some(render(builder, 1, &bold, page))
}

/// A column of figures of what kept the GIL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HogColumn {
    Times,
    All,
    Longest,
    Waited,
}

impl HogColumn {
    const ALL: [Self; 4] = [Self::Times, Self::All, Self::Longest, Self::Waited];
    /// What a narrow terminal does without, first to last.
    const DISPENSABLE: [Self; 3] = [Self::Longest, Self::Times, Self::All];

    fn head(self) -> &'static str {
        match self {
            Self::Times => "times",
            Self::All => "in all",
            Self::Longest => "longest",
            Self::Waited => "waited for",
        }
    }

    fn cell(self, hog: &Hog) -> String {
        match self {
            Self::Times => hog.times.to_string(),
            Self::All => seconds(hog.seconds),
            Self::Longest => seconds(hog.longest),
            Self::Waited => seconds(hog.waited),
        }
    }
}

/// What kept the GIL; empty where nothing did.
pub(super) fn hogs(findings: &Findings, page: Page) -> String {
    // Who sleeps with a GIL that nobody wants keeps nobody from anything.
    let counts = |hog: &&Hog| hog.waited > 0.0 || hog.blocked < hog.seconds / 2.0;
    let all: Vec<&Hog> = findings.hogs.iter().filter(counts).collect();
    if all.is_empty() {
        return String::new();
    }
    let shown = &all[..all.len().min(HOGS)];
    let mut columns = HogColumn::ALL.to_vec();
    let width = |column: &HogColumn| {
        let cells = shown.iter().map(|hog| column.cell(hog).width()).max().unwrap_or(0);
        GAP + cells.max(column.head().width())
    };
    let room = |columns: &[HogColumn]| page.width.saturating_sub(columns.iter().map(width).sum::<usize>() + GAP);
    for gone in HogColumn::DISPENSABLE {
        if room(&columns) < 3 * SHORTEST {
            columns.retain(|column| *column != gone);
        }
    }
    let room = room(&columns);
    let function = |hog: &Hog| match (&hog.function, hog.is_gc) {
        (_, true) => "garbage collection".to_owned(),
        (Some(function), _) => one_line(function),
        (None, _) => NONE.to_owned(),
    };
    let place = |hog: &Hog| hog.spot.as_ref().map_or(NONE.to_owned(), |spot| spot.place.to_string());
    let (first, second) = ("kept the GIL", "called from");
    let longest = |of: &dyn Fn(&Hog) -> String, head: &str| {
        shown.iter().map(|hog| of(hog).width()).max().unwrap_or(0).max(head.width())
    };
    let (left, right) = widths(longest(&function, first), longest(&place, second), room);
    let mut builder = Builder::new();
    let heads = columns.iter().map(|column| column.head());
    builder.push_record([first, second].into_iter().chain(heads).map(str::to_owned));
    for hog in shown {
        let names = [truncated(&function(hog), left), truncated(&place(hog), right)];
        builder.push_record(names.into_iter().chain(columns.iter().map(|column| column.cell(hog))));
    }
    let mut text = render(builder, 2, &[], page);
    let others = all.len() - shown.len();
    if others > 0 {
        let line = if others == 1 { "line" } else { "lines" };
        text.push_str(&page.lines(&format!("{others} more {line} of code"), INDENT, INDENT, Some(DIM)));
    }
    text
}

/// The widths of two columns that share a room, each as wide as it needs if the other leaves that.
fn widths(left: usize, right: usize, room: usize) -> (usize, usize) {
    let half = (room / 2).max(SHORTEST);
    match (left, right) {
        _ if left + right <= room => (left, right),
        _ if left <= half => (left, room.saturating_sub(left).max(SHORTEST)),
        _ if right <= half => (room.saturating_sub(right).max(SHORTEST), right),
        _ => (half, half),
    }
}

/// A table with a line under its head, text on the left and figures on the right.
fn render(builder: Builder, texts: usize, bold: &[usize], page: Page) -> String {
    let mut table = builder.build();
    table
        .with(Style::empty().horizontals([(1, HorizontalLine::new('─'))]))
        .with(Padding::new(0, GAP, 0, 0))
        .with(Alignment::right())
        .with(Modify::new(Columns::new(..texts)).with(Alignment::left()))
        .with(Modify::new(Columns::last()).with(Padding::zero()));
    if page.color {
        table.with(Modify::new(Rows::first()).with(Color::BOLD));
        for &row in bold {
            table.with(Modify::new(Rows::one(row)).with(Color::BOLD));
        }
    }
    table.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
