//! The chooser and the climber as `plait._auto` asks them: JSON in, JSON out, and calls told one by one.

use std::sync::{Mutex, PoisonError};

use plait_engine::chooser::{self, Choice};
use plait_engine::climber;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Deserialize;

/// Reads what Python wrote, and says which of the arguments is not what it should be.
fn read<'de, T: Deserialize<'de>>(name: &str, json: &'de str) -> PyResult<T> {
    serde_json::from_str(json).map_err(|error| PyValueError::new_err(format!("{name}: {error}")))
}

fn write(choice: &Choice) -> PyResult<String> {
    serde_json::to_string(choice).map_err(|error| PyValueError::new_err(format!("choice: {error}")))
}

/// Where the remaining calls should go. Raises ValueError when an argument is of another shape.
#[pyfunction]
pub fn choose(figures: &str, machine: &str, bounds: &str) -> PyResult<String> {
    let (figures, machine) = (read("figures", figures)?, read("machine", machine)?);
    write(&chooser::choose(&figures, &machine, &read("bounds", bounds)?))
}

/// What should go on instead of `choice`, after so many switches; None when it should go on as it does. Raises
/// ValueError when an argument is of another shape.
#[pyfunction]
pub fn revise(choice: &str, figures: &str, machine: &str, bounds: &str, switches: u32) -> PyResult<Option<String>> {
    let (choice, figures): (Choice, _) = (read("choice", choice)?, read("figures", figures)?);
    let next = chooser::revise(&choice, &figures, &read("machine", machine)?, &read("bounds", bounds)?, switches);
    next.as_ref().map(write).transpose()
}

/// How many threads a run should have, found while it runs; any thread may tell it of calls.
#[pyclass(frozen, module = "plait._core")]
pub struct Climber(Mutex<climber::Climber>);

#[pymethods]
impl Climber {
    /// Begins with `width` and never has more than `most`; `alone` are the seconds of a call that was made alone. A width
    /// that an earlier run `found` is measured before any other.
    #[new]
    #[pyo3(signature = (width, most, alone=None, found=false))]
    fn new(width: usize, most: usize, alone: Option<f64>, found: bool) -> Self {
        Self(Mutex::new(climber::Climber::new(width, most, alone, found)))
    }

    /// Learns of a call that has ended, in seconds of one clock, and whether it was its thread's first; gives the width
    /// from now on.
    #[pyo3(signature = (started, ended, is_first=false))]
    fn on_call(&self, started: f64, ended: f64, is_first: bool) -> usize {
        // Held for some dozen nanoseconds and never while Python runs, so it is taken with the interpreter in hand.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).on_call(started, ended, is_first)
    }

    /// The width that a later run of the same calls should begin with.
    #[getter]
    fn found(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).found()
    }

    /// There may be so many at most from now on.
    fn allow(&self, most: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).allow(most);
    }

    /// Seconds of a call that queues behind no other, as far as is known.
    #[getter]
    fn alone(&self) -> Option<f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).alone()
    }

    /// Whether the width still grows by leaps: what it reaches by now says little of what it will.
    #[getter]
    fn leaps(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).leaps()
    }

    #[getter]
    fn width(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).width()
    }
}
