//! Control arms: jailed sandboxes with layers left off, made in a range only.

use super::JailBackend;
use super::backend::{Furnishing, furnishing};
use super::place::{GuestId, Shape};
use crate::native::NativeSandbox;
use async_trait::async_trait;
use crucible_core::{ControlArms, ControlSandbox, Error, ErrorKind, Layer, LayerState, Layers, Result, SandboxRequest};
use crucible_jail::host;
use crucible_jail::plan::{ProcessLimit, Protection};
use std::collections::{BTreeMap, BTreeSet};

/// How each layer is left off, where the launcher does it.
const PROTECTIONS: [(Layer, Protection); 17] = [
    (Layer::UserNamespace, Protection::UserNamespace),
    (Layer::MountNamespace, Protection::MountNamespace),
    (Layer::PidNamespace, Protection::PidNamespace),
    (Layer::NetworkNamespace, Protection::NetworkNamespace),
    (Layer::IpcNamespace, Protection::IpcNamespace),
    (Layer::UtsNamespace, Protection::UtsNamespace),
    (Layer::CgroupNamespace, Protection::CgroupNamespace),
    (Layer::PrivateRoot, Protection::PrivateRoot),
    (Layer::PrivateProc, Protection::PrivateProc),
    (Layer::PrivateDev, Protection::PrivateDev),
    (Layer::Capabilities, Protection::Capabilities),
    (Layer::NoNewPrivs, Protection::NoNewPrivs),
    (Layer::Landlock, Protection::Landlock),
    (Layer::Seccomp, Protection::Seccomp),
    (Layer::SessionKeyring, Protection::SessionKeyring),
    (Layer::CleanStart, Protection::CleanStart),
    (Layer::Rlimits, Protection::CoreLimit),
];

/// What limits are raised to where they are left off: far beyond what a probe uses.
const NO_LIMIT: u64 = 1 << 40;
const MUCH_DISK: u64 = 256 << 20;
const MANY_INODES: u64 = 100_000;

#[async_trait]
impl ControlArms for JailBackend {
    fn removable(&self) -> BTreeMap<Layer, BTreeSet<Layer>> {
        // Clocks are the launcher's, for all its sandboxes.
        let removable = Layer::of_native_programs().filter(|layer| *layer != Layer::TimeNamespace);
        removable.map(|layer| (layer, rests_on(layer))).collect()
    }

    async fn create_control(&self, request: SandboxRequest, without: &BTreeSet<Layer>) -> Result<ControlSandbox> {
        let furnishing = furnishing(&request)?;
        Ok(ControlSandbox::new(Box::new(self.make_weakened(request, furnishing, without).await?)))
    }
}

impl JailBackend {
    /// As [`ControlArms::create_control`], with a root folder that isn't the request's language's.
    pub(crate) async fn make_weakened(
        &self,
        request: SandboxRequest,
        furnishing: Furnishing,
        without: &BTreeSet<Layer>,
    ) -> Result<NativeSandbox> {
        let refused = |message: &str| Error::new(ErrorKind::Refused, "make a weakened sandbox", message);
        if !host::is_in_range() {
            return Err(refused("sandboxes are weakened in a range only"));
        }
        if without.contains(&Layer::TimeNamespace) {
            return Err(refused("the time namespace can't be left off"));
        }
        self.make(request, furnishing, &with_dependents(without)).await
    }
}

/// What a layer can't stand without.
fn rests_on(layer: Layer) -> BTreeSet<Layer> {
    match layer {
        Layer::PrivateRoot | Layer::DiskQuota => BTreeSet::from([Layer::MountNamespace]),
        Layer::PrivateProc => BTreeSet::from([Layer::MountNamespace, Layer::PidNamespace]),
        Layer::PrivateDev => BTreeSet::from([Layer::MountNamespace, Layer::PrivateRoot]),
        _ => BTreeSet::new(),
    }
}

/// Adds the layers that can't stand without those that are left off.
fn with_dependents(without: &BTreeSet<Layer>) -> BTreeSet<Layer> {
    let falls = |layer: &Layer| rests_on(*layer).iter().any(|below| without.contains(below));
    let mut all: BTreeSet<_> = without.iter().copied().chain(Layer::ALL.into_iter().filter(falls)).collect();
    // The kernel lets nobody else filter calls or enter a Landlock domain.
    if all.contains(&Layer::NoNewPrivs) && !all.contains(&Layer::Capabilities) {
        all.extend([Layer::Landlock, Layer::Seccomp]);
    }
    all
}

/// The shape of a place without some layers.
pub(super) fn weakened(mut shape: Shape, without: &BTreeSet<Layer>) -> Shape {
    let is_off = |layer| without.contains(&layer);
    shape.without = PROTECTIONS.into_iter().filter(|(layer, _)| is_off(*layer)).map(|(_, off)| off).collect();
    if is_off(Layer::DistinctUid) {
        shape.id = GuestId::Root;
    }
    if is_off(Layer::CgroupMemory) {
        shape.cgroup.memory = NO_LIMIT;
    }
    if is_off(Layer::CgroupPids) {
        shape.cgroup.pids = u64::from(u16::MAX) / 2;
    }
    if is_off(Layer::CgroupCpu) {
        shape.cgroup.cpu_thousandths = whole_machine();
    }
    if is_off(Layer::DiskQuota) {
        (shape.disk_bytes, shape.inodes) = (MUCH_DISK, MANY_INODES);
        shape.cgroup.memory = shape.cgroup.memory.saturating_add(MUCH_DISK);
    }
    shape
}

/// Thousandths of a processor that this machine has.
pub(super) fn whole_machine() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors).unwrap_or(u32::MAX).saturating_mul(1000)
}

/// Takes the layers from the record, and the limits that go with them.
pub(super) fn weaken(without: &BTreeSet<Layer>, layers: &mut Layers, limits: &mut Vec<(ProcessLimit, u64)>) {
    for layer in without {
        layers.insert(*layer, LayerState::absent("left off on purpose", "this is a control arm"));
    }
    if without.contains(&Layer::Rlimits) {
        limits.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rests_on_a_layer_goes_with_it() {
        let without = |layers: &[Layer]| with_dependents(&layers.iter().copied().collect());
        assert!(without(&[Layer::MountNamespace]).contains(&Layer::PrivateDev));
        assert!(without(&[Layer::NoNewPrivs]).contains(&Layer::Seccomp));
        assert!(!without(&[Layer::NoNewPrivs, Layer::Capabilities]).contains(&Layer::Seccomp));
        assert!(without(&[]).is_empty());
    }

    #[test]
    fn every_layer_but_that_of_the_clocks_can_be_left_off() {
        let elsewhere = [
            Layer::DistinctUid,
            Layer::CgroupMemory,
            Layer::CgroupPids,
            Layer::CgroupCpu,
            Layer::DiskQuota,
            Layer::TimeNamespace,
        ];
        for layer in Layer::of_native_programs() {
            let by_the_launcher = PROTECTIONS.iter().any(|(known, _)| *known == layer);
            assert_ne!(by_the_launcher, elsewhere.contains(&layer), "{layer}");
        }
    }
}
