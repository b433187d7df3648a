//! What outlives a run, one folder per engine that keeps it.
