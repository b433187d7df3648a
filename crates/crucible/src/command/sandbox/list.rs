//! Lists the sandboxes that are open, and folders of one.

use super::Whose;
use crate::arguments::{SandboxListArguments, SandboxLsArguments};
use crate::command::runtime;
use crate::exit::Exit;
use crate::output::{self, Format, visible};
use crucible_api::client::Found;
use crucible_api::v1::{FileEntry, FileKind, FileList, Sandbox, SandboxList, SandboxState};
use crucible_core::{Error, ErrorKind, Result};
use std::fmt::Write as _;
use std::time::Duration;

/// How long one keeper may take to answer before it is left out.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lists the sandboxes.
///
/// # Errors
/// Crucible's own failures.
pub(super) fn list(whose: &Whose, arguments: &SandboxListArguments) -> Result<Exit> {
    let sandboxes = runtime()?.block_on(async {
        if let Whose::Service(client) = whose {
            return client.sandboxes().await;
        }
        let mut sandboxes = Vec::new();
        for open in &whose.all().await? {
            match tokio::time::timeout(PATIENCE, open.client.sandbox(&open.id)).await {
                Ok(Ok(sandbox)) => sandboxes.push(sandbox),
                // It ended meanwhile.
                Ok(Err(error)) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unavailable) => {}
                Ok(Err(error)) => output::warning(&format!("{}: {}", open.id, output::chain(&error))),
                Err(_) => output::warning(&format!("{}: its keeper doesn't answer", open.id)),
            }
        }
        Ok(sandboxes)
    })?;
    match arguments.format() {
        Format::Json => output::json(&SandboxList { sandboxes, cursor: None }),
        Format::Text => output::data(&output::neutral(&table(&sandboxes))),
    }
}

fn table(sandboxes: &[Sandbox]) -> String {
    let mut text = String::new();
    if sandboxes.is_empty() {
        return text;
    }
    // Writing to a text never fails.
    let _ = writeln!(text, "{:36}  {:10}  {:12}  {:>8}  {:>8}  STATE", "ID", "BACKEND", "LANGUAGE", "AGE", "COMMANDS");
    for sandbox in sandboxes {
        let seconds = sandbox.usage.map_or(0.0, |usage| usage.wall_ms / 1000.0);
        let state = match (sandbox.state, sandbox.busy) {
            (SandboxState::Ending, _) => "ending",
            (SandboxState::Open, 0) => "idle",
            (SandboxState::Open, _) => "busy",
        };
        let language = sandbox.language.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{:36}  {:10}  {:12}  {:>7.0}s  {:>8}  {state}",
            sandbox.id, sandbox.backend, language, seconds, sandbox.commands
        );
    }
    text
}

/// Lists a folder of a sandbox; a file lists as itself.
///
/// # Errors
/// Crucible's own failures.
pub(super) fn list_files(whose: &Whose, arguments: &SandboxLsArguments) -> Result<Exit> {
    let path = arguments.path.path()?;
    let found = runtime()?.block_on(async {
        let open = whose.find(&arguments.path.id).await?;
        open.client.read_file(&open.id, path.as_str()).await
    })?;
    let list = match found {
        Found::Folder(list) => list,
        Found::File(_) => {
            let message = format!("{path} is a file, not a folder");
            return Err(Error::new(ErrorKind::InvalidInput, "list a folder of the sandbox", message)
                .with_hint("`crucible sandbox cp` brings it out"));
        }
    };
    match arguments.format() {
        Format::Json => output::json(&list),
        Format::Text => output::data(&lines(&list)),
    }
}

fn lines(list: &FileList) -> String {
    let mut text = String::new();
    for FileEntry { name, kind, size, .. } in &list.entries {
        let name: String = name.chars().map(|c| if c == '\n' { '\u{240a}' } else { visible(c) }).collect();
        let (size, end) = match kind {
            FileKind::File => (size.to_string(), ""),
            FileKind::Directory => ("-".to_owned(), "/"),
            FileKind::Other => ("-".to_owned(), "?"),
        };
        let _ = writeln!(text, "{size:>12}  {name}{end}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_takes_one_line_and_can_not_steer_the_terminal() {
        let entry = |name: &str, kind| FileEntry { name: name.to_owned(), name_base64: None, kind, size: 7 };
        let list = FileList {
            entries: vec![
                entry("a\x1b[2J\nb", FileKind::File),
                entry("d", FileKind::Directory),
                entry("l", FileKind::Other),
            ],
        };
        let shown = lines(&list);
        assert_eq!(shown, "           7  a␛[2J␊b\n           -  d/\n           -  l?\n");
    }
}
