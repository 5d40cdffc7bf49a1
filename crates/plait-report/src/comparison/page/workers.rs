//! Speed-up against the number of workers, beside the line of as many times as there are workers.

use maud::{Markup, html};

use super::series::swatch;
use crate::comparison::{Comparison, Row};
use crate::scale::{Scale, percent, written};
use crate::units;

/// One backend's points: workers, and how many times faster than serial.
pub(in crate::comparison) struct Curve<'a> {
    pub row: &'a Row,
    pub look: usize,
    pub points: Vec<(usize, f64)>,
}

/// Backends of which more than one number of workers is known.
pub(in crate::comparison) fn curves<'a>(comparison: &'a Comparison, looks: &[usize]) -> Vec<Curve<'a>> {
    let Some(serial) = comparison.serial_seconds() else { return Vec::new() };
    let curve = |(row, &look): (&'a Row, &usize)| {
        let own = row.speedup.map(|speedup| (row.workers, speedup.median));
        let mut points: Vec<(usize, f64)> = row
            .scaling
            .iter()
            .map(|one| (one.workers, serial / one.seconds))
            .filter(|(n, _)| *n != row.workers)
            .collect();
        points.extend(own);
        points.sort_by_key(|(workers, _)| *workers);
        (points.len() > 1 && row.ran()).then_some(Curve { row, look, points })
    };
    comparison.rows().iter().zip(looks).filter_map(curve).collect()
}

/// The plot, or nothing where one number of workers was measured only.
pub(super) fn workers(comparison: &Comparison, looks: &[usize]) -> Option<Markup> {
    let curves = curves(comparison, looks);
    let most = curves.iter().flat_map(|curve| &curve.points).map(|(workers, _)| *workers).max()?;
    let highest = curves.iter().flat_map(|curve| &curve.points).map(|(_, speed)| *speed).fold(most as f64, f64::max);
    let scale = Scale::up_to(highest, 4);
    let across = |workers: usize| 2.0 + percent(workers as f64 - 1.0, (most - 1).max(1) as f64) * 0.96;
    let down = |speed: f64| 100.0 - scale.percent(speed);
    let mut named: Vec<usize> = curves.iter().flat_map(|curve| &curve.points).map(|(workers, _)| *workers).collect();
    named.sort_unstable();
    named.dedup();
    let line = |points: &[(usize, f64)]| {
        points.iter().map(|&(n, speed)| format!("{:.2},{:.2}", across(n), down(speed))).collect::<Vec<_>>().join(" ")
    };
    let told = |curve: &Curve<'_>| {
        let one = |(n, speed): &(usize, f64)| format!("{} with {}", units::times(*speed), units::count(*n, "worker"));
        format!("{}: {}", curve.row.backend, curve.points.iter().map(one).collect::<Vec<_>>().join(", "))
    };
    let described = curves.iter().map(told).collect::<Vec<_>>().join("; ");
    Some(html! {
        ul.legend {
            @for curve in &curves { li { (swatch(curve.look)) (curve.row.backend) } }
            li { svg.swatch width="22" height="14" viewBox="0 -7 22 14" aria-hidden="true" { line.reference x2="22" {} } "ideal" }
        }
        div.plot {
            div.y-axis aria-hidden="true" {
                @for &tick in &scale.ticks {
                    span style={ "bottom:" (written(scale.percent(tick))) } { @if tick == 0.0 { "0" } @else { (units::times(tick)) } }
                }
            }
            svg.field role="img" aria-label=(described) width="100%" height="100%" {
                @for &tick in &scale.ticks {
                    @let y = written(100.0 - scale.percent(tick));
                    line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                }
                svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%" {
                    polyline.ideal points=(line(&[(1, 1.0), (most, most as f64)])) {}
                }
                @for curve in &curves {
                    g class={ "series c" (curve.look) } {
                        svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%" { polyline points=(line(&curve.points)) {} }
                        @for &(n, speed) in &curve.points {
                            use href={ "#mark" (curve.look) } x=(written(across(n))) y=(written(down(speed))) {
                                title { (curve.row.backend) ", " (units::count(n, "worker")) ": " (units::times(speed)) }
                            }
                        }
                    }
                }
            }
            div.x-axis aria-hidden="true" {
                @for n in &named { span style={ "left:" (written(across(*n))) } { (n) } }
            }
        }
        p.axis-title { "workers; the last of each is the median of all rounds, the others are of one round each" }
    })
}
