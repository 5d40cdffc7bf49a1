//! What the keys and the cells mean.

use plait_trace::State;

use super::canvas::Canvas;
use super::keys::Keys;
use super::palette::Role;

/// The line at the bottom.
pub(super) fn line(keys: &Keys) -> String {
    let (pause, idle) = (
        if keys.paused.is_some() { "p go on" } else { "p pause" },
        if keys.choice.hides_idle { "i show idle" } else { "i hide idle" },
    );
    let (sort, window) = (keys.choice.sort.word(), keys.window() / 1_000_000_000);
    format!("q quit  {pause}  s sort: {sort}  f filter  {idle}  +/- {window} s  w save  ? help")
}

/// What is worth a place in one line, by its state and in a word or two.
const SHORT: [(State, &str); 10] = [
    (State::HoldsPython, "Python"),
    (State::HoldsNative, "native"),
    (State::HoldsBlocked, "asleep"),
    (State::HoldsGc, "GC"),
    (State::Waits, "waits"),
    (State::Native, "no GIL"),
    (State::Runnable, "no CPU"),
    (State::Network, "I/O"),
    (State::Lock, "rests"),
    (State::Unknown, "unknown"),
];

/// The meaning of cells in one line.
pub(super) fn legend(canvas: &mut Canvas, y: u16) {
    let mut x = 0;
    for (state, word) in SHORT {
        let (symbol, style) = canvas.palette().cell(state);
        if x + 2 + word.len() as u16 > canvas.width() {
            break;
        }
        canvas.cell(x, y, symbol, style);
        canvas.text(x + 2, y, canvas.width(), word, Role::Quiet);
        x += word.len() as u16 + 3;
    }
}

const KEYS: [(&str, &str); 10] = [
    ("q, Esc, Ctrl-C", "quit"),
    ("p, space", "pause, go on"),
    ("s", "sort by GIL, waits, CPU, name"),
    ("f, /", "filter by name of thread, command, PID"),
    ("i", "hide or show idle threads"),
    ("+, -", "longer or shorter window"),
    ("w", "save the recording"),
    ("arrows, j, k", "scroll by a line"),
    ("PageUp, PageDown", "scroll by a page; Home, End"),
    ("?, h", "this help"),
];

/// All keys and all states, in the middle of the screen.
pub(super) fn overlay(canvas: &mut Canvas) {
    let lines = (KEYS.len() + 1 + State::ALL.len().div_ceil(2)) as u16;
    let (width, height) = (canvas.width().min(66), canvas.height().min(lines + 2));
    let (left, top) = ((canvas.width() - width) / 2, (canvas.height() - height) / 2);
    canvas.clear(left, top, width, height);
    canvas.text(left, top, width, &format!("┌{}┐", "─".repeat(usize::from(width).saturating_sub(2))), Role::Quiet);
    let bottom = top + height.saturating_sub(1);
    canvas.text(left, bottom, width, &format!("└{}┘", "─".repeat(usize::from(width).saturating_sub(2))), Role::Quiet);
    let inner = width.saturating_sub(4);
    for y in top + 1..bottom {
        canvas.text(left, y, 1, "│", Role::Quiet);
        canvas.text(left + width.saturating_sub(1), y, 1, "│", Role::Quiet);
    }
    for (y, (keys, what)) in (top + 1..bottom).zip(KEYS) {
        canvas.text(left + 2, y, inner, keys, Role::Verdict);
        canvas.text(left + 20, y, inner.saturating_sub(18), what, Role::Plain);
    }
    let rows = State::ALL.len().div_ceil(2);
    for (place, state) in State::ALL.into_iter().enumerate() {
        let y = top + 2 + (KEYS.len() + place % rows) as u16;
        let x = left + 2 + if place < rows { 0 } else { 32 };
        if y >= bottom {
            continue;
        }
        let (symbol, style) = canvas.palette().cell(state);
        let end = left + width.saturating_sub(2);
        if x < end {
            canvas.cell(x, y, symbol, style);
            canvas.text(x + 2, y, end.saturating_sub(x + 2), state.label(), Role::Plain);
        }
    }
}
