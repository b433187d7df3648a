//! The worker: one process in the jail, in which one guest is compiled or runs, and which ends with it.
//!
//! Invariant: a guest gets its arguments, its variables, its folders and the three standard streams, and nothing else of this
//! process. What the backend hears of the start was written before the guest's first instruction.
//!
//! What is done before a program is known needs no thread and no async runtime, so that a process that has done it can be
//! copied. It enforces no limit that anybody relies on but those on the stack and, without control groups, on memory: what counts is
//! what the jail enforces from outside.

use super::cache;
use super::engine::engine;
use super::protocol::{Code, Imports, LONGEST_ORDER, Order, PREPARED, READY, REFUSED, Refusal, Setting, Task, Why};
use super::snapshot::{self, Recipe};
use crucible_core::GuestPath;
use futures_util::FutureExt;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use wasmtime::component::{Component, InstancePre as ComponentPre, Linker as ComponentLinker};
use wasmtime::{Engine, Error, Instance, InstancePre, Linker, Module, ResourceLimiter, Result, Store, Trap};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder, WasiCtxView, WasiView};

/// Where the functions of WASI's preview 1 are imported from.
const PREVIEW_1: &str = "wasi_snapshot_preview1";
/// What a module for commands is started by.
const START: &str = "_start";
/// The exit codes of a guest that didn't end by itself, as a shell gives them: 128 and the signal that a native program would
/// have had, SIGABRT and SIGXCPU.
const TRAPPED: u8 = 128 + 6;
const OUT_OF_TIME: u8 = 128 + 24;
/// That of a worker that couldn't do its work; nobody but a person who calls it by hand sees it.
const FAILED: u8 = 70;
/// What is sent to a process whose file grows too large. It is taken note of, so that the write itself fails.
const FILE_TOO_LARGE: i32 = 25;
/// The stack that an interpreter is initialised with.
const INTERPRETER_STACK: u64 = 8 << 20;
/// The longest nap of whoever looks at the clock.
const NAP: Duration = Duration::from_millis(250);

/// Does what the arguments say, and gives the process's exit code.
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> u8 {
    let done = Call::read(arguments).and_then(|call| match call.task {
        Task::Compile => compile(&module()?).map(|code| tell(READY, &code)),
        Task::Snapshot(recipe, program) => take_snapshot(&module()?, &recipe, &program).map(|code| tell(READY, &code)),
        Task::Run(setting, start) => {
            let program = Program::prepare(&setting)?;
            program.obey(&Order { start, variables: call.variables, arguments: call.arguments }, Duration::ZERO)
        }
        Task::Wait(setting) => {
            let program = Program::prepare(&setting)?;
            tell(PREPARED, &[]);
            match wait()? {
                Some(order) => program.obey(&order, processor_time()),
                None => Ok(0),
            }
        }
    });
    done.unwrap_or_else(|refusal| {
        let _told = tell(REFUSED, &serde_json::to_vec(&refusal).unwrap_or_default());
        FAILED
    })
}

/// Tells the backend; an exit code.
fn tell(word: u8, more: &[u8]) -> u8 {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(&[word]).and_then(|()| stdout.write_all(more)).and_then(|()| stdout.flush()) {
        Ok(()) => 0,
        Err(_) => FAILED,
    }
}

fn refusal(why: Why, message: impl Into<String>, hint: &str) -> Refusal {
    // An error may quote what the guest brought.
    let message: String = message.into().chars().filter(|char| !char.is_control()).take(1000).collect();
    Refusal { why, message, hint: hint.to_owned() }
}

fn worker(message: impl Into<String>) -> Refusal {
    refusal(Why::Worker, message, "")
}

/// Waits for an order; none where it isn't needed any more. Not a byte more is read.
fn wait() -> Result<Option<Order>, Refusal> {
    let unread = |error: io::Error| worker(format!("its order can't be read: {error}"));
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(unread)?);
    let mut length = [0; 4];
    match stdin.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read.map_err(unread)?,
    }
    let length = u32::from_le_bytes(length);
    if length > LONGEST_ORDER {
        return Err(worker("its order is too long"));
    }
    let mut order = vec![0; usize::try_from(length).unwrap_or_default()];
    stdin.read_exact(&mut order).map_err(unread)?;
    serde_json::from_slice(&order).map(Some).map_err(|error| worker(format!("its order can't be read: {error}")))
}

/// What it was called with.
struct Call {
    task: Task,
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Call {
    fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, Refusal> {
        let mut texts = arguments.map(|text| text.into_string().map_err(|_| worker("an argument isn't UTF-8")));
        let mut next = || texts.next().unwrap_or_else(|| Err(worker("an argument is missing")));
        let task =
            serde_json::from_str(&next()?).map_err(|error| worker(format!("its task can't be read: {error}")))?;
        let count: usize = next()?.parse().map_err(|_| worker("the number of variables can't be read"))?;
        let mut variables = Vec::new();
        for _ in 0..count {
            let text = next()?;
            let (name, value) = text.split_once('=').ok_or_else(|| worker("a variable has no value"))?;
            variables.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { task, variables, arguments: texts.collect::<Result<_, _>>()? })
    }
}

fn module() -> Result<Vec<u8>, Refusal> {
    let mut module = Vec::new();
    io::stdin().read_to_end(&mut module).map_err(|error| worker(format!("the module can't be read: {error}")))?;
    Ok(module)
}

fn engine_with(stack: u64) -> Result<Engine, Refusal> {
    engine(usize::try_from(stack).unwrap_or(usize::MAX))
        .map_err(|error| worker(format!("there is no engine: {error:#}")))
}

fn compile(module: &[u8]) -> Result<Vec<u8>, Refusal> {
    engine_with(1 << 20)?.precompile_module(module).map_err(|error| unusable(&error))
}

/// Makes the compiled module that goes on from a snapshot of an interpreter, which begins with an empty work folder.
fn take_snapshot(module: &[u8], recipe: &Recipe, program: &str) -> Result<Vec<u8>, Refusal> {
    let engine = engine_with(INTERPRETER_STACK)?;
    let variables: Vec<_> = recipe.variables();
    let mut builder = WasiCtxBuilder::new();
    builder.args(&snapshot::make::arguments(program)).envs(&variables).allow_blocking_current_thread(true);
    let failed = |error: Error| worker(format!("the snapshot can't be made: {}", chain(&error)));
    let wasi = folders(builder, GuestPath::WORK).map_err(failed)?;
    let guest = Guest { wasi: Some(wasi), memory: MemoryLimit { most: None, used: 0 } };
    let mut store = Store::new(&engine, guest);
    store.set_epoch_deadline(1);
    let mut linker = Linker::new(&engine);
    link_preview_1(&mut linker).map_err(failed)?;
    let made = snapshot::make::make(&engine, &linker, &mut store, module, recipe);
    compile(&async_runtime()?.block_on(made).map_err(failed)?)
}

fn async_runtime() -> Result<tokio::runtime::Runtime, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| worker(format!("it has no async runtime: {error}")))
}

fn read(path: &str) -> Result<Vec<u8>, Refusal> {
    std::fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refusal(Why::Missing, format!("there is no file {path}"), ""),
        _ => refusal(Why::Program, format!("{path} can't be read: {error}"), ""),
    })
}

/// Why bytes are no program.
fn unusable(error: &Error) -> Refusal {
    let hint = "the file may be cut off or damaged: compare it with the original, or build it again";
    refusal(Why::Program, format!("the WebAssembly can't be compiled: {}", chain(error)), hint)
}

/// An error with its causes, each told once.
fn chain(error: &Error) -> String {
    let mut told: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !told.iter().any(|before| before.contains(&text)) {
            told.push(text);
        }
    }
    told.join(": ")
}

/// What a guest's functions work on.
struct Guest {
    /// There as soon as it is known what the program is.
    wasi: Option<WasiP1Ctx>,
    memory: MemoryLimit,
}

impl Guest {
    fn wasi(&mut self) -> &mut WasiP1Ctx {
        self.wasi.get_or_insert_with(|| WasiCtxBuilder::new().build_p1())
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi().ctx()
    }
}

/// Bytes that all memories of a guest may have together.
struct MemoryLimit {
    most: Option<u64>,
    used: u64,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let used = self.used.saturating_add(more);
        let is_allowed = self.most.is_none_or(|most| used <= most);
        if is_allowed {
            self.used = used;
        }
        Ok(is_allowed)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        // An element takes a pointer or two.
        let bytes = u64::try_from(desired).unwrap_or(u64::MAX).saturating_mul(16);
        Ok(self.most.is_none_or(|most| bytes <= most))
    }
}

/// Code that is linked, and not started.
enum Linked {
    Module(InstancePre<Guest>),
    Component(ComponentPre<Guest>),
    /// An interpreter that is initialised, with its memory.
    Snapshot(Instance),
}

/// A program that is ready to start, or an interpreter that is ready for one.
struct Program {
    engine: Engine,
    store: Store<Guest>,
    linked: Linked,
}

impl Program {
    /// Does all that can be done before it is known what the program is.
    fn prepare(setting: &Setting) -> Result<Self, Refusal> {
        let engine = engine_with(setting.stack)?;
        let guest = Guest { wasi: None, memory: MemoryLimit { most: setting.memory, used: 0 } };
        let mut store = Store::new(&engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(1);
        let load = |path: &str| {
            cache::load(&engine, path)
                .map_err(|error| worker(format!("the compiled runtime can't be loaded: {}", chain(&error))))
        };
        let linked = match &setting.code {
            Code::Artifact(path) => Linked::Module(link_module(&load(path)?, &mut store, setting.imports)?),
            Code::Snapshot(path) => {
                let linked = link_module(&load(path)?, &mut store, setting.imports)?;
                // Nothing of it is called, so that there is nothing to wait for.
                let instance = linked.instantiate_async(&mut store).now_or_never();
                let instance = instance.unwrap_or_else(|| Err(Error::msg("it waits for something")));
                let failed = |error| worker(format!("the snapshot can't be mapped: {}", chain(&error)));
                Linked::Snapshot(instance.map_err(failed)?)
            }
            Code::File(path) => link_file(&read(path)?, &mut store, setting.imports)?,
        };
        Ok(Self { engine, store, linked })
    }

    /// Runs what was ordered, and gives the process's exit code.
    fn obey(mut self, order: &Order, used_before: Duration) -> Result<u8, Refusal> {
        let runtime = async_runtime()?;
        let code = {
            let _within = runtime.enter();
            let failed = |error| worker(format!("the work folder: {error:#}"));
            self.store.data_mut().wasi = Some(wasi(order).map_err(failed)?);
            if let Linked::Snapshot(instance) = &self.linked {
                let given = snapshot::order::give(instance, &mut self.store, &order.arguments, &order.variables);
                given.map_err(|error| worker(format!("the snapshot can't be used: {}", chain(&error))))?;
            }
            tell(READY, &[]);
            let processor_time = Duration::from_millis(order.start.cpu_milliseconds);
            runtime.block_on(self.run(processor_time.saturating_add(used_before)))
        };
        // The process ends with this.
        std::mem::forget(runtime);
        Ok(code)
    }

    /// Runs it to its end.
    async fn run(mut self, processor_time: Duration) -> u8 {
        // Held to the end, so that it isn't sent as the kernel would.
        let _noted = signal(SignalKind::from_raw(FILE_TOO_LARGE)).ok();
        interrupt(self.engine, processor_time);
        let ended = match self.linked {
            Linked::Module(linked) => start_module(&linked, &mut self.store).await,
            Linked::Component(linked) => start_component(linked, &mut self.store).await,
            Linked::Snapshot(instance) => start_instance(&instance, &mut self.store).await,
        };
        // The kernel clears up faster.
        std::mem::forget(self.store);
        ended.unwrap_or_else(|error| {
            if let Some(I32Exit(code)) = error.downcast_ref() {
                // What the kernel keeps of an exit code.
                return code.to_le_bytes().first().copied().unwrap_or_default();
            }
            let is_interrupt = matches!(error.downcast_ref::<Trap>(), Some(Trap::Interrupt));
            let what = if is_interrupt { "its processor time is used up".to_owned() } else { chain(&error) };
            let _told = writeln!(io::stderr(), "crucible: the program was ended: {what}").is_ok();
            if is_interrupt { OUT_OF_TIME } else { TRAPPED }
        })
    }
}

async fn start_module(linked: &InstancePre<Guest>, store: &mut Store<Guest>) -> Result<u8> {
    let instance = linked.instantiate_async(&mut *store).await?;
    start_instance(&instance, store).await
}

async fn start_instance(instance: &Instance, store: &mut Store<Guest>) -> Result<u8> {
    instance.get_typed_func::<(), ()>(&mut *store, START)?.call_async(store, ()).await?;
    Ok(0)
}

async fn start_component(linked: ComponentPre<Guest>, store: &mut Store<Guest>) -> Result<u8> {
    let command = CommandPre::new(linked)?.instantiate_async(&mut *store).await?;
    Ok(match command.wasi_cli_run().call_run(store).await? {
        Ok(()) => 0,
        Err(()) => 1,
    })
}

/// The guest's surroundings: streams, arguments, variables, and the work folder under two names. Programs that know no
/// current folder find it as the one that they start in.
fn wasi(order: &Order) -> Result<WasiP1Ctx> {
    let mut builder = WasiCtxBuilder::new();
    builder.inherit_stdio().args(&order.arguments).envs(&order.variables).allow_blocking_current_thread(true);
    folders(builder, &order.start.directory)
}

fn folders(mut builder: WasiCtxBuilder, directory: &str) -> Result<WasiP1Ctx> {
    builder.initial_cwd(directory);
    builder.preopened_dir(directory, ".", FsPerms::ReadWrite)?;
    builder.preopened_dir(GuestPath::WORK, GuestPath::WORK, FsPerms::ReadWrite)?;
    Ok(builder.build_p1())
}

/// Whether bytes begin as WebAssembly does, and whether as a component.
fn link_file(bytes: &[u8], store: &mut Store<Guest>, imports: Imports) -> Result<Linked, Refusal> {
    const COMPONENT: u16 = 1;
    let Some((magic, version)) = bytes.split_first_chunk::<4>().filter(|(magic, _)| *magic == b"\0asm") else {
        let hint = "compile the program for wasm32-wasip1 or wasm32-wasip2; native programs are for the jail (-b jail)";
        return Err(refusal(Why::Program, "it isn't WebAssembly: it doesn't begin with the bytes 00 61 73 6d", hint));
    };
    let _ = magic;
    if version.get(2..4) == Some(&COMPONENT.to_le_bytes()) {
        link_component(bytes, store.engine())
    } else {
        let module = Module::new(store.engine(), bytes).map_err(|error| unusable(&error))?;
        link_module(&module, store, imports).map(Linked::Module)
    }
}

const WHAT_IS_LINKED: &str = "modules are linked to WASI preview 1 (wasi_snapshot_preview1) and components to WASI 0.2, \
                              without sockets; build it for wasm32-wasip1 or wasm32-wasip2";

fn link_module(module: &Module, store: &mut Store<Guest>, imports: Imports) -> Result<InstancePre<Guest>, Refusal> {
    if module.get_export(START).is_none_or(|export| export.func().is_none()) {
        let hint = "a program is needed, with a main function, and not a library";
        return Err(refusal(Why::Program, format!("the module exports no function {START}"), hint));
    }
    let mut linker = Linker::new(store.engine());
    let linked = link_preview_1(&mut linker).and_then(|()| match imports {
        Imports::Refused => Ok(()),
        Imports::MadeUp => linker.define_unknown_imports_as_default_values(&mut *store, module),
    });
    linked.map_err(|error| worker(format!("WASI can't be linked: {error:#}")))?;
    linker.instantiate_pre(module).map_err(|error| not_linked(&error))
}

fn link_preview_1(linker: &mut Linker<Guest>) -> Result<()> {
    p1::add_to_linker_async(linker, Guest::wasi)?;
    // Theirs takes codes of 126 and above for a mistake; programs for the kernel end with them all the time.
    linker.allow_shadowing(true);
    linker.func_wrap(PREVIEW_1, "proc_exit", |code: i32| -> Result<()> { Err(I32Exit(code).into()) })?;
    linker.allow_shadowing(false);
    Ok(())
}

fn link_component(bytes: &[u8], engine: &Engine) -> Result<Linked, Refusal> {
    let component = Component::new(engine, bytes).map_err(|error| unusable(&error))?;
    let mut linker = ComponentLinker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .map_err(|error| worker(format!("WASI can't be linked: {error:#}")))?;
    let linked = linker.instantiate_pre(&component).map_err(|error| not_linked(&error))?;
    CommandPre::new(linked.clone()).map_err(|error| {
        let hint = "a program is needed, which exports wasi:cli/run, and not a library";
        refusal(Why::Program, format!("the component is no command: {}", chain(&error)), hint)
    })?;
    Ok(Linked::Component(linked))
}

fn not_linked(error: &Error) -> Refusal {
    refusal(Why::Program, format!("the WebAssembly can't be linked: {}", chain(error)), WHAT_IS_LINKED)
}

/// What this process has used so far.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.try_into().unwrap_or(0), used.tv_nsec.try_into().unwrap_or(0))
}

/// Interrupts the guest when this process has used up that much processor time. The supervisor looks, too, and counts more.
fn interrupt(engine: Engine, after: Duration) {
    let look = move || {
        loop {
            match after.checked_sub(processor_time()) {
                Some(left) if !left.is_zero() => std::thread::sleep((left / 2).clamp(Duration::from_millis(1), NAP)),
                _ => break,
            }
        }
        engine.increment_epoch();
    };
    // Where no thread can be had, the limits of the jail are the only ones.
    let _started = std::thread::Builder::new().stack_size(64 << 10).spawn(look).is_ok();
}
