//! `crucible doctor`: what this machine can and can't enforce, with the mend for each.

mod cgroups;
mod table;

use super::runtime;
use crate::arguments::DoctorArguments;
use crate::exit::Exit;
use crate::output::{self, Format};
use cgroups::ControlGroups;
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_api::v1::{BackendReport, DoctorReport, ProblemDetail, RulesInForce, UnavailableBackend};
use crucible_core::{Error, Result};
use crucible_scan::RuleSet;
use serde::Serialize;

/// Everything that the doctor found.
#[derive(Debug, Serialize)]
struct Diagnosis {
    #[serde(flatten)]
    report: DoctorReport,
    /// The backend that is used where none is named.
    default_backend: String,
    /// Why the default backend can't run with the policy in force, if it can't.
    default_backend_problem: Option<ProblemDetail>,
    control_groups: ControlGroups,
    languages: Vec<LanguageReport>,
    scanner: ScannerReport,
}

/// What programs are looked at with before they run.
#[derive(Debug, Serialize)]
struct ScannerReport {
    /// The rules; `null` where the configuration names some that can't be used.
    rules: Option<RulesInForce>,
    /// Folders and files of rules that the configuration adds.
    folders: Vec<String>,
    /// Why the rules can't be used.
    problem: Option<ProblemDetail>,
}

/// One language on this machine.
#[derive(Debug, Serialize)]
struct LanguageReport {
    name: String,
    title: String,
    /// Its interpreter; `null` where none was found, and for a language that needs none.
    interpreter: Option<String>,
    /// Its version, where it tells it.
    version: Option<String>,
    /// Why what it needs can't be remembered, which costs time at every start.
    cache_problem: Option<String>,
    /// Why its programs can't run.
    problem: Option<ProblemDetail>,
}

/// Looks at this machine and prints what was found.
///
/// # Errors
/// As [`Configuration::load`]; `Io` where it can't be written. What the machine lacks is a finding.
pub(crate) fn doctor(arguments: &DoctorArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let runtime = runtime()?;
    let diagnosis = runtime.block_on(examine(&configuration));
    runtime.shutdown_background();
    let diagnosis = diagnosis?;
    let shown = match arguments.format() {
        Format::Json => output::json(&diagnosis)?,
        Format::Text => output::data(&table::table(&diagnosis))?,
    };
    let unusable = diagnosis.default_backend_problem.is_some();
    Ok(if shown == Exit::Success && unusable { Exit::Unhealthy } else { shown })
}

async fn examine(configuration: &Configuration) -> Result<Diagnosis> {
    // The doctor looks at all of them, so nothing needs to be admitted.
    let default = compose::choose(configuration.backend(), compose::Unsafe::Admitted)?;
    let policy = compose::policy(configuration, default)?;
    let mut report = DoctorReport { kernel: compose::node().kernel, backends: Vec::new(), unavailable: Vec::new() };
    let mut default_backend_problem = None;
    for name in compose::BACKENDS {
        match compose::start(name, configuration).await {
            Ok(backend) => {
                if name == default {
                    default_backend_problem = backend.capabilities().admit(name, &policy).err().as_ref().map(problem);
                }
                report.backends.push(BackendReport::from(backend.as_ref()));
            }
            Err(error) => {
                let error = problem(&error);
                if name == default {
                    default_backend_problem = Some(error.clone());
                }
                report.unavailable.push(UnavailableBackend { name: name.to_owned(), error });
            }
        }
    }
    let control_groups = ControlGroups::of_machine();
    let languages = languages(configuration);
    let scanner = scanner(configuration);
    let default_backend = default.to_owned();
    Ok(Diagnosis { report, default_backend, default_backend_problem, control_groups, languages, scanner })
}

/// An error with its causes: the doctor's reader owns the machine.
fn problem(error: &Error) -> ProblemDetail {
    ProblemDetail { message: output::chain(error), ..ProblemDetail::from(error) }
}

fn scanner(configuration: &Configuration) -> ScannerReport {
    let folders = configuration.rule_folders().into_iter().map(|(path, _)| path.display().to_string()).collect();
    let rules = compose::rules(configuration, &[]);
    let problem = rules.as_ref().err().map(problem);
    let in_force = |rules: RuleSet| RulesInForce { count: rules.rules().len(), digest: rules.digest().to_owned() };
    ScannerReport { rules: rules.ok().map(in_force), folders, problem }
}

fn languages(configuration: &Configuration) -> Vec<LanguageReport> {
    let cache = configuration.interpreter_cache();
    let cache = cache.as_ref().map(crucible_core::HostPath::as_path);
    let look = |(name, language): (&str, &std::sync::Arc<crucible_core::Language>)| {
        let found = crucible_backends::runtime::describe(language, cache);
        let problem = found.as_ref().err().map(problem);
        let (interpreter, cache_problem) = found.map_or((None, None), |found| (found.interpreter, found.cache_problem));
        let (interpreter, version) = interpreter.map_or((None, None), |found| (Some(found.path), found.version));
        LanguageReport {
            name: name.to_owned(),
            title: language.title.clone(),
            interpreter,
            version,
            cache_problem,
            problem,
        }
    };
    configuration.languages().iter().map(look).collect()
}
