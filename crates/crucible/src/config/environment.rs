//! Every environment variable that Crucible reads, and the only place that reads them.
//!
//! A variable that begins with `CRUCIBLE_` and isn't here is an error: a mistyped limit must not go unnoticed.

use crucible_core::{Error, ErrorKind, Result, nearest};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The setting that it overrides; `None` for one that isn't a setting.
    pub setting: Option<&'static str>,
    /// What it is for.
    pub purpose: &'static str,
}

const fn setting(name: &'static str, key: &'static str, purpose: &'static str) -> Variable {
    Variable { name, setting: Some(key), purpose }
}

const fn other(name: &'static str, purpose: &'static str) -> Variable {
    Variable { name, setting: None, purpose }
}

const CONFIG: &str = "CRUCIBLE_CONFIG";
const PREFIX: &str = "CRUCIBLE_";

/// Every variable whose name begins with `CRUCIBLE_`.
pub const VARIABLES: &[Variable] = &[
    other(CONFIG, "the configuration file, in place of the one in the user's folder; it must exist"),
    setting("CRUCIBLE_RUN_BACKEND", "run.backend", "the backend"),
    setting("CRUCIBLE_RUN_POLICY", "run.policy", "the policy, by name or file"),
    setting("CRUCIBLE_RUN_NETWORK", "run.network", "the network: policy, none, or allow:HOST:PORT,..."),
    setting("CRUCIBLE_RUN_LANGUAGE", "run.language", "the language of a program whose name doesn't tell"),
    setting("CRUCIBLE_LIMITS_TIMEOUT", "limits.timeout", "wall-clock time"),
    setting("CRUCIBLE_LIMITS_CPU_TIME", "limits.cpu_time", "processor time"),
    setting("CRUCIBLE_LIMITS_CPUS", "limits.cpus", "processors at once"),
    setting("CRUCIBLE_LIMITS_MEMORY", "limits.memory", "memory"),
    setting("CRUCIBLE_LIMITS_PIDS", "limits.pids", "processes and threads"),
    setting("CRUCIBLE_LIMITS_DISK", "limits.disk", "bytes written"),
    setting("CRUCIBLE_LIMITS_INODES", "limits.inodes", "files and folders"),
    setting("CRUCIBLE_LIMITS_OPEN_FILES", "limits.open_files", "descriptors of one process"),
    setting("CRUCIBLE_LIMITS_FILE_SIZE", "limits.file_size", "size of one file"),
    setting("CRUCIBLE_LIMITS_OUTPUT", "limits.output", "bytes on each output stream"),
    setting("CRUCIBLE_LIMITS_STACK", "limits.stack", "stack of the main thread"),
    setting("CRUCIBLE_MAXIMUM_TIMEOUT", "maximum.timeout", "the largest timeout accepted"),
    setting("CRUCIBLE_MAXIMUM_CPU_TIME", "maximum.cpu_time", "the largest processor time accepted"),
    setting("CRUCIBLE_MAXIMUM_CPUS", "maximum.cpus", "the most processors accepted"),
    setting("CRUCIBLE_MAXIMUM_MEMORY", "maximum.memory", "the most memory accepted"),
    setting("CRUCIBLE_MAXIMUM_PIDS", "maximum.pids", "the most processes accepted"),
    setting("CRUCIBLE_MAXIMUM_DISK", "maximum.disk", "the most bytes written accepted"),
    setting("CRUCIBLE_MAXIMUM_INODES", "maximum.inodes", "the most files and folders accepted"),
    setting("CRUCIBLE_MAXIMUM_OPEN_FILES", "maximum.open_files", "the most descriptors accepted"),
    setting("CRUCIBLE_MAXIMUM_FILE_SIZE", "maximum.file_size", "the largest file accepted"),
    setting("CRUCIBLE_MAXIMUM_OUTPUT", "maximum.output", "the most output accepted"),
    setting("CRUCIBLE_MAXIMUM_STACK", "maximum.stack", "the largest stack accepted"),
    setting("CRUCIBLE_JAIL_CGROUP_PARENT", "jail.cgroup_parent", "the control group under which sandboxes get theirs"),
    setting("CRUCIBLE_JAIL_UID_START", "jail.uid_start", "the first host user id for sandboxes"),
    setting("CRUCIBLE_JAIL_UID_COUNT", "jail.uid_count", "how many host user ids there are for sandboxes"),
    setting("CRUCIBLE_DOCKER_HOST", "docker.host", "where the Docker daemon is"),
    setting("CRUCIBLE_DOCKER_RUNTIME", "docker.runtime", "the OCI runtime that the Docker daemon uses"),
    setting("CRUCIBLE_DOCKER_IMAGE", "docker.image", "the image in which the Docker backend runs plain commands"),
    setting("CRUCIBLE_GVISOR_RUNSC", "gvisor.runsc", "gVisor's program runsc"),
    setting("CRUCIBLE_GVISOR_PLATFORM", "gvisor.platform", "what gVisor's kernel runs on"),
    setting("CRUCIBLE_WARM_MOST", "warm.most", "how many sandboxes of a kind are made before they are asked for"),
    setting("CRUCIBLE_WARM_MEMORY", "warm.memory", "what sandboxes that stand ready may take together"),
    setting("CRUCIBLE_WARM_OLDEST", "warm.oldest", "for how long a sandbox may stand ready"),
    setting("CRUCIBLE_CACHE_INTERPRETERS", "cache.interpreters", "the folder that remembers what interpreters need"),
    setting("CRUCIBLE_EVIDENCE_FOLDER", "evidence.folder", "the folder with the signing key and the attestations"),
    setting("CRUCIBLE_REVIEW_FOLDER", "review.folder", "the folder with the programs that are held for review"),
    setting("CRUCIBLE_SANDBOX_FOLDER", "sandbox.folder", "the folder with the places of sandboxes that stay open"),
    setting("CRUCIBLE_BASELINE_FOLDER", "baseline.folder", "the folder with what earlier runs were like"),
    setting("CRUCIBLE_SERVE_LISTEN", "serve.listen", "where `crucible serve` listens"),
    setting("CRUCIBLE_SERVE_DATA", "serve.data", "the folder with all that `crucible serve` keeps"),
    setting("CRUCIBLE_SERVE_AUTH", "serve.auth", "who is let in: keys, none or auto"),
    setting("CRUCIBLE_SERVE_MOST_RUNNING", "serve.most_running", "evaluations that run at one time"),
    setting("CRUCIBLE_SERVE_MOST_QUEUED", "serve.most_queued", "evaluations that may wait"),
    setting("CRUCIBLE_SERVE_MOST_REQUESTS", "serve.most_requests", "requests that a key may make in a second"),
    setting("CRUCIBLE_SERVE_ATTEMPTS", "serve.attempts", "how often an evaluation is tried at which Crucible fails"),
    setting("CRUCIBLE_SERVE_KEEP", "serve.keep", "how long what came of evaluations is kept"),
    setting("CRUCIBLE_SERVE_PAGE", "serve.page", "the folder with the page, for those who develop it"),
    setting(
        "CRUCIBLE_CLIENT_SERVER",
        "client.server",
        "where the service is that submit, get, list, watch and cancel talk to",
    ),
    other("CRUCIBLE_KEY", "the key with which they do"),
    other("CRUCIBLE_REQUIRE", "tests only: what must not be skipped, such as jail,docker"),
    other("CRUCIBLE_SOAK", "tests only: how many runs the endurance tests make"),
    other(
        "CRUCIBLE_KILLED",
        "tests only: how many evaluations a service gets that is killed; a seed may follow a colon",
    ),
    other("CRUCIBLE_FLAT", "tests only: how many evaluations a service gets whose memory must not grow"),
    other("CRUCIBLE_BLESS", "tests only: 1 rewrites reference pages and snapshots"),
];

/// Variables of other programs that Crucible heeds.
pub const HEEDED: &[Variable] = &[
    other("XDG_CONFIG_HOME", "where the user's configuration is, if not in ~/.config"),
    other("XDG_CACHE_HOME", "where caches are, if not in ~/.cache"),
    other(
        "XDG_DATA_HOME",
        "where the signing key, attestations, earlier runs and held programs are, if not in ~/.local/share",
    ),
    other("DOCKER_HOST", "where the Docker daemon is, unless docker.host says it"),
    other("XDG_RUNTIME_DIR", "where the sockets of the user's own container daemons are looked for"),
    other("HOME", "the user's own folder"),
    other("PATH", "where interpreters are looked for"),
    other("TMPDIR", "where the subprocess backend makes its work folders, if not in /tmp"),
    other("NO_COLOR", "set: no colour"),
    other("CLICOLOR_FORCE", "set: colour even where the output is no terminal"),
];

/// The variables of a process, as they were at one time.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The configuration file that was named, or the one in the user's folder.
    pub(crate) fn configuration_file(&self) -> ConfigurationFile {
        if let Some(named) = self.get(CONFIG) {
            return ConfigurationFile::Named(named.into());
        }
        self.folder("XDG_CONFIG_HOME", ".config")
            .map_or(ConfigurationFile::None, |folder| ConfigurationFile::Usual(folder.join("crucible/config.toml")))
    }

    /// The user's own folder for caches.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        self.folder("XDG_CACHE_HOME", ".cache")
    }

    /// The user's own folder for data.
    pub(crate) fn data_folder(&self) -> Option<PathBuf> {
        self.folder("XDG_DATA_HOME", ".local/share")
    }

    /// A folder of the XDG specification, which has relative paths ignored.
    fn folder(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| self.get("HOME").map(|home| PathBuf::from(home).join(below_home)))
    }

    /// The settings in it: key, value and the variable.
    ///
    /// # Errors
    /// `Configuration` for an unknown variable of ours and for one that isn't UTF-8.
    pub(crate) fn settings(&self) -> Result<Vec<(&'static str, String, &'static str)>> {
        let mut found = Vec::new();
        let refuse = |message: String| Error::new(ErrorKind::Configuration, "read the environment", message);
        let ours = self.variables.range(OsString::from(PREFIX)..);
        for (name, value) in ours.take_while(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
            let Some(variable) = VARIABLES.iter().find(|variable| name == variable.name) else {
                let name = name.to_string_lossy();
                let error = refuse(format!("unknown environment variable {name}"));
                return Err(match nearest(&name, VARIABLES.iter().map(|variable| variable.name)) {
                    Some(known) => error.with_hint(format!("did you mean {known}?")),
                    None => error.with_hint("unset it; docs/configuration.md lists the known ones"),
                });
            };
            if let Some(key) = variable.setting {
                let text = value.to_str().ok_or_else(|| refuse(format!("{} is not UTF-8", variable.name)))?;
                found.push((key, text.to_owned(), variable.name));
            }
        }
        Ok(found)
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<T: IntoIterator<Item = (OsString, OsString)>>(variables: T) -> Self {
        Self { variables: variables.into_iter().collect() }
    }
}

/// Which file holds the user's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConfigurationFile {
    /// One that was named, so it must be there.
    Named(PathBuf),
    /// The usual one, which need not be there.
    Usual(PathBuf),
    /// None: there is no user's folder.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn the_name_of_a_settings_variable_follows_from_its_key() {
        for variable in VARIABLES {
            if let Some(key) = variable.setting {
                assert_eq!(variable.name, format!("CRUCIBLE_{}", key.replace('.', "_").to_uppercase()));
            }
        }
    }

    #[test]
    fn a_mistyped_variable_is_refused_with_the_nearest() {
        let error = environment(&[("CRUCIBLE_LIMITS_MEMROY", "1MiB")]).settings().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(error.hint(), Some("did you mean CRUCIBLE_LIMITS_MEMORY?"));
        let quiet = environment(&[("CRUCIBLE_REQUIRE", "jail"), ("CRUCIBL", ""), ("CRUCIBLEX", ""), ("PATH", "/bin")]);
        assert_eq!(quiet.settings().unwrap(), []);
    }

    #[test]
    fn the_file_is_looked_for_where_the_documentation_says() {
        let named = environment(&[("CRUCIBLE_CONFIG", "/c"), ("HOME", "/h")]).configuration_file();
        assert_eq!(named, ConfigurationFile::Named("/c".into()));
        let xdg = environment(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]).configuration_file();
        assert_eq!(xdg, ConfigurationFile::Usual("/x/crucible/config.toml".into()));
        let home = environment(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]).configuration_file();
        assert_eq!(home, ConfigurationFile::Usual("/h/.config/crucible/config.toml".into()));
        assert_eq!(environment(&[]).configuration_file(), ConfigurationFile::None);
    }
}
