//! Everything that must be the same for an attestation to cover a run, and its digest.
//!
//! Pure, but for the node that it is given. Nothing of a single run is in it: no ids, no times, no limits, no program.

use crate::canonical::{self, Sha256Digest};
use crate::node::Node;
use crucible_core::{Backend, Enforcement, Isolation, Layer, LayerState, Layers, LimitKind, Policy, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a run is protected by.
#[derive(Clone, Copy)]
pub struct Protection<'a> {
    /// The backend.
    pub backend: &'a dyn Backend,
    /// The layers of the sandbox, as they were applied.
    pub layers: &'a Layers,
    /// The policy.
    pub policy: &'a Policy,
}

/// Everything that must be the same for an attestation to cover a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The node, and the user there.
    pub node: Node,
    /// The backend.
    pub backend: BackendFacts,
    /// The policy.
    pub policy: PolicyFacts,
}

/// What is the same for every run on one backend of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendFacts {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How strong the wall is.
    pub isolation: Isolation,
    /// The digest of what provides the isolation.
    pub runtime_digest: Option<String>,
    /// The layers in force, each with its particulars.
    pub layers: BTreeMap<Layer, String>,
    /// How each limit is enforced.
    pub limits: BTreeMap<LimitKind, Enforcement>,
}

/// What the policy demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFacts {
    /// Its name.
    pub name: String,
    /// As [`protection_hash`] gives it.
    pub hash: String,
}

/// BLAKE3 of what a policy demands of a sandbox's protection, in hexadecimal. Neither its name nor what it decides before and
/// during a run counts: an attestation says nothing about that.
#[must_use]
pub fn protection_hash(policy: &Policy) -> String {
    blake3::hash(policy.canonical_protection().as_bytes()).to_hex().to_string()
}

/// BLAKE3 of everything that a policy demands, in hexadecimal. Its name doesn't count.
#[must_use]
pub fn policy_hash(policy: &Policy) -> String {
    blake3::hash(policy.canonical().as_bytes()).to_hex().to_string()
}

impl Fingerprint {
    /// The fingerprint of a run that is protected so on this node.
    #[must_use]
    pub fn new(node: Node, protection: &Protection<'_>) -> Self {
        Self { node, backend: BackendFacts::of(protection), policy: PolicyFacts::of(protection.policy) }
    }

    /// SHA-256 of its canonical JSON.
    ///
    /// # Errors
    /// `Infrastructure` for what JSON can't hold.
    pub fn digest(&self) -> Result<Sha256Digest> {
        canonical::json(self).map(|bytes| Sha256Digest::of(&bytes))
    }
}

impl BackendFacts {
    pub(crate) fn of(protection: &Protection<'_>) -> Self {
        let Protection { backend, layers, .. } = protection;
        let capabilities = backend.capabilities();
        Self {
            name: backend.name().to_owned(),
            version: backend.version(),
            isolation: capabilities.isolation,
            runtime_digest: backend.runtime_digest(),
            layers: in_force(layers),
            limits: capabilities.limits.clone(),
        }
    }
}

impl PolicyFacts {
    pub(crate) fn of(policy: &Policy) -> Self {
        Self { name: policy.name.clone(), hash: protection_hash(policy) }
    }
}

/// The layers in force with their particulars. Which id a sandbox has is its own matter, and why a layer is absent is for
/// people.
fn in_force(layers: &Layers) -> BTreeMap<Layer, String> {
    let particulars = |(layer, state): (&Layer, &LayerState)| match (layer, state) {
        (_, LayerState::Absent { .. }) => None,
        (Layer::DistinctUid, LayerState::Active { .. }) => Some((*layer, String::new())),
        (_, LayerState::Active { detail }) => Some((*layer, detail.clone())),
    };
    layers.iter().filter_map(particulars).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::node::tests::made_up;
    use crucible_core::{Ability, Capabilities, Component, HostPath, NetworkKind, Sandbox, SandboxRequest, SelfTest};

    /// A backend that makes no sandboxes.
    pub(crate) struct Described {
        pub(crate) name: &'static str,
        pub(crate) version: &'static str,
        pub(crate) runtime_digest: Option<&'static str>,
        pub(crate) capabilities: Capabilities,
    }

    impl Default for Described {
        fn default() -> Self {
            Self {
                name: "jail",
                version: "1",
                runtime_digest: Some("sha256:aa"),
                capabilities: Capabilities {
                    isolation: Isolation::SharedKernel,
                    layers: layers(),
                    limits: [(LimitKind::Memory, Enforcement::Sandbox)].into(),
                    networks: [NetworkKind::None].into(),
                    absolute_paths: true,
                    arbitrary_commands: true,
                    abilities: Ability::ALL.into(),
                    tripwires: std::collections::BTreeSet::new(),
                    monitoring: crucible_core::Monitoring::new(),
                    live: std::collections::BTreeSet::new(),
                    root_inside: LayerState::absent("it has one user", ""),
                    layers_with_root: Layers::new(),
                },
            }
        }
    }

    #[async_trait::async_trait]
    impl Component for Described {
        fn name(&self) -> &str {
            self.name
        }

        async fn self_test(&self) -> SelfTest {
            SelfTest { component: self.name.to_owned(), checks: vec![] }
        }
    }

    #[async_trait::async_trait]
    impl Backend for Described {
        fn version(&self) -> String {
            self.version.to_owned()
        }

        fn runtime_digest(&self) -> Option<String> {
            self.runtime_digest.map(str::to_owned)
        }

        fn capabilities(&self) -> &Capabilities {
            &self.capabilities
        }

        async fn create(&self, _request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
            panic!("no sandbox is needed for a fingerprint")
        }
    }

    pub(crate) fn layers() -> Layers {
        [
            (Layer::Seccomp, LayerState::active("300 rules")),
            (Layer::DistinctUid, LayerState::active("100001")),
            (Layer::TimeNamespace, LayerState::absent("no time", "make some")),
        ]
        .into()
    }

    pub(crate) fn node() -> Node {
        let root = tempfile::tempdir().unwrap();
        made_up(root.path(), &[]);
        Node::read(&HostPath::new(root.path())).unwrap()
    }

    fn digest(backend: &Described, layers: &Layers, policy: &Policy) -> Sha256Digest {
        Fingerprint::new(node(), &Protection { backend, layers, policy }).digest().unwrap()
    }

    #[test]
    fn a_change_of_anything_gives_another_digest() {
        let (backend, layers, policy) = (Described::default(), layers(), Policy::default());
        let with = |layer, state| {
            let mut changed = layers.clone();
            changed.insert(layer, state);
            digest(&backend, &changed, &policy)
        };
        let mut limits = Described::default();
        limits.capabilities.limits.insert(LimitKind::Memory, Enforcement::Process);
        let mut stronger = Described::default();
        stronger.capabilities.isolation = Isolation::OwnKernel;
        let mut other_node = node();
        other_node.kernel.release.push('1');
        let protection = Protection { backend: &backend, layers: &layers, policy: &policy };
        let digests = [
            digest(&backend, &layers, &policy),
            Fingerprint::new(other_node, &protection).digest().unwrap(),
            digest(&Described { name: "other", ..Described::default() }, &layers, &policy),
            digest(&Described { version: "2", ..Described::default() }, &layers, &policy),
            digest(&Described { runtime_digest: Some("sha256:bb"), ..Described::default() }, &layers, &policy),
            digest(&Described { runtime_digest: None, ..Described::default() }, &layers, &policy),
            digest(&limits, &layers, &policy),
            digest(&stronger, &layers, &policy),
            with(Layer::Seccomp, LayerState::active("301 rules")),
            with(Layer::Seccomp, LayerState::absent("", "")),
            with(Layer::TimeNamespace, LayerState::active("")),
            digest(&backend, &layers, &Policy::strict()),
            digest(&backend, &layers, &Policy { name: "mine".to_owned(), ..Policy::default() }),
        ];
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }

    #[test]
    fn what_belongs_to_a_single_run_does_not_count() {
        let (backend, policy) = (Described::default(), Policy::default());
        let usual = digest(&backend, &layers(), &policy);
        let mut other = layers();
        other.insert(Layer::DistinctUid, LayerState::active("100002"));
        other.insert(Layer::TimeNamespace, LayerState::absent("could not: errno 5", "try again"));
        other.insert(Layer::Landlock, LayerState::absent("", ""));
        assert_eq!(digest(&backend, &other, &policy), usual);
    }

    #[test]
    fn a_fingerprint_is_read_back_with_the_same_digest() {
        let (backend, layers, policy) = (Described::default(), layers(), Policy::default());
        let fingerprint = Fingerprint::new(node(), &Protection { backend: &backend, layers: &layers, policy: &policy });
        let read: Fingerprint = serde_json::from_slice(&canonical::json(&fingerprint).unwrap()).unwrap();
        assert_eq!(read, fingerprint);
        assert_eq!(read.digest().unwrap(), fingerprint.digest().unwrap());
    }
}
