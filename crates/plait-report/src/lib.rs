//! What plait says about measurements: figures, verdicts, terminal tables, JSON and pages.
//!
//! Data in, text out. Nothing here reads a clock, opens a file or knows Python, so the same measurements always
//! give the same text, byte for byte, and every claim of a verdict can be tested on figures made up for the purpose.
//!
//! ```
//! let json = r#"{
//!   "function": "primes.py:count_primes", "call_expr": "ITEMS", "items": 4, "rounds_planned": 1,
//!   "machine": {"cpus": 2, "python": "3.13.0", "gil": true, "plait": "0.1.0"},
//!   "runs": [
//!     {"backend": "serial", "workers": 1, "rounds": [{"seconds": 2.0, "cpu_seconds": 2.0}]},
//!     {"backend": "processes", "workers": 2, "rounds": [{"seconds": 1.0, "cpu_seconds": 2.0}]}
//!   ]}"#;
//! let comparison = plait_report::comparison_from_json(json)?;
//! assert_eq!(comparison.best().map(|row| row.backend.as_str()), Some("processes"));
//! assert_eq!(comparison.verdict().to_string(), "Use processes: 2.0x faster than serial on 2 workers.");
//! assert_eq!(
//!     comparison.code_line().as_deref(),
//!     Some(r#"results = list(plait.map(count_primes, ITEMS, backend="processes", workers=2))"#),
//! );
//! # Ok::<(), plait_report::ReportError>(())
//! ```
#![forbid(unsafe_code)]

mod calls;
mod colors;
pub mod comparison;
mod error;
pub mod export;
pub mod live;
#[cfg(test)]
mod made;
pub mod page;
mod picture;
mod plain_text;
mod rates;
mod scale;
pub mod sketch;
mod units;
pub mod verdicts;
mod wrap;

pub use comparison::{Comparison, Measurements};
pub use error::ReportError;

/// Reads the measurements that `plait compare` took and works out their comparison.
///
/// # Errors
///
/// [`ReportError::NotMeasurements`] when `json` is not JSON, or not of the shape of [`Measurements`].
pub fn comparison_from_json(json: &str) -> Result<Comparison, ReportError> {
    let measurements: Measurements = serde_json::from_str(json)?;
    Ok(Comparison::from(measurements))
}
