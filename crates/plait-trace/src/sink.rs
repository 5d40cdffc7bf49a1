//! Where records go.

use std::io;

use crate::Record;

/// Whatever takes records: a file, a recording in memory, a live view.
pub trait Sink: Send {
    /// Takes the next record.
    ///
    /// # Errors
    /// When it cannot be kept; then no more are sent.
    fn take(&mut self, record: &Record) -> io::Result<()>;

    /// Sees to it that what was taken so far survives the end of this process.
    ///
    /// # Errors
    /// When that fails.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Several at once: each takes every record. The first error ends it for all.
impl Sink for Vec<Box<dyn Sink>> {
    fn take(&mut self, record: &Record) -> io::Result<()> {
        self.iter_mut().try_for_each(|sink| sink.take(record))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.iter_mut().try_for_each(|sink| sink.flush())
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn take(&mut self, record: &Record) -> io::Result<()> {
        (**self).take(record)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }
}

/// For many hands: a live view reads what the observer writes.
impl<S: Sink> Sink for std::sync::Arc<std::sync::Mutex<S>> {
    fn take(&mut self, record: &Record) -> io::Result<()> {
        self.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take(record)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().unwrap_or_else(std::sync::PoisonError::into_inner).flush()
    }
}
