//! Whether there can be a process or a thread that was not there before.
//!
//! `/proc/loadavg` ends with the number that the kernel gave out last: to a process or to a thread, in the namespace of who
//! reads it. While that stays the same there is nobody new, and no need to look through threads and children.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::Pid;

/// However sure it seems that nobody is new, lists are made again after so many turns.
const TURNS: u32 = 20;

/// The number that was given out last.
#[derive(Debug)]
pub(crate) struct Births {
    file: Option<File>,
}

impl Births {
    pub fn new() -> Self {
        Self { file: open() }
    }

    /// The last number, or `None` where it is not to be had.
    pub fn last(&self) -> Option<Pid> {
        let mut line = [0; 96];
        let length = self.file.as_ref()?.read_at(&mut line, 0).ok()?;
        last_number(&line[..length])
    }
}

/// Containers may be shown a file of another make, that is not up to date.
fn open() -> Option<File> {
    let file = File::open("/proc/loadavg").ok()?;
    (file.metadata().ok()?.dev() == fs::metadata("/proc").ok()?.dev()).then_some(file)
}

fn last_number(line: &[u8]) -> Option<Pid> {
    let word = line.trim_ascii_end().rsplit(|&byte| byte == b' ').next()?;
    std::str::from_utf8(word).ok()?.parse().ok().filter(|&number| number != 0)
}

/// A list of threads or processes, and whether it may lack somebody.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    last: Option<Pid>,
    /// Nobody was born between the last list and the one before: whoever had a number then is in it by now.
    settled: bool,
    turns: u32,
}

impl Listed {
    /// Whether a list made earlier is still all there is, now that `last` is the last number. If not, it is to be made now.
    ///
    /// A number is given out a moment before its owner can be found: the first list after a birth may lack it.
    pub fn is_whole(&mut self, last: Option<Pid>) -> bool {
        let same = last.is_some() && last == self.last;
        if same && self.settled && self.turns < TURNS {
            self.turns += 1;
            return true;
        }
        *self = Self { last, settled: same, turns: 0 };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_changes_the_last_number() {
        let births = Births::new();
        let before = births.last();
        Command::new("true").status().expect("true runs");
        assert!(before.is_none() || births.last() != before);
    }

    #[test]
    fn the_last_word_is_the_number() {
        assert_eq!(last_number(b"0.04 0.39 0.47 1/78 15560\n"), Some(15560));
        assert_eq!(last_number(b"0.00 0.00 0.00 0/0 0\n"), None, "nothing is counted there");
        assert_eq!(last_number(b""), None);
    }

    #[test]
    fn a_list_is_made_until_nobody_is_new() {
        let mut listed = Listed::default();
        let mut lists = |last: &[u32]| last.iter().map(|&last| !listed.is_whole(Some(last))).collect::<Vec<_>>();
        assert_eq!(lists(&[7, 7, 7, 7]), [true, true, false, false]);
        assert_eq!(lists(&[9, 9, 9]), [true, true, false]);
        assert_eq!(lists(&[10, 11, 11, 11]), [true, true, true, false]);
        let made = lists(&[11; 100]).iter().filter(|&&made| made).count();
        assert!((3..=8).contains(&made), "{made}");
    }

    #[test]
    fn where_nothing_is_known_a_list_is_always_made() {
        let mut listed = Listed::default();
        assert!((0..9).all(|_| !listed.is_whole(None)));
    }
}
