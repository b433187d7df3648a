//! `crucible projects`: what projects may have at a service.

use super::{client, runtime};
use crate::arguments::{Bound, ProjectsSetArguments, ProjectsVerb, ServerFlags};
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible_api::v1::{Project, ProjectQuotas};
use crucible_core::Result;
use std::fmt::Write as _;

/// Does what was asked for.
///
/// # Errors
/// What the service answers.
pub(crate) fn projects(verb: &ProjectsVerb) -> Result<Exit> {
    match verb {
        ProjectsVerb::List(arguments) => list(&arguments.server),
        ProjectsVerb::Set(arguments) => set(arguments),
    }
}

fn list(server: &ServerFlags) -> Result<Exit> {
    let client = client::client(server.server.as_ref())?;
    let projects = runtime()?.block_on(client.projects())?;
    match server.format() {
        Format::Json => output::json(&projects),
        Format::Text => output::data(&projects.projects.iter().map(line).collect::<String>()),
    }
}

fn set(arguments: &ProjectsSetArguments) -> Result<Exit> {
    let client = client::client(arguments.server.server.as_ref())?;
    let (name, flags) = (arguments.project.to_string(), &arguments.quotas);
    let project = runtime()?.block_on(async {
        let known = client.projects().await?.projects.into_iter().find(|project| project.project == name);
        let before = known.map(|project| project.quotas).unwrap_or_default();
        let quotas = ProjectQuotas {
            most_running: flags.most_running.map_or(before.most_running, |Bound(most)| most),
            most_queued: flags.most_queued.map_or(before.most_queued, |Bound(most)| most),
            most_per_day: flags.most_per_day.map_or(before.most_per_day, |Bound(most)| most),
        };
        client.set_quotas(&name, &quotas).await
    })?;
    match arguments.server.format() {
        Format::Json => output::json(&project),
        Format::Text => output::data(&line(&project)),
    }
}

/// A project in words.
fn line(Project { project, quotas }: &Project) -> String {
    let mut text = format!("{}:", output::neutral(project));
    let bounds = [
        ("running", quotas.most_running.map(u64::from)),
        ("waiting", quotas.most_queued),
        ("within a day", quotas.most_per_day),
    ];
    let mut before = "";
    for (what, most) in bounds {
        if let Some(most) = most {
            // Writing to a text never fails.
            let _ = write!(text, "{before} at most {most} {what}");
            before = ",";
        }
    }
    if before.is_empty() {
        text.push_str(" no bounds");
    }
    text.push('\n');
    text
}
