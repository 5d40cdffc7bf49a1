//! Figures as people read them: three significant digits, and the unit that needs the fewest of them.

/// The units of time, smallest first: length in seconds, and name.
const TIME: [(f64, &str); 6] = [(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h")];
/// The units of memory, smallest first: size in bytes, and name.
const MEMORY: [(f64, &str); 5] =
    [(1.0, "B"), (1024.0, "KiB"), (1048576.0, "MiB"), (1073741824.0, "GiB"), (1099511627776.0, "TiB")];

/// What stands where there is no figure.
pub(crate) const NONE: &str = "–";

/// A time: `850 µs`, `1.93 s`.
pub(crate) fn seconds(value: f64) -> String {
    let (size, name) = unit(&TIME, value);
    format!("{} {name}", digits(value / size))
}

/// From one time to another, in the unit of the longer: `1.90–2.05 s`.
pub(crate) fn seconds_range(low: f64, high: f64) -> String {
    let (size, name) = unit(&TIME, high);
    let (low, high) = (digits(low / size), digits(high / size));
    if low == high { format!("{high} {name}") } else { format!("{low}–{high} {name}") }
}

/// A round time on an axis that ends at `end`, in the end's unit and without digits that say nothing: `0.5 s`.
pub(crate) fn tick(value: f64, end: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let (size, name) = unit(&TIME, end);
    match value / size {
        v if v >= 1e6 => format!("{v:.1e} {name}"),
        v => format!("{} {name}", (v * 100.0).round() / 100.0),
    }
}

/// An amount of memory: `31.2 MiB`.
pub(crate) fn bytes(value: u64) -> String {
    let value = value as f64;
    let (size, name) = unit(&MEMORY, value);
    if size == 1.0 { format!("{value:.0} {name}") } else { format!("{} {name}", digits(value / size)) }
}

/// A share of a whole: `49 %`.
pub(crate) fn share(value: f64) -> String {
    match value * 100.0 {
        percent if percent > 0.0 && percent < 0.5 => "<1 %".to_owned(),
        percent if percent > 1e6 => ">1000000 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

/// How many times as much: `1.9x`, and two digits below one, where they matter: `0.96x`.
pub(crate) fn times(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{v:.0e}x"),
        v if v >= 9.95 => format!("{v:.0}x"),
        v if v >= 0.995 => format!("{v:.1}x"),
        v if v >= 0.005 || v == 0.0 => format!("{v:.2}x"),
        v => format!("{v:.0e}x"),
    }
}

/// A small number with one digit after the point, or none where that digit says nothing: `1.9`, `12`.
pub(crate) fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{v:.0e}"),
        v if v >= 9.95 => format!("{v:.0}"),
        v if v == 0.0 || v >= 0.95 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// `1 worker`, `2 workers`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The first unit in which `value` stays below a thousand once it is rounded; minutes and hours come later.
fn unit(units: &[(f64, &'static str)], value: f64) -> (f64, &'static str) {
    let fits = |&(size, name): &(f64, &'static str)| if name == "min" { 599.5 } else { 999.5 } > value / size;
    if value == 0.0 {
        return units.iter().copied().find(|&(size, _)| size == 1.0).unwrap_or(units[0]);
    }
    units.iter().copied().find(fits).unwrap_or(units[units.len() - 1])
}

/// Three significant digits, without the zeros that a zero would bring.
fn digits(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v >= 1e6 => format!("{v:.1e}"),
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_three_digits_and_never_round_into_the_next_unit() {
        for (value, text) in [
            (0.0, "0 s"),
            (2.5e-9, "2.50 ns"),
            (9.9999e-4, "1.00 ms"),
            (8.5e-4, "850 µs"),
            (0.04123, "41.2 ms"),
            (0.99951, "1.00 s"),
            (1.934, "1.93 s"),
            (9.996, "10.0 s"),
            (99.96, "100 s"),
            (1200.0, "20.0 min"),
            (36_000.0, "10.0 h"),
            (1e300, "2.8e296 h"),
        ] {
            assert_eq!(seconds(value), text, "{value}");
        }
    }

    #[test]
    fn a_range_has_one_unit() {
        assert_eq!(seconds_range(0.95, 1.204), "0.95–1.20 s");
        assert_eq!(seconds_range(0.95e-3, 1.204e-3), "0.95–1.20 ms");
        assert_eq!(seconds_range(1.0, 1.001), "1.00 s");
    }

    #[test]
    fn other_figures() {
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1024), bytes(32_715_571)],
            ["0 B", "1.00 KiB", "1.00 KiB", "31.2 MiB"]
        );
        assert_eq!([share(0.0), share(0.001), share(0.494), share(1.0)], ["0 %", "<1 %", "49 %", "100 %"]);
        assert_eq!([times(1.94), times(0.996), times(0.957), times(12.4)], ["1.9x", "1.0x", "0.96x", "12x"]);
        assert_eq!([number(1.94), number(0.5), number(9.96)], ["1.9", "0.50", "10"]);
        assert_eq!([count(1, "worker"), count(2, "worker")], ["1 worker", "2 workers"]);
    }
}
