//! `crucible attack`: the matrix of isolation properties against backends.

use super::runtime;
use crate::arguments::{AttackArguments, RangeArguments};
use crate::exit::Exit;
use crate::output;
use crucible::attack;
use crucible::compose;
use crucible::config::{Configuration, Environment};
use crucible_attacks::{AttackSuite, Depth, scenario};
use crucible_core::Result;

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
    let backends = arguments.backends(configuration.backend())?;
    let depth = if arguments.ablation { Depth::Layers } else { Depth::Verdicts };
    let runtime = runtime()?;
    let results = runtime.block_on(async {
        let mut results = Vec::new();
        for backend in backends {
            let policy = compose::policy(&configuration, backend)?;
            let (result, _) = attack::attack(&suite, backend, &policy, depth, &configuration, &|_| {}).await?;
            results.push(result);
        }
        Ok::<_, crucible_core::Error>(results)
    });
    runtime.shutdown_background();
    for result in results? {
        for property in &result.properties {
            output::data(&format!(
                "{:12} {:40} {}\n    {:?}\n    {:?}\n    {:?}\n",
                property.verdict, property.id, property.reason, property.protected, property.control, property.held_by
            ))?;
        }
        output::data(&format!("{} {:?}\n", result.backend, result.took))?;
    }
    Ok(Exit::Success)
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
