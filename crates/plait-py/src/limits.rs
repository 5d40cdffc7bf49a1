//! What a call is held to: its time and its tries.

use std::time::Duration;

use pyo3::PyResult;
use pyo3::exceptions::PyValueError;

/// What calls are held to.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    /// How long each may take, from its start.
    pub timeout: Option<Duration>,
    /// Extra tries after an exception, a timeout or a dead worker.
    pub retries: u32,
}

impl Limits {
    /// From Python's numbers.
    ///
    /// # Errors
    /// ValueError: the timeout is not above zero.
    pub fn new(timeout: Option<f64>, retries: u32) -> PyResult<Self> {
        let timeout = match timeout {
            Some(seconds) if seconds.is_nan() || seconds <= 0.0 => {
                return Err(PyValueError::new_err("timeout must be more than 0 seconds, or None"));
            }
            // What is longer than a Duration is no limit.
            Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            None => None,
        };
        Ok(Self { timeout, retries })
    }
}
