//! The file of a recording, which outlives whoever wrote it.
//!
//! ```text
//! "plait trace\n"   12 bytes
//! version           2 bytes: FORMAT
//! blocks            until the end of the file, each:
//!     length        4 bytes: how many bytes of contents follow
//!     check         4 bytes: CRC-32 of the contents
//!     contents      deflated: records one after another, each in postcard's encoding
//! ```
//!
//! Numbers are little-endian. A block holds whole records and is written at once, so a file whose writer was killed ends
//! in the midst of one block at most: all before it is read. The version changes whenever a record does; a reader
//! knows the versions up to its own and refuses newer ones.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::{Record, Recording, Sink};

/// The version of the format that is written here.
pub const FORMAT: u16 = 1;

const MAGIC: [u8; 12] = *b"plait trace\n";
/// Encoded records wait until there are so many bytes of them, or until they are to be flushed.
const BLOCK: usize = 64 << 10;
/// No block is as long as this: a length beyond it is rubbish. One record may be long, but not that long.
const LONGEST: usize = 64 << 20;

/// Writes a recording as it comes.
///
/// Dropped without [`Sink::flush`], it loses what it had not written yet.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    pending: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&FORMAT.to_le_bytes())?;
        out.flush()?;
        Ok(Self { out, pending: Vec::new() })
    }

    /// One block of any contents.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn put_contents(&mut self, contents: &[u8]) -> io::Result<()> {
        self.pending = contents.to_vec();
        self.put_block()
    }

    fn put_block(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut block = vec![0; 8];
        let mut deflate = DeflateEncoder::new(&mut block, Compression::fast());
        deflate.write_all(&self.pending)?;
        deflate.finish()?;
        self.pending.clear();
        let length = (block.len() - 8) as u32;
        let check = crc32fast::hash(&block[8..]);
        block[..4].copy_from_slice(&length.to_le_bytes());
        block[4..8].copy_from_slice(&check.to_le_bytes());
        self.out.write_all(&block)?;
        self.out.flush()
    }
}

impl<W: Write + Send> Sink for Writer<W> {
    fn take(&mut self, record: &Record) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.pending = postcard::to_extend(record, pending).map_err(io::Error::other)?;
        if self.pending.len() >= BLOCK { self.put_block() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.put_block()
    }
}

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It does not begin as one.
    #[error("it is no trace of plait's: it does not begin with {:?}", "plait trace")]
    NotATrace,
    /// It was written by a newer plait.
    #[error("it was written by a newer plait (format {version}; this one reads up to {FORMAT}): update plait")]
    Newer {
        /// The version it says.
        version: u16,
    },
    /// Its contents are not what was written.
    #[error("it is damaged after {at} bytes: {what}")]
    Damaged {
        /// Where the block begins.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a recording to its end, or to where its writer was cut off ([`Recording::cut`]).
///
/// # Errors
/// A [`ReadError`].
///
/// ```
/// use plait_trace::{Began, Record, Sink, Writer, read};
///
/// let mut file = Vec::new();
/// let mut writer = Writer::new(&mut file)?;
/// writer.take(&Record::Began(Began { what: "python a.py".into(), ..Began::default() }))?;
/// writer.flush()?;
/// let recording = read(file.as_slice()).expect("it was just written");
/// assert_eq!(recording.began.what, "python a.py");
/// # std::io::Result::Ok(())
/// ```
pub fn read(mut from: impl Read) -> Result<Recording, ReadError> {
    let mut head = [0; 14];
    if fill(&mut from, &mut head)? < head.len() || head[..12] != MAGIC {
        return Err(ReadError::NotATrace);
    }
    let version = u16::from_le_bytes([head[12], head[13]]);
    if version > FORMAT || version == 0 {
        return Err(ReadError::Newer { version });
    }
    let mut recording = Recording::default();
    let mut at = head.len() as u64;
    let mut contents = Vec::new();
    loop {
        let mut head = [0; 8];
        let got = fill(&mut from, &mut head)?;
        if got < head.len() {
            recording.cut = got > 0;
            return Ok(recording);
        }
        let [a, b, c, d, check @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let damaged = |what| ReadError::Damaged { at, what };
        if length > LONGEST {
            return Err(damaged("a block longer than any"));
        }
        contents.clear();
        // Read as it comes, so that a length alone takes no memory.
        if from.by_ref().take(length as u64).read_to_end(&mut contents)? < length {
            recording.cut = true;
            return Ok(recording);
        }
        if crc32fast::hash(&contents) != u32::from_le_bytes(check) {
            return Err(damaged("a block whose check does not hold"));
        }
        let mut plain = Vec::new();
        let inflated = DeflateDecoder::new(contents.as_slice()).take(LONGEST as u64 + 1).read_to_end(&mut plain);
        if inflated.is_err() || plain.len() > LONGEST {
            return Err(damaged("a block that cannot be inflated"));
        }
        let mut rest = plain.as_slice();
        while !rest.is_empty() {
            let (record, after) = postcard::take_from_bytes::<Record>(rest).map_err(|_| damaged("no record"))?;
            recording.put(&record).map_err(damaged)?;
            rest = after;
        }
        at += (head.len() + length) as u64;
    }
}

/// Reads until `bytes` are full or there is no more; tells how many there were.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < bytes.len() {
        match from.read(&mut bytes[got..]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests;
