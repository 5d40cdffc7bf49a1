//! What states look like on pages and in pictures.
//!
//! Those that matter have the colours of Okabe and Ito ("Color Universal Design", 2008), which people with any kind of colour
//! vision tell apart, a little stronger in the dark; those in which a thread rests are pale, each lighter or darker than its
//! neighbours in the legend.

use plait_trace::State;

/// The colour of a state on light and on dark ground, as `#rrggbb`.
pub(crate) const fn of(state: State) -> (&'static str, &'static str) {
    match state {
        State::HoldsPython | State::Attached => ("#009e73", "#12b587"),
        State::HoldsNative => ("#d55e00", "#f0701a"),
        State::HoldsBlocked => ("#b5558c", "#d77fb0"),
        State::HoldsGc => ("#d9c400", "#f0e442"),
        State::Waits => ("#f2a93b", "#e69f00"),
        State::HandsOff => ("#f7d08a", "#a8740a"),
        State::Native | State::Detached => ("#0072b2", "#4aa3df"),
        State::Runnable => ("#3a3f47", "#c6ccd4"),
        State::Network => ("#b7d3e8", "#2f4a60"),
        State::Disk => ("#dcc9a8", "#544a36"),
        State::Poll => ("#d5dde4", "#2b333c"),
        State::Sleep => ("#e6eaee", "#242a31"),
        State::Lock => ("#cfc4e0", "#40385a"),
        State::Child => ("#d3dcc3", "#3a4431"),
        State::Unknown => ("#f1f3f5", "#1d2228"),
    }
}

/// Rules of a style sheet that give what has the class of a state (`s-waits`) its colour.
pub(crate) fn rules() -> String {
    let one = |color: fn(State) -> &'static str| {
        let rule = |state: State| format!(".s-{} {{ --s: {} }} ", state.word(), color(state));
        State::ALL.map(rule).concat()
    };
    format!(
        "[class^=s-], [class*=' s-'] {{ fill: var(--s); background: var(--s) }} {}@media (prefers-color-scheme: dark) {{ {}}}",
        one(|state| of(state).0),
        one(|state| of(state).1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2).
    fn luminance(color: &str) -> f64 {
        let part = |at: usize| u8::from_str_radix(&color[at..at + 2], 16).expect("hexadecimal");
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(part(1)) + 0.7152 * linear(part(3)) + 0.0722 * linear(part(5))
    }

    #[test]
    fn who_has_the_gil_stands_out_from_who_rests_by_lightness_alone() {
        let contrast = |a: f64, b: f64| (a.max(b) + 0.05) / (a.min(b) + 0.05);
        for rests in State::ALL.into_iter().filter(|state| state.is_blocked()) {
            for acts in [State::HoldsPython, State::HoldsNative, State::Native, State::Runnable] {
                let (light, dark) = (of(acts), of(rests));
                assert!(contrast(luminance(light.0), luminance(dark.0)) > 1.7, "{acts} {rests}");
                assert!(contrast(luminance(light.1), luminance(dark.1)) > 1.7, "{acts} {rests}");
            }
        }
    }
}
