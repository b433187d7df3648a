//! An evaluation from end to end on a fake backend: what is started, told, recorded and cleared away.

use crate::support::{Bench, Recorder, spec};
use crucible_core::{
    Counters, ErrorKind, EvaluationSpec, Event, EventSink, GuestPath, InputFile, Isolation, Program, Status, Stream,
    Validity,
};
use crucible_engine::RunIo;
use crucible_testkit::fake::{Fault, Script, Step};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn write(stream: Stream, text: &str) -> Step {
    Step::Write(stream, text.as_bytes().to_vec())
}

#[tokio::test(start_paused = true)]
async fn a_program_runs_and_everything_about_it_is_recorded() {
    let counters = Counters { memory_peak_bytes: Some(7), processes_peak: Some(2), ..Counters::default() };
    let steps = [
        write(Stream::Stdout, "out"),
        write(Stream::Stderr, "err"),
        Step::UseCpu(Duration::from_millis(5)),
        Step::Exit(3),
    ];
    let bench = Bench::new(Script { counters, ..Script::of(steps) });
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!((outcome.status, outcome.exit_code, outcome.signal), (Status::Exited { code: 3 }, Some(3), None));
    assert_eq!((outcome.stdout.bytes.as_slice(), outcome.stderr.bytes.as_slice()), (&b"out"[..], &b"err"[..]));
    assert_eq!((outcome.backend.as_str(), outcome.language.as_deref()), ("fake", Some("test")));
    assert_eq!((outcome.usage.memory_peak_bytes, outcome.usage.processes_peak), (Some(7), Some(2)));
    assert_eq!((outcome.usage.cpu, outcome.validity), (Duration::from_millis(5), Validity::Valid));
    let evidence = outcome.evidence;
    assert_eq!((evidence.kernel.as_str(), evidence.backend_version.as_str()), ("6.18.0", "fake 1"));
    assert_eq!((evidence.isolation, evidence.policy.as_str()), (Isolation::SharedKernel, "default"));
    assert_eq!(evidence.interpreter.as_deref(), Some("/usr/bin/fake"));
    assert_eq!((evidence.policy_hash.len(), evidence.code_hash.len(), evidence.attestation), (64, 64, None));
    assert_eq!((bench.ledger.created(), bench.ledger.destroyed(), bench.ledger.dropped()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_command_the_environment_and_the_files_are_as_asked_for() {
    let bench = Bench::new(Script::default());
    let path = GuestPath::parse("data/in").unwrap();
    let files = vec![InputFile { path: path.clone(), content: b"x".to_vec(), executable: true }];
    let env = BTreeMap::from([("MODE".to_owned(), "b".to_owned()), ("OWN".to_owned(), "{file}".to_owned())]);
    bench.evaluate(EvaluationSpec { files, env, ..spec() }).await.unwrap();
    let command = bench.ledger.commands().remove(0);
    assert_eq!(command.argv, ["/usr/bin/fake", "-x", "main.test", "arg"]);
    assert_eq!(command.directory, GuestPath::work());
    let env: Vec<_> = command.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(env, [("MAIN", "main.test"), ("MODE", "b"), ("OWN", "{file}")]);
    let written = bench.ledger.written();
    assert_eq!(written[&path], (b"x".to_vec(), true));
    assert_eq!(written[&GuestPath::parse("main.test").unwrap()], (b"code".to_vec(), false));
}

#[tokio::test(start_paused = true)]
async fn events_come_in_order() {
    let recorder = Recorder::default();
    let bench = Bench::new(Script::of([write(Stream::Stdout, "a"), write(Stream::Stdout, "b")]));
    let outcome = bench.evaluate_with(spec(), &recorder, CancellationToken::new()).await.unwrap();
    let events = recorder.events();
    let told: Vec<u8> = events
        .iter()
        .flat_map(|event| match event {
            Event::OutputProduced { stream: Stream::Stdout, bytes } => bytes.clone(),
            _ => vec![],
        })
        .collect();
    assert_eq!((told.as_slice(), outcome.stdout.bytes.as_slice()), (&b"ab"[..], &b"ab"[..]));
    let others: Vec<_> = events.iter().filter(|event| !matches!(event, Event::OutputProduced { .. })).collect();
    assert!(matches!(
        others.as_slice(),
        [
            Event::BackendChosen { .. },
            Event::SandboxCreated { .. },
            Event::CommandStarted,
            Event::CommandEnded { status: Status::Exited { code: 0 } },
            Event::SandboxDestroyed { .. }
        ]
    ));
    let position = |wanted: fn(&Event) -> bool| events.iter().position(wanted).unwrap();
    let output = position(|event| matches!(event, Event::OutputProduced { .. }));
    assert!(position(|event| matches!(event, Event::CommandStarted)) < output);
    assert!(output < position(|event| matches!(event, Event::CommandEnded { .. })));
}

#[tokio::test(start_paused = true)]
async fn standard_input_reaches_the_guest_and_ends() {
    let bench = Bench::new(Script::of([Step::EchoStdin]));
    let outcome = bench.evaluate(EvaluationSpec { stdin: vec![b'z'; 200_000], ..spec() }).await.unwrap();
    assert_eq!(outcome.stdout.bytes, vec![b'z'; 200_000]);
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!((outcome.status, outcome.stdout.bytes), (Status::Exited { code: 0 }, vec![]));
}

#[tokio::test(start_paused = true)]
async fn live_standard_input_goes_before_the_specifications_bytes() {
    let bench = Bench::new(Script::of([Step::EchoStdin]));
    let recorder = Recorder::default();
    let io = RunIo {
        stdin: Some(Box::new(&b"live"[..])),
        events: &recorder as &dyn EventSink,
        cancel: CancellationToken::new(),
        project: None,
    };
    let outcome = bench.engine.evaluate(EvaluationSpec { stdin: b"dead".to_vec(), ..spec() }, io).await.unwrap();
    assert_eq!(outcome.stdout.bytes, b"live");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_never_reads_its_input_hangs_nothing() {
    for steps in [vec![Step::Exit(4)], vec![Step::CloseStdin, write(Stream::Stdout, "x"), Step::Exit(4)]] {
        let bench = Bench::new(Script::of(steps));
        let outcome = bench.evaluate(EvaluationSpec { stdin: vec![0; 1 << 20], ..spec() }).await.unwrap();
        assert_eq!(outcome.status, Status::Exited { code: 4 });
        assert!(outcome.usage.wall < Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn live_input_that_never_ends_does_not_hold_the_exit_up() {
    let (_kept_open, source) = tokio::io::duplex(16);
    let bench = Bench::new(Script::of([Step::Exit(0)]));
    let recorder = Recorder::default();
    let io =
        RunIo { stdin: Some(Box::new(source)), events: &recorder, cancel: CancellationToken::new(), project: None };
    let outcome = bench.engine.evaluate(spec(), io).await.unwrap();
    assert_eq!(outcome.status, Status::Exited { code: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_background_process_that_holds_a_pipe_is_ended_when_the_program_exits() {
    let steps = [write(Stream::Stdout, "kept"), Step::HoldOpen(Stream::Stdout), Step::Exit(0)];
    let outcome = Bench::new(Script::of(steps)).evaluate(spec()).await.unwrap();
    assert_eq!((outcome.status, outcome.stdout.bytes.as_slice()), (Status::Exited { code: 0 }, &b"kept"[..]));
    assert!(outcome.usage.wall < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_the_backend_never_closes_is_given_up() {
    let steps = [write(Stream::Stdout, "kept"), Step::HoldOpen(Stream::Stdout), Step::Exit(0)];
    let outcome = Bench::new(Script::of(steps).with_fault(Fault::PipesStayOpen)).evaluate(spec()).await.unwrap();
    assert_eq!((outcome.status, outcome.stdout.bytes.as_slice()), (Status::Exited { code: 0 }, &b"kept"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_crucible_did_not_send_is_the_guests_own_end() {
    let outcome = Bench::new(Script::of([Step::Signal(11)])).evaluate(spec()).await.unwrap();
    assert_eq!((outcome.status, outcome.signal, outcome.exit_code), (Status::Signaled { signal: 11 }, Some(11), None));
}

#[tokio::test(start_paused = true)]
async fn whatever_the_backend_fails_at_is_an_error_and_nothing_is_left() {
    let faults = [
        Fault::Create,
        Fault::CreateHangs,
        Fault::Exec,
        Fault::ExecHangs,
        Fault::Wait,
        Fault::Counters,
        Fault::EndProcesses,
        Fault::EndProcessesHangs,
        Fault::StdoutBreaks,
        Fault::Read,
        Fault::ReadHangs,
        Fault::Destroy,
        Fault::DestroyHangs,
    ];
    for fault in faults {
        let bench = Bench::new(Script::default().with_fault(fault).with_file("/work/x", file()));
        let collect = vec![GuestPath::parse("x").unwrap()];
        let error = bench.evaluate(EvaluationSpec { collect, ..spec() }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Infrastructure, "{fault:?}");
    }
    for fault in [Fault::Write, Fault::LayersMissing] {
        let bench = Bench::new(Script::default().with_fault(fault));
        assert_eq!(bench.evaluate(spec()).await.unwrap_err().kind(), ErrorKind::Refused, "{fault:?}");
        assert_eq!((bench.ledger.destroyed(), bench.ledger.commands().len()), (1, 0));
    }
}

fn file() -> crucible_testkit::fake::FakeFile {
    crucible_testkit::fake::FakeFile::Regular(b"content".to_vec())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_evaluation_drops_its_sandbox() {
    let bench = Bench::new(Script::of([Step::WaitForever]));
    let recorder = Recorder::default();
    let io = RunIo { stdin: None, events: &recorder, cancel: CancellationToken::new(), project: None };
    let evaluation = bench.engine.evaluate(spec(), io);
    assert!(tokio::time::timeout(Duration::from_secs(1), evaluation).await.is_err());
    assert_eq!((bench.ledger.created(), bench.ledger.dropped(), bench.ledger.living()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_admitted_makes_nothing() {
    let bench = Bench::new(Script::default());
    bench.evaluate(EvaluationSpec { backend: "nowhere".to_owned(), ..spec() }).await.unwrap_err();
    assert_eq!(bench.ledger.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_itself_executed_is_put_in_executable() {
    let bench = Bench::new(Script::default());
    let program =
        Program::Source { language: "binary".to_owned(), code: b"\x7fELF".to_vec(), args: vec!["x".to_owned()] };
    bench.evaluate(EvaluationSpec { program, ..spec() }).await.unwrap();
    assert_eq!(bench.ledger.commands()[0].argv, ["./program", "x"]);
    assert_eq!(bench.ledger.written()[&GuestPath::parse("program").unwrap()], (b"\x7fELF".to_vec(), true));
}

#[tokio::test(start_paused = true)]
async fn a_command_runs_without_a_language() {
    let bench = Bench::new(Script::default());
    let program = Program::Command { argv: vec!["ls".to_owned(), "-l".to_owned()] };
    let outcome = bench.evaluate(EvaluationSpec { program, ..spec() }).await.unwrap();
    assert_eq!((outcome.language, outcome.evidence.interpreter), (None, None));
    assert_eq!(bench.ledger.commands()[0].argv, ["ls", "-l"]);
    assert!(bench.ledger.requests()[0].language.is_none() && bench.ledger.written().is_empty());
}
