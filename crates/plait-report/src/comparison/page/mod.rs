//! The comparison as one HTML page that loads nothing and runs nothing: plots are inline SVG, and its
//! Content-Security-Policy forbids the rest, so that what others wrote into names and errors can do no harm.

mod bars;
mod calls;
pub(in crate::comparison) mod lanes;
pub(in crate::comparison) mod series;
pub(in crate::comparison) mod workers;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Comparison;
use super::column::Column;
use super::row::Row;
use crate::colors;
use crate::plain_text::one_line;
use crate::units;

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

pub(super) fn page(comparison: &Comparison) -> String {
    let looks = series::looks(comparison);
    let function = one_line(&comparison.function);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { (function) " – plait compare" }
                style { (PreEscaped(STYLE)) (PreEscaped(colors::rules())) }
            }
            body {
                (series::marks())
                header { (headline(comparison, &function)) }
                main {
                    @if comparison.rows().is_empty() {
                        p.card { "There are no figures to show." }
                    } @else {
                        div.pair {
                            (card("Time", "median of the rounds; whiskers from the fastest to the slowest", bars::time(comparison, &looks)))
                            @if comparison.rows().iter().any(|row| row.speedup.is_some()) {
                                (card("Speed-up", "over serial; whiskers over the middle half of the rounds", bars::speed_up(comparison, &looks)))
                            }
                        }
                        @if let Some(lanes) = lanes::lanes(comparison, &looks) {
                            (card("Who ran when", "a lane for each thread in one round of each backend, all on one scale of time", lanes))
                        }
                        @if let Some(plot) = workers::workers(comparison, &looks) {
                            (card("More workers", "speed-up over serial by the number of workers", plot))
                        }
                        @if let Some(plot) = calls::calls(comparison, &looks) {
                            (card("Each call", "what a single call takes when others run beside it", plot))
                        }
                        (cost(comparison, &looks))
                        (figures(comparison, &looks))
                    }
                }
                footer { (method(comparison)) }
            }
        }
    };
    page.into_string()
}

fn headline(comparison: &Comparison, function: &str) -> Markup {
    let verdict = comparison.verdict();
    html! {
        p.brand { "plait compare" span.quiet { " · " } span.function { (function) } }
        h1 { (verdict.advice) }
        @if !verdict.reasons.is_empty() {
            p.lead { @for reason in &verdict.reasons { (reason) " " } }
        }
        @if let Some(line) = comparison.code_line() {
            pre.code aria-label="the line to paste" { code { (line) } }
        }
    }
}

fn card(title: &str, subtitle: &str, content: Markup) -> Markup {
    html! {
        section.card {
            h2 { (title) }
            p.subtitle { (subtitle) }
            (content)
        }
    }
}

/// What a backend costs: four small plots, of which those without any figure are left out.
fn cost(comparison: &Comparison, looks: &[usize]) -> Markup {
    type Plot = (&'static str, &'static str, fn(&Row) -> Option<f64>, fn(f64) -> String, f64);
    let cpus = comparison.machine.cpus as f64;
    let plots: [Plot; 4] = [
        ("Start-up", "until calls can run", |row| row.startup_seconds, units::seconds, 0.0),
        ("Memory", "parent and workers, PSS", |row| row.pss_bytes.map(|b| b as f64), |b| units::bytes(b as u64), 0.0),
        ("Cores used", "CPU time over time", |row| row.cores, units::number, cpus),
        ("GIL wait", "while wanting to run", |row| row.gil_wait, units::share, 1.0),
    ];
    let shown = |(_, _, figure, _, _): &Plot| comparison.rows().iter().any(|row| row.ran() && figure(row).is_some());
    let plots: Vec<Plot> = plots.into_iter().filter(shown).collect();
    html! {
        @if !plots.is_empty() {
            div.four {
                @for (title, subtitle, figure, text, whole) in plots {
                    (card(title, subtitle, html! { div.small { (bars::small(comparison, looks, figure, text, whole)) } }))
                }
            }
        }
    }
}

fn figures(comparison: &Comparison, looks: &[usize]) -> Markup {
    html! {
        section.card {
            h2 id="figures" { "Figures" }
            div.scroll tabindex="0" role="region" aria-labelledby="figures" {
                table {
                    caption.unseen { "Figures of each backend, medians of the rounds" }
                    thead {
                        tr {
                            th scope="col" { "backend" }
                            @for column in Column::ALL { th scope="col" title=(column.meaning()) { (column.head()) } }
                        }
                    }
                    tbody {
                        @for (index, (row, look)) in comparison.rows().iter().zip(looks).enumerate() {
                            tr class=[(comparison.best == Some(index)).then_some("best")] {
                                th scope="row" {
                                    (series::swatch(*look)) (row.name())
                                    @if comparison.best == Some(index) { span.tag { "best" } }
                                    @if row.peer { span.tag.peer-tag { "peer" } }
                                }
                                @match row.error_line() {
                                    Some(error) => td.error colspan=(Column::ALL.len()) { (error) },
                                    None => @for column in Column::ALL { td { (column.cell(row)) } },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn method(comparison: &Comparison) -> Markup {
    let machine = &comparison.machine;
    let gil = if machine.gil { "with the GIL" } else { "free-threaded, no GIL" };
    let rounds = comparison.rounds();
    html! {
        dl {
            div { dt { "Function" } dd { (one_line(&comparison.function)) } }
            @if let Some(file) = &comparison.file { div { dt { "File" } dd { (one_line(file)) } } }
            div { dt { "Items" } dd { (comparison.items) } }
            div {
                dt { "Rounds" }
                dd { (rounds) @if comparison.rounds_planned > rounds { " of " (comparison.rounds_planned) " planned" } }
            }
            div {
                dt { "Cores" }
                dd { (machine.cpus) @if let Some(model) = &machine.cpu_model { span.quiet { " · " (one_line(model)) } } }
            }
            div { dt { "Python" } dd { (one_line(&machine.python)) span.quiet { " · " (gil) } } }
            div { dt { "plait" } dd { (one_line(&machine.plait)) } }
        }
        h2 { "How it was measured" }
        p {
            "Each round maps all items on one backend; rounds of the backends take turns, so that all meet the same state of "
            "the machine. Figures are medians of the rounds, and a call's time is the mean of all calls. "
            "Speed-up is serial's time over the backend's, round by round, and then the median. "
            "A backend counts as faster than another when it is so by 5 % in the median of the rounds and still is in their "
            "lower quartile (with fewer than three rounds: by 20 %), start-up included; among equals the simpler is best: serial, then "
            "threads, then processes. Start-up is not part of the time shown."
        }
    }
}
