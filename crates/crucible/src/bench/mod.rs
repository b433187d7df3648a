//! Benchmarks, by name.

mod backends;
mod cold;
mod events;
mod human_eval;
mod queue;
mod report;
mod scan;
mod service;
mod warm;
mod wasm;

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
    /// The backend that HumanEval is run on; the jail without it.
    pub(crate) backend: Option<String>,
    /// What can be chosen for the scanner's benchmark; HumanEval's has downloads, too.
    pub(crate) scan: ScanOptions,
}

/// The benchmarks there are.
pub(crate) const NAMES: [&str; 9] =
    ["cold", "warm", "backends", "human-eval", "scan", "wasm", "service", "queue", "events"];

/// Runs a benchmark and writes its result to standard output.
///
/// # Errors
/// `NotFound` for an unknown name, `InvalidInput` for a choice that the benchmark doesn't have; else whatever keeps it from
/// measuring.
pub(crate) fn run(request: &Request) -> Result<()> {
    let (downloads, half) = (request.scan.downloads.is_some(), request.scan.half.is_some());
    for (flag, is_given, of) in [
        ("--downloads", downloads, &["scan", "human-eval"][..]),
        ("--half", half, &["scan"]),
        ("--backend", request.backend.is_some(), &["human-eval"]),
    ] {
        if is_given && !of.contains(&request.name.as_str()) {
            let message = format!("the benchmark '{}' has no choice of {flag}", request.name);
            return Err(Error::new(ErrorKind::InvalidInput, "read the choices", message)
                .with_hint(format!("{flag} is for `crucible bench {}`", of.join("` and `crucible bench "))));
        }
    }
    match request.name.as_str() {
        "cold" => cold::run(request),
        "warm" => warm::run(request),
        "backends" => backends::run(request),
        "human-eval" => human_eval::run(request),
        "scan" => scan::run(request),
        "service" => service::run(request),
        "wasm" => wasm::run(request),
        "queue" => queue::run(request),
        "events" => events::run(request),
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
