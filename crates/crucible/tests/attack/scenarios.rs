//! Scenarios of the tests' own, and what became of them.

use crate::attack;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// What every probe of theirs begins with.
const FRAME: &str = "
import os, sys, time
NONCE = sys.argv[1]
def say(text, descriptor=1):
    data = text.encode()
    while data:
        data = data[os.write(descriptor, data):]
def read():
    try:
        with open(os.environ['CANARY_PATH']) as file:
            say(file.read() + '\\n')
        return True
    except OSError:
        return False
def hold():
    say('\\ntried ' + NONCE + '\\n')
    sys.stdin.read()
";

/// A file with a secret, which the jail's mounts hide.
pub(crate) const SECRET: &str = r#"{ kind = "secret_file" }"#;
pub(crate) const MOUNTS: &str = r#"["mount_namespace", "private_root"]"#;
/// Every layer that can be left off.
pub(crate) const EVERYTHING: &str = r#"["user_namespace", "mount_namespace", "pid_namespace", "network_namespace",
    "ipc_namespace", "uts_namespace", "cgroup_namespace", "private_root", "private_proc", "private_dev", "distinct_uid",
    "capabilities", "no_new_privs", "landlock", "seccomp", "rlimits", "cgroup_memory", "cgroup_pids", "cgroup_cpu",
    "disk_quota", "session_keyring", "clean_start"]"#;

/// A folder of scenarios.
pub(crate) struct Scenarios {
    folder: tempfile::TempDir,
    text: String,
}

impl Scenarios {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), text: String::new() }
    }

    /// Adds one with a probe of this code, which comes after the frame.
    pub(crate) fn add(mut self, name: &str, place: &str, canary: &str, control: &str, code: &str) -> Self {
        std::fs::write(self.folder.path().join(format!("{name}.py")), format!("{FRAME}\n{code}\n")).unwrap();
        write!(
            self.text,
            "[[scenario]]\nid = \"own.{name}\"\nstatement = \"A property of {name}\"\nexpected = \"hidden\"\n\
             probe = {{ python = \"{name}.py\" }}\ncanary = {canary}\ncontrol = {control}\nplace = \"{place}\"\n"
        )
        .unwrap();
        self
    }

    /// Adds one that is reached in truth, always, by any probe that holds still.
    pub(crate) fn add_reached(self, name: &str, place: &str) -> Self {
        let canary = r#"{ kind = "held", what = "paths", paths = ["/usr/bin"] }"#;
        self.add(name, place, canary, r#"["private_root"]"#, "hold()")
    }

    /// Adds one that the jail holds in truth.
    pub(crate) fn add_held(self, name: &str, place: &str) -> Self {
        self.add(name, place, SECRET, MOUNTS, "read()\nhold()")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts them to the jail.
    #[track_caller]
    pub(crate) fn run(&self) -> Report {
        std::fs::write(self.folder().join("own.toml"), &self.text).unwrap();
        let run = attack(&["--json", "--scenarios", self.folder().to_str().unwrap()]).output();
        let (report, code) = (run.json(), run.code());
        assert_eq!(report["suites"][0]["attestation"], Value::Null, "scenarios of one's own were attested");
        Report { report, code }
    }
}

/// What became of them.
pub(crate) struct Report {
    pub(crate) report: Value,
    pub(crate) code: i32,
}

impl Report {
    #[track_caller]
    pub(crate) fn property(&self, name: &str) -> &Value {
        let all = self.report["suites"][0]["properties"].as_array().unwrap();
        all.iter().find(|property| property["id"] == format!("own.{name}")).unwrap()
    }

    /// Demands a verdict, with what each arm came to.
    #[track_caller]
    pub(crate) fn expect(&self, name: &str, verdict: &str, protected: Option<&str>, control: Option<&str>) {
        let property = self.property(name);
        let reach = |arm: &str| property[arm]["reach"].as_str();
        assert_eq!(
            (property["verdict"].as_str(), reach("protected"), reach("control")),
            (Some(verdict), protected, control),
            "{property:#}"
        );
    }
}
