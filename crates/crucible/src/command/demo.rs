//! `crucible demo`: five things on a running service: a program, hostile programs, a queue under load, live monitoring, and
//! how the parts are.
//!
//! Invariant: every hostile sample bounds itself, reaches for nothing but loopback and paths that are no secret, and is only
//! ever sent to a backend that isolates.

use super::{client, runtime};
use crate::arguments::DemoArguments;
use crate::exit::Exit;
use crate::output;
use crucible_api::client::Client;
use crucible_api::v1::{Admission, Evaluation, EvaluationState, Outcome, SubmitEvaluation};
use crucible_core::{Error, ErrorKind, Result, TimeSpan};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;

const OPERATION: &str = "show the demonstration";
/// How long a result is waited for.
const PATIENCE: TimeSpan = TimeSpan::secs(120);
/// Evaluations of the queue under load.
const LOAD: usize = 40;

/// A program that wants what it shouldn't, within bounds of its own.
struct Sample {
    wants: &'static str,
    code: &'static str,
    policy: Option<&'static str>,
    limits: &'static [(&'static str, &'static str)],
}

const SAMPLES: [Sample; 6] = [
    Sample {
        wants: "to read who has an account here",
        code: "print(open('/etc/shadow').read()[:20])",
        policy: None,
        limits: &[],
    },
    Sample {
        wants: "to talk to a service of this machine",
        code: "import socket\nsocket.create_connection(('127.0.0.1', 9), timeout=1)",
        policy: None,
        limits: &[],
    },
    Sample {
        wants: "to start two hundred processes",
        code: "import os, time\nfor i in range(200):\n    if os.fork() == 0:\n        time.sleep(2); os._exit(0)\nprint('started them all')",
        policy: None,
        limits: &[("pids", "16")],
    },
    Sample {
        wants: "300 MiB of memory, of 64",
        code: "held = bytearray(300 << 20)\nfor i in range(0, len(held), 4096): held[i] = 1\nprint('has them')",
        policy: None,
        limits: &[("memory", "64MiB")],
    },
    Sample {
        wants: "never to end",
        code: "import time\nbegun = time.monotonic()\nwhile time.monotonic() - begun < 20: pass\nprint('ended by itself')",
        policy: None,
        limits: &[("timeout", "1s")],
    },
    Sample {
        wants: "what a strict policy doesn't even start",
        code: "import ctypes, socket\nctypes.CDLL(None).ptrace(0, 0, 0, 0)\nsocket.socket().connect(('127.0.0.1', 4444))\n__import__('os').system('cat /etc/shadow')",
        policy: Some("strict"),
        limits: &[],
    },
];

/// Shows it.
///
/// # Errors
/// What the service answers; `Refused` where it has nothing that isolates.
pub(crate) fn demo(arguments: &DemoArguments) -> Result<Exit> {
    let client = client::client(arguments.server.as_ref())?;
    let runtime = runtime()?;
    let shown = runtime.block_on(async {
        isolates(&client).await?;
        simple(&client).await?;
        hostile(&client).await?;
        load(&client).await?;
        live(&client).await?;
        parts(&client).await
    });
    runtime.shutdown_background();
    shown.map(|()| Exit::Success)
}

/// Refuses a service on which the samples would run without a wall.
async fn isolates(client: &Client) -> Result<()> {
    let backends = client.backends().await?.backends;
    if backends.iter().any(|backend| backend.in_use && backend.isolation != "none") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Refused, OPERATION, "the service has no backend in use that isolates")
        .with_hint("`crucible doctor` says what this machine lacks"))
}

fn say(text: &str) -> Result<()> {
    match output::data(&output::neutral(text))? {
        Exit::Success => Ok(()),
        _ => Err(Error::new(ErrorKind::Io, OPERATION, "nobody reads it")),
    }
}

fn title(number: u32, text: &str) -> Result<()> {
    say(&format!("\n{number}. {text}\n"))
}

async fn result(client: &Client, id: &str) -> Result<Evaluation> {
    let evaluation = client.evaluation(id, Some(PATIENCE)).await?;
    if evaluation.state.is_final() || evaluation.state == EvaluationState::Held {
        return Ok(evaluation);
    }
    Err(Error::new(ErrorKind::Infrastructure, OPERATION, format!("evaluation {id} has no result in time")))
}

fn outcome(evaluation: &Evaluation) -> Result<&Outcome> {
    evaluation.outcome.as_ref().ok_or_else(|| match &evaluation.failure {
        Some(failure) => failure.to_error(OPERATION),
        None => Error::new(ErrorKind::Infrastructure, OPERATION, "an evaluation has no outcome"),
    })
}

fn code(text: &str) -> SubmitEvaluation {
    // The service's own choice, which is never a backend that isolates nothing.
    let labels = [("demo".to_owned(), "yes".to_owned())].into();
    SubmitEvaluation {
        code: Some(text.to_owned()),
        language: Some("python".to_owned()),
        backend: Some("auto".to_owned()),
        labels,
        ..SubmitEvaluation::default()
    }
}

async fn simple(client: &Client) -> Result<()> {
    title(1, "A program")?;
    let request = code("import platform\nprint('hello from Python', platform.python_version(), '- 6 * 7 =', 6 * 7)");
    let evaluation = result(client, &client.submit(&request).await?.id).await?;
    let outcome = outcome(&evaluation)?;
    let active = outcome.evidence.layers.values().filter(|layer| layer.active).count();
    say(&format!("   {}", outcome.stdout))?;
    say(&format!(
        "   on {} behind {active} layers, {:.1} ms; result: {}; evidence: {}\n",
        outcome.backend,
        outcome.usage.wall_ms,
        client::word(&outcome.validity).replace('_', " "),
        outcome.evidence.attestation.as_deref().unwrap_or("none yet (`crucible attack` makes it)"),
    ))
}

async fn hostile(client: &Client) -> Result<()> {
    title(2, "Programs that want what they shouldn't")?;
    for sample in &SAMPLES {
        let mut request = code(sample.code);
        request.policy = sample.policy.map(str::to_owned);
        for (name, value) in sample.limits {
            let value = value.parse::<u64>().map_or_else(|_| (*value).into(), Into::into);
            request.limits.insert((*name).to_owned(), value);
        }
        let evaluation = result(client, &client.submit(&request).await?.id).await?;
        let (ending, why) = told(client, &evaluation).await?;
        say(&format!("   wants {:42} {ending}\n", sample.wants))?;
        if !why.is_empty() {
            say(&format!("         {why}\n"))?;
        }
    }
    Ok(())
}

/// How a hostile sample ended, and what stopped it. One that waits for a person is taken back: nobody is to be bothered with it.
async fn told(client: &Client, evaluation: &Evaluation) -> Result<(String, String)> {
    let reason = |admission: Option<&Admission>| {
        let reasons = admission.into_iter().flat_map(|admission| &admission.reasons);
        reasons.map(|reason| reason.message.clone()).next()
    };
    if evaluation.state == EvaluationState::Held {
        client.cancel(&evaluation.id).await?;
        return Ok((
            "held for a person to decide".to_owned(),
            reason(evaluation.admission.as_ref()).unwrap_or_default(),
        ));
    }
    let outcome = outcome(evaluation)?;
    let seen = outcome.behavior.iter().map(|seen| seen.message.clone()).find(|seen| !seen.is_empty());
    let last = outcome.stderr.lines().last().unwrap_or_default();
    let why = reason(outcome.admission.as_ref()).or(seen).unwrap_or_else(|| last.to_owned());
    Ok((client::ending(outcome), why))
}

async fn load(client: &Client) -> Result<()> {
    title(3, &format!("A queue under load: {LOAD} evaluations at once"))?;
    let requests = (0..LOAD).map(|number| code(&format!("print({number} ** 2)"))).collect();
    let begun = Instant::now();
    let accepted = client.submit_batch(requests).await?.results;
    let ids: Vec<_> = accepted.into_iter().filter_map(|one| one.accepted).map(|one| one.id).collect();
    let queue = client.queue().await?;
    say(&format!(
        "   accepted {} of them; {} wait, {} run, of at most {}\n",
        ids.len(),
        queue.waiting,
        queue.running,
        queue.most_running
    ))?;
    let bar = ProgressBar::new(u64::try_from(ids.len()).unwrap_or(u64::MAX));
    bar.set_style(
        ProgressStyle::with_template("   {bar:30} {pos}/{len}  {eta} to go")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut waited: Vec<f64> = Vec::new();
    for id in &ids {
        let evaluation = result(client, id).await?;
        waited.push(outcome(&evaluation)?.timings.queue_ms);
        bar.inc(1);
    }
    bar.finish_and_clear();
    waited.sort_by(f64::total_cmp);
    let took = begun.elapsed().as_secs_f64();
    let longest = waited.last().copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "so many aren't submitted")]
    let rate = ids.len() as f64 / took;
    say(&format!("   all of them in {took:.1} s, {rate:.0} a second; the last one waited {longest:.0} ms\n"))
}

async fn live(client: &Client) -> Result<()> {
    title(4, "Watching one as it goes")?;
    let request = code("import time\nfor step in range(3):\n    print('step', step, flush=True)\n    time.sleep(0.3)");
    let accepted = client.submit(&request).await?;
    let mut events = client.events(&accepted.id, 0).await?;
    let begun = Instant::now();
    while let Some(event) = events.next().await? {
        let text = event.data.get("text").and_then(serde_json::Value::as_str).unwrap_or_default();
        say(&format!("   {:7.3} s  {:18} {}\n", begun.elapsed().as_secs_f64(), event.kind, text.trim_end()))?;
    }
    Ok(())
}

async fn parts(client: &Client) -> Result<()> {
    title(5, "How its parts are")?;
    let list = client.components().await?;
    for part in &list.components {
        let mark = match (part.healthy, part.absent) {
            (true, _) => "✅",
            (false, true) => "➖",
            (false, false) => "❌",
        };
        say(&format!("   {mark} {}: {}/{}\n", part.component, part.passed, part.total))?;
    }
    for line in &list.unwell {
        say(&format!("   {line}\n"))?;
    }
    say(&format!("   the service is {}\n", if list.ready { "ready" } else { "not ready" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sample_reaches_beyond_loopback_or_runs_for_long() {
        for sample in &SAMPLES {
            for address in sample.code.split(['\'', '"']).filter(|text| text.parse::<std::net::IpAddr>().is_ok()) {
                assert!(address.parse::<std::net::IpAddr>().unwrap().is_loopback(), "{address}");
            }
            assert!(!sample.code.contains("while True") && !sample.code.contains("0.0.0.0"), "{}", sample.wants);
        }
    }
}
