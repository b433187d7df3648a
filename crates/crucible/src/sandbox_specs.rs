//! Reads a request for a sandbox that came over HTTP: what it leaves out comes from the configuration.
//!
//! Invariant: a request names backends and policies, never files of the host. It can't ask for a backend that isolates nothing
//! where the operator doesn't admit that, nor for more than the maximum: the engine checks that.

use crate::compose::{self, Unsafe};
use crate::config::Configuration;
use crucible_api::v1::CreateSandbox;
use crucible_core::{Error, ErrorKind, Limits, Policy, Result, TimeSpan, nearest};
use crucible_engine::SessionSpec;
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

    fn policy(&self, name: Option<&str>, backend: &str) -> Result<Policy> {
        let Some(name) = name else { return compose::policy(&self.configuration, backend) };
        // A file's path would be one of this machine.
        Policy::built_in(name).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            let error =
                Error::new(ErrorKind::NotFound, "read the request", format!("policy: there is no policy {shown:?}"));
            match nearest(name, Policy::BUILT_IN) {
                Some(known) => error.with_hint(format!("did you mean '{known}'?")),
                None => error.with_hint(format!("policies here: {}", Policy::BUILT_IN.join(", "))),
            }
        })
    }
}

impl SpecReader for ConfiguredSpecs {
    fn session_spec(&self, request: &CreateSandbox) -> Result<SessionSpec> {
        let backend = request.backend.as_deref().unwrap_or(self.configuration.backend());
        let backend = compose::choose(backend, self.unsafe_backends)?;
        let mut env: BTreeMap<String, String> = self.configuration.env().clone();
        env.extend(request.env.clone());
        Ok(SessionSpec {
            backend: backend.to_owned(),
            language: request.language.clone(),
            limits: limits(self.configuration.limits(), &request.limits)?,
            policy: self.policy(request.policy.as_deref(), backend)?,
            env,
            command_timeout: time(request.command_timeout.as_deref(), "command_timeout")?,
            idle_timeout: time(request.idle_timeout.as_deref(), "idle_timeout")?.unwrap_or(SessionSpec::IDLE_TIMEOUT),
            lifetime: time(request.lifetime.as_deref(), "lifetime")?.unwrap_or(SessionSpec::LIFETIME),
        })
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "read the request", message)
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
