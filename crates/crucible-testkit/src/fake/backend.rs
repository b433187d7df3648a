//! The fake backend itself.

use super::ledger::Ledger;
use super::sandbox::FakeSandbox;
use super::script::{Fault, Script};
use super::switches::Switches;
use async_trait::async_trait;
use crucible_core::{
    Ability, Backend, Capabilities, Check, Component, Coverage, Enforcement, Error, ErrorKind, Isolation, Layer,
    LayerState, Layers, LimitKind, NetworkKind, Passed, Result, Sandbox, SandboxRequest, SelfTest, TripwireKind,
    Watchable,
};
use std::collections::BTreeSet;
use std::future;
use std::sync::Arc;

/// Capabilities that claim everything.
#[must_use]
pub fn everything() -> Capabilities {
    Capabilities {
        isolation: Isolation::SharedKernel,
        layers: every_layer(),
        limits: LimitKind::ALL.into_iter().map(|limit| (limit, Enforcement::Sandbox)).collect(),
        networks: [NetworkKind::None].into(),
        absolute_paths: true,
        arbitrary_commands: true,
        abilities: Ability::ALL.into(),
        tripwires: TripwireKind::ALL.into(),
        monitoring: Watchable::ALL.into_iter().map(|part| (part, Coverage::Events)).collect(),
        live: BTreeSet::new(),
        root_inside: LayerState::active("six capabilities"),
        layers_with_root: Layers::new(),
    }
}

/// Every layer there is, in force.
#[must_use]
pub fn every_layer() -> Layers {
    Layer::ALL.into_iter().map(|layer| (layer, LayerState::active(""))).collect()
}

/// A backend in memory whose guests follow a script.
pub struct FakeBackend {
    name: String,
    capabilities: Capabilities,
    script: Script,
    ledger: Arc<Ledger>,
    switches: Arc<Switches>,
}

impl FakeBackend {
    /// A backend called `fake` that claims to do everything.
    #[must_use]
    pub fn new(script: Script) -> Self {
        let (ledger, switches) = Default::default();
        Self { name: "fake".to_owned(), capabilities: everything(), script, ledger, switches }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same with other capabilities.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Where it is written down what was done to it.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// What can be changed about it while it is in use.
    #[must_use]
    pub fn switches(&self) -> Arc<Switches> {
        Arc::clone(&self.switches)
    }
}

#[async_trait]
impl Component for FakeBackend {
    fn name(&self) -> &str {
        &self.name
    }

    async fn self_test(&self) -> SelfTest {
        let checks = vec![Check::new("it is a fake", Passed::Yes, "it is")];
        SelfTest { component: self.name.clone(), checks }
    }
}

#[async_trait]
impl Backend for FakeBackend {
    fn version(&self) -> String {
        "fake 1".to_owned()
    }

    fn runtime_digest(&self) -> Option<String> {
        None
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        self.ledger.entries().requests.push(request.clone());
        if self.script.has(Fault::CreateHangs) {
            future::pending::<()>().await;
        }
        if self.script.has(Fault::Create) {
            return Err(Error::new(ErrorKind::Infrastructure, "create the sandbox", "the fake could not"));
        }
        self.switches.create().await?;
        let layers =
            if self.script.has(Fault::LayersMissing) { Layers::new() } else { self.capabilities.layers.clone() };
        self.ledger.entries().created += 1;
        Ok(Box::new(FakeSandbox::new(
            &request,
            &self.capabilities,
            layers,
            self.script.clone(),
            Arc::clone(&self.ledger),
            Arc::clone(&self.switches),
        )))
    }
}
