//! Scenarios: one attempt each at one property of isolation, as data.
//!
//! The default set is embedded; a folder of files in the same format can take its place or stand beside it.

use crucible_core::{ByteSize, Error, ErrorKind, Expected, Layer, LimitKind, Limits, Result, TimeSpan, Users};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

/// The most that a scenario file or a probe may be.
const LONGEST_FILE: u64 = 1 << 20;

/// An attempt at one property of isolation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its id, `group.name`.
    pub id: String,
    /// The number of the property that it is about, in the list that the suite was made from.
    #[serde(default)]
    pub property: Option<u16>,
    /// What holds where it is held, as a sentence without a full stop.
    pub statement: String,
    /// What isolation is expected to do.
    pub expected: Expected,
    /// Classes of weaknesses and incidents.
    #[serde(default)]
    pub references: Vec<String>,
    /// The backends that it is about; all if empty.
    #[serde(default)]
    pub backends: Vec<String>,
    /// Who is in the sandboxes that it is about; anybody if nothing is said.
    #[serde(default)]
    pub users: Option<Users>,
    /// What is tried.
    pub probe: Probe,
    /// What it is tried on, and how the host sees whether it succeeded.
    pub canary: Canary,
    /// The layers that are left off in the control arm.
    #[serde(default)]
    pub control: BTreeSet<Layer>,
    /// Where the protected arm runs.
    #[serde(default)]
    pub place: Place,
    /// Limits other than the default ones.
    #[serde(default)]
    pub limits: BTreeMap<String, LimitValue>,
    /// Limits of the control arm, over those.
    #[serde(default)]
    pub control_limits: BTreeMap<String, LimitValue>,
    /// What the control arm needs of the machine.
    #[serde(default)]
    pub needs: Needs,
    /// The program of a Python probe; filled in when the file is read.
    #[serde(default)]
    pub source: Option<String>,
}

/// The value of a limit: a number, or text with its unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LimitValue {
    /// A number.
    Number(u64),
    /// Text.
    Text(String),
}

impl std::fmt::Display for LimitValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// What a control arm needs of the machine, to show anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Whether whoever runs the suite has to be root.
    #[serde(default)]
    pub root: bool,
    /// A file that is there where the kernel has the feature.
    #[serde(default)]
    pub path: Option<String>,
    /// A layer without which the backend says that it can't hold this.
    #[serde(default)]
    pub layer: Option<Layer>,
    /// A file that holds 0 where the kernel doesn't keep everybody out by itself.
    #[serde(default)]
    pub zero: Option<String>,
}

impl Needs {
    /// What of it is missing here.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        if self.root && !rustix::process::geteuid().is_root() {
            return Some("root, to leave off what else stands in the way".to_owned());
        }
        if let Some(path) = self.path.as_ref().filter(|path| !Path::new(path).exists()) {
            return Some(format!("a kernel with {path}"));
        }
        let is_zero = |path: &&String| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "0");
        let path = self.zero.as_ref().filter(|path| !is_zero(path))?;
        Some(format!("a kernel that doesn't refuse it itself: {path} is not 0"))
    }
}

/// Which arm of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The sandbox as it is used.
    Protected,
    /// A weakened one.
    Control,
}

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A program for Python, by its file name.
    Python(String),
    /// A part of the native probe, by its name.
    Native(String),
    /// A WebAssembly module, in hexadecimal digits.
    Module(String),
}

/// Where a protected arm runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the node as it is.
    #[default]
    Host,
    /// In the suite's own range, because what it would reach must not be the host's.
    Range,
}

/// What a probe is after, and how the host sees whether it got there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Canary {
    /// A file with a secret.
    SecretFile {
        /// Whether the path is also given relative to the work folder.
        #[serde(default)]
        relative: bool,
    },
    /// A folder that anybody may write to.
    WritableFolder {},
    /// A stand-in for the supervisor, with secrets.
    SecretProcess {
        /// Which secret is looked for.
        what: ProcessSecret,
    },
    /// A stand-in for another process.
    Process {},
    /// A TCP listener.
    Tcp {
        /// Where it listens.
        address: IpAddr,
    },
    /// A UDP socket.
    Udp {
        /// Where it listens.
        address: IpAddr,
    },
    /// A Unix socket with an abstract name.
    UnixAbstract {},
    /// A Unix socket in a folder.
    UnixPath {},
    /// A file that the sandbox shares with others: the interpreter, or a copy of it where that could be changed.
    SharedFile {},
    /// A port that a guest might open, for the host to connect to.
    Served {
        /// The address.
        address: IpAddr,
    },
    /// The loopback interface of the range.
    Interface {},
    /// A setting of the range's network.
    Sysctl {},
    /// A control group.
    Cgroup {},
    /// A mount with a name of its own.
    MountName {},
    /// The range's host name.
    HostName {},
    /// The supervisor's own program, or a copy of it where that could be changed.
    SupervisorImage {},
    /// A program in the sandbox that is setuid to another user.
    SetuidProgram {},
    /// Files that are collected after the run.
    Collected {},
    /// The record of the run itself.
    Forged {},
    /// Something that the probe holds, as seen from outside.
    Held {
        /// What is looked for.
        #[serde(default)]
        what: Option<Held>,
        /// For descriptors of one kind: what `/proc` shows of them.
        #[serde(default)]
        inode: Option<String>,
        /// For paths: which.
        #[serde(default)]
        paths: Vec<String>,
    },
    /// Nothing that could be seen from outside: the kernel's answer alone.
    Errno {
        /// The answers that mean that it was denied.
        #[serde(default = "denials")]
        denied: Vec<String>,
    },
    /// A limit.
    Counter {
        /// Which.
        limit: LimitKind,
        /// How much the probe uses at most.
        size: u64,
    },
    /// Processes that a probe leaves behind.
    Heartbeat {
        /// What they should not outlive.
        end: End,
    },
    /// Something that is left behind, looked for from another sandbox and from the host.
    Residue {},
    /// A server that the sandbox's allow-list doesn't name.
    Unlisted {
        /// Where it serves.
        address: IpAddr,
    },
    /// That the probe is started at all.
    Started {},
}

impl Canary {
    /// Whether there is one of it in a whole machine, so that it is only ever put in place in a range.
    pub(crate) const fn is_the_machines(&self) -> bool {
        matches!(
            self,
            Self::HostName {}
                | Self::Cgroup {}
                | Self::MountName {}
                | Self::Sysctl {}
                | Self::Interface {}
                | Self::SetuidProgram {}
                | Self::Residue {}
        )
    }

    /// Whether it is looked at by way of the probe's own process on the host.
    pub(crate) const fn needs_the_guests_process(&self) -> bool {
        match self {
            Self::Held { .. } | Self::SetuidProgram {} | Self::Heartbeat { .. } => true,
            Self::Counter { limit, .. } => matches!(
                limit,
                LimitKind::Pids
                    | LimitKind::Disk
                    | LimitKind::Inodes
                    | LimitKind::FileSize
                    | LimitKind::OpenFiles
                    | LimitKind::Stack
            ),
            _ => false,
        }
    }

    /// Whether what it is about is held by the engine, and not by the backend alone.
    pub(crate) const fn is_the_engines(&self) -> bool {
        match self {
            Self::Forged {} | Self::Unlisted { .. } => true,
            Self::Counter { limit, .. } => matches!(limit, LimitKind::Timeout | LimitKind::Output | LimitKind::CpuTime),
            _ => false,
        }
    }
}

/// The end of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It was destroyed.
    Destroyed,
    /// Its supervisor was killed.
    SupervisorKilled,
}

fn denials() -> Vec<String> {
    ["EPERM", "EACCES", "ENOSYS"].map(str::to_owned).to_vec()
}

/// A secret of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessSecret {
    /// In its environment.
    Environment,
    /// In its command line.
    CommandLine,
    /// In a file that it has open.
    Descriptor,
    /// That it is there at all.
    Pid,
}

/// What is looked for in a process that holds still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// A descriptor besides the three standard ones.
    Descriptors,
    /// Any socket.
    Socket,
    /// A user namespace below the sandbox's own.
    UserNamespace,
    /// Another mount namespace than the sandbox's.
    MountNamespace,
    /// Another network namespace than the sandbox's.
    NetworkNamespace,
    /// Another host name namespace than the sandbox's.
    UtsNamespace,
    /// Another process namespace for children than the sandbox's.
    PidNamespace,
    /// Any capability.
    Capabilities,
    /// Any capability but those of root inside.
    CapabilitiesBeyondRoots,
    /// That privileges can be gained.
    NoNewPrivs,
    /// That calls aren't filtered.
    Seccomp,
    /// The host's user 0.
    UidZero,
    /// Supplementary groups.
    Groups,
    /// A tracer.
    Traced,
    /// Real-time or raised priority.
    RealTime,
    /// A device that isn't below `/dev`.
    DeviceNode,
    /// A mount that the sandbox didn't have, or a root that can be written.
    Mounts,
    /// Another root folder than the sandbox's.
    Root,
    /// Core files.
    CoreLimit,
    /// Devices in `/dev` beyond the expected.
    Devices,
    /// Files that show something.
    Paths,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    scenario: Vec<Scenario>,
}

impl Scenario {
    /// Its group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.id.split_once('.').map_or("", |(group, _)| group)
    }

    /// Whether what it goes for can't be put in place outside of a range at all: there is one of it in a whole machine and
    /// reaching it would change it, or its address is one that only ranges have.
    #[must_use]
    pub fn needs_a_range(&self) -> bool {
        match &self.canary {
            // What is left behind has a name of its own, and hurts nobody.
            Canary::Residue {} => self.place == Place::Range && self.changes_names_of_the_machine(),
            Canary::Tcp { address }
            | Canary::Udp { address }
            | Canary::Served { address }
            | Canary::Unlisted { address } => !address.is_loopback(),
            canary => canary.is_the_machines(),
        }
    }

    /// Whether the machine's host name or mounts would be changed by it.
    fn changes_names_of_the_machine(&self) -> bool {
        [Layer::UtsNamespace, Layer::MountNamespace].iter().any(|layer| self.control.contains(layer))
            && self.control.contains(&Layer::Capabilities)
    }

    /// Where its protected arm runs here. An ordinary user can't look into guests on the host, but can in a range.
    #[must_use]
    pub fn place(&self) -> Place {
        let must_look = match &self.canary {
            // Everybody may read a process's status.
            Canary::Held { what: Some(what), .. } => !matches!(
                what,
                Held::Capabilities
                    | Held::CapabilitiesBeyondRoots
                    | Held::NoNewPrivs
                    | Held::Seccomp
                    | Held::UidZero
                    | Held::Groups
            ),
            Canary::Held { .. } | Canary::SharedFile {} | Canary::SupervisorImage {} => true,
            _ => false,
        };
        if self.canary.is_the_machines() || (must_look && !rustix::process::geteuid().is_root()) {
            Place::Range
        } else {
            self.place
        }
    }

    /// Whether what its control arm leaves off are layers, and nothing else.
    #[must_use]
    pub fn rests_on_layers(&self) -> bool {
        let has_own = self.canary.is_the_engines() || matches!(self.canary, Canary::Heartbeat { .. });
        !self.control.is_empty() && self.control_limits.is_empty() && !has_own
    }

    /// Whether it is about a backend.
    #[must_use]
    pub fn is_about(&self, backend: &str) -> bool {
        self.backends.is_empty() || self.backends.iter().any(|name| name == backend)
    }

    /// The limits of its sandbox.
    ///
    /// # Errors
    /// `Configuration` for a limit that doesn't exist or can't be read.
    pub fn limits(&self, arm: Arm) -> Result<Limits> {
        let mut limits = Limits::default();
        let others = self.control_limits.iter().filter(|_| arm == Arm::Control);
        for (name, value) in self.limits.iter().chain(others) {
            let value = value.to_string();
            let fail =
                |why: String| Error::new(ErrorKind::Configuration, "read a scenario", format!("{}: {why}", self.id));
            let bytes = || value.parse::<ByteSize>().map_err(|error| fail(error.to_string()));
            let span = || value.parse::<TimeSpan>().map_err(|error| fail(error.to_string()));
            macro_rules! number {
                () => {
                    value.parse().map_err(|_| fail(format!("{name}: {value:?} is no number")))?
                };
            }
            match name.as_str() {
                "timeout" => limits.timeout = span()?,
                "cpu_time" => limits.cpu_time = span()?,
                "memory" => limits.memory = bytes()?,
                "disk" => limits.disk = bytes()?,
                "output" => limits.output = bytes()?,
                "file_size" => limits.file_size = bytes()?,
                "stack" => limits.stack = bytes()?,
                "pids" => limits.pids = number!(),
                "inodes" => limits.inodes = number!(),
                "open_files" => limits.open_files = number!(),
                "cpus" => limits.cpus = value.parse().map_err(|_| fail(format!("cpus: {value:?} is no number")))?,
                _ => return Err(fail(format!("there is no limit {name:?}"))),
            }
        }
        Ok(limits)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let is_word =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        match self.id.split_once('.') {
            Some((group, name)) if is_word(group) && is_word(name) => {}
            _ => return Err(format!("the id {:?} isn't group.name in small letters, digits and _", self.id)),
        }
        if self.statement.trim().is_empty() || self.statement.ends_with('.') {
            return Err(format!("{}: the statement has to be a sentence without a full stop", self.id));
        }
        let has_own = matches!(
            self.canary,
            Canary::Collected {} | Canary::Forged {} | Canary::Unlisted { .. } | Canary::Heartbeat { .. }
        );
        if self.control.is_empty() && self.control_limits.is_empty() && !has_own {
            return Err(format!("{}: without a control arm nothing is proven", self.id));
        }
        if let Canary::Held { what, inode, paths } = &self.canary
            && (what.is_some() == inode.is_some() || (*what == Some(Held::Paths)) == paths.is_empty())
        {
            return Err(format!("{}: what is looked for has to be one thing", self.id));
        }
        for arm in [Arm::Protected, Arm::Control] {
            self.limits(arm).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// A module's bytes.
pub(crate) fn module(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = digits.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| pair.iter().try_fold(0_u8, |byte, digit| Some((byte << 4) | u8::try_from(*digit).ok()?))).collect()
}

/// Reads scenario files with their probes: text of the file, and a way to get a Python probe by its name.
fn read(text: &str, name: &str, probe: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Scenario>> {
    let fail = |why: String| Error::new(ErrorKind::Configuration, "read the scenarios", format!("{name}: {why}"));
    let file: ScenarioFile = toml::from_str(text).map_err(|error| fail(error.message().to_owned()))?;
    let mut scenarios = file.scenario;
    for scenario in &mut scenarios {
        scenario.check().map_err(fail)?;
        match &scenario.probe {
            Probe::Python(file) => {
                let source = probe(file).ok_or_else(|| fail(format!("{}: there is no probe {file:?}", scenario.id)))?;
                scenario.source = Some(source);
            }
            Probe::Native(probe) if !crucible_probe::NAMES.iter().any(|known| known.name == probe) => {
                return Err(fail(format!("{}: there is no native probe {probe:?}", scenario.id)));
            }
            Probe::Module(digits) if module(digits).is_none() => {
                return Err(fail(format!("{}: the module isn't in hexadecimal digits", scenario.id)));
            }
            Probe::Native(_) | Probe::Module(_) => {}
        }
    }
    Ok(scenarios)
}

fn check_unique(scenarios: Vec<Scenario>) -> Result<Vec<Scenario>> {
    let mut ids = BTreeSet::new();
    match scenarios.iter().find(|scenario| !ids.insert(scenario.id.as_str())) {
        Some(twice) => {
            let message = format!("the scenario {} is there twice", twice.id);
            Err(Error::new(ErrorKind::Configuration, "read the scenarios", message))
        }
        None => Ok(scenarios),
    }
}

/// The default set.
///
/// # Errors
/// `Configuration`; a test keeps the embedded files sound.
pub fn built_in() -> Result<Vec<Scenario>> {
    let mut all = Vec::new();
    for (name, text) in crate::embedded::SCENARIOS {
        let probe = |wanted: &str| {
            let found = crate::embedded::PROBES.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, source)| (*source).to_owned())
        };
        all.extend(read(text, name, &probe)?);
    }
    check_unique(all)
}

/// The text of a file, or why there is none.
fn text_of(path: &Path) -> std::result::Result<String, String> {
    let seen = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !seen.is_file() {
        return Err("it is no file".to_owned());
    }
    if seen.len() > LONGEST_FILE {
        return Err(format!("it is longer than {}", ByteSize::bytes(LONGEST_FILE)));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// The scenarios of a folder: its `*.toml` files, with the Python probes beside them.
///
/// # Errors
/// `NotFound` without the folder or any scenario in it, `Configuration` for one that can't be read.
pub fn from_folder(folder: &Path) -> Result<Vec<Scenario>> {
    let fail = |kind, why: String| Error::new(kind, "read the scenarios", format!("{}: {why}", folder.display()));
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .map_err(|error| fail(ErrorKind::NotFound, error.to_string()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().display();
        let text = text_of(&path);
        let text = text.map_err(|why| fail(ErrorKind::Configuration, format!("{name} can't be read: {why}")))?;
        let probe = |name: &str| {
            let is_plain = !name.contains('/') && name != ".." && name != ".";
            is_plain.then(|| text_of(&folder.join(name)).ok()).flatten()
        };
        all.extend(read(&text, &path.display().to_string(), &probe)?);
    }
    if all.is_empty() {
        return Err(fail(ErrorKind::NotFound, "there is no scenario in it (*.toml)".to_owned()));
    }
    check_unique(all)
}

#[cfg(test)]
mod tests;
