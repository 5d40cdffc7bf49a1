//! Figures in sentences: two or three digits, and the unit that needs the fewest of them.

/// A time: `2.0 µs`, `12.1 ms`.
pub fn seconds(value: f64) -> String {
    match value {
        v if v >= 119.5 => format!("{:.0} min", v / 60.0),
        v if v >= 0.9995 => format!("{} s", digits(v)),
        v if v >= 0.9995e-3 => format!("{} ms", digits(v * 1e3)),
        v if v >= 0.9995e-6 => format!("{} µs", digits(v * 1e6)),
        v => format!("{:.0} ns", v * 1e9),
    }
}

/// An amount of memory: `312 B`, `76.3 MiB`.
pub fn bytes(value: f64) -> String {
    match value {
        v if v >= 1023.5 * 1048576.0 => format!("{} GiB", digits(v / 1073741824.0)),
        v if v >= 1023.5 * 1024.0 => format!("{} MiB", digits(v / 1048576.0)),
        v if v >= 999.5 => format!("{} KiB", digits(v / 1024.0)),
        v => format!("{v:.0} B"),
    }
}

/// A share of a whole: `97 %`.
pub fn share(value: f64) -> String {
    match value * 100.0 {
        v if v > 0.0 && v < 0.5 => "less than 1 %".to_owned(),
        v => format!("{v:.0} %"),
    }
}

/// A small number: `0.7`, `12`.
pub fn number(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// `1 thread`, `8 processes`.
pub fn workers(count: usize, backend: super::Backend) -> String {
    match (count, backend) {
        (_, super::Backend::Serial) => "one call after the other".to_owned(),
        (1, super::Backend::Threads) => "1 thread".to_owned(),
        (1, super::Backend::Processes) => "1 process".to_owned(),
        (1, super::Backend::Interpreters) => "1 interpreter".to_owned(),
        (_, backend) => format!("{count} {}", backend.name()),
    }
}

/// `1 call`, `1,000,000 calls`.
pub fn calls(count: f64) -> String {
    if count == 1.0 {
        return "1 call".to_owned();
    }
    if count >= 1e12 {
        return "very many calls".to_owned();
    }
    let plain = format!("{count:.0}");
    let mut grouped = String::with_capacity(plain.len() + plain.len() / 3);
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} calls")
}

fn digits(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
