//! Canaries: what probes are after. Each is made fresh by the suite, and tells by itself whether it was reached.
//!
//! Invariant: what a canary says comes from the host's side: a file's bytes, a listener's count, `/proc`, a counter. Of a
//! probe's output it takes nothing but a secret that the probe can't have guessed.

mod files;
mod held;
mod limits;
mod listeners;
mod stand_in;

use crate::process::HeldProcess;
use crate::scenario::{Canary, ProcessSecret};
use crate::subject::Place;
use crucible_core::{ExitStatus, Limits};
use files::{SecretFile, WritableFolder};
use listeners::Listener;
use stand_in::StandIn;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What a canary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It was reached.
    Reached(String),
    /// The host saw that the attempt was stopped.
    Stopped(String),
    /// Nothing was seen. That counts for something only if the probe is known to have tried.
    Nothing(String),
    /// It can't be told.
    Unknown(String),
}

/// What there is to be looked at once a probe has tried, or has ended.
pub(crate) struct Scene<'a> {
    /// What it printed.
    pub(crate) output: &'a [u8],
    /// The probe's process as the host sees it, if it holds.
    pub(crate) held: Option<&'a HeldProcess>,
    /// How it ended, if it did.
    pub(crate) ended: Option<ExitStatus>,
    pub(crate) place: &'a Place,
    pub(crate) limits: &'a Limits,
}

/// A canary that is in place.
pub(crate) struct Armed {
    pub(crate) env: BTreeMap<String, String>,
    kind: Canary,
    nonce: String,
    live: Live,
}

enum Live {
    Nothing,
    SecretFile(SecretFile),
    Folder(WritableFolder),
    StandIn(StandIn),
    Listener(Listener),
}

/// Puts a canary in place. Files go below `base`.
pub(crate) async fn arm(kind: &Canary, base: &Path, nonce: &str) -> io::Result<Armed> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| env.insert(format!("CANARY_{name}"), value);
    let path = |path: &Path| path.display().to_string();
    let live = match kind {
        Canary::SecretFile { relative } => {
            let file = SecretFile::make(base, nonce)?;
            set("PATH", path(&file.path));
            if *relative {
                set("RELATIVE", format!("{}{}", "../".repeat(24), path(&file.path).trim_start_matches('/')));
            }
            Live::SecretFile(file)
        }
        Canary::WritableFolder {} => {
            let folder = WritableFolder::make(base, nonce)?;
            set("PATH", path(&folder.path));
            Live::Folder(folder)
        }
        Canary::SecretProcess { .. } | Canary::Process {} => {
            let process = StandIn::start(base, nonce).await?;
            set("PID", process.pid().to_string());
            Live::StandIn(process)
        }
        Canary::Tcp { address } | Canary::Udp { address } => {
            let listener = match kind {
                Canary::Tcp { .. } => Listener::tcp(*address).await?,
                _ => Listener::udp(*address).await?,
            };
            set("ADDRESS", address.to_string());
            set("PORT", listener.port().to_string());
            Live::Listener(listener)
        }
        Canary::UnixAbstract {} => {
            let name = format!("crucible-canary-{nonce}");
            let listener = Listener::abstract_name(&name)?;
            set("NAME", name);
            Live::Listener(listener)
        }
        Canary::UnixPath {} => {
            let (listener, socket) = Listener::path(base, nonce)?;
            set("PATH", path(&socket));
            Live::Listener(listener)
        }
        Canary::Residue {} | Canary::Heartbeat {} => {
            set("NAME", format!("crucible{nonce}"));
            Live::Nothing
        }
        Canary::Held { .. } | Canary::Errno { .. } | Canary::Counter { .. } => Live::Nothing,
    };
    Ok(Armed { env, kind: kind.clone(), nonce: nonce.to_owned(), live })
}

impl Armed {
    /// What is seen while the probe holds, or after it ended, with its sandbox still there.
    pub(crate) async fn look(&mut self, scene: &Scene<'_>) -> Sight {
        match (&self.kind, &mut self.live) {
            (Canary::SecretFile { .. }, Live::SecretFile(file)) => secret_seen(scene.output, &file.secret),
            (Canary::WritableFolder {}, Live::Folder(folder)) => folder.look(),
            (Canary::SecretProcess { what }, Live::StandIn(process)) => {
                let secret = match what {
                    ProcessSecret::Environment => &process.environment_secret,
                    ProcessSecret::CommandLine | ProcessSecret::Pid => &process.line_secret,
                    ProcessSecret::Descriptor => &process.file_secret,
                };
                secret_seen(scene.output, secret)
            }
            (Canary::Process {}, Live::StandIn(process)) => process.look(),
            (_, Live::Listener(listener)) => listener.look().await,
            (Canary::Held { what, inode }, _) => held::look(*what, inode.as_deref(), scene.held),
            (Canary::Errno { denied }, _) => errnos(scene.output, denied),
            (Canary::Counter { limit }, _) => limits::look(*limit, scene).await,
            (Canary::Heartbeat {}, _) => match scene.held {
                Some(_) => Sight::Nothing("the sandbox is still there".to_owned()),
                None => Sight::Unknown("its process wasn't found".to_owned()),
            },
            (Canary::Residue {}, _) => Sight::Nothing("nothing was looked for yet".to_owned()),
            _ => Sight::Unknown("the canary isn't in place".to_owned()),
        }
    }

    /// What is seen when the sandbox is gone, or in its stead where its end is what is left off.
    pub(crate) fn look_after(&mut self) -> Option<Sight> {
        match (&self.kind, &mut self.live) {
            (Canary::Heartbeat {}, _) => Some(match crate::process::find(&self.nonce).len() {
                0 => Sight::Stopped("no process of it is left".to_owned()),
                count => Sight::Reached(format!("{count} processes of it live on")),
            }),
            (_, Live::Folder(folder)) => Some(folder.look()),
            (_, Live::StandIn(process)) if self.kind == (Canary::Process {}) => Some(process.look()),
            _ => None,
        }
    }

    /// Whether a name that was left behind is in what a second probe printed.
    pub(crate) fn look_for_residue(&self, output: &[u8]) -> Sight {
        secret_seen(output, &format!("crucible{}", self.nonce))
    }

    pub(crate) const fn is_residue(&self) -> bool {
        matches!(self.kind, Canary::Residue {})
    }

    pub(crate) const fn is_heartbeat(&self) -> bool {
        matches!(self.kind, Canary::Heartbeat {})
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len().max(1)).any(|window| window == wanted)
}

fn secret_seen(output: &[u8], secret: &str) -> Sight {
    if contains(output, secret.as_bytes()) {
        Sight::Reached("the secret is in its output".to_owned())
    } else {
        Sight::Nothing("the secret isn't in its output".to_owned())
    }
}

/// The kernel's answers as the probe tells them: the one thing that only it can know.
fn errnos(output: &[u8], denied: &[String]) -> Sight {
    let text = String::from_utf8_lossy(output);
    let answers: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("errno ")).map(str::trim).collect();
    let is_name = |answer: &&str| {
        !answer.is_empty() && answer.len() <= 16 && answer.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if answers.is_empty() || !answers.iter().all(is_name) {
        return Sight::Unknown("the kernel's answer isn't known".to_owned());
    }
    match answers.iter().find(|answer| !denied.iter().any(|denial| denial == *answer)) {
        Some(answer) => Sight::Reached(format!("the kernel answered {answer}")),
        None => Sight::Stopped(format!("the kernel answered {}", answers.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> Vec<String> {
        vec!["EPERM".to_owned(), "ENOSYS".to_owned()]
    }

    #[test]
    fn an_answer_other_than_a_denial_is_a_reach_and_none_at_all_proves_nothing() {
        assert_eq!(
            errnos(b"errno EPERM\nerrno ENOSYS\n", &denied()),
            Sight::Stopped("the kernel answered EPERM, ENOSYS".to_owned())
        );
        assert!(matches!(errnos(b"errno EPERM\nerrno EINVAL\n", &denied()), Sight::Reached(_)));
        assert!(matches!(errnos(b"all is well\n", &denied()), Sight::Unknown(_)));
        assert!(matches!(errnos(b"errno \x1b[31mEPERM\n", &denied()), Sight::Unknown(_)));
    }

    #[test]
    fn a_secret_is_found_anywhere_in_the_output() {
        assert!(matches!(secret_seen(b"\xff\0abcSECRETxyz", "SECRET"), Sight::Reached(_)));
        assert!(matches!(secret_seen(b"SECRE", "SECRET"), Sight::Nothing(_)));
        assert!(matches!(secret_seen(b"", "SECRET"), Sight::Nothing(_)));
    }
}
