//! JSON that is written while it is made up, so that a long recording is never there twice.

use std::io::{self, Write};

use serde::Serialize;

/// A list whose entries are written one by one, each on a line of its own.
pub(super) struct List<W: Write> {
    out: W,
    is_empty: bool,
}

impl<W: Write> List<W> {
    /// Begins a list.
    pub(super) fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self { out, is_empty: true })
    }

    /// Writes the next entry.
    pub(super) fn put(&mut self, entry: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(self.next()?, entry)?;
        Ok(())
    }

    /// Where the next entry is to be written by hand.
    pub(super) fn next(&mut self) -> io::Result<&mut W> {
        self.out.write_all(if self.is_empty { b"\n" } else { b",\n" })?;
        self.is_empty = false;
        Ok(&mut self.out)
    }

    /// Ends the list.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"]" } else { b"\n]" })
    }
}

/// Writes a whole list.
pub(super) fn list<W: Write, T: Serialize>(out: W, entries: impl IntoIterator<Item = T>) -> io::Result<()> {
    let mut list = List::begin(out)?;
    entries.into_iter().try_for_each(|entry| list.put(&entry))?;
    list.end()
}
