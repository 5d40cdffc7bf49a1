//! A recording in the forms that other programs read.
//!
//! Each is written as it is made up, so that half a million spans need no half a million values in memory; but for Firefox's,
//! which its crate puts together as columns first.

use std::fmt;
use std::io::{self, Write};

use plait_trace::{GilLane, Recording};

mod firefox;
mod json;
pub(crate) mod load;
mod perfetto;
mod speedscope;
pub(crate) mod stacks;
mod stream;
mod svg;

pub use crate::page::page;
pub use firefox::firefox;
pub use json::json;
pub use perfetto::perfetto;
pub use speedscope::speedscope;
pub use svg::svg;

/// A form in which a recording can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Chrome's trace format: ui.perfetto.dev, chrome://tracing.
    Perfetto,
    /// The processed format of profiler.firefox.com.
    Firefox,
    /// The format of speedscope.app.
    Speedscope,
    /// Everything that is in the recording, in plait's own words: for programs.
    Json,
    /// A page to look at in any browser.
    Html,
    /// A picture for papers and slides.
    Svg,
}

/// Why a recording cannot be written in a form that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The name of a file says no format.
    #[error("the name {name:?} says no format: let it end in {endings}, or use --format {names}", endings = endings(), names = names("|"))]
    Ending {
        /// The file.
        name: String,
    },
    /// There is no format of that name.
    #[error("there is no format {name:?}: use {names}", names = names(", "))]
    Name {
        /// What was asked for.
        name: String,
    },
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Html, Self::Svg, Self::Perfetto, Self::Firefox, Self::Speedscope, Self::Json];

    /// What it is called, as after `--format`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Perfetto => "perfetto",
            Self::Firefox => "firefox",
            Self::Speedscope => "speedscope",
            Self::Json => "json",
            Self::Html => "html",
            Self::Svg => "svg",
        }
    }

    /// What names of files end in that say this format.
    pub const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Perfetto => &[".json", ".perfetto.json"],
            Self::Firefox => &[".firefox.json", ".gecko.json"],
            Self::Speedscope => &[".speedscope.json"],
            Self::Json => &[".plait.json"],
            Self::Html => &[".html", ".htm"],
            Self::Svg => &[".svg"],
        }
    }

    /// The format that the name of a file says.
    ///
    /// # Errors
    /// [`FormatError::Ending`] where it says none.
    ///
    /// ```
    /// use plait_report::export::Format;
    ///
    /// assert_eq!(Format::of_path("out/run.json"), Ok(Format::Perfetto));
    /// assert_eq!(Format::of_path("run.speedscope.json"), Ok(Format::Speedscope));
    /// assert!(Format::of_path("run.txt").is_err());
    /// ```
    pub fn of_path(path: &str) -> Result<Self, FormatError> {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path).to_ascii_lowercase();
        let said = |format: &Self| {
            format.endings().iter().filter(|ending| name.ends_with(*ending)).map(|ending| ending.len()).max()
        };
        let longest =
            Self::ALL.into_iter().filter_map(|format| Some((said(&format)?, format))).max_by_key(|&(length, _)| length);
        longest.map(|(_, format)| format).ok_or_else(|| FormatError::Ending { name: path.to_owned() })
    }

    /// The format of this name.
    ///
    /// # Errors
    /// [`FormatError::Name`] where there is none.
    pub fn of_name(name: &str) -> Result<Self, FormatError> {
        let known = Self::ALL.into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| FormatError::Name { name: name.to_owned() })
    }

    /// Writes a recording in this format.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write<W: Write>(self, recording: &Recording, out: W) -> io::Result<()> {
        match self {
            Self::Perfetto => perfetto(recording, out),
            Self::Firefox => firefox(recording, out),
            Self::Speedscope => speedscope(recording, out),
            Self::Json => json(recording, out),
            Self::Html => page(recording, out),
            Self::Svg => svg(recording, out),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn endings() -> String {
    Format::ALL.map(|format| format!("{} ({format})", format.endings()[0])).join(", ")
}

fn names(between: &str) -> String {
    Format::ALL.map(Format::name).join(between)
}

/// What a GIL is called: `GIL` where its process has but one.
pub(crate) fn gil_title(recording: &Recording, lane: &GilLane) -> String {
    let gils = recording.gils.iter().filter(|other| other.gil.process == lane.gil.process).count();
    if gils < 2 {
        return "GIL".to_owned();
    }
    let interpreters = lane.gil.interpreters.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    format!("GIL of interpreter {interpreters}")
}

#[cfg(test)]
mod tests;
