//! What a recording says: figures, verdicts, advice.
//!
//! [`judge`] is pure: the same recording always gives the same findings. It goes in three steps, each a module: a *survey* adds
//! up what every thread, GIL and process did; *rules* hold those figures against bounds that are named constants; and what they
//! say is shown as text or as JSON. A verdict near its bounds, or of a program that was seen badly, says so: none is to be wrong
//! and sure of itself.
//!
//! ```
//! use plait_report::verdicts::{Word, judge};
//! use plait_trace::Recording;
//!
//! let findings = judge(&Recording::default());
//! assert_eq!(findings.verdicts[0].word, Word::NotEnoughData);
//! ```

mod code;
mod confidence;
mod counts;
mod event_loop;
mod figures;
mod gil;
mod hogs;
mod names;
mod process;
mod purpose;
mod rules;
mod survey;
mod text;
mod thread;
mod times;
mod verdict;
mod window;

use plait_trace::{Nanos, Recording};
use serde::Serialize;

pub(crate) use code::Code;
pub use code::{Place, Spot};
pub use confidence::{Confidence, Figure, Trust};
pub use figures::{Figures, Missing, ProcessFigures, ThreadFigures};
pub use gil::GilUse;
pub use hogs::Hog;
pub use times::Times;
pub use verdict::{About, Evidence, Verdict, Word};
pub use window::Window;

/// What a recording says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// What was recorded, as the user wrote it.
    pub what: String,
    /// What holds the program up, the most important first. There is always one at least.
    pub verdicts: Vec<Verdict>,
    /// What each process and each thread did.
    pub figures: Figures,
    /// Native code that kept the GIL, what others waited for longest first.
    pub hogs: Vec<Hog>,
}

/// What a recording says.
#[must_use]
pub fn judge(recording: &Recording) -> Findings {
    judge_between(recording, 0, Nanos::MAX)
}

/// What a recording says of the time between two moments: for a view of the last seconds of a program.
#[must_use]
pub fn judge_between(recording: &Recording, from: Nanos, to: Nanos) -> Findings {
    let survey = survey::Survey::of(recording, Window::new(from, to));
    Findings {
        what: recording.began.what.clone(),
        verdicts: rules::verdicts(&survey),
        figures: Figures::of(&survey),
        hogs: survey.hogs,
    }
}

impl Findings {
    /// The findings for a terminal of so many columns: verdicts, a table of processes and threads, what kept the GIL, and what
    /// was not seen. Every line is ended.
    #[must_use]
    pub fn to_text(&self, width: usize, color: bool) -> String {
        text::text(self, width, color)
    }

    /// How the program was seen, and what was not: a line each.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        text::seen::lines(self)
    }
}
