//! Why a report could not be made.

/// Why a report could not be made. Messages are fragments that read after "failed to compare: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The text is not JSON, or not of the shape the report reads; the source says where.
    #[error("measurements are not of the shape that the report reads: {0}")]
    NotMeasurements(#[from] serde_json::Error),
}
