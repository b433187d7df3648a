//! Benchmarks, by name.

mod cold;
mod report;

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
}

/// The benchmarks there are.
pub(crate) const NAMES: [&str; 1] = ["cold"];

/// Runs a benchmark and writes its result to standard output.
///
/// # Errors
/// `NotFound` for an unknown name; else whatever keeps it from measuring.
pub(crate) fn run(request: &Request) -> Result<()> {
    match request.name.as_str() {
        "cold" => cold::run(request),
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
