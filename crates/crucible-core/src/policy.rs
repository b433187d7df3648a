//! What a run must be protected by. A policy only ever adds demands; it can't weaken a backend.

use crate::layer::Layer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the network of a sandbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkPolicy {
    /// No network at all, not even loopback.
    #[default]
    None,
}

/// What to do where a backend can't enforce a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnenforcedLimits {
    /// Refuse to run.
    #[default]
    Refuse,
    /// Run, and say in the record which limits weren't enforced.
    Record,
}

/// What to do where a part of a sandbox's state can't be seen from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnseenPosture {
    /// Refuse to run.
    Refuse,
    /// Run, and say in the record what couldn't be seen.
    #[default]
    Record,
}

/// What a run must be protected by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The name in records.
    pub name: String,
    /// Layers without which nothing is started.
    pub require: BTreeSet<Layer>,
    /// The network inside.
    #[serde(default)]
    pub network: NetworkPolicy,
    /// What to do where a limit can't be enforced.
    #[serde(default)]
    pub unenforced_limits: UnenforcedLimits,
    /// What to do where a part of a sandbox's state can't be seen from outside.
    #[serde(default)]
    pub unseen_posture: UnseenPosture,
}

impl Default for Policy {
    /// The policy `default`. What a machine may lack through no fault of its owner is preferred, not required: cgroups may
    /// not be delegated, a user may have no spare ids, a container may mask `/proc` (the sandbox then has none at all).
    fn default() -> Self {
        let preferred = [
            Layer::CgroupMemory,
            Layer::CgroupPids,
            Layer::CgroupCpu,
            Layer::DistinctUid,
            Layer::TimeNamespace,
            Layer::PrivateProc,
            Layer::PrivateDev,
            Layer::Landlock,
        ];
        let require = Layer::ALL.into_iter().filter(|layer| !preferred.contains(layer)).collect();
        Self {
            name: "default".to_owned(),
            require,
            network: NetworkPolicy::None,
            unenforced_limits: UnenforcedLimits::Record,
            unseen_posture: UnseenPosture::Record,
        }
    }
}

impl Policy {
    /// Every layer, and every limit enforced.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            name: "strict".to_owned(),
            require: Layer::ALL.into_iter().collect(),
            network: NetworkPolicy::None,
            unenforced_limits: UnenforcedLimits::Refuse,
            unseen_posture: UnseenPosture::Record,
        }
    }

    /// Nothing at all: for the subprocess backend.
    #[must_use]
    pub fn unisolated() -> Self {
        Self {
            name: "unisolated".to_owned(),
            require: BTreeSet::new(),
            network: NetworkPolicy::None,
            unenforced_limits: UnenforcedLimits::Record,
            unseen_posture: UnseenPosture::Record,
        }
    }

    /// The names of the policies that need no file.
    pub const BUILT_IN: [&'static str; 3] = ["default", "strict", "unisolated"];

    /// The policy of that name, if it is one of [`Policy::BUILT_IN`].
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "strict" => Some(Self::strict()),
            "unisolated" => Some(Self::unisolated()),
            _ => None,
        }
    }

    /// A canonical text of everything that decides, for hashing: the same demands give the same text.
    #[must_use]
    pub fn canonical(&self) -> String {
        let layers: Vec<_> = self.require.iter().map(|layer| layer.as_str()).collect();
        format!(
            "crucible policy 1\nnetwork={:?}\nunenforced_limits={:?}\nunseen_posture={:?}\nrequire={}\n",
            self.network,
            self.unenforced_limits,
            self.unseen_posture,
            layers.join(",")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_name_has_a_policy_and_strict_asks_the_most() {
        for name in Policy::BUILT_IN {
            assert_eq!(Policy::built_in(name).unwrap().name, name);
        }
        assert_eq!(Policy::built_in("lax"), None);
        let (default, strict) = (Policy::built_in("default").unwrap(), Policy::built_in("strict").unwrap());
        assert!(default.require.is_subset(&strict.require) && default.require.len() < strict.require.len());
    }

    #[test]
    fn unknown_keys_and_layers_are_errors() {
        assert!(toml::from_str::<Policy>("name = 'x'\nrequire = []\nrequires = []").is_err());
        assert!(toml::from_str::<Policy>("name = 'x'\nrequire = ['seccmop']").is_err());
        assert!(toml::from_str::<Policy>("name = 'x'\nrequire = ['seccomp']").is_ok());
    }
}
