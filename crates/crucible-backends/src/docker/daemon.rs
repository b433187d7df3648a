//! A daemon, and what it says of itself and of this machine.
//!
//! Invariant: a daemon whose sandboxes run under another kernel than this process is refused, because nothing that it claims
//! of them could be checked.

use super::connection::Endpoint;
use super::{DockerConfig, error};
use bollard::Docker;
use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum};
use crucible_core::{Error, ErrorKind, Result};

const OPERATION: &str = "ask the Docker daemon about itself";

/// Where the ids of guests are mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserNamespaces {
    /// The daemon gives every container's root an id of its own.
    Remapped,
    /// The daemon itself runs without root's rights.
    Rootless,
    /// Ids inside are ids outside.
    None,
}

/// What the daemon does about system call filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filters {
    /// It loads them.
    Loaded,
    /// It was built or started without.
    None,
}

/// Whether the kernel that a guest talks to is this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// It is.
    Shared,
    /// The runtime brings one of its own.
    Own,
}

/// What a daemon says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its name and version.
    pub(super) version: String,
    /// The runtime that is used.
    pub(super) runtime: String,
    pub(super) kernel: Kernel,
    pub(super) users: UserNamespaces,
    pub(super) filters: Filters,
    pub(super) profiles: Profiles,
    pub(super) limits_memory: bool,
    pub(super) limits_swap: bool,
    pub(super) limits_pids: bool,
    pub(super) limits_cpu: bool,
    /// The version of control groups that it uses.
    pub(super) cgroups: &'static str,
}

/// How a daemon wants to be given a profile of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profiles {
    /// As it is.
    Inline,
    /// As the path of a file: Podman's interface.
    ByPath,
}

/// A daemon that answers.
#[derive(Clone, Debug)]
pub struct Daemon {
    pub(super) client: Docker,
    pub(super) endpoint: Endpoint,
    pub(super) facts: Facts,
}

impl Daemon {
    /// Connects to the daemon that the configuration or the environment names, and asks it about itself.
    ///
    /// # Errors
    /// `Unavailable` where there is none, or not for this user, with the mend; `Configuration` for an address that can't be.
    pub async fn connect(config: &DockerConfig) -> Result<Self> {
        let endpoint = Endpoint::find(config.host.as_deref())?;
        let client = endpoint.connect()?;
        let failed = |error| error::of_daemon(OPERATION, error);
        let client = client.negotiate_version().await.map_err(failed)?;
        let (info, version) = tokio::try_join!(client.info(), client.version()).map_err(failed)?;
        let is_podman = version.components.iter().flatten().any(|part| part.name.to_lowercase().contains("podman"));
        let name = if is_podman { PODMAN } else { "Docker" };
        let facts = facts(&info, name, config)?;
        Ok(Self { client, endpoint, facts })
    }

    /// Its name, version and runtime.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}, {}", self.facts.version, self.facts.runtime)
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> String {
        self.endpoint.to_string()
    }
}

const PODMAN: &str = "Podman";

fn facts(info: &SystemInfo, name: &str, config: &DockerConfig) -> Result<Facts> {
    let unavailable = |message: String| Error::new(ErrorKind::Unavailable, OPERATION, message);
    let own = rustix::system::uname().release().to_string_lossy().into_owned();
    let kernel = info.kernel_version.as_deref().unwrap_or_default();
    if kernel != own {
        let message = format!("the daemon's kernel is {}, and this machine's is {own}", error::shown(kernel));
        return Err(unavailable(message).with_hint(
            "a daemon in a virtual machine or on another machine can't be watched from here: run Crucible beside it",
        ));
    }
    let known: Vec<&str> = info.runtimes.iter().flatten().map(|(name, _)| name.as_str()).collect();
    let runtime = config.runtime.clone().or_else(|| info.default_runtime.clone()).unwrap_or_default();
    // Podman names none of its runtimes over this interface.
    if !known.is_empty() && !known.contains(&runtime.as_str()) {
        let mut known = known;
        known.sort_unstable();
        let message = format!("the daemon has no runtime {:?}", error::shown(&runtime));
        return Err(Error::new(ErrorKind::Configuration, OPERATION, message)
            .with_hint(format!("docker.runtime is one of: {}", error::shown(&known.join(", ")))));
    }
    let options = info.security_options.as_deref().unwrap_or_default();
    let has = |wanted: &str| options.iter().any(|option| option.split(',').any(|part| part == wanted));
    let seccomp = |option: &String| option.split(',').any(|part| part == "name=seccomp" || part == "seccomp");
    let no_cgroups = info.cgroup_driver == Some(SystemInfoCgroupDriverEnum::NONE);
    let limits = |limit: Option<bool>| limit.unwrap_or(false) && !no_cgroups;
    Ok(Facts {
        version: format!("{name} {}", error::shown(info.server_version.as_deref().unwrap_or("of unknown version"))),
        kernel: kernel_of(&runtime),
        runtime,
        users: if has("name=userns") {
            UserNamespaces::Remapped
        } else if has("name=rootless") {
            UserNamespaces::Rootless
        } else {
            UserNamespaces::None
        },
        filters: if options.iter().any(seccomp) { Filters::Loaded } else { Filters::None },
        profiles: if name == PODMAN { Profiles::ByPath } else { Profiles::Inline },
        limits_memory: limits(info.memory_limit),
        limits_swap: limits(info.swap_limit),
        limits_pids: limits(info.pids_limit),
        limits_cpu: limits(info.cpu_cfs_quota),
        cgroups: match info.cgroup_version {
            _ if no_cgroups => "none",
            Some(SystemInfoCgroupVersionEnum::_2) => "v2",
            _ => "v1",
        },
    })
}

/// Runtimes that put a kernel or a virtual machine of their own between guest and host, by the names that they go by.
const OWN_KERNEL: [&str; 3] = ["runsc", "gvisor", "kata"];

fn kernel_of(runtime: &str) -> Kernel {
    let runtime = runtime.to_lowercase();
    if OWN_KERNEL.iter().any(|name| runtime.contains(name)) { Kernel::Own } else { Kernel::Shared }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> SystemInfo {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        SystemInfo {
            kernel_version: Some(release),
            server_version: Some("1.2.3".to_owned()),
            default_runtime: Some("runc".to_owned()),
            memory_limit: Some(true),
            security_options: Some(vec!["name=seccomp,profile=default".to_owned()]),
            ..SystemInfo::default()
        }
    }

    #[test]
    fn what_a_daemon_does_not_say_it_does_not_have() {
        let seen = facts(&info(), "Docker", &DockerConfig::default()).unwrap();
        assert_eq!((seen.version.as_str(), seen.runtime.as_str()), ("Docker 1.2.3", "runc"));
        assert!(seen.limits_memory && !seen.limits_pids && !seen.limits_cpu);
        assert_eq!((seen.users, seen.filters), (UserNamespaces::None, Filters::Loaded));
        let without =
            SystemInfo { security_options: None, cgroup_driver: Some(SystemInfoCgroupDriverEnum::NONE), ..info() };
        let seen = facts(&without, "Docker", &DockerConfig::default()).unwrap();
        assert_eq!((seen.filters, seen.limits_memory, seen.cgroups), (Filters::None, false, "none"));
    }

    #[test]
    fn another_kernel_and_an_unknown_runtime_are_refused() {
        let elsewhere = SystemInfo { kernel_version: Some("1.0-elsewhere".to_owned()), ..info() };
        let error = facts(&elsewhere, "Docker", &DockerConfig::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let named = DockerConfig { runtime: Some("quaternion".to_owned()), ..DockerConfig::default() };
        let with_runtimes = SystemInfo { runtimes: Some([("runc".to_owned(), Default::default())].into()), ..info() };
        let error = facts(&with_runtimes, "Docker", &named).unwrap_err();
        assert!(error.hint().unwrap().contains("runc"), "{error}");
        assert_eq!(kernel_of("runsc-systrap"), Kernel::Own);
        assert_eq!(kernel_of("io.containerd.kata.v2"), Kernel::Own);
        assert_eq!(kernel_of("crun"), Kernel::Shared);
    }
}
