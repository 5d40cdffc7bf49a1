//! What each thread did, out of what looks at it showed.
