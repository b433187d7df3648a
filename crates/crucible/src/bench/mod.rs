//! Benchmarks, by name.

mod cold;
mod report;
mod scan;

pub(crate) use scan::{Half, Options as ScanOptions};

use crucible_core::{Error, ErrorKind, Result, nearest};

/// What a person asked to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Which benchmark.
    pub(crate) name: String,
    /// How many rounds; the benchmark's own number without it.
    pub(crate) rounds: Option<u32>,
    /// How the result is shown.
    pub(crate) format: crate::output::Format,
    /// What can be chosen for the scanner's benchmark alone.
    pub(crate) scan: ScanOptions,
}

/// The benchmarks there are.
pub(crate) const NAMES: [&str; 2] = ["cold", "scan"];

/// Runs a benchmark and writes its result to standard output.
///
/// # Errors
/// `NotFound` for an unknown name, `InvalidInput` for a choice that the benchmark doesn't have; else whatever keeps it from
/// measuring.
pub(crate) fn run(request: &Request) -> Result<()> {
    if request.name == "cold" && request.scan != ScanOptions::default() {
        let message = "the benchmark 'cold' has neither downloads nor halves";
        return Err(Error::new(ErrorKind::InvalidInput, "read the choices", message)
            .with_hint("--downloads and --half are for `crucible bench scan`"));
    }
    match request.name.as_str() {
        "cold" => cold::run(request),
        "scan" => scan::run(request),
        other => {
            let error = Error::new(ErrorKind::NotFound, "find the benchmark", format!("unknown benchmark {other:?}"));
            Err(match nearest(other, NAMES) {
                Some(name) => error.with_hint(format!("did you mean '{name}'?")),
                None => error.with_hint(format!("known: {}", NAMES.join(", "))),
            })
        }
    }
}

fn failed(operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, operation, message)
}
