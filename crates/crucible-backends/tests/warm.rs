//! What a program sees of an interpreter that was made ready before it came: the same as of one of its own. And that nothing of
//! one run is in the next.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own sandboxes")]

use crucible_backends::docker::{DockerBackend, DockerConfig};
use crucible_backends::gvisor::{GvisorBackend, GvisorConfig};
use crucible_backends::jail::{JailBackend, JailConfig};
use crucible_backends::runtime::DEFAULT_LANGUAGES;
use crucible_core::{
    Backend, Command, ExitStatus, GuestPath, HostPath, Language, Limits, Policy, ProjectId, Readiness, Sandbox,
    SandboxId, SandboxRequest, TerminalSize,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn python() -> Arc<Language> {
    built_in("python")
}

fn node() -> Arc<Language> {
    built_in("javascript")
}

fn built_in(name: &str) -> Arc<Language> {
    #[derive(serde::Deserialize)]
    struct Table {
        languages: BTreeMap<String, Language>,
    }
    let mut table: Table = toml::from_str(DEFAULT_LANGUAGES).unwrap();
    Arc::new(table.languages.remove(name).unwrap())
}

/// A backend with which interpreters can be made ready, where it works here.
fn found<B: Backend + 'static>(name: &str, started: crucible_core::Result<B>) -> Option<Arc<dyn Backend>> {
    match started {
        Ok(backend) => Some(Arc::new(backend)),
        Err(error) if std::env::var("CRUCIBLE_REQUIRE").is_ok_and(|list| list.contains(name)) => panic!("{error}"),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "skipped: {error}");
            None
        }
    }
}

async fn jail() -> Option<Arc<dyn Backend>> {
    found("jail", JailBackend::start(JailConfig::default()).await)
}

async fn docker() -> Option<Arc<dyn Backend>> {
    static IMAGE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let started = async {
        let backend = DockerBackend::start(&DockerConfig::default()).await?;
        let _alone = IMAGE.lock().await;
        for (name, language) in [("python", python()), ("javascript", node())] {
            if backend.daemon().image(&language.image).await.is_err() {
                backend.daemon().import_host(name, &language, None).await?;
            }
        }
        Ok(backend)
    };
    found("docker", started.await)
}

async fn gvisor() -> Option<Arc<dyn Backend>> {
    // What takes a moment to find out about runsc is found out once for all tests.
    let cache = Some(HostPath::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/gvisor-cache")));
    found("gvisor", GvisorBackend::start(GvisorConfig { cache, ..GvisorConfig::default() }).await)
}

/// All that work here.
async fn backends() -> Vec<Arc<dyn Backend>> {
    [jail().await, docker().await, gvisor().await].into_iter().flatten().collect()
}

fn request(readiness: Readiness) -> SandboxRequest {
    SandboxRequest {
        id: SandboxId::generate(),
        language: Some(python()),
        limits: Limits::default(),
        policy: Policy { require: BTreeSet::new(), ..Policy::default() },
        readiness,
        project: None,
    }
}

async fn sandbox(backend: &dyn Backend, readiness: Readiness, project: Option<&str>) -> Box<dyn Sandbox> {
    let project = project.map(|name| name.parse::<ProjectId>().unwrap());
    let sandbox = backend.create(SandboxRequest { project, ..request(readiness) }).await.unwrap();
    assert_eq!(sandbox.readiness(), readiness, "{}", backend.name());
    sandbox
}

async fn node_sandbox(backend: &dyn Backend, readiness: Readiness) -> Box<dyn Sandbox> {
    let request = SandboxRequest { language: Some(node()), ..request(readiness) };
    let sandbox = backend.create(request).await.unwrap();
    assert_eq!(sandbox.readiness(), readiness, "{}: {:?}", backend.name(), backend.self_test().await);
    sandbox
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    /// What it left in `/work/left.txt`.
    left: Option<Vec<u8>>,
}

/// What becomes of a program, with its file's name, its arguments and one variable.
async fn run(sandbox: &dyn Sandbox, program: &Program, how: Readiness) -> Seen {
    run_in(&python(), sandbox, program, how).await
}

async fn run_in(language: &Language, sandbox: &dyn Sandbox, program: &Program, how: Readiness) -> Seen {
    let write = |path: &str, text: &str| (GuestPath::parse(path).unwrap(), text.as_bytes().to_vec());
    let (path, code) = write(&format!("/work/{}", program.file), program.code);
    sandbox.write_file(&path, &mut code.as_slice(), false).await.unwrap();
    for (name, text) in program.beside {
        let (path, text) = write(&format!("/work/{name}"), text);
        sandbox.write_file(&path, &mut text.as_slice(), false).await.unwrap();
    }
    let interpreter = sandbox.interpreter().unwrap().to_owned();
    let argv =
        [interpreter, program.file.to_owned()].into_iter().chain(program.args.iter().map(|arg| (*arg).to_owned()));
    let mut env = language.env.clone();
    env.insert("ANSWER".to_owned(), "forty two \u{e9}".to_owned());
    let command = Command { argv: argv.collect(), env, ..Command::default() };
    let mut execution = sandbox.exec(command).await.unwrap();
    assert_eq!(execution.readiness, how, "{}", program.code);
    let mut stdin = execution.stdin;
    let _read_or_not = stdin.write_all(program.input.as_bytes()).await.is_ok();
    drop(stdin);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let (out, err) =
        tokio::join!(execution.stdout.read_to_string(&mut stdout), execution.stderr.read_to_string(&mut stderr));
    out.and(err).unwrap();
    let status = execution.process.wait().await.unwrap();
    let mut left = None;
    if let Ok(file) = sandbox.read_file(&GuestPath::parse("/work/left.txt").unwrap()).await {
        let (mut bytes, mut content) = (file.bytes, Vec::new());
        bytes.read_to_end(&mut content).await.unwrap();
        left = Some(content);
    }
    Seen { status, stdout, stderr, left }
}

struct Program {
    file: &'static str,
    code: &'static str,
    args: &'static [&'static str],
    input: &'static str,
    beside: &'static [(&'static str, &'static str)],
}

const fn program(code: &'static str) -> Program {
    Program { file: "main.py", code, args: &[], input: "", beside: &[] }
}

/// Programs by which an interpreter of one's own can be told from a fork of another one.
const PROGRAMS: &[Program] = &[
    program("print(1)"),
    program("import sys; print(sys.argv, sys.flags, sys.path, __name__, __file__, sys.executable)"),
    Program { args: &["a", "--b", "\u{fc}"], ..program("import sys; print(sys.argv, getattr(sys, 'orig_argv', 0))") },
    program("print(sorted(globals()), __builtins__, __doc__, __package__, __spec__, __loader__.path, __cached__)"),
    program("import os; print(sorted(os.environ.items()), os.getenv('ANSWER'), os.environb[b'ANSWER'])"),
    program("import os; os.environ['X'] = 'y'; os.system('echo $X $ANSWER')"),
    program("raise ValueError('no')"),
    program("def f():\n    1 / 0\ntry:\n    f()\nexcept ZeroDivisionError as e:\n    raise KeyError(3) from e"),
    program("print('before')\nprint(("),
    program("x = 'caf\u{e9}'\nprint(x.encode('latin-1'), x)"),
    program("# -*- coding: latin-1 -*-\nprint(ascii('\u{e9}'))"),
    program("import sys; sys.exit()"),
    program("import sys; sys.exit(3)"),
    program("import sys; print('half', end=''); sys.exit('a message')"),
    program("import sys; sys.exit(300)"),
    program("import os; os._exit(5)"),
    program("import os; os.abort()"),
    program("raise KeyboardInterrupt"),
    program("import os, signal; os.kill(os.getpid(), signal.SIGTERM); print('not here')"),
    program("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(1)"),
    program(
        "import signal; print([signal.getsignal(s) for s in (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD)], signal.pthread_sigmask(0, []))",
    ),
    program("import atexit; atexit.register(print, 'at exit'); print('end')"),
    program("class A:\n    def __del__(self): print('gone')\na = A()\nprint('end')"),
    program("class A:\n    def __del__(self): print('gone')\na = A(); a.a = a; print('end')"),
    program(
        "import threading, time\ndef f():\n    time.sleep(0.05); print('thread')\nthreading.Thread(target=f).start(); print('main')",
    ),
    program(
        "import threading\nt = threading.Thread(target=lambda: print(threading.current_thread() is threading.main_thread()))\nt.start(); t.join(); print(threading.main_thread().name, threading.active_count())",
    ),
    Program { input: "one\ntwo\n", ..program("import sys; print(input(), sys.stdin.read().strip())") },
    Program { input: "", ..program("print(input())") },
    Program { input: "one\ntwo\n", ..program("import os; print(os.read(0, 4), os.read(0, 100))") },
    Program { input: "one\n", ..program("import os; os.execv('/bin/sh', ['sh', '-c', 'cat'])") },
    program(
        "import sys; print([s.encoding + s.errors + s.name + s.mode for s in (sys.stdin, sys.stdout, sys.stderr)], sys.stdout.line_buffering, sys.stdout.isatty(), sys.stdout.seekable())",
    ),
    program("import sys; sys.stdout.write('no newline'); sys.stderr.write('nor here')"),
    program("import sys; sys.stdout.buffer.write(bytes(range(97, 123)) * 10000)"),
    program("import sys; sys.stdout.close(); raise SystemExit(2)"),
    program(
        "import os; print(sorted(os.listdir('/proc/self/fd'), key=int)[:3], os.getcwd(), os.getpid() == os.getpgid(0) == os.getsid(0))",
    ),
    program(
        "print(len(open('/proc/self/environ').read()) > 0, open('/proc/self/status').read().count('NoNewPrivs:\\t1'))",
    ),
    program(
        "import resource; print([resource.getrlimit(r) for r in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_STACK, resource.RLIMIT_CORE)])",
    ),
    program(
        "import subprocess, sys; print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True).stdout)",
    ),
    program(
        "import os\npid = os.fork()\nif pid == 0: print('child', flush=True); os._exit(7)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
    ),
    program(
        "from multiprocessing import Process\ndef f(x): print(x, __name__)\nif __name__ == '__main__':\n    p = Process(target=f, args=(3,)); p.start(); p.join(); print(p.exitcode)",
    ),
    program(
        "import multiprocessing as m\ndef f(x): return x * x\nif __name__ == '__main__':\n    with m.get_context('spawn').Pool(1) as p: print(p.map(f, [1, 2, 3]))",
    ),
    program("import pickle\nclass A: pass\nprint(pickle.loads(pickle.dumps(A())).__class__ is A, A.__module__)"),
    program("import inspect\ndef f(): return 1\nprint(inspect.getsource(f))"),
    program("import traceback\ndef f(): raise ValueError\ntry: f()\nexcept ValueError: traceback.print_exc()"),
    program("import warnings; warnings.warn('careful')"),
    program("list = [1]; print = 2; open = None; isinstance = 1; getattr = len"),
    program("import sys; sys.excepthook = lambda t, e, tb: print('hook', t.__name__, tb.tb_lineno)\nraise ValueError"),
    program(
        "import sys\ndef hook(*_): raise KeyError('in the hook')\nsys.excepthook = hook\nraise ValueError('before')",
    ),
    program("import sys; sys.excepthook = lambda *_: sys.exit(4)\nraise ValueError"),
    program("import sys; del sys.excepthook\n1 / 0"),
    program(
        "import sys, atexit; atexit.register(lambda: print(sys.last_value, sys.last_traceback.tb_lineno))\nint('x')",
    ),
    program("import ctypes; print('first', flush=True); ctypes.CDLL(None).printf(b'from c\\n'); raise SystemExit(3)"),
    program("import ctypes; raise KeyboardInterrupt"),
    program("import sys; sys.modules['__main__'].__dict__.clear()"),
    program("import asyncio\nasync def f():\n    await asyncio.sleep(0); print('async')\nasyncio.run(f())"),
    program(
        "import decimal, fractions, statistics, dataclasses, enum, csv, io, hashlib; print(hashlib.sha256(b'x').hexdigest())",
    ),
    program("from __future__ import annotations\nx: int = 1\nprint(globals().get('__annotations__'))"),
    program("f = open('left.txt', 'w'); f.write('kept')"),
    Program {
        beside: &[(
            "held.py",
            "class A:\n    def __del__(self): print('gone')\na = A()\nf = open('left.txt', 'w')\nf.write('kept')",
        )],
        ..program("import held; print('end')")
    },
    program(
        "import logging; logging.basicConfig(); logging.getLogger('x').warning('careful'); import concurrent.futures as c\nwith c.ThreadPoolExecutor() as p: print(list(p.map(str, range(3))))",
    ),
    program("import builtins; builtins.print = builtins.isinstance = builtins.getattr = builtins.type = None"),
    program(
        "def f():\n    raise RuntimeError\ndef g():\n    import traceback; print(len(traceback.extract_stack()) < 9)\ng()",
    ),
    program("import gc; print(gc.isenabled(), gc.get_threshold())"),
    program(
        "import sys; print(sys.getrecursionlimit(), sys.getswitchinterval())\ndef f(n): return n and f(n - 1)\nprint(f(900))",
    ),
    program("import os; os.execv('/bin/sh', ['sh', '-c', 'echo executed'])"),
    program("import time; print(time.process_time() < 5, time.monotonic() > 0)"),
    Program {
        file: "folder/other.py",
        beside: &[("folder/near.py", "x = 'near'")],
        ..program("import near, sys; print(near.x, __file__, sys.path[0])")
    },
    Program { file: "./dotted.py", ..program("import sys; print(sys.argv, __file__, sys.path[0])") },
    Program { beside: &[("json.py", "x = 'mine'")], ..program("import sys; print(sys.path[0])") },
    Program { file: "it's.py", ..program("import sys\nraise RuntimeError(sys.argv)") },
];

/// Runs all programs both ways.
async fn compare(backend: &dyn Backend) {
    let mut others = Vec::new();
    for program in PROGRAMS {
        let (cold, warm) =
            (sandbox(backend, Readiness::Bare, None).await, sandbox(backend, Readiness::Interpreter, None).await);
        let fresh = run(cold.as_ref(), program, Readiness::Bare).await;
        let seen = run(warm.as_ref(), program, Readiness::Interpreter).await;
        if fresh != seen {
            others.push(format!("{}\n  its own: {fresh:?}\n  another: {seen:?}", program.code));
        }
        cold.destroy().await.unwrap();
        warm.destroy().await.unwrap();
    }
    assert!(others.is_empty(), "{} differ:\n{}", others.len(), others.join("\n"));
}

#[tokio::test]
async fn a_program_sees_what_it_sees_of_an_interpreter_of_its_own() {
    let Some(jail) = jail().await else { return };
    compare(jail.as_ref()).await;
}

#[tokio::test]
async fn a_program_in_a_container_sees_what_it_sees_of_an_interpreter_of_its_own() {
    let Some(docker) = docker().await else { return };
    compare(docker.as_ref()).await;
}

#[tokio::test]
async fn a_program_in_gvisor_sees_what_it_sees_of_an_interpreter_of_its_own() {
    let Some(gvisor) = gvisor().await else { return };
    compare(gvisor.as_ref()).await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_as_python_tells_it() {
    for backend in backends().await {
        for readiness in [Readiness::Bare, Readiness::Interpreter] {
            let sandbox = sandbox(backend.as_ref(), readiness, None).await;
            // What an interpreter was started by is gone, too.
            for file in ["missing.py", "main.py"] {
                let path = GuestPath::parse(&format!("/work/{file}")).unwrap();
                assert!(sandbox.read_file(&path).await.is_err(), "{file} in {}", backend.name());
            }
            assert_eq!(sandbox.list_files(&GuestPath::parse("/work").unwrap()).await.unwrap(), []);
            let argv = vec![sandbox.interpreter().unwrap().to_owned(), "missing.py".to_owned()];
            let mut execution =
                sandbox.exec(Command { argv, env: python().env.clone(), ..Command::default() }).await.unwrap();
            let mut stderr = String::new();
            execution.stderr.read_to_string(&mut stderr).await.unwrap();
            assert_eq!(execution.process.wait().await.unwrap(), ExitStatus::Exited(2));
            assert!(
                stderr.ends_with("can't open file '/work/missing.py': [Errno 2] No such file or directory\n"),
                "{stderr}"
            );
            sandbox.destroy().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_to_be_random_is_drawn_anew_in_every_run() {
    let code = "import random, secrets, uuid, os, tempfile\n\
                print(random.random(), random.SystemRandom().random(), secrets.token_hex(8), uuid.uuid4(), os.urandom(8), tempfile.mktemp())";
    for backend in backends().await {
        let mut seen = BTreeSet::new();
        for _ in 0..8 {
            let sandbox = sandbox(backend.as_ref(), Readiness::Interpreter, None).await;
            let Seen { status, stdout, stderr, left: _ } =
                run(sandbox.as_ref(), &program(code), Readiness::Interpreter).await;
            assert_eq!((status, stderr.as_str()), (ExitStatus::Exited(0), ""));
            for word in stdout.split_whitespace() {
                assert!(seen.insert(word.to_owned()), "{word} was drawn twice");
            }
            sandbox.destroy().await.unwrap();
        }
    }
}

#[tokio::test]
async fn projects_share_no_interpreter() {
    let Some(jail) = jail().await else { return };
    let code = "print(hash('x'))";
    let mut seeds = Vec::new();
    for project in ["one", "one", "two"] {
        let sandbox = sandbox(jail.as_ref(), Readiness::Interpreter, Some(project)).await;
        seeds.push(run(sandbox.as_ref(), &program(code), Readiness::Interpreter).await.stdout);
        sandbox.destroy().await.unwrap();
    }
    assert!(seeds[0] == seeds[1] && seeds[1] != seeds[2], "{seeds:?}");
}

/// Executes a command that no interpreter waits for, and looks that it starts as ever.
async fn starts_bare(sandbox: &dyn Sandbox, command: Command) {
    let shown = format!("{command:?}");
    let mut execution = sandbox.exec(command).await.unwrap();
    assert_eq!((execution.readiness, sandbox.readiness()), (Readiness::Bare, Readiness::Bare), "{shown}");
    drop(execution.stdin);
    let mut stdout = String::new();
    execution.stdout.read_to_string(&mut stdout).await.unwrap();
    assert_eq!(
        (stdout.trim_end(), execution.process.wait().await.unwrap()),
        ("other", ExitStatus::Exited(0)),
        "{shown}"
    );
}

#[tokio::test]
async fn a_command_that_is_another_one_starts_as_it_would_have() {
    let plain = Command::default;
    for backend in backends().await {
        for (argv, env, command) in [
            (&["{}", "-c", "print('other')"][..], None, plain()),
            (&["/bin/sh", "-c", "echo other"], None, plain()),
            (&["{}", "-B", "main.py"], None, plain()),
            (&["{}", "main.py"], Some(("PYTHONHASHSEED", "0")), plain()),
            (&["{}", "main.py"], None, Command { terminal: Some(TerminalSize { rows: 24, columns: 80 }), ..plain() }),
        ] {
            let sandbox = sandbox(backend.as_ref(), Readiness::Interpreter, None).await;
            let code = b"print('other')";
            sandbox.write_file(&GuestPath::parse("/work/main.py").unwrap(), &mut code.as_slice(), false).await.unwrap();
            let interpreter = sandbox.interpreter().unwrap().to_owned();
            let argv = argv.iter().map(|word| word.replace("{}", &interpreter)).collect();
            let mut variables = python().env.clone();
            variables.extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
            starts_bare(sandbox.as_ref(), Command { argv, env: variables, ..command }).await;
            sandbox.destroy().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_command_starts_as_ever_where_the_interpreter_that_waited_is_dead() {
    for backend in backends().await {
        let sandbox = sandbox(backend.as_ref(), Readiness::Interpreter, None).await;
        sandbox.end_processes().await.unwrap();
        let code = b"print('other')";
        sandbox.write_file(&GuestPath::parse("/work/main.py").unwrap(), &mut code.as_slice(), false).await.unwrap();
        let argv = vec![sandbox.interpreter().unwrap().to_owned(), "main.py".to_owned()];
        starts_bare(sandbox.as_ref(), Command { argv, env: python().env.clone(), ..Command::default() }).await;
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn room_for_one_process_is_enough_for_another_command_than_the_one_that_is_waited_for() {
    for backend in [docker().await, gvisor().await].into_iter().flatten() {
        let limits = Limits { pids: 1, ..Limits::default() };
        let sandbox = backend.create(SandboxRequest { limits, ..request(Readiness::Interpreter) }).await.unwrap();
        assert_eq!(sandbox.readiness(), Readiness::Interpreter, "{}", backend.name());
        let argv = vec![sandbox.interpreter().unwrap().to_owned(), "-c".to_owned(), "print('other')".to_owned()];
        starts_bare(sandbox.as_ref(), Command { argv, ..Command::default() }).await;
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn the_time_that_an_interpreter_took_to_be_ready_is_not_the_runs() {
    for backend in [docker().await, gvisor().await].into_iter().flatten() {
        let (cold, warm) = (
            sandbox(backend.as_ref(), Readiness::Bare, None).await,
            sandbox(backend.as_ref(), Readiness::Interpreter, None).await,
        );
        run(cold.as_ref(), &program("print(1)"), Readiness::Bare).await;
        run(warm.as_ref(), &program("print(1)"), Readiness::Interpreter).await;
        let (cold_cpu, warm_cpu) = (cold.counters().await.unwrap().cpu, warm.counters().await.unwrap().cpu);
        assert!(warm_cpu < cold_cpu, "{}: {warm_cpu:?} of {cold_cpu:?}", backend.name());
        cold.destroy().await.unwrap();
        warm.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn an_interpreter_that_cannot_be_made_ready_is_done_without() {
    for backend in backends().await {
        for preload in ["no_such_module", "a module", "this; import os"] {
            let language = Arc::new(Language { preload: vec![preload.to_owned()], ..Language::clone(&python()) });
            let request = SandboxRequest { language: Some(language), ..request(Readiness::Interpreter) };
            let sandbox = backend.create(request).await.unwrap();
            assert_eq!(sandbox.readiness(), Readiness::Bare, "{preload}");
            assert_eq!(sandbox.list_files(&GuestPath::parse("/work").unwrap()).await.unwrap(), [], "{preload}");
            assert_eq!(run(sandbox.as_ref(), &program("print(1)"), Readiness::Bare).await.stdout, "1\n");
            sandbox.destroy().await.unwrap();
        }
        // Why, the backend says of itself, and is well for all that.
        let told = backend.self_test().await;
        let why: Vec<_> = told.checks.iter().filter(|check| check.name == "interpreters stand ready").collect();
        assert!(told.is_healthy() && why.iter().all(|check| !check.mend.is_empty()), "{told:?}");
        for name in ["no_such_module", "\"a module\"", "this; import os"] {
            assert!(why.iter().any(|check| check.seen.contains(name)), "{name}: {why:?}");
        }
    }
}

const fn javascript(code: &'static str) -> Program {
    Program { file: "main.js", ..program(code) }
}

/// Programs by which a Node.js of one's own can be told from one that waited.
const OF_NODE: &[Program] = &[
    javascript("console.log(6 * 7)"),
    Program {
        args: &["a", "--b", "\u{fc}"],
        ..javascript("console.log(process.argv, process.argv0, process.execArgv, process.title)")
    },
    javascript(
        "console.log(__filename, __dirname, require.main === module, module.id, module.children, module.parent)",
    ),
    javascript("console.log(Object.keys(require.cache), module.paths, process.mainModule === module)"),
    javascript("console.log(process.env, process.env.ANSWER); process.env.X = 'y'"),
    javascript("console.log(require('child_process').execSync('echo $ANSWER $PATH $HOME $X').toString())"),
    javascript("console.log(process.cwd(), require('fs').readdirSync('.'), process.exitCode)"),
    javascript("process.exit(3)"),
    javascript("process.exitCode = 4; process.on('exit', (code) => console.log('exit', code))"),
    javascript(
        "process.on('uncaughtException', (e) => { console.log('caught', e.message); process.exit(5) }); throw new Error('no')",
    ),
    javascript("process.kill(process.pid, 'SIGTERM'); setTimeout(() => console.log('not here'), 5000)"),
    javascript(
        "process.nextTick(() => console.log('tick')); Promise.resolve().then(() => console.log('promise')); queueMicrotask(() => console.log('micro')); console.log('main')",
    ),
    // The later one is armed by the sooner: of two that are armed at once a machine with much to do may run either first.
    javascript(
        "setImmediate(() => { console.log('soon'); setTimeout(() => console.log('later'), 20) }); console.log('main')",
    ),
    Program { input: "one\ntwo\n", ..javascript("console.log(require('fs').readFileSync(0, 'utf8').split('\\n'))") },
    Program {
        input: "one\ntwo\n",
        ..javascript(
            "let all = ''; process.stdin.on('data', (d) => all += d).on('end', () => console.log(JSON.stringify(all)))",
        )
    },
    Program {
        input: "a\nb\n",
        ..javascript(
            "require('readline').createInterface({ input: process.stdin }).on('line', (l) => console.log('line', l))",
        )
    },
    Program { input: "", ..javascript("process.stdin.on('data', () => {}).on('end', () => console.log('end'))") },
    javascript("console.error('error'); process.stdout.write('no newline')"),
    javascript("process.stdout.write('x'.repeat(300000))"),
    // More than a pipe takes at once, and nothing on the way that would wait for who reads.
    javascript("require('fs').writeFileSync(2, 'x'.repeat(300000))"),
    javascript("const open = process.getActiveResourcesInfo(); console.log(open)"),
    javascript("console.log([process.stdin, process.stdout].map((s) => [s.fd, s.isTTY, s.constructor.name]))"),
    javascript("console.log(typeof preload, typeof crucible, Object.getOwnPropertyNames(globalThis).length)"),
    javascript("'use strict'; console.log(this === module.exports, arguments.length); module.exports = 3"),
    javascript("x = 1; var y = 2; console.log(x, globalThis.y)"),
    javascript("(async () => { const fs = await import('fs'); console.log(typeof fs.readFileSync) })()"),
    javascript("Promise.reject(new TypeError('rejected')).catch((e) => console.log(e.name))"),
    javascript(
        "const { Worker, isMainThread } = require('worker_threads'); if (isMainThread) new Worker(__filename).on('exit', (c) => console.log('ended', c)); else console.log('worker')",
    ),
    javascript("console.log(require('crypto').createHash('sha256').update('x').digest('hex'))"),
    javascript("require('fs').writeFileSync('left.txt', 'kept')"),
    Program {
        beside: &[("near.js", "exports.x = 'near'")],
        ..javascript("console.log(require('./near').x, require.cache[require.resolve('./near')].parent === module)")
    },
    Program {
        beside: &[("package.json", "{\"type\": \"module\"}")],
        ..javascript("import fs from 'fs'; console.log(typeof fs, import.meta.url)")
    },
    Program {
        beside: &[("near.mjs", "export default 'near'")],
        file: "main.mjs",
        ..javascript("import x from './near.mjs'; console.log(x, process.argv)")
    },
    Program { file: "main.cjs", ..javascript("console.log(__filename, require.main === module)") },
    Program {
        file: "folder/other.js",
        beside: &[("folder/near.js", "exports.x = 1")],
        ..javascript("console.log(require('./near'), __filename, process.cwd())")
    },
    Program { file: "./dotted.js", ..javascript("console.log(process.argv, __filename)") },
    Program { file: "it's.js", ..javascript("console.log(process.argv)") },
    javascript("try { require('./missing') } catch (e) { console.log(e.code) }"),
    javascript("const f = (n) => n && f(n - 1); console.log(f(5000))"),
    javascript("console.log(new Date(0).toString(), Intl.DateTimeFormat().resolvedOptions().timeZone)"),
    javascript("console.log(Object.keys(process.versions).length > 3, process.getuid() > 0)"),
    javascript(
        "console.log(require('child_process').spawnSync(process.execPath, ['-e', 'console.log(process.argv.length)']).stdout.toString())",
    ),
];

/// Of an error nobody catches, what the stack shows below the program's own frames is left out (docs/warm.md).
fn above_node(stderr: &str) -> String {
    let is_nodes = |line: &&str| line.contains(" node:internal/") || line.contains("(node:internal/");
    stderr.lines().filter(|line| !is_nodes(line)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_program_sees_what_it_sees_of_a_node_of_its_own() {
    const WITH_STACKS: &[Program] = &[
        javascript("throw new Error('no')"),
        javascript("function f() { null.x }\nf()"),
        javascript("const ("),
        javascript("Promise.reject(new TypeError('rejected'))"),
        javascript("require('./missing')"),
        javascript("process.abort()"),
    ];
    for backend in backends().await {
        let mut others = Vec::new();
        for (program, has_stack) in
            OF_NODE.iter().map(|one| (one, false)).chain(WITH_STACKS.iter().map(|one| (one, true)))
        {
            let mut seen = Vec::new();
            for readiness in [Readiness::Bare, Readiness::Interpreter] {
                let sandbox = node_sandbox(backend.as_ref(), readiness).await;
                let mut one = run_in(&node(), sandbox.as_ref(), program, readiness).await;
                if has_stack {
                    one.stderr = above_node(&one.stderr);
                }
                seen.push(one);
                sandbox.destroy().await.unwrap();
            }
            if seen[0] != seen[1] {
                others.push(format!("{}\n  its own: {:?}\n  another: {:?}", program.code, seen[0], seen[1]));
            }
        }
        assert!(others.is_empty(), "{}: {} differ:\n{}", backend.name(), others.len(), others.join("\n"));
    }
}

#[tokio::test]
async fn a_node_that_waits_is_one_programs_alone_and_its_start_is_not_the_runs() {
    for backend in backends().await {
        let mut cpu = Vec::new();
        for readiness in [Readiness::Bare, Readiness::Interpreter] {
            let sandbox = node_sandbox(backend.as_ref(), readiness).await;
            assert_eq!(
                sandbox.list_files(&GuestPath::parse("/work").unwrap()).await.unwrap(),
                [],
                "{}",
                backend.name()
            );
            run_in(&node(), sandbox.as_ref(), &javascript("console.log(1)"), readiness).await;
            cpu.push(sandbox.counters().await.unwrap().cpu);
            let argv = vec![sandbox.interpreter().unwrap().to_owned(), "-p".to_owned(), "'other'".to_owned()];
            starts_bare(sandbox.as_ref(), Command { argv, ..Command::default() }).await;
            sandbox.destroy().await.unwrap();
        }
        assert!(cpu[1] < cpu[0], "{}: {cpu:?}", backend.name());
        // Another command than the one that it waits for, variables that it read when it started, and one that is dead.
        for (argv, variable) in [(&["{}", "-p", "'other'"][..], None), (&["{}", "main.js"], Some("NODE_OPTIONS"))] {
            let sandbox = node_sandbox(backend.as_ref(), Readiness::Interpreter).await;
            let code = b"console.log('other')";
            sandbox.write_file(&GuestPath::parse("/work/main.js").unwrap(), &mut code.as_slice(), false).await.unwrap();
            let interpreter = sandbox.interpreter().unwrap().to_owned();
            let argv = argv.iter().map(|word| word.replace("{}", &interpreter)).collect();
            let mut env = node().env.clone();
            env.extend(variable.map(|name| (name.to_owned(), "--no-warnings".to_owned())));
            starts_bare(sandbox.as_ref(), Command { argv, env, ..Command::default() }).await;
            sandbox.destroy().await.unwrap();
        }
        let sandbox = node_sandbox(backend.as_ref(), Readiness::Interpreter).await;
        sandbox.end_processes().await.unwrap();
        let argv = vec![sandbox.interpreter().unwrap().to_owned(), "-p".to_owned(), "'other'".to_owned()];
        starts_bare(sandbox.as_ref(), Command { argv, ..Command::default() }).await;
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn limits_that_leave_an_interpreter_no_room_say_nothing_of_others() {
    let Some(backend) = jail().await else { return };
    let create = async |limits| {
        let request = SandboxRequest { language: Some(node()), limits, ..request(Readiness::Interpreter) };
        let sandbox = backend.create(request).await.unwrap();
        let readiness = sandbox.readiness();
        sandbox.destroy().await.unwrap();
        readiness
    };
    // It has threads.
    assert_eq!(create(Limits { pids: 1, ..Limits::default() }).await, Readiness::Bare);
    assert_eq!(create(Limits::default()).await, Readiness::Interpreter, "{:?}", backend.self_test().await);
}

#[tokio::test]
async fn a_node_that_cannot_be_made_ready_is_done_without() {
    for backend in backends().await {
        for preload in ["./main.js", "no_such_module", "a module", "assert"] {
            let language = Arc::new(Language { preload: vec![preload.to_owned()], ..Language::clone(&node()) });
            let request = SandboxRequest { language: Some(language), ..request(Readiness::Interpreter) };
            let sandbox = backend.create(request).await.unwrap();
            assert_eq!(sandbox.readiness(), Readiness::Bare, "{preload}");
            assert_eq!(
                run_in(&node(), sandbox.as_ref(), &javascript("console.log(1)"), Readiness::Bare).await.stdout,
                "1\n"
            );
            sandbox.destroy().await.unwrap();
        }
        let told = backend.self_test().await;
        let why: Vec<_> = told.checks.iter().filter(|check| check.name == "interpreters stand ready").collect();
        for name in ["./main.js in `preload`", "no_such_module in `preload`", "\"a module\"", "assert in `preload`"] {
            assert!(why.iter().any(|check| check.seen.contains(name)), "{name}: {why:?}");
        }
    }
}
