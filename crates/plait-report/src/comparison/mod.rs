//! The comparison of backends on one function: rows of figures, a verdict that follows from them, and their faces.
//!
//! [`Measurements`] come in, [`Row`]s and a [`Verdict`] are worked out once, and the faces (terminal table, JSON, page)
//! only show them.

mod code_line;
mod column;
mod json;
pub mod measurements;
mod page;
mod picture;
mod reason;
mod row;
mod rules;
mod spread;
mod table;
mod verdict;

pub use measurements::{Call, Machine, Measurements, Round, Run, Scaled};
pub use reason::Reason;
pub use row::Row;
pub use spread::Spread;
pub use verdict::{Advice, Grounds, Other, Verdict};

/// What the backends made of one function, side by side.
#[derive(Debug, Clone)]
pub struct Comparison {
    function: String,
    file: Option<String>,
    call_expr: Option<String>,
    items: usize,
    rounds_planned: usize,
    interrupted: bool,
    machine: Machine,
    rows: Vec<Row>,
    best: Option<usize>,
    verdict: Verdict,
}

impl From<Measurements> for Comparison {
    fn from(measured: Measurements) -> Self {
        let items = measured.items;
        let mut rows: Vec<Row> = measured.runs.into_iter().map(|run| Row::new(run, items)).collect();
        if let Some(serial) = rules::serial(&rows).cloned() {
            for row in &mut rows {
                row.compare_to(&serial);
            }
        }
        let case = rules::Case {
            rows: &rows,
            cpus: measured.machine.cpus.max(1),
            gil: measured.machine.gil,
            items,
            interrupted: measured.interrupted,
            rounds_planned: measured.rounds_planned,
        };
        let (best, verdict) = rules::decide(&case);
        Self {
            function: measured.function,
            file: measured.file,
            call_expr: measured.call_expr,
            items,
            rounds_planned: measured.rounds_planned,
            interrupted: measured.interrupted,
            machine: measured.machine,
            rows,
            best,
            verdict,
        }
    }
}

impl Comparison {
    /// The rows, in the order in which they were measured.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row to use: the simplest of plait's backends that no other beats by more than the noise, start-up counted.
    /// A peer is never it. None when no backend of plait did all of its calls.
    pub fn best(&self) -> Option<&Row> {
        self.best.map(|index| &self.rows[index])
    }

    /// What to do, and why; its `Display` is the text to print.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The line of Python to paste; none when there is no [`best`](Self::best) row.
    pub fn code_line(&self) -> Option<String> {
        let best = self.best()?;
        Some(code_line::code_line(&self.function, self.call_expr.as_deref(), best))
    }

    /// The figures, the verdict and its reasons as JSON, indented, with `null` for what is absent.
    pub fn to_json(&self) -> String {
        json::json(self)
    }

    /// The rows as a table for a terminal of `width` columns (`None`: as wide as it likes), the errors in full below
    /// it, and a legend. Ends with a line end.
    pub fn table(&self, width: Option<usize>, color: bool) -> String {
        table::table(self, width, color)
    }

    /// One self-contained HTML page: verdict, plots, table, method. It loads nothing and runs nothing.
    pub fn html(&self) -> String {
        page::page(self)
    }

    /// One picture as SVG, for papers and slides: bars of time, and what the threads of each backend did.
    pub fn svg(&self) -> String {
        picture::picture(self)
    }

    /// The median of serial's rounds, where it did all calls.
    fn serial_seconds(&self) -> Option<f64> {
        rules::serial(&self.rows)?.seconds.map(|seconds| seconds.median)
    }

    /// How many rounds the row with the most of them has.
    fn rounds(&self) -> usize {
        self.rows.iter().filter_map(|row| row.seconds).map(|seconds| seconds.rounds).max().unwrap_or(0)
    }
}
