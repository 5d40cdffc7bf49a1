//! `WorkerDied` and `TaskTimeout`, made of what the engine knows of a worker's end: one line that names the cause, the
//! figures as attributes, what the worker left behind as notes.

use plait_engine::nursery::Exit;
use plait_engine::pool::{Loss, MemoryCause, TimedOut};
use pyo3::intern;
use pyo3::prelude::*;

use crate::codec;

/// The error of a call whose worker died.
pub fn worker_died(py: Python<'_>, loss: &Loss) -> PyErr {
    made(py, "WorkerDied", &died(loss), |error| {
        let (exitcode, signal) = match loss.exit {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal(signal) => (Some(-signal), Some(signal)),
            Exit::Unknown => (None, None),
        };
        error.setattr(intern!(py, "task"), task(&loss.function))?;
        error.setattr(intern!(py, "pid"), loss.pid)?;
        error.setattr(intern!(py, "exitcode"), exitcode)?;
        error.setattr(intern!(py, "signal"), signal)?;
        error.setattr(intern!(py, "tries"), loss.tries)?;
        error.setattr(intern!(py, "peak_memory"), loss.peak)?;
        let short = matches!(loss.memory, MemoryCause::OutOfMemory | MemoryCause::OverLimit { .. });
        error.setattr(intern!(py, "out_of_memory"), short)?;
        if let MemoryCause::OverLimit { limit, .. } = loss.memory {
            error.setattr(intern!(py, "memory_limit"), limit)?;
        }
        error.setattr(intern!(py, "stack"), loss.stack.as_deref())?;
        error.setattr(intern!(py, "output"), &loss.output)?;
        note_stack(error, loss.stack.as_deref())?;
        if !loss.output.is_empty() {
            note(error, "the last it printed:", &loss.output)?;
        }
        Ok(())
    })
}

/// The error of a call that took too long on a process.
pub fn timed_out(py: Python<'_>, late: &TimedOut) -> PyErr {
    let seconds = late.timeout.as_secs_f64();
    let name = task(&late.function).unwrap_or("the call");
    let message =
        format!("{name} took longer than its timeout of {seconds} s{} and was stopped", in_each_try(late.tries));
    let error = made(py, "TaskTimeout", &message, |error| {
        error.setattr(intern!(py, "timeout"), seconds)?;
        error.setattr(intern!(py, "task"), task(&late.function))?;
        error.setattr(intern!(py, "pid"), late.pid)?;
        error.setattr(intern!(py, "tries"), late.tries)?;
        error.setattr(intern!(py, "stack"), late.stack.as_deref())?;
        note_stack(error, late.stack.as_deref())
    });
    if let Some(bytes) = late.raised.as_ref().and_then(|raised| raised.bytes().ok()) {
        let raised = codec::decode_exception(py, bytes);
        // What it had printed, for `plait.Future.stdout`.
        let printed = intern!(py, "_plait_printed");
        if let Ok(texts) = raised.value(py).getattr(printed) {
            let _ = error.value(py).setattr(printed, texts);
        }
        // Where it was when it was stopped.
        error.set_cause(py, raised.cause(py));
    }
    error
}

fn made(py: Python<'_>, class: &str, message: &str, furnish: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>) -> PyErr {
    let made = py.import(intern!(py, "plait._errors")).and_then(|module| {
        let error = module.getattr(class)?.call1((message,))?;
        furnish(&error)?;
        Ok(error)
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

fn note(error: &Bound<'_, PyAny>, title: &str, text: &str) -> PyResult<()> {
    let lines: String = text.lines().map(|line| format!("\n  {line}")).collect();
    error.call_method1(intern!(error.py(), "add_note"), (format!("{title}{lines}"),))?;
    Ok(())
}

fn note_stack(error: &Bound<'_, PyAny>, stack: Option<&str>) -> PyResult<()> {
    stack.map_or(Ok(()), |stack| note(error, "where the worker was:", stack.trim_end()))
}

fn task(function: &str) -> Option<&str> {
    (!function.is_empty()).then_some(function)
}

fn in_each_try(tries: u32) -> String {
    if tries > 1 { format!(", in each of {tries} tries,") } else { String::new() }
}

fn died(loss: &Loss) -> String {
    let how = match loss.exit {
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(signal) => match signal_name(signal) {
            Some(name) => format!("was killed by signal {signal} ({name})"),
            None => format!("was killed by signal {signal}"),
        },
        Exit::Unknown => "ended".to_owned(),
    };
    let name = task(&loss.function).unwrap_or("this task");
    let tries = in_each_try(loss.tries);
    let tries = tries.trim_end_matches(',');
    let memory = match loss.memory {
        MemoryCause::None => String::new(),
        MemoryCause::OutOfMemory => {
            let peak = loss.peak.map_or_else(String::new, |peak| format!("; it used up to {}", bytes(peak)));
            format!(": the kernel's OOM killer ended it because memory ran out{peak}")
        }
        MemoryCause::Overwritten => ": it wrote over its shared memory (the call, or a C extension that it used, \
             wrote through a wild pointer)"
            .to_owned(),
        MemoryCause::OverLimit { limit, used } => {
            format!(": it used {} of memory, over the limit of {} for a worker", bytes(used), bytes(limit))
        }
    };
    format!("the worker process {} {how} while it ran {name}{tries}{memory}", loss.pid)
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// A size as people read it.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}
