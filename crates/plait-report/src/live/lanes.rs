//! The list: a line for each process, a lane for each thread.

use plait_trace::{Nanos, Recording, Sight};
use ratatui::style::Style;

use super::canvas::Canvas;
use super::cells::cells;
use super::figures::{Figures, ProcessFigures};
use super::keys::Keys;
use super::palette::Role;
use super::rows::Row;

/// Where the columns are.
pub(super) struct Columns {
    name: u16,
    /// How many of GIL, waits and CPU there is room for.
    shares: u16,
    lane: u16,
    width: u16,
    /// Where the first cell of a lane begins, and how much of time a cell is.
    from: Nanos,
    until: Nanos,
    cell: Nanos,
}

/// The width of a share: ` 100`.
const SHARE: u16 = 5;

impl Columns {
    /// For a screen of this width, and the `window` before `end`.
    pub(super) fn of(width: u16, window: Nanos, end: Nanos) -> Self {
        let name = (width / 5).clamp(6, 24).min(width);
        let shares = match width {
            0..=29 => 0,
            30..=45 => 1,
            _ => 3,
        };
        let lane = (name + shares * SHARE + 1).min(width);
        // Cells begin at whole multiples of their width, so that what is in one does not change as time goes on; the last
        // one is the one that fills.
        let count = u64::from((width - lane).max(1));
        let cell = (window / count).max(1);
        let from = end.div_ceil(cell).saturating_sub(count).saturating_mul(cell);
        Self { name, shares, lane, width, from, until: end, cell }
    }

    fn cells(&self) -> u16 {
        self.width - self.lane
    }
}

/// What the columns are, and how many rows there are above and below those that are shown.
pub(super) fn head(canvas: &mut Canvas, y: u16, columns: &Columns, keys: &Keys, (above, below): (usize, usize)) {
    let style = Role::Quiet;
    canvas.text(0, y, columns.name, "thread", style);
    for (place, name) in (0..columns.shares).zip([" GIL%", " wait", " CPU%"]) {
        // Text from elsewhere loses the blanks at its beginning; this has its place.
        let name = name.trim_start();
        let indent = SHARE - name.len() as u16;
        canvas.text(columns.name + place * SHARE + indent, y, SHARE, name, style);
    }
    let mut text = format!("last {} s", keys.window() / 1_000_000_000);
    if !keys.choice.filter.is_empty() {
        text += &format!("  filter {:?}", keys.choice.filter);
    }
    if above + below > 0 {
        text += &format!("  {above} above, {below} below");
    }
    canvas.text(columns.lane, y, columns.cells(), &text, style);
}

/// One line of the list.
pub(super) fn row(canvas: &mut Canvas, y: u16, columns: &Columns, row: &Row, recording: &Recording, figures: &Figures) {
    match *row {
        Row::Process(process, hidden) => {
            let text = process_line(recording, process, &figures.processes[process], hidden);
            canvas.text(0, y, columns.width, &text, Role::Process);
        }
        Row::Thread(thread) => thread_row(canvas, y, columns, thread, recording, figures),
    }
}

fn process_line(recording: &Recording, process: usize, figures: &ProcessFigures, hidden: usize) -> String {
    let process = &recording.processes[process].process;
    let mut name = process.role.clone().unwrap_or_else(|| process.command.clone());
    if name.chars().count() > 28 {
        name = crate::plain_text::shortened(&name, 28);
    }
    let mut text = format!("{} {name} ", process.pid);
    match (process.sight, figures.gils.as_slice()) {
        (Sight::Gil, []) | (Sight::Nothing, _) => {}
        (Sight::Gil, gils) => {
            let shares = gils.iter().map(|share| format!("{:.0}", share * 100.0)).collect::<Vec<_>>().join("/");
            text += &format!(" GIL {shares} %  waiting {:.1} ", figures.waiters);
        }
        (Sight::FreeThreaded, _) => text += " no GIL in this Python ",
        (Sight::Kernel, _) => text += " GIL not seen ",
    }
    text += &format!(" CPU {:.2}", figures.cpu);
    if let Some(throttled) = figures.throttled.filter(|&share| share >= 0.005) {
        text += &format!("  throttled {:.0} %", throttled * 100.0);
    }
    if hidden > 0 {
        text += &format!("  {hidden} idle hidden");
    }
    if let Some(why) = &process.why {
        text += &format!("  {why}");
    }
    text
}

fn thread_row(canvas: &mut Canvas, y: u16, columns: &Columns, thread: usize, recording: &Recording, all: &Figures) {
    let (lane, figures) = (&recording.threads[thread], &all.threads[thread]);
    let known = &lane.thread;
    let name = if known.name.is_empty() { format!("thread {}", known.tid) } else { known.name.clone() };
    canvas.text(1, y, columns.name.saturating_sub(1), &name, Role::Plain);
    if figures.is_known() {
        let sees_gil = recording.processes[known.process.index()].process.sight == Sight::Gil;
        let of_gil = |share: f64| sees_gil.then_some(share);
        let shares = [of_gil(figures.gil()), of_gil(figures.waits()), Some(figures.cpu)];
        for (place, share) in (0..columns.shares).zip(shares) {
            let percent = share.map_or("–".to_owned(), |share| format!("{:.0}", share * 100.0));
            let indent = SHARE - percent.chars().count().min(usize::from(SHARE)) as u16;
            canvas.text(columns.name + place * SHARE + indent, y, SHARE - indent, &percent, Role::Plain);
        }
    }
    let count = columns.cells();
    for (x, state) in
        (columns.lane..).zip(cells(&lane.spans, (columns.from, columns.until), columns.cell, count.into()))
    {
        let (symbol, style) = state.map_or((" ", Style::new()), |state| canvas.palette().cell(state));
        canvas.cell(x, y, symbol, style);
    }
}
