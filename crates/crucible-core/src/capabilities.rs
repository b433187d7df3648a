//! What a backend can do on this machine, and the check that refuses what it can't. Fails closed.

use crate::error::{Error, ErrorKind};
use crate::layer::{Layer, LayerState, Layers};
use crate::limits::LimitKind;
use crate::live::LiveFeature;
use crate::monitor::Monitoring;
use crate::network::NetworkKind;
use crate::policy::{Policy, UnenforcedLimits, Users};
use crate::tripwire::TripwireKind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How strong the wall between guest and host is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// None: the guest can do what the user can do.
    None,
    /// The host's kernel keeps guest and host apart.
    SharedKernel,
    /// A kernel or virtual machine of the guest's own stands between.
    OwnKernel,
}

impl Isolation {
    /// The name in policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SharedKernel => "shared_kernel",
            Self::OwnKernel => "own_kernel",
        }
    }
}

/// How a limit is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// For the whole sandbox, with evidence on the host's side.
    Sandbox,
    /// For the whole sandbox, by a kernel that doesn't tell the host where the guest was refused.
    Inside,
    /// For each process or user by itself; many can use more together.
    Process,
    /// Not at all.
    None,
}

/// What programs may find missing inside, because of what they are made of there and not because of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// Starting other processes, waiting for them, and signals.
    Processes,
    /// Threads.
    Threads,
    /// Sockets, even among the program's own parts.
    Sockets,
    /// Loading native code, such as shared libraries.
    NativeModules,
    /// The kernel's own calls for descriptors, permissions and limits: dup, pipes, chmod, links to anywhere, resource limits.
    KernelCalls,
}

impl Ability {
    /// All of them: what native programs have.
    pub const ALL: [Self; 5] = [Self::Processes, Self::Threads, Self::Sockets, Self::NativeModules, Self::KernelCalls];

    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Threads => "threads",
            Self::Sockets => "sockets",
            Self::NativeModules => "native_modules",
            Self::KernelCalls => "kernel_calls",
        }
    }
}

/// What a backend can do on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How strong the wall is.
    pub isolation: Isolation,
    /// The layers that a sandbox will have, as far as can be known before one is made.
    pub layers: Layers,
    /// How each limit is enforced. A limit that isn't in the map is not enforced.
    pub limits: BTreeMap<LimitKind, Enforcement>,
    /// Networks that can be given.
    pub networks: BTreeSet<NetworkKind>,
    /// Whether files outside the work folder (`/tmp`) can be reached by the file calls.
    pub absolute_paths: bool,
    /// Whether any program of the guest's file system can be run, not only the language's.
    pub arbitrary_commands: bool,
    /// What programs have inside.
    pub abilities: BTreeSet<Ability>,
    /// What can be planted and watched.
    pub tripwires: BTreeSet<TripwireKind>,
    /// How well each part of a run can be watched.
    pub monitoring: Monitoring,
    /// What a sandbox can do that stays open, beyond commands one after the other and whole files.
    pub live: BTreeSet<LiveFeature>,
    /// Whether there can be root inside: [`Users::Root`].
    pub root_inside: LayerState,
    /// The layers that are others with root inside, besides [`Layer::Capabilities`].
    pub layers_with_root: Layers,
}

impl Capabilities {
    /// The layers that a sandbox of this policy will have: root inside has some capabilities.
    #[must_use]
    pub fn layers_under(&self, policy: &Policy) -> Layers {
        let mut layers = self.layers.clone();
        if policy.users == Users::Root
            && let Some(capabilities) = layers.get_mut(&Layer::Capabilities)
        {
            let reason = match &self.root_inside {
                LayerState::Active { detail } => format!("policy '{}' has root inside: {detail}", policy.name),
                LayerState::Absent { reason, .. } => reason.clone(),
            };
            *capabilities = LayerState::absent(reason, "take a policy with users = \"guest\"");
            layers.extend(self.layers_with_root.clone());
        }
        layers
    }

    /// What a sandbox of this policy can do that stays open.
    #[must_use]
    pub fn live_under(&self, policy: &Policy) -> BTreeSet<LiveFeature> {
        let mut live = self.live.clone();
        if policy.users == Users::Root {
            live.insert(LiveFeature::Users);
            // A copy of files by their names and bytes would lose whose they are.
            live.remove(&LiveFeature::Forks);
        }
        live
    }

    /// How a limit is enforced.
    #[must_use]
    pub fn enforcement(&self, limit: LimitKind) -> Enforcement {
        self.limits.get(&limit).copied().unwrap_or(Enforcement::None)
    }

    /// Refuses a policy that asks for more than this backend gives here.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`], naming what is missing and the mend.
    pub fn admit(&self, backend: &str, policy: &Policy) -> Result<(), Error> {
        let refuse = |message: String| Error::new(ErrorKind::Refused, "check the policy against the backend", message);
        if let (Users::Root, LayerState::Absent { reason, mend }) = (policy.users, &self.root_inside) {
            let message = format!(
                "policy '{}' has root inside, which backend '{backend}' can't give here: {reason}",
                policy.name
            );
            return Err(refuse(message).with_hint(mend.as_str()));
        }
        let layers = self.layers_under(policy);
        for layer in &policy.require {
            let (reason, mend) = match layers.get(layer) {
                Some(LayerState::Active { .. }) => continue,
                Some(LayerState::Absent { reason, mend }) => (reason.as_str(), mend.as_str()),
                None => ("the backend doesn't have it", "choose a backend that has it, or another policy"),
            };
            let message = format!(
                "policy '{}' requires the layer {layer}, which backend '{backend}' lacks here: {reason}",
                policy.name
            );
            return Err(refuse(message).with_hint(mend));
        }
        if !self.networks.contains(&policy.network.kind()) {
            return Err(refuse(format!(
                "backend '{backend}' can't give the network that policy '{}' asks for: {}",
                policy.name, policy.network
            ))
            .with_hint("jail, docker and gvisor have a way out for an allow-list; `--network none` does without"));
        }
        if policy.unenforced_limits == UnenforcedLimits::Refuse {
            for limit in LimitKind::ALL {
                if self.enforcement(limit) == Enforcement::None {
                    let message = format!(
                        "backend '{backend}' can't enforce the limit {limit} here, and policy '{}' refuses that",
                        policy.name
                    );
                    return Err(refuse(message).with_hint("`crucible doctor` says what this machine lacks"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Capabilities {
        Capabilities {
            isolation: Isolation::None,
            layers: Layers::new(),
            limits: BTreeMap::new(),
            networks: BTreeSet::from([NetworkKind::None]),
            absolute_paths: false,
            arbitrary_commands: true,
            abilities: Ability::ALL.into(),
            tripwires: BTreeSet::new(),
            monitoring: Monitoring::new(),
            live: BTreeSet::new(),
            root_inside: LayerState::absent("it isolates nothing", "use the jail"),
            layers_with_root: Layers::new(),
        }
    }

    #[test]
    fn a_layer_that_is_not_mentioned_counts_as_missing() {
        let policy = Policy::built_in("default").unwrap();
        assert_eq!(nothing().admit("leaky", &policy).unwrap_err().kind(), ErrorKind::Refused);
        nothing().admit("leaky", &Policy::built_in("unisolated").unwrap()).unwrap();
    }

    #[test]
    fn an_absent_layer_is_named_with_its_mend() {
        let mut capabilities = nothing();
        capabilities.layers = Layer::ALL.into_iter().map(|layer| (layer, LayerState::active(""))).collect();
        capabilities.layers.insert(Layer::Seccomp, LayerState::absent("no filter support", "use another kernel"));
        let error = capabilities.admit("jail", &Policy::built_in("default").unwrap()).unwrap_err();
        assert!(error.to_string().contains("seccomp") && error.to_string().contains("no filter support"));
        assert_eq!(error.hint(), Some("use another kernel"));
    }

    #[test]
    fn root_inside_is_refused_where_it_can_t_be_and_is_never_without_capabilities() {
        let mut capabilities = nothing();
        capabilities.layers = Layer::ALL.into_iter().map(|layer| (layer, LayerState::active(""))).collect();
        let inspect = Policy::inspect();
        let error = capabilities.admit("jail", &inspect).unwrap_err();
        assert!(
            error.to_string().contains("'inspect' has root inside") && error.hint() == Some("use the jail"),
            "{error}"
        );
        capabilities.root_inside = LayerState::active("six capabilities");
        capabilities.admit("jail", &inspect).unwrap();
        assert!(!capabilities.layers_under(&inspect)[&Layer::Capabilities].is_active());
        assert!(capabilities.layers_under(&Policy::default())[&Layer::Capabilities].is_active());
        let both = Policy { users: Users::Root, ..Policy::default() };
        assert!(capabilities.admit("jail", &both).unwrap_err().to_string().contains("requires the layer capabilities"));
        assert!(capabilities.live_under(&inspect).contains(&LiveFeature::Users));
        assert!(!capabilities.live_under(&Policy::default()).contains(&LiveFeature::Users));
    }

    #[test]
    fn an_unenforced_limit_is_refused_by_strict() {
        let mut capabilities = nothing();
        capabilities.layers = Layer::ALL.into_iter().map(|layer| (layer, LayerState::active(""))).collect();
        let strict = Policy::built_in("strict").unwrap();
        assert!(capabilities.admit("jail", &strict).unwrap_err().to_string().contains("timeout"));
        capabilities.limits = LimitKind::ALL.into_iter().map(|limit| (limit, Enforcement::Process)).collect();
        capabilities.admit("jail", &strict).unwrap();
    }
}
