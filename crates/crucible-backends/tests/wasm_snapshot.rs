//! Python as WebAssembly from a snapshot: what a program sees is what it sees without, and a worker that waits is as good as one
//! that doesn't.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

use crucible_backends::jail::JailConfig;
use crucible_backends::wasm::runtimes::RuntimeFolder;
use crucible_backends::wasm::{Note, WasmBackend, WasmConfig, WorkerProgram};
use crucible_core::{
    Backend, ByteSize, Capabilities, Command, Component, ErrorKind, ExitStatus, GuestPath, HostPath, Language, Limits,
    Policy, Readiness, Result, Sandbox, SandboxId, SandboxRequest, SelfTest, TimeSpan,
};
use crucible_testkit::conformance::{ConformanceSubject, Unavailable};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Installing waits for npm, and making the snapshot for the worker.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn is_required() -> bool {
    std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default().split(',').any(|name| name == "wasm")
}

async fn backend() -> Option<WasmBackend> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm");
    let runtimes = HostPath::new(folder.join("runtimes"));
    let installed = RuntimeFolder::new(runtimes.clone());
    if installed.get("python-wasm").is_err()
        && let Err(error) = installed.install("python-wasm")
    {
        assert!(!is_required(), "{error}");
        eprintln!("skipped: {error}");
        return None;
    }
    let config = WasmConfig {
        jail: JailConfig::default(),
        worker: WorkerProgram {
            program: HostPath::new(env!("CARGO_BIN_EXE_crucible-wasm-worker")),
            arguments: Vec::new(),
        },
        runtimes: Some(runtimes),
        artifacts: Some(HostPath::new(folder.join("compiled"))),
        note: Note::by(|note| eprintln!("note: {note}")),
    };
    match WasmBackend::start(config).await {
        Ok(backend) => {
            // Without one the tests below would compare the same way with itself.
            assert!(backend.snapshot("python-wasm").await.unwrap().is_some());
            Some(backend)
        }
        Err(error) => {
            assert!(!is_required(), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn language(name: &str) -> Arc<Language> {
    let table: toml::Table = crucible_backends::runtime::DEFAULT_LANGUAGES.parse().unwrap();
    Arc::new(table["languages"][name].clone().try_into().unwrap())
}

fn python() -> Arc<Language> {
    language("python")
}

async fn sandbox(backend: &WasmBackend, readiness: Readiness) -> Box<dyn Sandbox> {
    sandbox_with(backend, readiness, Limits::default()).await
}

async fn sandbox_with(backend: &WasmBackend, readiness: Readiness, limits: Limits) -> Box<dyn Sandbox> {
    let (id, policy) = (SandboxId::generate(), Policy::default());
    backend
        .create(SandboxRequest { id, language: Some(python()), limits, policy, readiness, project: None })
        .await
        .unwrap()
}

async fn write(sandbox: &dyn Sandbox, path: &str, content: &str) {
    sandbox.write_file(&GuestPath::parse(path).unwrap(), &mut content.as_bytes(), false).await.unwrap();
}

/// How the interpreter starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Snapshot,
    /// From its beginning.
    Whole,
}

/// A command as an evaluation starts it.
fn command(way: Way, arguments: &[&str]) -> Command {
    let mut env = python().env.clone();
    if way == Way::Whole {
        // What a snapshot isn't made for, and nothing looks at.
        env.insert("LC_CRUCIBLE".to_owned(), String::new());
    }
    env.insert("GREETING".to_owned(), "hello=\u{e4}\u{1f600}".to_owned());
    let argv = ["python.wasm"].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    Command { argv, env, ..Command::default() }
}

#[derive(Debug, PartialEq, Eq)]
struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

async fn run(sandbox: &dyn Sandbox, command: Command, input: &[u8]) -> Ended {
    let mut execution = sandbox.exec(command).await.unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let feed = async {
        let _written = execution.stdin.write_all(input).await.is_ok();
        drop(execution.stdin);
    };
    let (_, out, err) =
        tokio::join!(feed, execution.stdout.read_to_end(&mut stdout), execution.stderr.read_to_end(&mut stderr));
    out.and(err).unwrap();
    Ended {
        status: execution.process.wait().await.unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// What a program can see of how its interpreter started.
const LOOKS_AROUND: &str = r#"
import sys, os
before = sorted(sys.modules)
names = sorted(globals())
order = list(globals())
print(before, names, order, __name__, __file__, __doc__, __spec__, __package__, type(__loader__), __builtins__)
print(sys.argv, sys.orig_argv, sys.path, sys.flags, repr(sys.executable), sys.prefix, sys.version, sys.warnoptions)
print([hook if isinstance(hook, type) else hook.__name__ for hook in sys.path_hooks], sorted(sys.path_importer_cache))
environment = {name: value for name, value in os.environ.items() if name != 'LC_CRUCIBLE'}
print(environment, {name: value for name, value in os.environb.items() if name != b'LC_CRUCIBLE'})
import posix
print(list(name for name in posix.environ if name != b'LC_CRUCIBLE'), posix.environ is os.environ._data)
print(os.getcwd(), sorted(os.listdir()), sorted(os.listdir('/work')), os.path.abspath('x'), os.getpid())
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.encoding, stream.errors, stream.isatty(), stream.line_buffering, stream.write_through, stream.name, stream.mode)
print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.dont_write_bytecode, sys.getfilesystemencoding())
print(sys.stdin.readline(), sys.stdin.read())
import gc
print(gc.isenabled(), gc.get_threshold(), gc.callbacks, gc.garbage)
import locale, time
print(locale.setlocale(locale.LC_ALL), time.tzname, time.localtime(0), os.fsencode('\u00e4'))
def depth(at):
    try:
        return depth(at + 1)
    except RecursionError:
        return at
print(depth(0), sys._getframe().f_back, sys._getframe().f_code.co_filename)
del os.environ['GREETING']
print(os.getenv('GREETING'), 'GREETING' in os.environ)
os.chdir('/work')
print(os.getcwd())
"#;

#[tokio::test]
async fn what_a_program_sees_is_what_it_sees_without_a_snapshot() {
    let Some(backend) = backend().await else { return };
    for name in ["main.py", "/work/below/\u{e4} b.py"] {
        let mut seen = Vec::new();
        for (way, readiness) in
            [(Way::Whole, Readiness::Bare), (Way::Snapshot, Readiness::Bare), (Way::Snapshot, Readiness::Interpreter)]
        {
            let sandbox = sandbox(&backend, readiness).await;
            write(sandbox.as_ref(), name.trim_start_matches("/work/"), LOOKS_AROUND).await;
            let command = command(way, &[name, "one", "", "-I", "\u{e4}\u{1f600}"]);
            let ended = run(sandbox.as_ref(), command, b"first\nsecond\nthird").await;
            assert_eq!(ended.status, ExitStatus::Exited(0), "{way:?} {readiness:?} {ended:?}");
            assert!(ended.stdout.contains("second"), "{ended:?}");
            seen.push(ended);
            sandbox.destroy().await.unwrap();
        }
        for way in 1..seen.len() {
            for (with, without) in seen[way].stdout.lines().zip(seen[0].stdout.lines()) {
                assert_eq!(with, without, "{name} {way}");
            }
            assert_eq!(seen[way], seen[0]);
        }
    }
}

/// Programs, the exit codes that they end with, and words that they then have said.
const ENDINGS: [(&str, i32, &str); 18] = [
    ("print(1)", 0, "1\n"),
    ("import sys; sys.exit(7)", 7, ""),
    ("import sys; sys.exit('no more')", 1, "no more"),
    ("raise SystemExit(255)", 255, ""),
    ("import os; print('lost', end=''); os._exit(3)", 3, ""),
    ("def f():\n    return 1 / 0\nf()\n", 1, "ZeroDivisionError"),
    ("print(1\n", 1, "SyntaxError"),
    ("import atexit\natexit.register(print, 'bye')\natexit.register(print, 'first')\nraise KeyError(1)", 1, "bye"),
    // What is released when a program ends.
    ("class C:\n    def __del__(self): print('gone')\nc = C()", 0, "gone"),
    ("class C:\n    def __del__(self): print('gone')\nc = C()\nc.c = c\ndef f(): return c", 0, "gone"),
    ("import os\nclass C:\n    def __del__(self, write=os.write): write(1, b'gone')\nos.kept = C()", 0, "gone"),
    ("import posixpath\nclass C:\n    def __del__(self, print=print): print('gone')\nposixpath.join = C()", 0, "gone"),
    ("import os\nos.kept = open('out', 'w'); os.kept.write('held')", 0, ""),
    ("import builtins\nclass C:\n    def __del__(self, print=print): print('gone')\nbuiltins.kept = C()", 0, "gone"),
    ("import sys\nclass C:\n    def __del__(self, print=print): print('gone')\nsys.modules['x'] = C()", 0, "gone"),
    ("f = open('out', 'w'); f.write('held')\ndef g(): return f\ng.g = g", 0, ""),
    ("import sys\nsys.stdout.write('unfinished')\nsys.stderr.write('both')", 0, "unfinished"),
    ("import sys\nsys.excepthook = lambda *args: print('hooked', args[0])\nraise OSError", 1, "hooked"),
];

#[tokio::test]
async fn a_program_ends_as_it_does_without_a_snapshot() {
    let Some(backend) = backend().await else { return };
    for (program, code, words) in ENDINGS {
        let mut seen = Vec::new();
        for (way, readiness) in [(Way::Whole, Readiness::Bare), (Way::Snapshot, Readiness::Interpreter)] {
            let sandbox = sandbox(&backend, readiness).await;
            write(sandbox.as_ref(), "main.py", program).await;
            let ended = run(sandbox.as_ref(), command(way, &["main.py"]), b"").await;
            assert_eq!(ended.status, ExitStatus::Exited(code), "{program} {way:?} {ended:?}");
            assert!(ended.stdout.contains(words) || ended.stderr.contains(words), "{program} {way:?} {ended:?}");
            let mut files = Vec::new();
            for file in sandbox.list_files(&GuestPath::default()).await.unwrap() {
                let name = String::from_utf8(file.name).unwrap();
                let mut content = String::new();
                let mut opened = sandbox.read_file(&GuestPath::parse(&name).unwrap()).await.unwrap();
                opened.bytes.read_to_string(&mut content).await.unwrap();
                files.push((name, content));
            }
            assert_eq!(program.contains("held"), files.iter().any(|(_, content)| content == "held"), "{way:?}");
            seen.push((ended, files));
            sandbox.destroy().await.unwrap();
        }
        assert_eq!(seen[1], seen[0], "{program}");
    }
}

#[tokio::test]
async fn what_is_no_program_is_told_as_without_a_snapshot() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend, Readiness::Bare).await;
    write(
        sandbox.as_ref(),
        "folder/__main__.py",
        "import sys; print(__file__, sys.argv, sys.path[0], __spec__.origin)",
    )
    .await;
    write(sandbox.as_ref(), "empty/x", "").await;
    write(sandbox.as_ref(), "zeros.py", "a\0b").await;
    for name in ["none.py", "folder", "/work/folder/", "empty", "zeros.py", "./folder/__main__.py", "//work/none", "."]
    {
        let whole = run(sandbox.as_ref(), command(Way::Whole, &[name, "x"]), b"").await;
        let snapshot = run(sandbox.as_ref(), command(Way::Snapshot, &[name, "x"]), b"").await;
        assert_eq!(snapshot, whole, "{name}");
    }
    sandbox.destroy().await.unwrap();
}

async fn says(sandbox: &dyn Sandbox, way: Way, program: &str) -> String {
    write(sandbox, "says.py", program).await;
    let ended = run(sandbox, command(way, &["says.py"]), b"").await;
    assert_eq!(ended.status, ExitStatus::Exited(0), "{ended:?}");
    ended.stdout
}

#[tokio::test]
async fn every_run_has_its_own_random_numbers_and_time_and_all_share_one_hash_seed() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend, Readiness::Bare).await;
    for program in [
        "import random; print(random.getrandbits(64))",
        "import secrets; print(secrets.token_hex(16))",
        "import uuid; print(uuid.uuid4())",
        "import os; print(os.urandom(16))",
        "import tempfile; print(tempfile.mktemp())",
        "import time; print(time.time_ns())",
    ] {
        let (first, second) = (
            says(sandbox.as_ref(), Way::Snapshot, program).await,
            says(sandbox.as_ref(), Way::Snapshot, program).await,
        );
        assert_ne!(first, second, "{program}");
    }
    // As the decision says. Whoever takes a fresh seed for granted is to find it here.
    let hash = "print(hash('a'), {'b', 'c', 'd', 'e', 'f'})";
    let (first, second) =
        (says(sandbox.as_ref(), Way::Snapshot, hash).await, says(sandbox.as_ref(), Way::Snapshot, hash).await);
    assert_eq!(first, second);
    let (first, second) =
        (says(sandbox.as_ref(), Way::Whole, hash).await, says(sandbox.as_ref(), Way::Whole, hash).await);
    assert_ne!(first, second);
    // It was drawn, and is not the same everywhere.
    assert_ne!(says(sandbox.as_ref(), Way::Snapshot, "import sys; print(sys.flags.hash_randomization)").await, "0\n");
    let now = says(sandbox.as_ref(), Way::Snapshot, "import time; print(int(time.time()))").await;
    let now = Duration::from_secs(now.trim().parse().unwrap());
    let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(here.abs_diff(now) < Duration::from_secs(60), "{now:?}");
    sandbox.destroy().await.unwrap();
}

/// Tells whether the interpreter came from a snapshot, by how much it leaves alone when it looks for garbage: without one a
/// few hundred objects.
const FROM_WHERE: &str = "import gc; print(gc.get_freeze_count() > 2000)";

#[tokio::test]
async fn options_and_variables_of_the_interpreters_mean_that_it_starts_from_its_beginning() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend, Readiness::Bare).await;
    assert_eq!(says(sandbox.as_ref(), Way::Snapshot, FROM_WHERE).await, "True\n");
    assert_eq!(says(sandbox.as_ref(), Way::Whole, FROM_WHERE).await, "False\n");
    let program = format!("{FROM_WHERE}\nimport sys; print(sys.flags.isolated, sys.flags.no_site, hash('a'))");
    write(sandbox.as_ref(), "main.py", &program).await;
    let ended = run(sandbox.as_ref(), command(Way::Snapshot, &["-I", "-S", "main.py"]), b"").await;
    assert!(ended.stdout.starts_with("False\n1 1 "), "{ended:?}");
    let ended = run(sandbox.as_ref(), command(Way::Snapshot, &["-c", &program]), b"").await;
    assert!(ended.stdout.starts_with("False\n0 0 "), "{ended:?}");
    let mut seeded = command(Way::Snapshot, &["main.py"]);
    seeded.env.insert("PYTHONHASHSEED".to_owned(), "0".to_owned());
    let first = run(sandbox.as_ref(), seeded.clone(), b"").await;
    assert!(first.stdout.starts_with("False\n"), "{first:?}");
    assert_eq!(run(sandbox.as_ref(), seeded, b"").await, first);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_waits_serves_one_command_and_counts_from_its_order_on() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend, Readiness::Interpreter).await;
    assert_eq!(sandbox.readiness(), Readiness::Interpreter);
    assert_eq!(sandbox.counters().await.unwrap().cpu, Duration::ZERO);
    let posture = sandbox.posture().await.unwrap();
    assert!(posture.is_as_planned(), "{:?}", posture.differences().collect::<Vec<_>>());
    for expected in [Readiness::Bare, Readiness::Bare] {
        assert_eq!(says(sandbox.as_ref(), Way::Snapshot, FROM_WHERE).await, "True\n");
        assert_eq!(sandbox.readiness(), expected);
    }
    sandbox.end_processes().await.unwrap();
    assert!(sandbox.posture_again().await.unwrap().is_as_planned());
    assert!(sandbox.counters().await.unwrap().cpu > Duration::ZERO);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn another_command_ends_the_worker_that_waits_and_starts_as_ever() {
    let Some(backend) = backend().await else { return };
    let commands = [
        command(Way::Whole, &["main.py"]),
        command(Way::Snapshot, &["-I", "main.py"]),
        Command { directory: GuestPath::parse("below").unwrap(), ..command(Way::Snapshot, &["main.py"]) },
    ];
    for command in commands {
        let sandbox = sandbox(&backend, Readiness::Interpreter).await;
        write(sandbox.as_ref(), "main.py", "print(input())").await;
        write(sandbox.as_ref(), "below/main.py", "print(input())").await;
        let waiting = sandbox.counters().await.unwrap().processes;
        let ended = run(sandbox.as_ref(), command.clone(), b"typed\n").await;
        assert_eq!((ended.status, ended.stdout.as_str()), (ExitStatus::Exited(0), "typed\n"), "{command:?} {ended:?}");
        assert_eq!(sandbox.readiness(), Readiness::Bare);
        let left = sandbox.counters().await.unwrap().processes;
        assert!(waiting.is_none() || left < waiting, "{left:?} {waiting:?}");
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_that_waits_goes_with_all_other_processes_and_with_its_sandbox() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend, Readiness::Interpreter).await;
    sandbox.end_processes().await.unwrap();
    assert_eq!(sandbox.readiness(), Readiness::Bare);
    assert_eq!(says(sandbox.as_ref(), Way::Snapshot, "print(1)").await, "1\n");
    sandbox.destroy().await.unwrap();
    self::sandbox(&backend, Readiness::Interpreter).await.destroy().await.unwrap();
}

#[tokio::test]
async fn limits_hold_from_the_order_on_for_a_worker_that_waited() {
    let Some(backend) = backend().await else { return };
    let limits = Limits { cpu_time: TimeSpan::secs(1), memory: ByteSize::mib(128), ..Limits::default() };
    let sandbox = sandbox_with(&backend, Readiness::Interpreter, limits.clone()).await;
    write(sandbox.as_ref(), "main.py", "while True: pass").await;
    let ended = run(sandbox.as_ref(), command(Way::Snapshot, &["main.py"]), b"").await;
    assert_eq!(ended.status, ExitStatus::Exited(152), "{ended:?}");
    sandbox.destroy().await.unwrap();

    let sandbox = sandbox_with(&backend, Readiness::Interpreter, limits).await;
    write(sandbox.as_ref(), "main.py", "x = bytearray(1 << 30)\nprint(len(x))").await;
    let ended = run(sandbox.as_ref(), command(Way::Snapshot, &["main.py"]), b"").await;
    assert_ne!(ended.status, ExitStatus::Exited(0), "{ended:?}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn too_little_memory_for_a_worker_to_wait_leaves_a_sandbox_without_one() {
    let Some(backend) = backend().await else { return };
    let limits = Limits { memory: ByteSize::mib(1), disk: ByteSize::mib(1), ..Limits::default() };
    let sandbox = sandbox_with(&backend, Readiness::Interpreter, limits).await;
    // A machine that can't limit memory as a whole lets it start.
    if sandbox.readiness() == Readiness::Bare {
        assert_eq!(sandbox.counters().await.unwrap().out_of_memory_kills, 0);
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_language_without_an_interpreter_has_none_ready() {
    let Some(backend) = backend().await else { return };
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: Some(language("wasm")),
        limits: Limits::default(),
        policy: Policy::default(),
        readiness: Readiness::Interpreter,
        project: None,
    };
    let sandbox = backend.create(request).await.unwrap();
    assert_eq!(sandbox.readiness(), Readiness::Bare);
    let missing = Command { argv: vec!["./x.wasm".to_owned()], env: BTreeMap::new(), ..Command::default() };
    assert_eq!(sandbox.exec(missing).await.err().unwrap().kind(), ErrorKind::NotFound);
    sandbox.destroy().await.unwrap();
}

/// A backend that has an interpreter ready in each sandbox.
struct AlwaysReady(WasmBackend);

#[async_trait::async_trait]
impl Component for AlwaysReady {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn self_test(&self) -> SelfTest {
        self.0.self_test().await
    }
}

#[async_trait::async_trait]
impl Backend for AlwaysReady {
    fn version(&self) -> String {
        self.0.version()
    }

    fn runtime_digest(&self) -> Option<String> {
        self.0.runtime_digest()
    }

    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        self.0.create(SandboxRequest { readiness: Readiness::Interpreter, ..request }).await
    }
}

async fn always_ready() -> Result<ConformanceSubject, Unavailable> {
    let unavailable = || Unavailable { backend: "wasm".to_owned(), reason: "it was told above".to_owned() };
    let backend = Arc::new(AlwaysReady(backend().await.ok_or_else(unavailable)?));
    Ok(ConformanceSubject {
        backend,
        python: language("python"),
        shell: language("bash"),
        policy: Policy::default(),
        readiness: Readiness::Bare,
    })
}

mod a_sandbox_with_an_interpreter_ready_conforms {
    crucible_testkit::conformance_suite!(super::always_ready);
}
