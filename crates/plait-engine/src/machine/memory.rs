//! How much memory a process has for itself alone.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Reads the private memory of a process, through a descriptor that it keeps: so a look takes a few microseconds, and
/// never sees another process that got the same id.
#[derive(Debug)]
pub struct MemoryReader {
    statm: File,
}

impl MemoryReader {
    /// `None` if there is no such process, or no descriptor for it.
    pub fn open(pid: i32) -> Option<Self> {
        Some(Self { statm: File::open(format!("/proc/{pid}/statm")).ok()? })
    }

    /// The private memory in bytes: what is resident less what is of files or shared memory, so that plait's own rings and
    /// blocks do not count. Pages that a forked process has not written to are counted, although it shares them with the
    /// process it was forked from. The kernel is some pages behind in its count, for each processor up to 64 or so.
    ///
    /// `None` if the process has ended.
    pub fn private(&self) -> Option<u64> {
        // Seven numbers of at most 20 digits.
        let mut text = [0; 160];
        let len = self.statm.read_at(&mut text, 0).ok()?;
        let pages = parse(std::str::from_utf8(&text[..len]).ok()?)?;
        pages.checked_mul(rustix::param::page_size() as u64)
    }
}

/// Resident less shared pages, from a line `size resident shared text lib data dt`.
pub(super) fn parse(line: &str) -> Option<u64> {
    let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (size, resident, shared) = (next()?, next()?, next()?);
    // A process that has ended and was not waited for has no memory, and its numbers are all zero.
    (size > 0).then(|| resident.saturating_sub(shared))
}

// Not under Miri: files.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn private_memory(pid: i32) -> Option<u64> {
        MemoryReader::open(pid)?.private()
    }

    #[test]
    fn a_line_is_read() {
        assert_eq!(parse("2342 1000 300 12 0 500 0\n"), Some(700));
        assert_eq!(parse("2342 100 300 12 0 500 0\n"), Some(0), "counts of different moments");
        for nonsense in ["", "1 2", "a b c", "0 0 0 0 0 0 0\n", "5 -3 1"] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn this_process_has_what_it_allocates() {
        let me = std::process::id() as i32;
        let before = private_memory(me).unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let gained = private_memory(me).unwrap().saturating_sub(before);
        assert!((60 << 20..72 << 20).contains(&gained), "{gained} bytes for a block of {}", block.len());
    }

    #[test]
    fn a_process_that_has_ended_has_none() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id() as i32;
        let reader = MemoryReader::open(pid).unwrap();
        assert!(private_memory(pid).unwrap() > 0);
        assert!(reader.private().unwrap() > 0);
        child.kill().unwrap();
        while private_memory(pid).is_some() {
            std::thread::yield_now();
        }
        assert_eq!(reader.private(), None);
        child.wait().unwrap();
        assert_eq!(reader.private(), None);
        assert_eq!(private_memory(pid), None);
        assert_eq!(private_memory(-1), None);
    }
}
