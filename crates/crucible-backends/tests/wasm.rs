//! Programs that are WebAssembly, given as files, and what goes wrong with them: told in time, with the mend, and nothing left.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

use crucible_backends::jail::JailConfig;
use crucible_backends::wasm::{Note, WasmBackend, WasmConfig, WorkerProgram};
use crucible_core::{
    Backend, ByteSize, Command, Component, Error, ErrorKind, ExitStatus, GuestPath, HostPath, Language, Limits, Policy,
    Readiness, Sandbox, SandboxId, SandboxRequest, TimeSpan,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

const PREVIEW_1: &str = "wasi_snapshot_preview1";

async fn backend() -> Option<WasmBackend> {
    let config = WasmConfig {
        jail: JailConfig::default(),
        worker: WorkerProgram {
            program: HostPath::new(env!("CARGO_BIN_EXE_crucible-wasm-worker")),
            arguments: Vec::new(),
        },
        runtimes: None,
        artifacts: None,
        note: Note::to_nobody(),
    };
    match WasmBackend::start(config).await {
        Ok(backend) => Some(backend),
        Err(error) => {
            let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "wasm"), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn itself() -> Language {
    let table: toml::Table = crucible_backends::runtime::DEFAULT_LANGUAGES.parse().unwrap();
    table["languages"]["wasm"].clone().try_into().unwrap()
}

async fn sandbox(backend: &WasmBackend, limits: Limits) -> Box<dyn Sandbox> {
    let language = Some(Arc::new(itself()));
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language,
        limits,
        policy: Policy::default(),
        readiness: Readiness::Bare,
        project: None,
    };
    backend.create(request).await.unwrap()
}

/// One section of a module.
fn section(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number, u8::try_from(content.len()).unwrap()], content].concat()
}

fn name(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A module that imports a function that takes a number, and has one of this code, which is exported under a name.
fn module(import: (&str, &str), export: &str, code: &[u8]) -> Vec<u8> {
    let import = [&[1][..], &name(import.0), &name(import.1), &[0, 0]].concat();
    let exports = [&[2][..], &name(export), &[0, 1], &name("memory"), &[2, 0]].concat();
    let body = [&[u8::try_from(code.len() + 2).unwrap(), 0], code, &[0x0b]].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[2, 0x60, 1, 0x7f, 0, 0x60, 0, 0]),
        section(2, &import),
        section(3, &[1, 1]),
        section(5, &[1, 0, 1]),
        section(7, &exports),
        section(10, &[&[1][..], &body].concat()),
    ]
    .concat()
}

/// Ends with that code.
fn exits_with(code: u8) -> Vec<u8> {
    // i32.const, in two bytes of signed LEB128, and the call.
    module((PREVIEW_1, "proc_exit"), "_start", &[0x41, (code & 0x7f) | 0x80, code >> 7, 0x10, 0])
}

async fn start(sandbox: &dyn Sandbox, content: &[u8]) -> Result<(ExitStatus, String), Error> {
    sandbox.write_file(&GuestPath::parse("x.wasm").unwrap(), &mut &*content, true).await.unwrap();
    run(sandbox, "./x.wasm").await
}

async fn run(sandbox: &dyn Sandbox, program: &str) -> Result<(ExitStatus, String), Error> {
    let command = Command { argv: vec![program.to_owned()], ..Command::default() };
    let mut execution = sandbox.exec(command).await?;
    drop(execution.stdin);
    let mut said = String::new();
    execution.stderr.read_to_string(&mut said).await.unwrap();
    Ok((execution.process.wait().await.unwrap(), said))
}

#[tokio::test]
async fn every_exit_code_of_a_module_passes() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend, Limits::default()).await;
    for code in [0, 1, 125, 126, 127, 255] {
        let (status, said) = start(sandbox.as_ref(), &exits_with(code)).await.unwrap();
        assert_eq!(status, ExitStatus::Exited(i32::from(code)), "{said}");
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn what_is_no_program_is_refused_with_the_mend_and_the_sandbox_works_on() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend, Limits::default()).await;
    let good = exits_with(3);
    let cut = good.get(..good.len() - 9).unwrap().to_vec();
    let foreign = module(("env", "system"), "_start", &[0x41, 0, 0x10, 0]);
    let library = module((PREVIEW_1, "proc_exit"), "helper", &[0x41, 0, 0x10, 0]);
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    for (content, words, mend) in [
        (b"#!/bin/sh\necho hello\n".to_vec(), "isn't WebAssembly", "wasm32-wasip1"),
        (b"\x7fELF\x02\x01\x01".to_vec(), "isn't WebAssembly", "-b jail"),
        (Vec::new(), "isn't WebAssembly", "wasm32-wasip1"),
        (cut, "can't be compiled", "cut off"),
        (foreign, "env::system", "WASI preview 1"),
        (library, "exports no function _start", "not a library"),
        (component, "no command", "wasi:cli/run"),
    ] {
        let error = start(sandbox.as_ref(), &content).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().unwrap().contains(mend), "{:?}", error.hint());
    }
    for missing in ["./none.wasm", "ls", "/bin/ls"] {
        assert_eq!(run(sandbox.as_ref(), missing).await.unwrap_err().kind(), ErrorKind::NotFound, "{missing}");
    }
    assert_eq!(start(sandbox.as_ref(), &good).await.unwrap().0, ExitStatus::Exited(3));
    assert!(sandbox.loss().is_none());
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_trap_and_a_stack_without_an_end_are_the_programs_end() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend, Limits { stack: ByteSize::mib(1), ..Limits::default() }).await;
    // unreachable; and a function that calls itself.
    for (code, words) in [(&[0x00][..], "unreachable"), (&[0x10, 1], "stack")] {
        let program = module((PREVIEW_1, "proc_exit"), "_start", code);
        let (status, said) = start(sandbox.as_ref(), &program).await.unwrap();
        assert_eq!(status, ExitStatus::Exited(134), "{said}");
        assert!(said.contains(words), "{said}");
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_loop_without_an_end_is_interrupted_when_its_processor_time_is_used_up() {
    let Some(backend) = backend().await else { return };
    let limits = Limits { cpu_time: TimeSpan::secs(1), ..Limits::default() };
    let sandbox = sandbox(&backend, limits).await;
    // loop br 0 end
    let program = module((PREVIEW_1, "proc_exit"), "_start", &[0x03, 0x40, 0x0c, 0, 0x0b]);
    let (status, said) = start(sandbox.as_ref(), &program).await.unwrap();
    assert_eq!(status, ExitStatus::Exited(152), "{said}");
    assert!(said.contains("processor time"), "{said}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_variable_of_the_guests_is_none_of_the_workers() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend, Limits::default()).await;
    let path = GuestPath::parse("x.wasm").unwrap();
    sandbox.write_file(&path, &mut exits_with(9).as_slice(), true).await.unwrap();
    // What makes the C library load code before anything of the worker's own runs.
    let env = BTreeMap::from([("LD_PRELOAD".to_owned(), "/work/x.wasm".to_owned())]);
    let command = Command { argv: vec!["./x.wasm".to_owned()], env, ..Command::default() };
    let mut execution = sandbox.exec(command).await.unwrap();
    let mut said = String::new();
    execution.stderr.read_to_string(&mut said).await.unwrap();
    assert_eq!(execution.process.wait().await.unwrap(), ExitStatus::Exited(9));
    assert!(said.is_empty(), "{said}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn too_little_memory_to_start_is_the_programs_end_and_not_crucibles() {
    let Some(backend) = backend().await else { return };
    let limits = Limits { memory: ByteSize::mib(1), disk: ByteSize::mib(1), ..Limits::default() };
    let sandbox = sandbox(&backend, limits).await;
    // A machine that can't limit memory as a whole lets it start.
    if let Ok((status, _)) = start(sandbox.as_ref(), &exits_with(0)).await
        && status != ExitStatus::Exited(0)
    {
        assert!(sandbox.counters().await.unwrap().out_of_memory_kills > 0, "{status:?}");
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn it_tests_itself_and_says_what_it_is() {
    let Some(backend) = backend().await else { return };
    let test = backend.self_test().await;
    assert!(test.is_healthy(), "{test:?}");
    assert!(backend.version().contains("wasmtime"));
    assert!(!backend.capabilities().arbitrary_commands && backend.capabilities().abilities.is_empty());
}
