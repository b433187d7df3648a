//! `crucible self-test`: every component tests itself.

use super::runtime;
use crate::arguments::SelfTestArguments;
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_api::v1::{CheckStatus, SelfTestReport};
use crucible_core::{Backend, Check, Component, Error, ErrorKind, Passed, Result, SelfTest};
use std::fmt::Write;
use std::sync::Arc;

/// Has every component test itself and prints what they found.
///
/// # Errors
/// `Io` where it can't be written. A configuration or backend that doesn't work is a finding.
pub(crate) fn self_test(arguments: &SelfTestArguments) -> Result<Exit> {
    let environment = Environment::of_process();
    let mut tests = vec![configuration(&environment)];
    // With a configuration that can't be read, the parts are tested with the built-in one.
    let configuration =
        Configuration::load(&environment, &Overrides::default()).or_else(|_| Configuration::built_in())?;
    let runtime = runtime()?;
    tests.extend(runtime.block_on(components(&configuration)));
    runtime.shutdown_background();
    let report = SelfTestReport::from(tests.as_slice());
    let shown = match arguments.format() {
        Format::Json => output::json(&report)?,
        Format::Text => output::data(&table(&report))?,
    };
    Ok(if shown == Exit::Success && !report.healthy { Exit::Unhealthy } else { shown })
}

/// The configuration's own test: the built-in one reads back as the code has it, and the person's is sound.
fn configuration(environment: &Environment) -> SelfTest {
    let check = |name: &str, result: Result<Configuration>| match result {
        Ok(read) => Check::new(name, Passed::Yes, format!("{} settings", read.settings().len())),
        Err(error) => failed(name, &error),
    };
    let built_in = check("the built-in configuration can be read", Configuration::built_in());
    let loaded = Configuration::load(environment, &Overrides::default());
    let policy = match loaded.as_ref().map(Configuration::policy) {
        Ok(Ok(policy)) => Check::new("the policy can be read", Passed::Yes, format!("'{}'", policy.name)),
        Ok(Err(error)) => failed("the policy can be read", &error),
        Err(_) => Check::skipped("the policy can be read", "there is no configuration to name it"),
    };
    let own = check("your configuration can be read", loaded);
    SelfTest { component: "configuration".to_owned(), checks: vec![built_in, own, policy] }
}

async fn components(configuration: &Configuration) -> Vec<SelfTest> {
    let (mut backends, mut tests): (Vec<Arc<dyn Backend>>, Vec<SelfTest>) = (Vec::new(), Vec::new());
    let chosen = compose::choose(configuration.backend(), compose::Unsafe::Admitted).unwrap_or(compose::JAIL);
    for name in compose::BACKENDS {
        match compose::start(name, configuration).await {
            Ok(backend) => {
                tests.push(backend.self_test().await);
                backends.push(backend);
            }
            // What this machine simply doesn't have is no fault, unless it is to be used.
            Err(error) if error.kind() == ErrorKind::Unavailable && name != chosen => {
                let check = Check::skipped("it can be started", output::chain(&error));
                let check = check.with_mend(error.hint().unwrap_or_default());
                tests.push(SelfTest { component: name.to_owned(), checks: vec![check] });
            }
            Err(error) => {
                tests.push(SelfTest { component: name.to_owned(), checks: vec![failed("it can be started", &error)] })
            }
        }
    }
    tests.insert(0, compose::unscanned_engine(backends, configuration).self_test().await);
    tests.push(match compose::scanner(configuration) {
        Ok(scanner) => scanner.self_test().await,
        Err(error) => {
            SelfTest { component: "scanner".to_owned(), checks: vec![failed("its rules can be read", &error)] }
        }
    });
    if let Ok(reviews) = compose::reviews(configuration) {
        tests.push(reviews.self_test().await);
    }
    // Without a folder there is nothing to test.
    if let Ok(folder) = compose::evidence(configuration) {
        tests.push(folder.self_test().await);
    }
    tests
}

fn failed(name: &str, error: &Error) -> Check {
    Check::new(name, Passed::No, output::chain(error)).with_mend(error.hint().unwrap_or_default())
}

fn table(report: &SelfTestReport) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    for component in &report.components {
        let _ = writeln!(text, "{}", component.component);
        for check in &component.checks {
            let (mark, style) = match check.status {
                CheckStatus::Passed => ("ok", output::GOOD),
                CheckStatus::Failed => ("FAILED", output::ERROR),
                CheckStatus::Skipped => ("skipped", output::WARNING),
            };
            let _ = writeln!(text, "  {style}{mark:7}{style:#}  {}: {}", check.name, output::neutral(&check.seen));
            if !check.mend.is_empty() {
                let _ = writeln!(text, "           mend: {}", output::neutral(&check.mend));
            }
        }
    }
    let _ =
        writeln!(text, "\n{}", if report.healthy { "every component is sound" } else { "a component is not sound" });
    text
}
