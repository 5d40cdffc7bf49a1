//! The limits of this machine as Python sees them.

use plait_engine::budget::Budget;
use plait_engine::machine::{Bound as Limiter, CpuLimits, MemoryLimits, Processors, Rule, Variable};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// How many processors this process may really use.
#[pyfunction]
pub fn cpu_count() -> usize {
    plait_engine::machine::cpu_count()
}

/// How many physical cores the processors belong to that this process may run on.
#[pyfunction]
pub fn physical_cores() -> usize {
    plait_engine::machine::physical_cores()
}

/// How many worker processes a pool gets when nobody says, in a process that is nobody's worker.
#[pyfunction]
pub fn default_workers() -> usize {
    plait_engine::machine::default_workers()
}

/// How many bytes of memory could be taken now; None if nothing is known.
#[pyfunction]
pub fn memory_available() -> Option<u64> {
    known(plait_engine::machine::memory_available())
}

/// Everything that limits this process, as it is now.
///
/// `cpus` is `cpu_count()`, and `rule` what decided it: "affinity", "quota" or "variable". `affinity`: how many
/// processors the mask has. `quotas`: those that apply, each with its `file` and its `limit` in processors, the process's
/// own group first. `variable`: what PLAIT_MAX_WORKERS says, as a number, or as text if it is not usable, or None.
/// `physical`: the cores within the mask. `logical`: all processors of the machine. Memory is in bytes, None if unknown:
/// `memory_available`, `memory_total`, and `memory_limit`, which is None where only the machine's memory is the limit;
/// `memory_rule` is then None and else "group", "address space" or "promise", `memory_file` the group's file.
#[pyfunction]
pub fn machine(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let limits = CpuLimits::of_this_process();
    let processors = Processors::of_this_process();
    let memory = MemoryLimits::of_this_process();
    let told = PyDict::new(py);
    told.set_item("cpus", limits.count)?;
    let rule = match limits.rule {
        Rule::Affinity => "affinity",
        Rule::Quota => "quota",
        Rule::Variable => "variable",
    };
    told.set_item("rule", rule)?;
    told.set_item("affinity", limits.affinity)?;
    let quotas = PyList::empty(py);
    for group in &limits.quotas {
        let quota = PyDict::new(py);
        quota.set_item("file", group.file.to_string_lossy())?;
        quota.set_item("limit", group.quota.cpus())?;
        quotas.append(quota)?;
    }
    told.set_item("quotas", quotas)?;
    match limits.variable {
        Variable::Unset => told.set_item("variable", py.None())?,
        Variable::Workers(workers) => told.set_item("variable", workers)?,
        Variable::Unusable(text) => told.set_item("variable", text)?,
    }
    told.set_item("physical", processors.physical)?;
    told.set_item("logical", processors.logical)?;
    told.set_item("memory_available", known(memory.available()))?;
    told.set_item("memory_total", memory.total())?;
    let allowance = memory.allowance();
    let (rule, file) = match allowance.why {
        Limiter::Unknown | Limiter::Machine => (None, None),
        Limiter::Promise => (Some("promise"), None),
        Limiter::AddressSpace => (Some("address space"), None),
        Limiter::Group(file) => (Some("group"), Some(file)),
    };
    told.set_item("memory_limit", rule.map(|_| allowance.bytes))?;
    told.set_item("memory_rule", rule)?;
    told.set_item("memory_file", file.map(|file| file.to_string_lossy().into_owned()))?;
    Ok(told)
}

/// The directories of the control groups in which a controller, such as "cpu" or "pids", can limit this process, its own
/// first.
#[pyfunction]
pub fn control_groups(controller: &str) -> Vec<String> {
    let groups = plait_engine::machine::control_groups(controller);
    groups.iter().map(|group| group.to_string_lossy().into_owned()).collect()
}

/// How many bytes may be on their way to workers and back, and whether that was set.
///
/// # Errors
/// `ValueError`: `PLAIT_MEMORY_BUDGET` is no size.
#[pyfunction]
pub fn memory_budget() -> PyResult<(u64, bool)> {
    let budget = Budget::of_this_process().map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok((budget.limit, budget.is_set))
}

/// The engine's figure for nothing known is its largest number.
fn known(bytes: u64) -> Option<u64> {
    (bytes != u64::MAX).then_some(bytes)
}
