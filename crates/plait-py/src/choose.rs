//! The chooser and the climber as `plait._auto` asks them: JSON in, JSON out, and calls told one by one.

use plait_engine::chooser::{self, Choice};
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
