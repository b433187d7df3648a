//! What a run must be protected by. A policy only ever adds demands; it can't weaken a backend.

use crate::admission::Decision;
use crate::before::Before;
use crate::layer::Layer;
use crate::limits::Limits;
use crate::monitor::BehaviorKind;
use crate::network::NetworkPolicy;
use crate::scan::Severity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write as _;

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

/// Who is in a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Users {
    /// One user without any privilege.
    #[default]
    Guest,
    /// Root, and whoever it makes: over ids, files and processes of the sandbox's own, and nobody outside. A wider guest, so that a
    /// policy says it in so many words.
    Root,
}

impl Users {
    /// The name in policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Root => "root",
        }
    }
}

/// What is done about what is seen during a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct During {
    /// What ends a run at once.
    pub end_on: BTreeSet<BehaviorKind>,
    /// What to do where the backend can't watch for what ends a run.
    pub unwatched: Unwatched,
}

/// What to do where a backend can't watch for what a policy wants to end a run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unwatched {
    /// Refuse to run.
    #[default]
    Refuse,
    /// Run, and say in the record what isn't watched.
    Record,
}

/// What a run must be protected by, and what is let in.
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
    /// What is decided before a program runs.
    #[serde(default)]
    pub before: Before,
    /// The most that a run may use, whatever is asked for; `None` for what the configuration allows.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// What is done about what is seen while it runs.
    #[serde(default)]
    pub during: During,
    /// Whether a run may use a sandbox and an interpreter that were made before it was asked for. Those that are forked from one
    /// interpreter have the addresses of their memory and the seed of their hashes in common.
    #[serde(default = "yes")]
    pub warm: bool,
    /// Whether no sandbox is used for more than one run, also where nothing is left of the one before, which was the same project's.
    #[serde(default)]
    pub fresh: bool,
    /// Who is in a sandbox.
    #[serde(default)]
    pub users: Users,
}

const fn yes() -> bool {
    true
}

impl Default for Policy {
    /// The policy `default`. What a machine may lack through no fault of its owner is preferred, not required: cgroups may
    /// not be delegated, a user may have no spare ids, a container may mask `/proc` (the sandbox then has none at all), and a
    /// container daemon may give no user namespaces. The jail asks for no word about those: it starts no sandbox without one.
    fn default() -> Self {
        let preferred = [
            Layer::CgroupMemory,
            Layer::CgroupPids,
            Layer::CgroupCpu,
            Layer::DistinctUid,
            Layer::UserNamespace,
            Layer::TimeNamespace,
            Layer::PrivateProc,
            Layer::PrivateDev,
            Layer::Landlock,
        ];
        let require = Layer::of_native_programs().filter(|layer| !preferred.contains(layer)).collect();
        Self {
            name: "default".to_owned(),
            require,
            network: NetworkPolicy::None,
            unenforced_limits: UnenforcedLimits::Record,
            unseen_posture: UnseenPosture::Record,
            before: Before::default(),
            limits: None,
            during: During::default(),
            warm: true,
            fresh: false,
            users: Users::Guest,
        }
    }
}

impl Policy {
    /// Every layer that a native program can have, and every limit enforced.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            name: "strict".to_owned(),
            require: Layer::of_native_programs().collect(),
            network: NetworkPolicy::None,
            unenforced_limits: UnenforcedLimits::Refuse,
            unseen_posture: UnseenPosture::Record,
            before: Before {
                deny: Some(Severity::Critical),
                hold: Some(Severity::High),
                unread: Some(Decision::Hold),
                ..Before::default()
            },
            limits: None,
            during: During::default(),
            warm: false,
            fresh: true,
            users: Users::Guest,
        }
    }

    /// As `default`, for those who study what programs try: nothing is denied, and a run goes on whatever it does.
    #[must_use]
    pub fn research() -> Self {
        Self { name: "research".to_owned(), ..Self::default() }
    }

    /// Root inside, for [Inspect](https://inspect.aisi.org.uk), whose tools and tasks take it for granted. The wall is that of
    /// `default`, but for the capabilities of root inside, and what it rests on is required.
    #[must_use]
    pub fn inspect() -> Self {
        let Self { mut require, .. } = Self::default();
        require.remove(&Layer::Capabilities);
        require.insert(Layer::UserNamespace);
        Self { name: "inspect".to_owned(), require, warm: false, fresh: true, users: Users::Root, ..Self::default() }
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
            before: Before::default(),
            limits: None,
            during: During::default(),
            warm: true,
            fresh: false,
            users: Users::Guest,
        }
    }

    /// The names of the policies that need no file.
    pub const BUILT_IN: [&'static str; 5] = ["default", "strict", "research", "inspect", "unisolated"];

    /// The policy of that name, if it is one of [`Policy::BUILT_IN`].
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "strict" => Some(Self::strict()),
            "research" => Some(Self::research()),
            "inspect" => Some(Self::inspect()),
            "unisolated" => Some(Self::unisolated()),
            _ => None,
        }
    }

    /// A canonical text of what decides over a sandbox's protection: the same demands give the same text. What is decided
    /// before and during a run isn't in it, so that an attestation about protection covers policies that differ in that.
    #[must_use]
    pub fn canonical_protection(&self) -> String {
        let layers: Vec<_> = self.require.iter().map(|layer| layer.as_str()).collect();
        let mut text = format!(
            "crucible policy 1\nnetwork={}\nunenforced_limits={:?}\nunseen_posture={:?}\nrequire={}\n",
            // The way out is the same whatever stands on the list, and that nothing else is reached is shown with lists of its own.
            match self.network {
                NetworkPolicy::None => "None",
                NetworkPolicy::AllowList(_) => "AllowList",
            },
            self.unenforced_limits,
            self.unseen_posture,
            layers.join(",")
        );
        // As it always was written where nothing is demanded.
        if !self.warm {
            text.push_str("warm=false\n");
        } else if self.fresh {
            text.push_str("fresh=true\n");
        }
        if self.users != Users::Guest {
            let _never_fails = writeln!(text, "users={}", self.users.as_str());
        }
        text
    }

    /// A canonical text of everything that decides, for hashing: the same demands give the same text.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = self.canonical_protection();
        let limits = self.limits.as_ref().filter(|limits| **limits != Limits::maximum());
        let during = if self.during.end_on.is_empty() { During::default() } else { self.during.clone() };
        // Debug texts of sets and maps in a fixed order, with every text quoted and escaped.
        let _never_fails = write!(text, "before={:?}\nlimits={limits:?}\nduring={during:?}\n", self.before.normal());
        // As it always was written where there is no network.
        if self.network != NetworkPolicy::None {
            let _never_fails = writeln!(text, "network={}", self.network);
        }
        text
    }

    /// The same demands of a sandbox's protection, and nothing decided before or during a run: for looking at the protection
    /// itself, which programs do that no policy would let in.
    #[must_use]
    pub fn of_protection(&self) -> Self {
        Self { before: Before::default(), limits: None, during: During::default(), ..self.clone() }
    }

    /// What a run may use that asks for `asked`: the lesser of that and of what is allowed here, limit by limit.
    #[must_use]
    pub fn limits_for(&self, asked: &Limits) -> Limits {
        self.limits.as_ref().map_or_else(|| asked.clone(), |most| asked.lesser(most))
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
        let with_root = Policy::BUILT_IN.map(|name| Policy::built_in(name).unwrap()).into_iter();
        assert_eq!(
            with_root.filter(|policy| policy.users == Users::Root).map(|policy| policy.name).collect::<Vec<_>>(),
            ["inspect"]
        );
    }

    #[test]
    fn policies_that_demand_the_same_have_the_same_text() {
        let (strict, mut other) = (Policy::strict(), Policy::strict());
        other.name = "other".to_owned();
        other.limits = Some(Limits::maximum());
        other.during.unwatched = Unwatched::Record;
        other.before.imports = Some(Decision::Hold);
        assert_eq!(other.canonical(), strict.canonical());
        other.before.imports_forbidden.insert("socket".to_owned());
        assert_ne!(other.canonical(), strict.canonical());
        assert_eq!(other.canonical_protection(), strict.canonical_protection());
        other = Policy { limits: Some(Limits::default()), ..Policy::strict() };
        assert_ne!(other.canonical(), strict.canonical());
        assert_eq!(other.of_protection().canonical_protection(), strict.canonical_protection());
        other.users = Users::Root;
        assert_ne!(other.canonical_protection(), strict.canonical_protection());
        let reaching = |list: &str| Policy { network: list.parse().unwrap(), ..Policy::strict() };
        let (one, another) = (reaching("allow:a.example:1"), reaching("allow:b.example:1"));
        assert_eq!(one.canonical_protection(), another.canonical_protection());
        assert_ne!(one.canonical(), another.canonical());
        assert_ne!(one.canonical_protection(), strict.canonical_protection());
        assert!(!other.of_protection().before.needs_findings() && other.of_protection().limits.is_none());
    }

    #[test]
    fn a_policy_bounds_what_is_asked_for_and_raises_nothing() {
        let most = Limits { pids: 8, ..Limits::maximum() };
        let policy = Policy { limits: Some(most), ..Policy::default() };
        assert_eq!(policy.limits_for(&Limits::default()), Limits { pids: 8, ..Limits::default() });
        assert_eq!(Policy::default().limits_for(&Limits::default()), Limits::default());
    }

    #[test]
    fn unknown_keys_and_layers_are_errors() {
        assert!(toml::from_str::<Policy>("name = 'x'\nrequire = []\nrequires = []").is_err());
        assert!(toml::from_str::<Policy>("name = 'x'\nrequire = ['seccmop']").is_err());
        assert!(toml::from_str::<Policy>("name = 'x'\nrequire = ['seccomp']").is_ok());
    }
}
