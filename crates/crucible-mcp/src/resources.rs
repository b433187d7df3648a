//! Runs as resources: the whole record, each stream, and each file that was brought out.
//!
//! Invariant: an address names a run and a part of it, and nothing else is ever read for one.

use crate::runs::{Run, Runs};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_api::v1::Outcome;
use crucible_core::{Error, ErrorKind, Result};
use crucible_server::Caller;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde::Serialize;

/// What every address begins with.
const RUNS: &str = "crucible://runs/";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const BYTES: &str = "application/octet-stream";
/// What stands for itself in the path of a file.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The address of a run.
pub(crate) fn of_run(id: &str) -> String {
    format!("{RUNS}{id}")
}

/// The address of a file of a run.
pub(crate) fn of_file(id: &str, path: &str) -> String {
    format!("{RUNS}{id}/files/{}", utf8_percent_encode(path, PLAIN))
}

/// The record of a run, to be named in an answer or a list.
pub(crate) fn record(outcome: &Outcome) -> Resource {
    let language = outcome.language.as_deref().unwrap_or("command");
    Resource::new(of_run(&outcome.id), format!("run {}", outcome.id))
        .with_description(format!("The record of a run ({language}): how it ended, behaviour, findings, evidence"))
        .with_mime_type(JSON)
}

/// The runs that a caller may see, the latest first.
pub(crate) fn list(runs: &Runs, caller: &Caller) -> Vec<Resource> {
    runs.list(caller).iter().map(|run| record(&run.outcome)).collect()
}

/// What there is of each run.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let template = |path: &str, name: &str, description: &str, kind: &str| {
        ResourceTemplate::new(format!("{RUNS}{{run_id}}{path}"), name)
            .with_description(description)
            .with_mime_type(kind)
    };
    vec![
        template("", "run", "The record of a run, without the contents of its files", JSON),
        template("/stdout", "stdout", "All of its standard output that was kept", TEXT),
        template("/stderr", "stderr", "All of its standard error that was kept", TEXT),
        template("/behavior", "behavior", "What the host saw it do", JSON),
        template("/evidence", "evidence", "What it was protected by", JSON),
        template("/files/{+path}", "file", "A file that was brought out", BYTES),
    ]
}

/// Reads a resource.
///
/// # Errors
/// `NotFound`.
pub(crate) fn read(runs: &Runs, caller: &Caller, address: &str) -> Result<ReadResourceResult> {
    let missing = || {
        let shown: String = address.chars().take(200).collect();
        Error::new(ErrorKind::NotFound, "read the resource", format!("there is no resource {shown:?}"))
    };
    let below = address.strip_prefix(RUNS).ok_or_else(missing)?;
    let (id, part) = below.split_once('/').map_or((below, None), |(id, part)| (id, Some(part)));
    let run = runs.find(caller, id)?;
    let outcome = &run.outcome;
    let content = match part {
        None => json(address, &without_contents(&run))?,
        Some("stdout") => stream(address, &outcome.stdout, outcome.stdout_base64.as_deref()),
        Some("stderr") => stream(address, &outcome.stderr, outcome.stderr_base64.as_deref()),
        Some("behavior") => json(address, &outcome.behavior)?,
        Some("evidence") => json(address, &outcome.evidence)?,
        Some(part) => {
            let path = part.strip_prefix("files/").ok_or_else(missing)?;
            let path = percent_decode_str(path).decode_utf8().map_err(|_| missing())?;
            let file = outcome.files.iter().find(|file| file.path == path).ok_or_else(missing)?;
            file_content(address, &file.content_base64)
        }
    };
    Ok(ReadResourceResult::new(vec![content]))
}

/// The record without what has an address of its own and may be large.
fn without_contents(run: &Run) -> Outcome {
    let mut outcome = run.outcome.clone();
    for file in &mut outcome.files {
        file.content_base64.clear();
    }
    outcome
}

fn json(address: &str, value: &impl Serialize) -> Result<ResourceContents> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "write the resource", "the record can't be written").with_source(error)
    })?;
    Ok(ResourceContents::text(text, address).with_mime_type(JSON))
}

fn stream(address: &str, text: &str, exactly: Option<&str>) -> ResourceContents {
    match exactly {
        None => ResourceContents::text(text, address).with_mime_type(TEXT),
        Some(base64) => ResourceContents::blob(base64, address).with_mime_type(BYTES),
    }
}

fn file_content(address: &str, base64: &str) -> ResourceContents {
    match text_of(base64) {
        Some(text) => ResourceContents::text(text, address).with_mime_type(TEXT),
        None => ResourceContents::blob(base64, address).with_mime_type(BYTES),
    }
}

/// What base64 holds, where it is text.
pub(crate) fn text_of(base64: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(base64).ok()?).ok()
}
