//! What was seen, as lines of a table.

use plait_trace::pools::PoolKind;
use plait_trace::top::{PoolNow, Top, WorkerNow};
use unicode_width::UnicodeWidthStr;

use crate::live::canvas::fitted;
use crate::live::palette::Role;
use crate::plain_text::one_line;
use crate::units;

const COLUMNS: usize = 8;
/// Their heads; figures stand at the right of theirs.
const HEADS: [(&str, bool); COLUMNS] = [
    ("WORKER", true),
    ("STATE", false),
    ("TIME", true),
    ("DONE", true),
    ("CPU", true),
    ("MEMORY", true),
    ("TASK", false),
    ("LINE", false),
];
/// Those with text of any length.
const TASK: usize = 6;
const LINE: usize = 7;
/// So many cells a text has at least, or is left out.
const LEAST: usize = 12;
/// What is left out first where there is no room.
const LESSER: [usize; 5] = [3, LINE, 5, 4, 2];

/// A line of the table.
pub(super) enum Line {
    Text(String, Role),
    Cells([String; COLUMNS], Role),
}

/// How wide the columns are; those that are left out are not there at all.
pub(super) struct Columns([Option<usize>; COLUMNS]);

impl Columns {
    /// As the cells need it, in so many cells altogether.
    pub fn of(lines: &[Line], total: Option<usize>) -> Self {
        let mut widths = [0; COLUMNS];
        for line in lines {
            let Line::Cells(cells, _) = line else { continue };
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.width());
            }
        }
        let mut columns = Self(widths.map(Some));
        let Some(total) = total else { return columns };
        for lesser in LESSER {
            if columns.least() <= total {
                break;
            }
            columns.0[lesser] = None;
        }
        // Task and line share what is left: none takes from the other what that does not need.
        let spare = total.saturating_sub(columns.used(|at, width| if at < TASK { width } else { 0 }));
        let [task, line] = [TASK, LINE].map(|at| columns.0[at].unwrap_or(0));
        let half = spare / 2;
        let fits = |own: usize, other: usize| own.min(half.max(spare.saturating_sub(other)));
        columns.0[TASK] = Some(fits(task, line));
        columns.0[LINE] = columns.0[LINE].map(|line| line.min(spare - fits(task, line)));
        columns
    }

    /// The cells that they take, each having a blank before it.
    fn used(&self, width: impl Fn(usize, usize) -> usize) -> usize {
        self.0.iter().enumerate().filter_map(|(at, own)| own.map(|own| width(at, own) + 1)).sum()
    }

    fn least(&self) -> usize {
        self.used(|at, width| if at < TASK { width } else { width.min(LEAST) })
    }

    /// The cells of a line, and where they begin.
    pub fn placed(&self, cells: &[String; COLUMNS]) -> Vec<(usize, String)> {
        let mut x = 0;
        let mut placed = Vec::with_capacity(COLUMNS);
        for ((cell, width), (_, is_figure)) in cells.iter().zip(self.0).zip(HEADS) {
            let Some(width) = width else { continue };
            let cell = fitted(cell, width);
            let shift = if is_figure { width.saturating_sub(cell.width()) } else { 0 };
            placed.push((x + 1 + shift, cell));
            x += width + 1;
        }
        placed
    }
}

/// Which program it is.
pub(super) fn title(seen: &Top) -> String {
    format!("PID {}  {}", seen.pid, one_line(&seen.command))
}

/// All pools in one line.
pub(super) fn sums(seen: &Top) -> String {
    if seen.pools.is_empty() {
        return "no pools now".to_owned();
    }
    let sum = |of: fn(&PoolNow) -> u64| seen.pools.iter().map(of).fold(0, u64::saturating_add);
    let mut line = units::count(seen.pools.len(), "pool");
    line += &format!("  {} running  {} queued", sum(|pool| pool.running), sum(|pool| pool.queued));
    line += &format!("  {} done  {} failed", sum(|pool| pool.counts.done), sum(|pool| pool.counts.failed));
    let rates: Vec<f64> = seen.pools.iter().filter_map(|pool| pool.rate).collect();
    if !rates.is_empty() {
        line += &format!("  {}/s", units::number(rates.iter().sum()));
    }
    if seen.untold > 0 {
        line += &format!("  and {} of which nothing is told", units::count(seen.untold as usize, "pool"));
    }
    line
}

/// A pool in one line.
fn pool(seen: &Top, pool: &PoolNow) -> String {
    let mut line = one_line(&pool.name);
    if pool.pid != seen.pid {
        line += &format!(" of process {}", pool.pid);
    }
    let noun = match (pool.kind, pool.most) {
        (_, 0) => "no tasks taken any more".to_owned(),
        (PoolKind::Processes, 1) => "1 process".to_owned(),
        (PoolKind::Processes, most) => format!("{most} processes"),
        (PoolKind::Threads, most) => units::count(most as usize, "thread"),
        (PoolKind::Asyncio, most) => units::count(most as usize, "coroutine"),
    };
    line += &format!("  {noun}  {} running  {} queued  {} done", pool.running, pool.queued, pool.counts.done);
    let counts = &pool.counts;
    let rare = [
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
        (counts.retried, "retried"),
        (counts.died, "died"),
        (counts.recycled, "recycled"),
    ];
    for (count, word) in rare.into_iter().filter(|(count, _)| *count > 0) {
        line += &format!("  {count} {word}");
    }
    if let Some(rate) = pool.rate {
        line += &format!("  {}/s", units::number(rate));
    }
    line
}

/// The table, the workers of each pool as `choose` wants them.
pub(super) fn lines(seen: &Top, choose: impl Fn(&mut Vec<&WorkerNow>)) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, of) in seen.pools.iter().enumerate() {
        lines.push(Line::Text(pool(seen, of), Role::Process));
        let mut workers: Vec<&WorkerNow> = of.workers.iter().collect();
        choose(&mut workers);
        // The heads stand where the first workers do.
        if number == 0 || !workers.is_empty() && lines.iter().all(|line| matches!(line, Line::Text(..))) {
            lines.push(Line::Cells(HEADS.map(|(head, _)| head.to_owned()), Role::Quiet));
        }
        lines.extend(workers.into_iter().map(|worker| Line::Cells(cells(worker), Role::Plain)));
    }
    lines
}

fn cells(worker: &WorkerNow) -> [String; COLUMNS] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| units::NONE.to_owned());
    [
        worker.tid.to_string(),
        worker.state.word().to_owned(),
        or_none(worker.seconds.map(time)),
        worker.done.to_string(),
        or_none(worker.cpu.map(|cpu| format!("{:.0} %", cpu * 100.0))),
        or_none(worker.memory.map(|bytes| format!("{} MB", bytes / 1_000_000))),
        or_none(worker.task.as_deref().map(one_line)),
        or_none(worker.line.as_deref().map(one_line)),
    ]
}

/// A time that goes on, always in the same few cells: `0.4 s`, `12 s`, `3:05`, `2:00:00`.
fn time(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..=9 => format!("{:.1} s", (seconds * 10.0).floor() / 10.0),
        10..=99 => format!("{whole} s"),
        100..=3599 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stay_short() {
        let shown = [0.0, 9.99, 10.0, 99.9, 100.0, 3599.0, 7205.0].map(time);
        assert_eq!(shown, ["0.0 s", "9.9 s", "10 s", "99 s", "1:40", "59:59", "2:00:05"]);
        assert!(!time(f64::MAX).is_empty() && !time(f64::NAN).is_empty());
    }
}
