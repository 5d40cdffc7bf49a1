//! `plait top`: the pools of a running program, in a terminal, as text or as JSON.

use std::io::{Stdout, stdout};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plait_observe as observe;
use plait_report::live::Palette;
use plait_report::live::top::{self, TopView};
use plait_trace::top::Top;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::view::{Raw, has_hung_up, is_interrupt, trouble};

/// So often it is asked whether to go on.
const TURN: Duration = Duration::from_millis(100);

/// Looks at the pools of the program `pid`. Raises OSError where it has ended or may not be looked into.
#[pyclass(frozen, module = "plait._core")]
pub struct PoolLooker {
    looking: Mutex<Looking>,
}

struct Looking {
    looker: observe::Looker,
    seen: Top,
}

impl Looking {
    /// Looks once; false when the program has ended.
    fn look(&mut self) -> bool {
        self.looker.look().map(|seen| self.seen = seen).is_ok()
    }
}

impl PoolLooker {
    fn looking(&self) -> MutexGuard<'_, Looking> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PoolLooker {
    #[new]
    fn new(py: Python<'_>, pid: u32) -> PyResult<Self> {
        let looker = py.detach(|| observe::Looker::attach(pid));
        let looker = looker.map_err(|reason| PyOSError::new_err((None::<i32>, reason.to_string())))?;
        Ok(Self { looking: Mutex::new(Looking { looker, seen: Top::default() }) })
    }

    /// Looks once; False when the program has ended.
    fn look(&self, py: Python<'_>) -> bool {
        py.detach(|| self.looking().look())
    }

    /// Whether the program, or a process under it, has loaded plait, as of the last look.
    #[getter]
    fn uses_plait(&self) -> bool {
        self.looking().looker.uses_plait()
    }

    /// How many pools the last look found.
    #[getter]
    fn pools(&self) -> usize {
        self.looking().seen.pools.len()
    }

    /// What the last look found, as a table.
    fn text(&self) -> String {
        top::plain(&self.looking().seen)
    }

    /// The same as a JSON object.
    fn json(&self) -> PyResult<String> {
        top::json(&self.looking().seen).map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// Shows it in the terminal, which is as before when this returns or raises, with a look every `interval` seconds, until
    /// the user has enough, the program has ended, or `go_on()` is false, which is asked several times a second. Gives whether
    /// the program had not ended.
    fn show(&self, py: Python<'_>, interval: f64, go_on: &Bound<'_, PyAny>) -> PyResult<bool> {
        let interval = Duration::try_from_secs_f64(interval).unwrap_or(Duration::MAX);
        let go_on = go_on.clone().unbind();
        let go_on = || {
            Python::attach(|py| {
                py.check_signals()?;
                go_on.bind(py).call0()?.is_truthy()
            })
        };
        py.detach(|| {
            let raw = Raw::enter().map_err(|error| trouble(&error))?;
            let terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(|error| trouble(&error))?;
            let view = TopView::new(Palette::of(|name| std::env::var(name).ok()));
            let shown = Screen { terminal, view }.run(&mut self.looking(), interval, go_on);
            drop(raw);
            shown
        })
    }
}

struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    view: TopView,
}

impl Screen {
    fn run(mut self, looking: &mut Looking, interval: Duration, go_on: impl Fn() -> PyResult<bool>) -> PyResult<bool> {
        let mut looked = None::<Instant>;
        while go_on()? {
            if looked.is_none_or(|looked| looked.elapsed() >= interval) {
                looked = Some(Instant::now());
                if !looking.look() {
                    return Ok(false);
                }
                self.draw(&looking.seen)?;
            }
            if has_hung_up() {
                break;
            }
            let left = interval.saturating_sub(looked.map_or(Duration::ZERO, |looked| looked.elapsed()));
            if event::poll(left.min(TURN)).map_err(|error| trouble(&error))? {
                match event::read().map_err(|error| trouble(&error))? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        if is_interrupt(key) || self.view.key(key) {
                            break;
                        }
                        self.draw(&looking.seen)?;
                    }
                    Event::Resize(..) => self.draw(&looking.seen)?,
                    _ => {}
                }
            }
        }
        Ok(true)
    }

    fn draw(&mut self, seen: &Top) -> PyResult<()> {
        let view = &mut self.view;
        self.terminal.draw(|frame| view.draw(frame, seen)).map(drop).map_err(|error| trouble(&error))
    }
}

/// The programs of this user that have pools now: process, command line, how many pools.
#[pyfunction]
pub fn programs(py: Python<'_>) -> Vec<(u32, String, usize)> {
    py.detach(observe::programs)
}
