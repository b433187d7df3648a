//! Control arms: what would happen if the program weren't WebAssembly, or if the jail around it lacked layers.
//!
//! Without [`Layer::WebAssembly`] the same program in the same language runs natively, in the jail. A program that is
//! WebAssembly itself has no native form; what is left off for it is that nothing is linked that it asks for.

use super::WasmBackend;
use super::protocol::Imports;
use crate::jail::JailBackend;
use async_trait::async_trait;
use crucible_core::{ControlArms, ControlSandbox, Language, Layer, Result, SandboxRequest};
use std::collections::{BTreeMap, BTreeSet};

#[async_trait]
impl ControlArms for WasmBackend {
    fn removable(&self) -> BTreeMap<Layer, BTreeSet<Layer>> {
        let mut removable = JailBackend::removable(&self.jail);
        removable.insert(Layer::WebAssembly, BTreeSet::new());
        removable
    }

    async fn create_control(&self, request: SandboxRequest, without: &BTreeSet<Layer>) -> Result<ControlSandbox> {
        let mut of_the_jail = without.clone();
        let is_native = of_the_jail.remove(&Layer::WebAssembly);
        let is_itself = request.language.as_deref().is_some_and(Language::is_wasm_itself);
        if is_native && !is_itself {
            return self.jail.create_control(request, &of_the_jail).await;
        }
        let imports = if is_native { Imports::MadeUp } else { Imports::Refused };
        Ok(ControlSandbox::new(Box::new(self.make(request, &of_the_jail, imports).await?)))
    }
}
