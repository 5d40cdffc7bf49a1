//! Places in Python code: which of the calls a thread was in is the user's own.

use std::fmt;

use plait_trace::{FrameKey, Recording};
use serde::Serialize;

use crate::plain_text::one_line;

/// A place in Python code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The function's qualified name.
    pub function: String,
    /// The file, as Python knows it.
    pub file: String,
    /// The line, counted from 1; 0 where it cannot be told.
    pub line: u32,
}

impl Place {
    pub(super) fn of(recording: &Recording, frame: FrameKey) -> Option<Self> {
        let frame = recording.frames.get(frame.index())?;
        Some(Self { function: frame.function.clone(), file: frame.file.clone(), line: frame.line })
    }

    /// The file as people call it: its name, and for packages the folder, too.
    pub fn short_file(&self) -> String {
        let mut parts: Vec<&str> = self.file.rsplit('/').take(2).collect();
        if is_users(&self.file) && !self.file.ends_with("/__init__.py") && !self.file.ends_with("/__main__.py") {
            parts.truncate(1);
        }
        parts.reverse();
        one_line(&parts.join("/"))
    }
}

/// `count (primes.py:7)`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", one_line(&self.function), self.short_file())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(")")
    }
}

/// Whether a file is the user's own: neither the standard library's nor an installed package's, nor plait's.
pub(super) fn is_users(file: &str) -> bool {
    let is_library = file.starts_with("<frozen ")
        || ["/site-packages/", "/dist-packages/", "/plait/_"].iter().any(|part| file.contains(part))
        || ["/lib/python", "/lib64/python"].iter().any(|part| {
            // As in `/usr/lib/python3.13/json/decoder.py`; `/lib/python/mine.py` is somebody's own.
            file.find(part).is_some_and(|at| file[at + part.len()..].starts_with(|c: char| c.is_ascii_digit()))
        });
    !is_library
}

/// Where a thread was: the innermost call, and the innermost one of the user's own code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Spot {
    /// The innermost call of the user's own code; the innermost of all where none is the user's.
    pub place: Place,
    /// The innermost call, where that is another: code of the standard library, or of a package.
    pub within: Option<Place>,
}

impl Spot {
    /// Out of the calls a thread was in, the innermost first.
    pub(super) fn of(recording: &Recording, frames: &[FrameKey]) -> Option<Self> {
        let innermost = Place::of(recording, *frames.first()?)?;
        let file = |frame: &FrameKey| recording.frames.get(frame.index()).map(|frame| frame.file.as_str());
        match frames.iter().position(|frame| file(frame).is_some_and(is_users)) {
            None | Some(0) => Some(Self { place: innermost, within: None }),
            Some(own) => Some(Self { place: Place::of(recording, frames[own])?, within: Some(innermost) }),
        }
    }
}

/// `load (app.py:12), in loads (json/__init__.py:346)`.
impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        match &self.within {
            Some(within) => write!(f, ", in {within}"),
            None => Ok(()),
        }
    }
}

/// The most frequent of several spots: of the function that was seen most often, the spot seen most often.
pub(super) fn most(spots: impl IntoIterator<Item = (Spot, u64)>) -> Option<(Spot, u64, u64)> {
    let mut counted: std::collections::BTreeMap<(String, String), std::collections::BTreeMap<Spot, u64>> =
        std::collections::BTreeMap::new();
    let mut all = 0u64;
    for (spot, number) in spots {
        all = all.saturating_add(number);
        let key = (spot.place.file.clone(), spot.place.function.clone());
        let own = counted.entry(key).or_default().entry(spot).or_default();
        *own = own.saturating_add(number);
    }
    let total = |spots: &std::collections::BTreeMap<Spot, u64>| spots.values().fold(0u64, |a, b| a.saturating_add(*b));
    // Among equals the first by name, so that the same recording always gives the same text.
    let best = counted.into_values().reduce(|most, next| if total(&next) > total(&most) { next } else { most })?;
    let number = total(&best);
    let (spot, _) = best.into_iter().reduce(|most, next| if next.1 > most.1 { next } else { most })?;
    Some((spot, number, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_is_told_from_libraries() {
        for own in ["/srv/app.py", "app.py", "<stdin>", "<string>", "/srv/lib/python/mine.py", "/srv/plait/mine.py", ""]
        {
            assert!(is_users(own), "{own}");
        }
        for library in [
            "/usr/lib/python3.13/json/decoder.py",
            "/venv/lib/python3.11/site-packages/numpy/core.py",
            "/usr/lib/python3/dist-packages/yaml.py",
            "<frozen importlib._bootstrap>",
            "/srv/python/plait/_worker.py",
        ] {
            assert!(!is_users(library), "{library}");
        }
    }

    #[test]
    fn places_are_short_and_on_one_line() {
        let place = |file: &str, line| Place { function: "f\n".into(), file: file.into(), line }.to_string();
        assert_eq!(place("/srv/app.py", 7), "f (app.py:7)");
        assert_eq!(place("/srv/app/__init__.py", 0), "f (app/__init__.py)");
        assert_eq!(place("/usr/lib/python3.13/json/decoder.py", 1), "f (json/decoder.py:1)");
    }

    #[test]
    fn the_most_frequent_function_wins_and_its_most_frequent_line_is_named() {
        let spot = |function: &str, line| Spot {
            place: Place { function: function.into(), file: "a.py".into(), line },
            within: None,
        };
        let seen = [(spot("f", 1), 2), (spot("f", 2), 3), (spot("g", 9), 4)];
        assert_eq!(most(seen), Some((spot("f", 2), 5, 9)));
        assert_eq!(most([]), None);
    }
}
