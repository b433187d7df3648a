//! The configuration: embedded defaults, then the user's file, then environment variables, then a preset, then flags.
//!
//! Invariant: every value knows where it came from, and a key, unit or variable that nobody knows is an error with its
//! place and the nearest known one. It reads files and the environment; it starts nothing.

mod document;
mod environment;
mod languages;
mod limits;
mod policy;
mod schema;
mod source;
mod values;

pub use document::Value;
pub use environment::{Environment, HEEDED, VARIABLES, Variable};
pub use policy::{
    BUILT_IN_POLICIES, PolicyFile, Problem, policy_file, policy_from_text, policy_in_words, policy_to_text,
};
pub(crate) use source::read_settings;
pub use source::{Origin, is_file};

use crucible_core::{ByteSize, Error, ErrorKind, HostPath, Limits, NetworkPolicy, Policy, Result, TimeSpan, nearest};
use crucible_engine::{LanguageTable, PoolSettings};
use environment::ConfigurationFile;
use source::Source;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use values::{Located, Values};

/// The commented default configuration, as text.
pub const DEFAULT: &str = include_str!("default.toml");

/// What the word `auto` stands for in a setting: Crucible finds it out.
pub const AUTO: &str = "auto";

/// What a person asked for on the command line, laid over everything else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// A preset, by name or file.
    pub preset: Option<String>,
    /// Single settings.
    pub settings: Vec<Override>,
}

/// One setting that a person asked for.
#[derive(Clone, Debug)]
pub struct Override {
    /// Its key: `limits.memory`.
    pub key: &'static str,
    /// Its value as text.
    pub value: String,
    /// The flag, for messages.
    pub flag: &'static str,
}

/// One value with its key and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The key: `limits.memory`.
    pub key: &'a str,
    /// The value.
    pub value: &'a Value,
    /// Where it came from.
    pub origin: &'a Origin,
}

/// Who a service lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Whoever has a key.
    Keys,
    /// Whoever can reach it.
    None,
    /// Whoever can reach it, if only this machine can; else whoever has a key.
    Auto,
}

/// Every setting, read and checked.
#[derive(Clone, Debug)]
pub struct Configuration {
    values: Values,
    limits: Limits,
    maximum: Limits,
    env: BTreeMap<String, String>,
    languages: LanguageTable,
    cache_folder: Option<PathBuf>,
    data_folder: Option<PathBuf>,
}

impl Configuration {
    /// The embedded defaults alone: the same on every machine. Only the folders for caches and data are the user's.
    ///
    /// # Errors
    /// `Configuration`; a test keeps the embedded file sound.
    pub fn built_in() -> Result<Self> {
        Self::read(defaults()?, BTreeMap::new(), &Environment::of_process())
    }

    /// Everything: defaults, the user's file, `environment`, `overrides`.
    ///
    /// # Errors
    /// `Configuration` for a mistake in a file or a variable, `InvalidInput` for one in `overrides`, `NotFound` for an
    /// unknown preset.
    pub fn load(environment: &Environment, overrides: &Overrides) -> Result<Self> {
        let mut values = defaults()?;
        if let Some((text, source)) = user_file(&environment.configuration_file())? {
            values.overlay_text(&text, &source, &schema::CONFIGURATION)?;
        }
        values.overlay_environment(environment)?;
        let env = match &overrides.preset {
            Some(preset) => apply_preset(&mut values, preset)?,
            None => BTreeMap::new(),
        };
        for Override { key, value, flag } in &overrides.settings {
            let located = Located { value: Value::Text(value.clone()), origin: Origin::Flag { flag } };
            values.set((*key).to_owned(), located);
        }
        Self::read(values, env, environment)
    }

    fn read(values: Values, env: BTreeMap<String, String>, environment: &Environment) -> Result<Self> {
        let maximum = limits::read(&values, "maximum", Limits::maximum())?;
        let limits = limits::read(&values, "limits", Limits::default())?;
        limits::check(&values, &limits, &maximum)?;
        for name in values.names("presets.") {
            limits::read(&values, &format!("presets.{name}.limits"), limits.clone())?;
        }
        let languages = LanguageTable::from(languages::read(&values)?);
        let (cache_folder, data_folder) = (environment.cache_folder(), environment.data_folder());
        let configuration = Self { values, limits, maximum, env, languages, cache_folder, data_folder };
        configuration.uid_start()?;
        configuration.uid_count()?;
        Ok(configuration)
    }

    /// What an evaluation may use.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The most that an evaluation may ask for.
    #[must_use]
    pub const fn maximum(&self) -> &Limits {
        &self.maximum
    }

    /// Environment variables that the chosen preset gives to the program.
    #[must_use]
    pub const fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// The language table.
    #[must_use]
    pub const fn languages(&self) -> &LanguageTable {
        &self.languages
    }

    /// The backend's name, or `auto`.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.values.text("run.backend").unwrap_or(AUTO)
    }

    /// The language of a program whose name doesn't tell.
    #[must_use]
    pub fn language(&self) -> &str {
        self.values.text("run.language").unwrap_or("python")
    }

    /// Whether a person chose the policy, and not the embedded default.
    #[must_use]
    pub fn policy_chosen(&self) -> Chosen {
        match self.values.get("run.policy").map(|located| &located.origin) {
            None | Some(Origin::Default { .. }) => Chosen::ByDefault,
            Some(Origin::File { .. } | Origin::Environment { .. } | Origin::Flag { .. }) => Chosen::ByPerson,
        }
    }

    /// The policy.
    ///
    /// # Errors
    /// `NotFound` for an unknown name; `Configuration` for a policy file that can't be read.
    pub fn policy(&self) -> Result<Policy> {
        let origin = self.values.get("run.policy").map(|located| &located.origin);
        policy::find(self.values.text("run.policy").unwrap_or("default"), origin)
    }

    /// The network, where it was chosen apart from the policy; `policy` says that it wasn't.
    ///
    /// # Errors
    /// `Configuration` for what is no network.
    pub fn network(&self) -> Result<Option<NetworkPolicy>> {
        let is_the_policys = self.values.text("run.network").is_none_or(|text| text == "policy");
        if is_the_policys { Ok(None) } else { self.values.parse("run.network").map(Some) }
    }

    /// The policy's file, with what can be said of it; `None` where the policy is a built-in one.
    ///
    /// # Errors
    /// As [`Configuration::policy`].
    pub fn policy_file(&self) -> Result<Option<PolicyFile>> {
        let located = self.values.get("run.policy").map(|located| &located.origin);
        let text = self.values.text("run.policy").filter(|text| is_file(text));
        text.map(|text| policy_file(&located.map_or_else(|| text.into(), |origin| origin.resolve(text)))).transpose()
    }

    /// The control group under which sandboxes get theirs; `None` where it is to be found out.
    #[must_use]
    pub fn cgroup_parent(&self) -> Option<HostPath> {
        self.path("jail.cgroup_parent")
    }

    /// gVisor's program; `None` where it is to be looked for.
    #[must_use]
    pub fn runsc(&self) -> Option<HostPath> {
        self.path("gvisor.runsc")
    }

    /// The platform of gVisor's kernel; `None` where it is to be found out.
    #[must_use]
    pub fn gvisor_platform(&self) -> Option<String> {
        self.values.text("gvisor.platform").filter(|text| *text != AUTO).map(str::to_owned)
    }

    /// The first host user id for sandboxes.
    ///
    /// # Errors
    /// `Configuration` for what isn't a number.
    pub fn uid_start(&self) -> Result<u32> {
        self.values.parse_number("jail.uid_start")
    }

    /// How many host user ids there are for sandboxes.
    ///
    /// # Errors
    /// `Configuration` for what isn't a number.
    pub fn uid_count(&self) -> Result<u32> {
        self.values.parse_number("jail.uid_count")
    }

    /// Where the Docker daemon is; `None` where it is to be found out.
    #[must_use]
    pub fn docker_host(&self) -> Option<String> {
        self.chosen("docker.host")
    }

    /// The OCI runtime that the Docker daemon is to use; `None` for its own choice.
    #[must_use]
    pub fn docker_runtime(&self) -> Option<String> {
        self.chosen("docker.runtime")
    }

    /// The image for commands that aren't programs of a language; `None` where it is to be found out.
    #[must_use]
    pub fn docker_image(&self) -> Option<String> {
        self.chosen("docker.image")
    }

    /// The folder that remembers what interpreters need; `None` where there is no user's folder to have it in.
    #[must_use]
    pub fn interpreter_cache(&self) -> Option<HostPath> {
        let usual = || self.cache_folder.as_ref().map(|folder| HostPath::new(folder.join("crucible/interpreters")));
        self.path("cache.interpreters").or_else(usual)
    }

    /// The folder with runtimes for languages that run as WebAssembly; `None` where there is no user's folder to have it in.
    #[must_use]
    pub fn runtime_folder(&self) -> Option<HostPath> {
        let usual = || self.data_folder.as_ref().map(|folder| HostPath::new(folder.join("crucible/runtimes")));
        self.path("wasm.runtimes").or_else(usual)
    }

    /// The folder with what was compiled of them; `None` where there is no user's folder to have it in.
    #[must_use]
    pub fn compiled_folder(&self) -> Option<HostPath> {
        let usual = || self.cache_folder.as_ref().map(|folder| HostPath::new(folder.join("crucible/compiled")));
        self.path("wasm.compiled").or_else(usual)
    }

    /// The folder with the signing key and the attestations; `None` where there is no user's folder to have it in.
    #[must_use]
    pub fn evidence_folder(&self) -> Option<HostPath> {
        let usual = || self.data_folder.as_ref().map(|folder| HostPath::new(folder.join("crucible/evidence")));
        self.path("evidence.folder").or_else(usual)
    }

    /// Folders and files with rules of the person's own, each with where it was named.
    #[must_use]
    pub fn rule_folders(&self) -> Vec<(PathBuf, Origin)> {
        match self.values.get("scan.rules") {
            Some(Located { value: Value::List(folders), origin }) => {
                folders.iter().map(|folder| (origin.resolve(folder), origin.clone())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The folder with what earlier runs were like; `None` where there is no user's folder to have it in.
    #[must_use]
    pub fn baseline_folder(&self) -> Option<HostPath> {
        let usual = || self.data_folder.as_ref().map(|folder| HostPath::new(folder.join("crucible/baselines")));
        self.path("baseline.folder").or_else(usual)
    }

    /// The folder with the programs that are held for review; `None` where there is no user's folder to have it in.
    #[must_use]
    pub fn review_folder(&self) -> Option<HostPath> {
        let usual = || self.data_folder.as_ref().map(|folder| HostPath::new(folder.join("crucible/reviews")));
        self.path("review.folder").or_else(usual)
    }

    /// The folder with the places of sandboxes that stay open; `None` where there is no user's folder to have it in.
    #[must_use]
    pub fn sandbox_folder(&self) -> Option<HostPath> {
        let usual = || self.data_folder.as_ref().map(|folder| HostPath::new(folder.join("crucible/sandboxes")));
        self.path("sandbox.folder").or_else(usual)
    }

    /// The folder with all that a service keeps; `None` where there is no user's folder to have it in.
    #[must_use]
    pub fn service_folder(&self) -> Option<HostPath> {
        let usual = || self.data_folder.as_ref().map(|folder| HostPath::new(folder.join("crucible/service")));
        self.path("serve.data").or_else(usual)
    }

    /// Where a service listens.
    ///
    /// # Errors
    /// `Configuration` for what is no address with a port.
    pub fn listen(&self) -> Result<std::net::SocketAddr> {
        let text = self.values.text("serve.listen").unwrap_or_default();
        let text = text.replace("localhost", "127.0.0.1");
        text.parse().map_err(|_| self.wrong("serve.listen", "it is no address with a port, like 127.0.0.1:8080"))
    }

    /// Who a service lets in.
    ///
    /// # Errors
    /// `Configuration` for another word than `keys`, `none` and `auto`.
    pub fn auth(&self) -> Result<Auth> {
        match self.values.text("serve.auth") {
            Some("keys") => Ok(Auth::Keys),
            Some("none") => Ok(Auth::None),
            Some(AUTO) => Ok(Auth::Auto),
            _ => Err(self.wrong("serve.auth", "it is neither keys, none nor auto")),
        }
    }

    /// How many evaluations a service runs at one time; `None` where it is to be found out.
    ///
    /// # Errors
    /// `Configuration` for what isn't a number.
    pub fn most_running(&self) -> Result<Option<u32>> {
        if self.values.text("serve.most_running") == Some(AUTO) {
            return Ok(None);
        }
        match self.values.parse_number("serve.most_running")? {
            0 => Err(self.wrong("serve.most_running", "nothing would ever run")),
            most => Ok(Some(most)),
        }
    }

    /// How many evaluations a service runs at one time on each backend that has a bound of its own.
    ///
    /// # Errors
    /// `Configuration` for what isn't a number.
    pub fn most_running_on(&self) -> Result<BTreeMap<String, usize>> {
        let bound = |backend: String| {
            let key = format!("serve.most_running_on.{backend}");
            match self.values.parse_number(&key)? {
                0 => Err(self.wrong(&key, "nothing would ever run on it")),
                most => Ok((backend, most)),
            }
        };
        self.values.names("serve.most_running_on.").into_iter().map(bound).collect()
    }

    /// How many evaluations may wait at a service.
    ///
    /// # Errors
    /// `Configuration` for what isn't a number.
    pub fn most_queued(&self) -> Result<u32> {
        self.values.parse_number("serve.most_queued")
    }

    /// How many requests a key may make in a second; `None` for as many as it likes.
    ///
    /// # Errors
    /// `Configuration` for what isn't a number, or none.
    pub fn most_requests(&self) -> Result<Option<std::num::NonZeroU32>> {
        if self.values.text("serve.most_requests") == Some("unbounded") {
            return Ok(None);
        }
        let most = self.values.parse_number::<u32>("serve.most_requests")?;
        std::num::NonZeroU32::new(most)
            .map(Some)
            .ok_or_else(|| self.wrong("serve.most_requests", "nothing would ever be answered"))
    }

    /// Networks that webhooks may lead to besides public addresses.
    ///
    /// # Errors
    /// `Configuration` for what is no network.
    pub fn webhook_networks(&self) -> Result<Vec<ipnet::IpNet>> {
        self.networks("serve.webhook_networks")
    }

    /// Networks that aren't public, of which requests may let their programs out to addresses.
    ///
    /// # Errors
    /// `Configuration` for what is no network.
    pub fn request_networks(&self) -> Result<Vec<ipnet::IpNet>> {
        self.networks("serve.request_networks")
    }

    fn networks(&self, key: &'static str) -> Result<Vec<ipnet::IpNet>> {
        let Some(Located { value: Value::List(networks), .. }) = self.values.get(key) else {
            return Ok(Vec::new());
        };
        let read = |text: &String| match text.parse::<std::net::IpAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) => text.parse().map_err(|_| {
                let shown: String = text.chars().take(64).collect();
                self.wrong(key, &format!("{shown:?} is no network, like 10.0.0.0/8"))
            }),
        };
        networks.iter().map(read).collect()
    }

    /// How often a service tries an evaluation at which it fails.
    ///
    /// # Errors
    /// `Configuration` for what isn't a number, or none.
    pub fn attempts(&self) -> Result<u32> {
        match self.values.parse_number("serve.attempts")? {
            0 => Err(self.wrong("serve.attempts", "nothing would ever run")),
            attempts => Ok(attempts),
        }
    }

    /// How long a service keeps what came of evaluations; `None` for ever.
    ///
    /// # Errors
    /// `Configuration` for what is neither a time nor `never`.
    pub fn keep(&self) -> Result<Option<TimeSpan>> {
        match self.values.text("serve.keep") {
            None | Some("never") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| self.wrong("serve.keep", "it is neither a time, like 30d, nor never")),
        }
    }

    /// How many sandboxes are made before they are asked for; `None` for none.
    ///
    /// # Errors
    /// `Configuration` for what is no number, size or time.
    pub fn pool(&self) -> Result<Option<PoolSettings>> {
        let most = self.values.parse_number::<u32>("warm.most")?;
        let (memory, oldest) =
            (self.values.parse::<ByteSize>("warm.memory")?, self.values.parse::<TimeSpan>("warm.oldest")?);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let settings = PoolSettings { most, memory: memory.get(), oldest: oldest.get(), ..PoolSettings::default() };
        Ok((most > 0).then_some(settings))
    }

    /// The languages of which a service has a sandbox ready before it is ready itself.
    #[must_use]
    pub fn warm_languages(&self) -> Vec<String> {
        self.values.list("warm.languages")
    }

    /// A folder with a page to serve instead of the one that was built in.
    #[must_use]
    pub fn page_folder(&self) -> Option<HostPath> {
        self.path("serve.page")
    }

    /// Where the service is that is talked to.
    #[must_use]
    pub fn server(&self) -> &str {
        self.values.text("client.server").unwrap_or_default()
    }

    fn wrong(&self, key: &str, what: &str) -> Error {
        match self.values.get(key) {
            Some(Located { origin, .. }) => values::wrong(key, origin, what.to_owned()),
            None => Error::new(ErrorKind::Configuration, "read the configuration", format!("{key}: {what}")),
        }
    }

    /// A policy that is named beside the configuration: a built-in one, or a file if it holds a slash or ends in `.toml`.
    ///
    /// # Errors
    /// As [`Configuration::policy`].
    pub fn named_policy(name: &str) -> Result<Policy> {
        policy::find(name, None)
    }

    /// Every value with where it came from, section by section.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting<'_>> {
        let mut all: Vec<_> =
            self.values.iter().map(|(key, Located { value, origin })| Setting { key, value, origin }).collect();
        all.sort_by_key(|setting| schema::rank(setting.key.split('.').next().unwrap_or_default()));
        all
    }

    fn chosen(&self, key: &str) -> Option<String> {
        self.values.text(key).filter(|text| *text != AUTO && !text.is_empty()).map(str::to_owned)
    }

    fn path(&self, key: &str) -> Option<HostPath> {
        let Located { value: Value::Text(text), origin } = self.values.get(key)? else {
            return None;
        };
        (text != AUTO).then(|| HostPath::new(origin.resolve(text)))
    }
}

/// Who chose a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Nobody: it is the embedded default.
    ByDefault,
    /// A person, in a file, a variable or a flag.
    ByPerson,
}

fn defaults() -> Result<Values> {
    let mut values = Values::default();
    values.overlay_text(DEFAULT, &Source::Embedded("default.toml"), &schema::CONFIGURATION)?;
    let languages = crucible_backends::runtime::DEFAULT_LANGUAGES;
    values.overlay_text(languages, &Source::Embedded("languages.toml"), &schema::CONFIGURATION)?;
    Ok(values)
}

fn user_file(file: &ConfigurationFile) -> Result<Option<(String, Source)>> {
    let (path, must_exist) = match file {
        ConfigurationFile::Named(path) => (path, true),
        ConfigurationFile::Usual(path) => (path, false),
        ConfigurationFile::None => return Ok(None),
    };
    match read_settings(path, "configuration file", ErrorKind::Configuration) {
        Ok(text) => Ok(Some((text, Source::file(path.as_path())))),
        Err(error) if !must_exist && is_missing(&error) => Ok(None),
        Err(error) if must_exist => {
            Err(error.with_hint("CRUCIBLE_CONFIG names it; unset it to use the usual file or none"))
        }
        Err(error) => Err(error),
    }
}

fn is_missing(error: &Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| matches!(cause.kind(), NotFound | NotADirectory))
}

/// Lays a preset over what is there and returns its environment variables.
fn apply_preset(values: &mut Values, preset: &str) -> Result<BTreeMap<String, String>> {
    let mut file = Values::default();
    let (chosen, prefix) = if is_file(preset) {
        let text = read_settings(Path::new(preset), "preset file", ErrorKind::NotFound)?;
        file.overlay_text(&text, &Source::file(preset), &schema::PRESET)?;
        (&file, String::new())
    } else {
        let names = values.names("presets.");
        if !names.iter().any(|name| name == preset) {
            let error = Error::new(ErrorKind::NotFound, "find the preset", format!("there is no preset {preset:?}"));
            let known = names.join(", ");
            return Err(match nearest(preset, names.iter().map(String::as_str)) {
                Some(name) => error.with_hint(format!("did you mean '{name}'? a file is named with a slash or .toml")),
                None => error.with_hint(format!("known: {known}; a file is named with a slash or .toml")),
            });
        }
        (&*values, format!("presets.{preset}."))
    };
    let env = chosen.variables(&format!("{prefix}env."));
    let laid: Vec<(String, Located)> = chosen
        .below(&prefix)
        .filter_map(|(key, located)| match key {
            "backend" | "policy" | "network" | "language" => Some((format!("run.{key}"), located.clone())),
            key if key.starts_with("limits.") => Some((key.to_owned(), located.clone())),
            _ => None,
        })
        .collect();
    for (key, located) in laid {
        values.set(key, located);
    }
    Ok(env)
}

#[cfg(test)]
mod tests;
