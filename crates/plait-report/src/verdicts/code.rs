//! Places in Python code: which of the calls a thread was in is the user's own.

use std::collections::BTreeMap;
use std::fmt;

use plait_trace::{Frame, FrameKey, Recording};
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
    /// The file as people call it: its name, and for packages the folder, too.
    pub fn short_file(&self) -> String {
        let mut parts: Vec<&str> = self.file.rsplit('/').take(2).collect();
        if is_users(&self.file) && !self.file.ends_with("/__init__.py") && !self.file.ends_with("/__main__.py") {
            parts.truncate(1);
        }
        // `selectors.py` needs no folder: that is the standard library's own.
        if parts.last().is_some_and(|folder| folder.starts_with("python3")) {
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

/// The places of a recording, each looked into once.
#[derive(Debug)]
pub(crate) struct Code<'a> {
    recording: &'a Recording,
    /// By frame: whether it is the user's own.
    is_users: Vec<bool>,
}

/// A spot by its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SpotKey {
    place: FrameKey,
    within: Option<FrameKey>,
}

impl SpotKey {
    /// The line of the user's own code alone.
    pub fn line(self) -> Self {
        Self { within: None, ..self }
    }
}

impl<'a> Code<'a> {
    pub fn of(recording: &'a Recording) -> Self {
        Self { recording, is_users: recording.frames.iter().map(|frame| is_users(&frame.file)).collect() }
    }

    /// What is known of a frame; absent for one that no record describes.
    pub fn frame(&self, key: FrameKey) -> Option<&'a Frame> {
        self.recording.frames.get(key.index())
    }

    pub fn is_users(&self, key: FrameKey) -> bool {
        self.is_users.get(key.index()).copied().unwrap_or(false)
    }

    /// Out of the calls a thread was in, the innermost first.
    pub fn spot(&self, frames: &[FrameKey]) -> Option<SpotKey> {
        let innermost = *frames.first()?;
        self.frame(innermost)?;
        match frames.iter().position(|frame| self.is_users(*frame)) {
            None | Some(0) => Some(SpotKey { place: innermost, within: None }),
            Some(own) => Some(SpotKey { place: frames[own], within: Some(innermost) }),
        }
    }

    pub fn show(&self, key: SpotKey) -> Option<Spot> {
        let place = |key| {
            let frame = self.frame(key)?;
            Some(Place { function: frame.function.clone(), file: frame.file.clone(), line: frame.line })
        };
        Some(Spot { place: place(key.place)?, within: key.within.and_then(place) })
    }

    /// The most frequent of several spots: of the function that was seen most often, the spot seen most often; how often the
    /// function was seen; and how many spots there were.
    pub fn most(&self, spots: impl IntoIterator<Item = SpotKey>) -> Option<(SpotKey, u64, u64)> {
        let mut numbers: BTreeMap<SpotKey, u64> = BTreeMap::new();
        for spot in spots {
            *numbers.entry(spot).or_default() += 1;
        }
        let mut functions: BTreeMap<(&str, &str), (u64, SpotKey, u64)> = BTreeMap::new();
        let mut all = 0;
        for (&spot, &number) in &numbers {
            let Some(frame) = self.frame(spot.place) else { continue };
            all += number;
            let function = functions.entry((&frame.file, &frame.function)).or_insert((0, spot, 0));
            function.0 += number;
            if number > function.2 {
                (function.1, function.2) = (spot, number);
            }
        }
        // Among equals the first by name, so that the same recording always gives the same text.
        let (number, spot, _) =
            functions.into_values().reduce(|most, next| if next.0 > most.0 { next } else { most })?;
        Some((spot, number, all))
    }
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
        assert_eq!(place("/usr/lib/python3.13/selectors.py", 1), "f (selectors.py:1)");
    }

    #[test]
    fn the_most_frequent_function_wins_and_its_most_frequent_line_is_named() {
        let mut recording = Recording::default();
        for (number, (function, line)) in [("f", 1), ("f", 2), ("g", 9)].into_iter().enumerate() {
            let key = FrameKey(number as u32);
            recording.frames.push(Frame { key, function: function.into(), file: "a.py".into(), line });
        }
        let code = Code::of(&recording);
        let spot = |frame| code.spot(&[FrameKey(frame)]);
        let seen = [(0, 2), (1, 3), (2, 4)].map(|(frame, times)| vec![spot(frame).expect("known"); times]).concat();
        assert_eq!(code.most(seen), Some((spot(1).expect("known"), 5, 9)));
        assert_eq!(code.most([]), None);
        assert_eq!(spot(7), None);
    }

    #[test]
    fn the_innermost_call_of_the_users_own_is_named_and_what_it_is_in() {
        let mut recording = Recording::default();
        let files = ["/usr/lib/python3.13/json/__init__.py", "/srv/app.py", "<frozen runpy>"];
        for (number, file) in files.into_iter().enumerate() {
            let key = FrameKey(number as u32);
            recording.frames.push(Frame { key, function: "f".into(), file: file.into(), line: 1 });
        }
        let code = Code::of(&recording);
        let shown = |frames: &[u32]| {
            let frames: Vec<FrameKey> = frames.iter().map(|&frame| FrameKey(frame)).collect();
            code.spot(&frames).and_then(|spot| code.show(spot)).map(|spot| spot.to_string())
        };
        assert_eq!(shown(&[0, 1, 2]).as_deref(), Some("f (app.py:1), in f (json/__init__.py:1)"));
        assert_eq!(shown(&[1, 2]).as_deref(), Some("f (app.py:1)"));
        assert_eq!(shown(&[0, 2]).as_deref(), Some("f (json/__init__.py:1)"));
        assert_eq!(shown(&[]), None);
    }
}
