//! Benchmarks, by name.

mod backends;
mod cold;
mod document;
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
use document::Document;
use std::io::Write as _;
use std::path::PathBuf;

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
    /// Former results: two to compare, one for a picture, some for a page.
    pub(crate) files: Vec<PathBuf>,
}

/// The benchmarks there are.
pub(crate) const NAMES: [&str; 9] =
    ["cold", "warm", "backends", "human-eval", "scan", "wasm", "service", "queue", "events"];

/// What is done with former results.
pub(crate) const READERS: [&str; 3] = ["compare", "picture", "page"];

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
    if READERS.contains(&request.name.as_str()) {
        return of_files(request);
    }
    if let Some(file) = request.files.first() {
        let message = format!("the benchmark '{}' reads no file, such as {}", request.name, file.display());
        return Err(Error::new(ErrorKind::InvalidInput, "read the choices", message));
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
            Err(match nearest(other, NAMES.into_iter().chain(READERS)) {
                Some(name) => error.with_hint(format!("did you mean '{name}'?")),
                None => error.with_hint(format!("known: {}, {}", NAMES.join(", "), READERS.join(", "))),
            })
        }
    }
}

/// Compares or shows what benchmarks wrote before.
fn of_files(request: &Request) -> Result<()> {
    let documents = request.files.iter().map(|file| Document::read(file)).collect::<Result<Vec<_>>>()?;
    let text = match (request.name.as_str(), documents.as_slice()) {
        ("compare", [old, new]) => document::compare(old, new)?,
        ("picture", [one]) => document::picture(one),
        ("page", [_, ..]) => document::page(&documents),
        (name, _) => {
            let wanted = match name {
                "compare" => "two results: OLD.json NEW.json",
                "picture" => "one result: FILE.json",
                _ => "at least one result: FILE.json...",
            };
            return Err(Error::new(ErrorKind::InvalidInput, "read the choices", format!("'{name}' wants {wanted}"))
                .with_hint("make them with `crucible bench NAME --json`"));
        }
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| failed("write the result", "standard output can't be written").with_source(error))
}

fn failed(operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, operation, message)
}
