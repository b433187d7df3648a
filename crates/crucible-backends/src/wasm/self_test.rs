//! The backend tests itself by running a program of a few bytes, and by refusing what isn't one.

use super::WasmBackend;
use crucible_core::{
    Backend, Check, Command, Error, ErrorKind, ExitStatus, GuestPath, Language, Limits, Policy, Readiness, Result,
    Sandbox, SandboxId, SandboxRequest, SelfTest,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (memory (export "memory") 1)
/// (func (export "_start") (call 0 (i32.const 7))))`
pub(super) const EXITS_WITH_7: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x08\x02\x60\x01\x7f\0\x60\0\0\
    \x02\x24\x01\x16wasi_snapshot_preview1\x09proc_exit\0\0\
    \x03\x02\x01\x01\
    \x05\x03\x01\0\x01\
    \x07\x13\x02\x06_start\0\x01\x06memory\x02\0\
    \x0a\x08\x01\x06\0\x41\x07\x10\0\x0b";

/// The language of programs that are WebAssembly themselves.
pub(super) fn itself() -> Language {
    Language {
        title: "WebAssembly".to_owned(),
        endings: Vec::new(),
        aliases: Vec::new(),
        interpreters: Vec::new(),
        run: vec!["{file}".to_owned()],
        file_name: "main.wasm".to_owned(),
        probe: Vec::new(),
        files: Vec::new(),
        image: String::new(),
        env: BTreeMap::new(),
        install_hint: String::new(),
        wasm: Language::ITSELF.to_owned(),
        ready: String::new(),
        preload: Vec::new(),
    }
}

pub(super) async fn run(backend: &WasmBackend) -> SelfTest {
    let checks = match checks(backend).await {
        Ok(checks) => checks,
        Err(error) => {
            let mend = error.hint().unwrap_or_default().to_owned();
            vec![Check::new("a sandbox can be made and used", false.into(), error.to_string()).with_mend(mend)]
        }
    };
    SelfTest { component: "wasm".to_owned(), checks }
}

async fn checks(backend: &WasmBackend) -> Result<Vec<Check>> {
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: Some(Arc::new(itself())),
        limits: Limits::default(),
        policy: Policy::default(),
        readiness: Readiness::Bare,
        project: None,
    };
    let sandbox = backend.create(request).await?;
    let result = look(sandbox.as_ref()).await;
    let destroyed = sandbox.destroy().await;
    let mut checks = result?;
    checks.push(Check::new(
        "a sandbox leaves nothing behind",
        destroyed.is_ok().into(),
        destroyed.map_or_else(|error| error.to_string(), |()| "removed".to_owned()),
    ));
    Ok(checks)
}

async fn start(sandbox: &dyn Sandbox, content: &[u8]) -> Result<ExitStatus> {
    let path = GuestPath::parse("program.wasm")?;
    sandbox.write_file(&path, &mut &*content, true).await?;
    let argv = vec!["./program.wasm".to_owned()];
    let mut execution = sandbox.exec(Command { argv, ..Command::default() }).await?;
    drop(execution.stdin);
    execution.process.wait().await
}

async fn look(sandbox: &dyn Sandbox) -> Result<Vec<Check>> {
    let status = start(sandbox, EXITS_WITH_7).await?;
    let refused = start(sandbox, b"\x7fELF, and not WebAssembly").await;
    let refused_rightly = refused.as_ref().err().map(Error::kind) == Some(ErrorKind::InvalidInput);
    let posture = sandbox.posture().await?;
    let differing: Vec<_> = posture.differences().map(|fact| format!("{}: {}", fact.name, fact.seen)).collect();
    let seen = if differing.is_empty() { format!("{} facts", posture.facts.len()) } else { differing.join(", ") };
    Ok(vec![
        Check::new(
            "a program runs in a jailed worker",
            (status == ExitStatus::Exited(7)).into(),
            format!("{status:?}"),
        ),
        Check::new(
            "what isn't WebAssembly is refused",
            refused_rightly.into(),
            refused.map_or_else(|error| error.to_string(), |status| format!("{status:?}")),
        ),
        Check::new("seen from outside it is confined as planned", posture.is_as_planned().into(), seen),
    ])
}
