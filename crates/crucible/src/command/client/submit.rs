//! `crucible submit`: programs of this machine, sent to a service.

use super::watch::{self, WhileHeld};
use super::{Asked, asked, client_of, exit, in_words};
use crate::arguments::{FileFlag, SubmitArguments};
use crate::command::runtime;
use crate::exit::Exit;
use crate::output::{self, Format};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_api::client::Client;
use crucible_api::v1::{Accepted, Evaluation, SubmitEvaluation, SubmittedFile};
use crucible_core::{Error, ErrorKind, Result, TimeSpan};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

const OPERATION: &str = "submit the program";
/// How many are submitted at once.
const BATCH: usize = 500;
/// The largest file that is sent. In base64, a service takes no larger body.
const LARGEST: u64 = 11 << 20;
/// Bytes of one batch; a service takes no body over 16 MiB.
const MOST_BYTES: usize = 15 << 20;
/// How long a request waits for a result, before it asks again.
const WAIT: TimeSpan = TimeSpan::secs(60);

/// Submits programs, and waits for what comes of them where that was asked for.
///
/// # Errors
/// What can't be read here, and what the service answers.
pub(crate) fn submit(arguments: &SubmitArguments) -> Result<Exit> {
    let requests = requests(arguments)?;
    let client = client_of(&arguments.server)?;
    let format = arguments.server.format();
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        if let [request] = requests.as_slice() {
            let accepted = client.submit(request).await?;
            return match (arguments.wait, format) {
                (false, Format::Json) => output::json(&accepted),
                (false, Format::Text) => output::data(&format!("{}\n", output::neutral(&accepted.id))),
                (true, Format::Text) => {
                    let ended = watch::follow(&client, &accepted.id, format, WhileHeld::Ends).await?;
                    if ended == Exit::Held {
                        let id = output::neutral(&accepted.id);
                        output::hint(&format!(
                            "the page of the service lets a reviewer decide; `crucible watch {id}` follows it then"
                        ));
                    }
                    Ok(ended)
                }
                (true, Format::Json) => {
                    let evaluation = result(&client, &accepted.id).await?;
                    let shown = output::json(&evaluation)?;
                    exit(&evaluation).map(|exit| if shown == Exit::Success { exit } else { shown })
                }
            };
        }
        many(&client, requests, arguments.wait, format).await
    });
    runtime.shutdown_background();
    done
}

async fn result(client: &Client, id: &str) -> Result<Evaluation> {
    loop {
        let evaluation = client.evaluation(id, Some(WAIT)).await?;
        if evaluation.state.is_final() || evaluation.state == crucible_api::v1::EvaluationState::Held {
            return Ok(evaluation);
        }
    }
}

/// Submits many, and ends well if all that could be said of them is good.
async fn many(client: &Client, requests: Vec<SubmitEvaluation>, wait: bool, format: Format) -> Result<Exit> {
    let (mut accepted, mut refused): (Vec<Accepted>, _) = (Vec::new(), None);
    let mut requests = requests;
    let mut name = 0_usize;
    while !requests.is_empty() {
        let rest = requests.split_off(in_one_batch(&requests));
        for one in client.submit_batch(requests).await?.results {
            name += 1;
            match (one.accepted, one.problem) {
                (Some(one), _) => accepted.push(one),
                (None, problem) => {
                    let message = problem.map_or_else(|| "nothing became of it".to_owned(), |problem| problem.detail);
                    output::warning(&format!("program {name} isn't accepted: {message}"));
                    refused = Some(Exit::Failed(ErrorKind::InvalidInput));
                }
            }
        }
        requests = rest;
    }
    let mut shown = Exit::Success;
    if !wait {
        for one in &accepted {
            shown = match format {
                Format::Json => output::json(one)?,
                Format::Text => output::data(&format!("{}\n", output::neutral(&one.id)))?,
            };
        }
        return Ok(if shown == Exit::Success { refused.unwrap_or(shown) } else { shown });
    }
    let bar = ProgressBar::new(u64::try_from(accepted.len()).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed} gone, {eta} to go");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut worst = refused;
    let mut good = 0_u64;
    for one in &accepted {
        let evaluation = result(client, &one.id).await?;
        let ended = exit(&evaluation).unwrap_or_else(|error| Exit::Failed(error.kind()));
        if ended.code() == 0 {
            good += 1;
        } else {
            worst = worst.or(Some(Exit::Unhealthy));
        }
        bar.set_message(format!("{good} ended well"));
        bar.inc(1);
        let told = bar.suspend(|| match format {
            Format::Json => output::json(&evaluation),
            Format::Text => {
                output::data(&in_words(&evaluation).lines().next().map(|line| format!("{line}\n")).unwrap_or_default())
            }
        })?;
        if told != Exit::Success {
            return Ok(told);
        }
    }
    bar.finish_and_clear();
    Ok(worst.unwrap_or(Exit::Success))
}

/// How many of these fit into one batch: one at least.
fn in_one_batch(requests: &[SubmitEvaluation]) -> usize {
    let mut bytes = 0_usize;
    let size = |request: &SubmitEvaluation| serde_json::to_vec(request).map_or(0, |text| text.len());
    let fitting = requests.iter().take(BATCH).take_while(|request| {
        bytes = bytes.saturating_add(size(request)).saturating_add(1);
        bytes <= MOST_BYTES
    });
    fitting.count().max(1)
}

/// What is sent, one request for each program.
fn requests(arguments: &SubmitArguments) -> Result<Vec<SubmitEvaluation>> {
    let common = common(arguments)?;
    if let Some(code) = &arguments.code {
        return Ok(vec![SubmitEvaluation { code: Some(code.clone()), language: arguments.language.clone(), ..common }]);
    }
    if arguments.files.len() > 1 && arguments.idempotency_key.is_some() {
        return Err(Error::new(ErrorKind::InvalidInput, OPERATION, "an idempotency key is for one program"));
    }
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let request = |file: &OsString| {
        let bytes = if file == "-" { read_all(std::io::stdin(), "standard input")? } else { read(Path::new(file))? };
        let (code, code_base64) = text_or_base64(bytes);
        let by_name = file.to_str().and_then(|name| configuration.languages().for_file(name)).map(|(name, _)| name);
        let language = arguments.language.clone().or(by_name);
        Ok(SubmitEvaluation { code, code_base64, language, ..common.clone() })
    };
    arguments.files.iter().map(request).collect()
}

fn common(arguments: &SubmitArguments) -> Result<SubmitEvaluation> {
    let mut request = SubmitEvaluation {
        label: arguments.label.clone(),
        labels: pairs(&arguments.labels, "--labels")?,
        env: pairs(&arguments.env, "--env")?,
        collect: arguments.collect.iter().map(ToString::to_string).collect(),
        files: arguments.inputs.iter().map(file).collect::<Result<_>>()?,
        priority: arguments.priority,
        delay: arguments.delay.map(|delay| delay.to_string()),
        idempotency_key: arguments.idempotency_key.clone(),
        ..SubmitEvaluation::default()
    };
    if let Some(path) = &arguments.stdin {
        (request.stdin, request.stdin_base64) = text_or_base64(read(Path::new(path))?);
    }
    let Asked { limits, backend, policy, network } = asked(&arguments.settings, OPERATION)?;
    Ok(SubmitEvaluation { limits, backend, policy, network, ..request })
}

fn pairs(texts: &[String], flag: &str) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::new(ErrorKind::InvalidInput, OPERATION, format!("{flag}: {text:?} isn't like NAME=VALUE"))),
    };
    texts.iter().map(pair).collect()
}

fn file(flag: &FileFlag) -> Result<SubmittedFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let (content, content_base64) = text_or_base64(read(&flag.source)?);
    let mode = std::fs::metadata(&flag.source).map(|metadata| metadata.permissions().mode()).unwrap_or(0);
    Ok(SubmittedFile { path: flag.destination.to_string(), content, content_base64, executable: mode & 0o111 != 0 })
}

fn text_or_base64(bytes: Vec<u8>) -> (Option<String>, Option<String>) {
    match String::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
        Error::new(kind, "open a file", format!("'{shown}' can't be opened")).with_source(error)
    })?;
    read_all(file, &format!("'{shown}'"))
}

fn read_all(from: impl std::io::Read, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = from.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::new(ErrorKind::Io, "read a file", format!("{what} can't be read")).with_source(error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "read a file",
            format!("{what} has more than {LARGEST} bytes"),
        ));
    }
    Ok(bytes)
}
