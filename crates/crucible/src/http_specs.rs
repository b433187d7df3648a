//! Reads requests for sandboxes and evaluations that came over HTTP: what they leave out comes from the configuration.
//!
//! Invariant: a request names backends and policies, never files of the host. It can't ask for a backend that isolates nothing
//! where the operator doesn't admit that, nor for more than the maximum: the engine checks that. Nor is anything let out by it
//! to an address that isn't public, in no network that the operator admits.

use crate::catalogue::named_policy;
use crate::compose::{self, Unsafe};
use crate::config::{AUTO, Configuration};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_api::v1::{CreateSandbox, SubmitEvaluation, SubmittedFile};
use crucible_core::{
    Destination, Error, ErrorKind, EvaluationId, EvaluationSpec, GuestPath, Host, InputFile, Limits, NetworkPolicy,
    Policy, Program, Result, TimeSpan,
};
use crucible_engine::{SessionSpec, is_public};
use crucible_server::SpecReader;
use std::collections::BTreeMap;

/// Fills in what a request leaves out from a configuration.
pub struct ConfiguredSpecs {
    configuration: Configuration,
    unsafe_backends: Unsafe,
}

impl ConfiguredSpecs {
    /// From this configuration.
    #[must_use]
    pub const fn new(configuration: Configuration, unsafe_backends: Unsafe) -> Self {
        Self { configuration, unsafe_backends }
    }

    fn policy(&self, name: Option<&str>, network: Option<&str>, backend: &str) -> Result<Policy> {
        let policy = match name {
            None => compose::policy(&self.configuration, backend),
            // A file's path would be one of this machine.
            Some(name) => within("policy", named_policy(&self.configuration, name)),
        }?;
        match network {
            None => Ok(policy),
            Some(network) => Ok(Policy { network: within("network", self.network(network))?, ..policy }),
        }
    }

    /// A network that a request asks for. Whoever may send requests isn't let into networks of the operator's by that.
    fn network(&self, asked: &str) -> Result<NetworkPolicy> {
        let network = asked.parse()?;
        if let NetworkPolicy::AllowList(destinations) = &network {
            let admitted = self.configuration.request_networks()?;
            let is_inside = |destination: &&Destination| match destination.host {
                Host::Address(address) => {
                    let address = address.to_canonical();
                    !is_public(address) && !admitted.iter().any(|network| network.contains(&address))
                }
                // A name's address isn't gone to unless it is public, or named itself.
                Host::Name(_) => false,
            };
            if let Some(destination) = destinations.iter().find(is_inside) {
                let message = format!("{destination} has no public address, and a request lets nothing out to others");
                return Err(Error::new(ErrorKind::Refused, "read the request", message).with_hint(
                    "whoever runs the service can admit a network in serve.request_networks, or name the address in a policy",
                ));
            }
        }
        Ok(network)
    }
}

impl SpecReader for ConfiguredSpecs {
    fn evaluation_spec(&self, mut request: SubmitEvaluation) -> Result<EvaluationSpec> {
        let mut program = program(&mut request, self.configuration.language())?;
        let asked = request.backend.as_deref().unwrap_or(self.configuration.backend());
        let language = match &mut program {
            Program::Source { language, .. } => {
                let (name, found) = within("language", self.configuration.languages().find(language))?;
                *language = name;
                Some(found)
            }
            Program::Command { .. } => None,
        };
        let chosen = within("backend", compose::choose_for(asked, language.as_deref(), self.unsafe_backends))?;
        let policy = self.policy(request.policy.as_deref(), request.network.as_deref(), chosen)?;
        let mut env = self.configuration.env().clone();
        env.extend(request.env);
        let files = request.files.into_iter().enumerate().map(|(number, given)| file(number, given));
        let path = |path: &String| within("collect", GuestPath::parse(path));
        let label = request.label.map(|label| within("label", label.parse()));
        Ok(EvaluationSpec {
            id: EvaluationId::generate(),
            program,
            // Which of those that there are is chosen when it runs.
            backend: if asked == AUTO && chosen == compose::JAIL { AUTO } else { chosen }.to_owned(),
            stdin: bytes("stdin", request.stdin, request.stdin_base64)?.unwrap_or_default(),
            files: files.collect::<Result<_>>()?,
            collect: request.collect.iter().map(path).collect::<Result<_>>()?,
            tripwires: request.tripwires.iter().map(|text| within("tripwires", text.parse())).collect::<Result<_>>()?,
            env,
            limits: limits(self.configuration.limits(), &request.limits)?,
            policy,
            review: None,
            label: label.transpose()?,
        })
    }

    fn backend(&self, name: &str, spec: &EvaluationSpec) -> Result<String> {
        let language = match &spec.program {
            Program::Source { language, .. } => Some(self.configuration.languages().find(language)?.1),
            Program::Command { .. } => None,
        };
        let chosen = within("backend", compose::choose_for(name, language.as_deref(), self.unsafe_backends))?;
        Ok(if name == AUTO && chosen == compose::JAIL { AUTO } else { chosen }.to_owned())
    }

    fn session_spec(&self, request: &CreateSandbox) -> Result<SessionSpec> {
        let backend = request.backend.as_deref().unwrap_or(self.configuration.backend());
        let backend = compose::choose(backend, self.unsafe_backends)?;
        let mut env: BTreeMap<String, String> = self.configuration.env().clone();
        env.extend(request.env.clone());
        Ok(SessionSpec {
            backend: backend.to_owned(),
            language: request.language.clone(),
            limits: limits(self.configuration.limits(), &request.limits)?,
            policy: self.policy(request.policy.as_deref(), request.network.as_deref(), backend)?,
            env,
            tripwires: request.tripwires.iter().map(|text| within("tripwires", text.parse())).collect::<Result<_>>()?,
            command_timeout: time(request.command_timeout.as_deref(), "command_timeout")?,
            idle_timeout: time(request.idle_timeout.as_deref(), "idle_timeout")?.unwrap_or(SessionSpec::IDLE_TIMEOUT),
            lifetime: time(request.lifetime.as_deref(), "lifetime")?.unwrap_or(SessionSpec::LIFETIME),
        })
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "read the request", message)
}

/// Puts the part of a request before what is wrong with it.
fn within<T>(part: &str, read: Result<T>) -> Result<T> {
    read.map_err(|error| {
        let told = Error::new(error.kind(), error.operation(), format!("{part}: {error}"));
        match error.hint() {
            Some(hint) => told.with_hint(hint),
            None => told,
        }
    })
}

/// Bytes that a request gives as text or in base64, and not as both.
fn bytes(part: &str, text: Option<String>, base64: Option<String>) -> Result<Option<Vec<u8>>> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(wrong(format!("there are both {part} and {part}_base64"))),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(text)) => {
            STANDARD.decode(text).map(Some).map_err(|_| wrong(format!("{part}_base64: it isn't base64")))
        }
        (None, None) => Ok(None),
    }
}

fn file(number: usize, file: SubmittedFile) -> Result<InputFile> {
    let SubmittedFile { path, content, content_base64, executable } = file;
    let part = format!("files[{number}]");
    let path = within(&format!("{part}.path"), GuestPath::parse(&path))?;
    let content = within(&part, bytes("content", content, content_base64))?;
    let content = content.ok_or_else(|| wrong(format!("{part}: it has neither content nor content_base64")))?;
    Ok(InputFile { path, content, executable })
}

/// What is to be run: exactly one of a program and a command.
fn program(request: &mut SubmitEvaluation, usual_language: &str) -> Result<Program> {
    let code = bytes("code", request.code.take(), request.code_base64.take())?;
    let (command, args) = (std::mem::take(&mut request.command), std::mem::take(&mut request.args));
    match (code, command.is_empty()) {
        (Some(_), false) => Err(wrong("there are both code and command")),
        (None, true) => Err(wrong("there is neither code nor a command").with_hint(
            "files alone say nothing of what is to be run: give a command, such as [\"python3\", \"main.py\"]",
        )),
        (None, false) if request.language.is_some() || !args.is_empty() => {
            Err(wrong("language and args belong to code; a command has its own arguments"))
        }
        (None, false) => Ok(Program::Command { argv: command }),
        (Some(code), true) => {
            let language = request.language.take().unwrap_or_else(|| usual_language.to_owned());
            Ok(Program::Source { language, code, args })
        }
    }
}

/// The usual limits with those of a request in their places.
fn limits(usual: &Limits, asked: &BTreeMap<String, serde_json::Value>) -> Result<Limits> {
    let mut all = serde_json::to_value(usual).map_err(|error| wrong(format!("limits: {error}")))?;
    if let Some(all) = all.as_object_mut() {
        all.extend(asked.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    serde_json::from_value(all).map_err(|error| wrong(format!("limits: {error}")))
}

fn time(text: Option<&str>, what: &str) -> Result<Option<TimeSpan>> {
    text.map(|text| text.parse::<TimeSpan>().map_err(|error| wrong(format!("{what}: {error}")))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(request: serde_json::Value) -> Result<SessionSpec> {
        let specs = ConfiguredSpecs::new(Configuration::built_in().unwrap(), Unsafe::Refused);
        specs.session_spec(&serde_json::from_value(request).unwrap())
    }

    #[test]
    fn what_a_request_leaves_out_is_as_usual() {
        let spec = read(json!({})).unwrap();
        assert_eq!(
            (spec.backend.as_str(), spec.policy.name.as_str(), &spec.limits),
            ("jail", "default", &Limits::default())
        );
        let spec =
            read(json!({"limits": {"memory": "1GiB", "pids": 7}, "idle_timeout": "1m", "env": {"A": "1"}})).unwrap();
        assert_eq!((spec.limits.memory, spec.limits.pids), (crucible_core::ByteSize::mib(1024), 7));
        assert_eq!((spec.limits.disk, spec.idle_timeout), (Limits::default().disk, TimeSpan::secs(60)));
    }

    fn evaluation(request: serde_json::Value) -> Result<EvaluationSpec> {
        let specs = ConfiguredSpecs::new(Configuration::built_in().unwrap(), Unsafe::Refused);
        specs.evaluation_spec(serde_json::from_value(request).unwrap())
    }

    #[test]
    fn an_evaluation_is_read_whole() {
        let spec = evaluation(json!({
            "code": "print(1)", "args": ["a"], "stdin_base64": "AAE=", "collect": ["out"], "limits": {"pids": 7},
            "files": [{"path": "a.txt", "content": "x"}, {"path": "/tmp/b", "content_base64": "AA==", "executable": true}],
            "tripwires": ["credentials"], "label": "gsm8k", "env": {"A": "1"}, "policy": "strict",
        }))
        .unwrap();
        let Program::Source { language, code, args } = &spec.program else { panic!("{spec:?}") };
        assert_eq!(
            (language.as_str(), code.as_slice(), args.as_slice()),
            ("python", &b"print(1)"[..], &["a".to_owned()][..])
        );
        assert_eq!((spec.backend.as_str(), spec.stdin.as_slice(), spec.limits.pids), ("auto", &[0, 1][..], 7));
        assert_eq!(spec.files.iter().map(|file| file.executable).collect::<Vec<_>>(), [false, true]);
        assert_eq!((spec.policy.name.as_str(), spec.tripwires.len()), ("strict", 1));
    }

    #[test]
    fn a_request_may_name_public_addresses_and_any_name() {
        for network in ["none", "allow:example.org:443", "allow:1.1.1.1:53,localhost:80"] {
            let spec = evaluation(json!({"code": "1", "network": network})).unwrap();
            assert_eq!(spec.policy.network, network.parse().unwrap());
        }
    }

    #[test]
    fn what_is_wrong_with_an_evaluation_is_named() {
        for (request, part) in [
            (json!({}), "neither code nor a command"),
            (json!({"code": "1", "command": ["a"]}), "both code and command"),
            (json!({"code": "1", "code_base64": "MQ=="}), "both code and code_base64"),
            (json!({"code_base64": "?"}), "code_base64"),
            (json!({"command": ["a"], "language": "python"}), "language and args"),
            (json!({"code": "1", "language": "cobol"}), "language: "),
            (json!({"code": "1", "backend": "subprocess"}), "backend: "),
            (json!({"code": "1", "policy": "/etc/passwd"}), "policy: "),
            (json!({"code": "1", "network": "all"}), "network: "),
            (
                json!({"code": "1", "network": "allow:example.org:443,10.0.0.5:80"}),
                "network: 10.0.0.5:80 has no public",
            ),
            (json!({"code": "1", "network": "allow:[::ffff:127.0.0.1]:80"}), "has no public address"),
            (json!({"code": "1", "network": "allow:169.254.169.254:80"}), "has no public address"),
            (json!({"code": "1", "limits": {"memroy": 1}}), "memroy"),
            (json!({"code": "1", "files": [{"path": "../x", "content": ""}]}), "files[0].path: "),
            (json!({"code": "1", "files": [{"path": "x"}]}), "files[0]: "),
            (json!({"code": "1", "collect": ["../x"]}), "collect: "),
            (json!({"code": "1", "tripwires": ["nothing"]}), "tripwires: "),
            (json!({"code": "1", "label": "a b"}), "label: "),
            (json!({"code": "1", "stdin": "", "stdin_base64": ""}), "both stdin and stdin_base64"),
        ] {
            let error = evaluation(request.clone()).unwrap_err();
            assert!(error.to_string().contains(part), "{request}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_file_of_this_machine_is_read() {
        for (request, part) in [
            (json!({"limits": {"memroy": "1GiB"}}), "memroy"),
            (json!({"limits": {"memory": -1}}), "limits"),
            (json!({"lifetime": "soon"}), "lifetime"),
            (json!({"policy": "/etc/passwd"}), "/etc/passwd"),
            (json!({"policy": "./p.toml"}), "p.toml"),
            (json!({"backend": "subprocess"}), "subprocess"),
        ] {
            let error = read(request.clone()).unwrap_err();
            assert!(error.to_string().contains(part), "{request}: {error}");
        }
    }
}
