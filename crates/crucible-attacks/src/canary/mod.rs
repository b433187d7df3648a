//! Canaries: what probes are after. Each is made fresh by the suite, and tells by itself whether it was reached.
//!
//! Invariant: what a canary says comes from the host's side: a file's bytes, a listener's count, `/proc`, a counter. Of a
//! probe's output it takes nothing but a secret that the probe can't have guessed.

mod files;
mod held;
mod limits;
mod listeners;
mod places;
mod stand_in;

use crate::arm::Site;
use crate::process::{self, HeldProcess};
use crate::scenario::{Arm, Canary, ProcessSecret};
use crate::subject::Place;
use crucible_core::{ExitStatus, GuestPath, Limits};
use files::{SecretFile, WritableFolder};
use listeners::Listener;
use places::{Group, Name, Number, Shared};
use stand_in::StandIn;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How long processes may take to die.
const GRACE: Duration = Duration::from_secs(1);

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
    /// The probe's processes as the host sees them, the first one first.
    pub(crate) held: &'a [HeldProcess],
    /// How it ended, if it did.
    pub(crate) ended: Option<ExitStatus>,
    pub(crate) place: &'a Place,
    pub(crate) limits: &'a Limits,
    pub(crate) nonce: &'a str,
    /// How long the probe has run.
    pub(crate) running: Duration,
}

/// What a canary is put in place for.
pub(crate) struct Ground<'a> {
    pub(crate) site: &'a Site,
    pub(crate) nonce: &'a str,
    pub(crate) arm: Arm,
    /// The program that programs of the probe's language run with, as it is named outside.
    pub(crate) interpreter: Option<&'a Path>,
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
    StandIn(Box<StandIn>),
    Listener(Listener),
    /// An address and a port that nobody listened at.
    Port(SocketAddr),
    Number(Number),
    Group(Group),
    Mount(PathBuf),
    Name(Name),
    Shared(Vec<Shared>),
}

/// Puts a canary in place.
pub(crate) async fn arm(kind: &Canary, ground: &Ground<'_>) -> io::Result<Armed> {
    let Ground { site, nonce, .. } = *ground;
    let base = site.base();
    let mounted = match site {
        Site::Range { mounted } => Some(mounted),
        // There is one of these in the whole machine.
        Site::Host(_) if kind.is_the_machines() && *kind != (Canary::Residue {}) => {
            return Err(io::Error::other("it is put in place in a range only"));
        }
        Site::Host(_) => None,
    };
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| env.insert(format!("CANARY_{name}"), value);
    let path = |path: &Path| path.display().to_string();
    let live = match kind {
        Canary::SecretFile { .. } | Canary::Collected {} => {
            let file = SecretFile::make(base, nonce)?;
            set("PATH", path(&file.path));
            if *kind == (Canary::SecretFile { relative: true }) {
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
            Live::StandIn(Box::new(process))
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
        Canary::Served { address } => {
            let free = std::net::TcpListener::bind((*address, 0))?.local_addr()?;
            set("ADDRESS", free.ip().to_string());
            set("PORT", free.port().to_string());
            Live::Port(free)
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
        Canary::Interface {} => {
            let size = Number::packet_size()?;
            set("NAME", "lo".to_owned());
            set("SIZE", size.other.clone());
            Live::Number(size)
        }
        Canary::Sysctl {} => {
            let number = Number::time_to_live()?;
            set("PATH", number.path().to_owned());
            set("NAME", number.other.clone());
            Live::Number(number)
        }
        Canary::Cgroup {} => {
            let group = Group::make(nonce)?;
            set("PATH", path(&group.path));
            Live::Group(group)
        }
        Canary::MountName {} => Live::Mount(mounted.cloned().ok_or_else(|| io::Error::other("nothing is mounted"))?),
        Canary::HostName {} => Live::Name(Name::give(nonce)?),
        Canary::SharedFile {} => {
            let interpreter = ground.interpreter.ok_or_else(|| io::Error::other("there is no interpreter to share"))?;
            let shared = match ground.arm {
                Arm::Protected => Shared::watch(interpreter.to_owned()),
                Arm::Control => Shared::copy(interpreter, base, nonce)?,
            };
            set("PATH", path(&shared.path));
            Live::Shared(vec![shared])
        }
        Canary::SupervisorImage {} => {
            let own = std::env::current_exe()?;
            Live::Shared(match ground.arm {
                Arm::Protected => vec![Shared::watch(own)],
                Arm::Control => {
                    let shared = Shared::copy(Path::new("/bin/true"), base, nonce)?;
                    set("PATH", path(&shared.path));
                    vec![shared]
                }
            })
        }
        Canary::SetuidProgram {} => {
            set("PATH", format!("/work/{SETUID_PROGRAM}"));
            Live::Nothing
        }
        Canary::Residue {} => {
            set("NAME", format!("crucible{nonce}"));
            Live::Nothing
        }
        Canary::Counter { size, .. } => {
            set("SIZE", size.to_string());
            Live::Nothing
        }
        Canary::Held { .. }
        | Canary::Errno { .. }
        | Canary::Heartbeat { .. }
        | Canary::Forged {}
        | Canary::Unlisted { .. }
        | Canary::Started {} => Live::Nothing,
    };
    Ok(Armed { env, kind: kind.clone(), nonce: nonce.to_owned(), live })
}

impl Armed {
    /// What is seen while the probe holds, or after it ended, with its sandbox still there.
    pub(crate) async fn look(&mut self, scene: &Scene<'_>, arm: Arm) -> Sight {
        match (&self.kind, &mut self.live) {
            (Canary::SecretFile { .. }, Live::SecretFile(file)) => secret_seen(scene.output, &file.secret),
            (Canary::Collected {}, Live::SecretFile(file)) => collect(scene, arm, &file.secret).await,
            (_, Live::Folder(folder)) => folder.look(),
            (Canary::SecretProcess { what }, Live::StandIn(process)) => {
                let secret = match what {
                    ProcessSecret::Environment => &process.environment_secret,
                    ProcessSecret::CommandLine => &process.line_secret,
                    ProcessSecret::Pid => &process.name,
                    ProcessSecret::Descriptor => &process.file_secret,
                };
                secret_seen(scene.output, secret)
            }
            (_, Live::StandIn(process)) => process.look(),
            (_, Live::Listener(listener)) => listener.look().await,
            (_, Live::Port(address)) => match TcpStream::connect(*address).await {
                Ok(_) => Sight::Reached("the guest serves at the host's address".to_owned()),
                Err(_) => Sight::Nothing("nobody serves at the host's address".to_owned()),
            },
            (_, Live::Number(number)) => number.look(),
            (_, Live::Group(group)) => group.look(),
            (_, Live::Mount(mount)) => secret_seen(scene.output, &mount.display().to_string()),
            (_, Live::Name(name)) => secret_seen(scene.output, &name.name),
            (_, Live::Shared(shared)) => {
                let mut sights = shared.iter().map(|file| file.look(scene.held));
                let first = sights.next().unwrap_or_else(|| Sight::Unknown("nothing was looked at".to_owned()));
                sights.fold(first, |worst, sight| if matches!(sight, Sight::Reached(_)) { sight } else { worst })
            }
            (Canary::Held { what, inode, paths }, _) => held::look(*what, inode.as_deref(), paths, scene.held),
            (Canary::SetuidProgram {}, _) => match other_user() {
                Some(user) => held::effective_user(user, scene.held),
                None => Sight::Unknown("there is no other user id to give a program to".to_owned()),
            },
            (Canary::Errno { denied }, _) => errnos(scene.output, denied),
            (Canary::Counter { limit, .. }, _) => limits::look(*limit, scene).await,
            (Canary::Heartbeat { .. }, _) => self.look_for_processes(1).await,
            (Canary::Residue {}, _) => Sight::Nothing("nothing was looked for yet".to_owned()),
            (Canary::Started {}, _) => Sight::Reached("it was started".to_owned()),
            _ => Sight::Unknown("the canary isn't in place".to_owned()),
        }
    }

    /// Whether the probe has left processes behind, or will have in a moment: more than `known` ones have the nonce.
    /// One look isn't enough, since a process that forks and ends while the list is read shows neither itself nor its child.
    pub(crate) async fn look_for_processes(&self, known: usize) -> Sight {
        let start = Instant::now();
        loop {
            match process::find(&self.nonce).len() {
                count if count > known => return Sight::Nothing(format!("{count} processes of it live")),
                _ if start.elapsed() > GRACE => return Sight::Unknown("it left no process behind".to_owned()),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Whether processes of the probe live on, a moment after they should not.
    pub(crate) async fn look_for_survivors(&self) -> Sight {
        let start = Instant::now();
        loop {
            let count = process::find(&self.nonce).len();
            if count == 0 {
                return Sight::Stopped("no process of it is left".to_owned());
            }
            if start.elapsed() > GRACE {
                return Sight::Reached(format!("{count} processes of it live on"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is seen when the sandbox is gone.
    pub(crate) fn look_again(&mut self) -> Option<Sight> {
        match &mut self.live {
            Live::Folder(folder) => Some(folder.look()),
            Live::StandIn(process) if self.kind == (Canary::Process {}) => Some(process.look()),
            Live::Shared(shared) => {
                shared.iter().map(|file| file.look(&[])).find(|sight| matches!(sight, Sight::Reached(_)))
            }
            _ => None,
        }
    }

    /// Whether a name that was left behind is in what a second probe printed, or shows on the machine itself.
    pub(crate) fn look_for_residue(&self, output: &[u8]) -> Sight {
        let name = format!("crucible{}", self.nonce);
        let own = ["/proc/self/mountinfo", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname"];
        if own.iter().any(|file| std::fs::read(file).is_ok_and(|text| contains(&text, name.as_bytes()))) {
            return Sight::Reached("what it left shows on the machine".to_owned());
        }
        secret_seen(output, &name)
    }
}

/// What the program that is setuid to another user is called.
const SETUID_PROGRAM: &str = "program-of-another";

/// A user id that is mapped here and is nobody's.
fn other_user() -> Option<u32> {
    let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    map.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (first, count) = (fields.next()?.parse::<u32>().ok()?, fields.nth(1)?.parse::<u32>().ok()?);
        (first > 0 && count > 7).then(|| first + 7)
    })
}

impl Armed {
    /// Whether something has to be put into the sandbox by way of a process in it, before the probe tries.
    pub(crate) const fn needs_a_way_in(&self) -> bool {
        matches!(self.kind, Canary::SetuidProgram {})
    }

    /// Puts it there.
    pub(crate) fn put_inside(&self, process: &HeldProcess) -> io::Result<()> {
        let user = other_user().ok_or_else(|| io::Error::other("there is no other user id to give a program to"))?;
        let path = process.root().join("work").join(SETUID_PROGRAM);
        std::fs::write(&path, crucible_probe::PROBE)?;
        std::os::unix::fs::chown(&path, Some(user), Some(user))?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o4755))
    }
}

/// Collects what the probe has prepared, as files are always collected. In the control arm the same links are followed.
async fn collect(scene: &Scene<'_>, arm: Arm, secret: &str) -> Sight {
    const NAMES: [&str; 4] = ["collected", "collected-link", "collected-by-proc", "collected-folder/secret"];
    let mut refused = 0;
    if arm == Arm::Protected {
        // Something has to come out, or refusing the rest means nothing.
        let plain = match GuestPath::parse("/work/collected-plain") {
            Ok(path) => scene.place.read_file(&path).await.ok(),
            Err(_) => None,
        };
        if plain.as_deref() != Some(scene.nonce.as_bytes()) {
            return Sight::Unknown("an ordinary file couldn't be collected either".to_owned());
        }
    }
    for name in NAMES {
        let content = match (arm, scene.held.first()) {
            (Arm::Protected, _) => match GuestPath::parse(&format!("/work/{name}")) {
                Ok(path) => scene.place.read_file(&path).await.ok(),
                Err(_) => None,
            },
            // Where the folder's own mount forbids following them, a collector without care would have copied them first.
            (Arm::Control, Some(process)) => {
                let path = process.root().join("work").join(name);
                std::fs::read_link(path).ok().and_then(|target| std::fs::read(target).ok())
            }
            (Arm::Control, None) => return Sight::Unknown("its process wasn't found".to_owned()),
        };
        match content {
            Some(bytes) if contains(&bytes, secret.as_bytes()) => {
                return Sight::Reached(format!("the secret was collected as {name}"));
            }
            Some(_) => {}
            None => refused += 1,
        }
    }
    Sight::Nothing(format!("{refused} of {} paths were refused, and no secret came out", NAMES.len()))
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
        None => Sight::Nothing(format!("the kernel answered {}", answers.join(", "))),
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
            Sight::Nothing("the kernel answered EPERM, ENOSYS".to_owned())
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
