//! The promises of the chooser.

use super::*;

#[test]
fn nothing_known_is_serial() {
    let choice = choose(&Figures::default(), &Machine::default(), &Bounds::default());
    assert_eq!(choice.backend, Backend::Serial);
}
