//! `crucible attack`: the matrix of isolation properties against backends.

use super::runtime;
use crate::arguments::{AttackArguments, RangeArguments};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::signals::Signals;
use crucible::attack;
use crucible::compose;
use crucible::config::{Configuration, Environment};
use crucible_api::v1::AttackReport;
use crucible_attacks::report::{self, Arms, ProgressDisplay, SuiteProgress};
use crucible_attacks::{AttackSuite, Depth, Progress, scenario};
use crucible_core::{Error, ErrorKind, Policy, ReportContext, Result, SuiteResult, Verdict, overall};
use std::fmt::Write;
use std::path::Path;

/// Runs the suite and shows what it found.
///
/// # Errors
/// Crucible's own failures; a property that isn't held is a finding.
pub(crate) fn attack(arguments: &AttackArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &arguments.overrides())?;
    let scenarios = match &arguments.scenarios {
        Some(folder) => scenario::from_folder(folder)?,
        None => scenario::built_in()?,
    };
    let suite = AttackSuite::new(scenarios).only(&arguments.only, &arguments.group)?;
    if arguments.list {
        return output::data(&list(&suite));
    }
    let backends = arguments.backends(configuration.backend())?;
    // Before minutes are spent, not after.
    for path in arguments.junit.iter().chain(&arguments.html) {
        write(path, "")?;
    }
    let depth = if arguments.ablation { Depth::Layers } else { Depth::Verdicts };
    let runtime = runtime()?;
    let attacked = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let attack = async {
            let (mut suites, mut context) = (Vec::new(), attack::report_context(&configuration)?);
            for backend in backends {
                let policy = compose::policy(&configuration, backend)?;
                suites
                    .push(attack_one(&suite, backend, &policy, depth, arguments, &configuration, &mut context).await?);
            }
            Ok::<_, Error>(Ended::Attacked(suites, context))
        };
        tokio::select! {
            ended = attack => ended,
            // What was made is removed when it is dropped.
            number = signals.next() => Ok(Ended::Interrupted(number)),
        }
    });
    runtime.shutdown_background();
    let (suites, context) = match attacked? {
        Ended::Attacked(suites, context) => (suites, context),
        Ended::Interrupted(number) => return Ok(Exit::Interrupted(number)),
    };
    if let Some(path) = &arguments.junit {
        write(path, &report::junit(&suites, &context)?)?;
    }
    if let Some(path) = &arguments.html {
        write(path, &report::html(&suites, &context)?)?;
    }
    let shown = match arguments.format() {
        Format::Json => output::json(&AttackReport::new(&suites, &context))?,
        Format::Text => {
            let arms = if arguments.controls { Arms::Both } else { Arms::Protected };
            output::data(&report::table(&suites, &context, arms))?
        }
    };
    Ok(match (shown, overall(&suites)) {
        (Exit::Success, Verdict::Breached) => Exit::Breached,
        (Exit::Success, Verdict::Inconclusive | Verdict::NotApplicable) => Exit::Inconclusive,
        (shown, _) => shown,
    })
}

/// How the suite ended.
enum Ended {
    Attacked(Vec<SuiteResult>, ReportContext),
    /// A signal told us to stop.
    Interrupted(u8),
}

async fn attack_one(
    suite: &AttackSuite,
    backend: &str,
    policy: &Policy,
    depth: Depth,
    arguments: &AttackArguments,
    configuration: &Configuration,
    context: &mut ReportContext,
) -> Result<SuiteResult> {
    let display = ProgressDisplay::on_stderr();
    let show = |Progress { done, total, current }: &Progress| {
        let (backend, property) = (backend.to_owned(), current.clone());
        display.show(&SuiteProgress { done: *done, total: *total, property, backend });
    };
    let attacked = attack::attack(suite, backend, policy, depth, configuration, &show).await;
    display.finish();
    let (result, under_attack) = attacked?;
    // Only the whole default suite says anything about a run. What breached or proved nothing is attested as such.
    if arguments.is_whole_suite() {
        match compose::attest(configuration, under_attack.as_ref(), policy, &result).await {
            Ok(stored) => {
                context.attestations.insert(backend.to_owned(), stored.statement.id.to_string());
            }
            Err(error) => output::warning(&format!("nothing was attested: {}", output::chain(&error))),
        }
    }
    Ok(result)
}

fn list(suite: &AttackSuite) -> String {
    let mut text = String::new();
    for scenario in suite.scenarios() {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{:34} {}", scenario.id, scenario.statement);
    }
    text
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| {
        let message = format!("can't write {}", path.display());
        Error::new(ErrorKind::Io, "write a report", message).with_source(error)
    })
}

/// Serves the suite from inside a range.
///
/// # Errors
/// `Refused` anywhere else.
pub(crate) fn serve_in_range(arguments: &RangeArguments) -> Result<Exit> {
    let runtime = runtime()?;
    let served = runtime.block_on(attack::serve_in_range(&arguments.backend, &arguments.policy));
    runtime.shutdown_background();
    served.map(|()| Exit::Success)
}
