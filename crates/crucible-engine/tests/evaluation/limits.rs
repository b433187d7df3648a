//! Limits, cancellation and loss on a fake backend: who ended the guest, and on what evidence.

use crate::support::{Bench, Recorder, spec};
use crucible_core::{
    ByteSize, Counters, CpuCount, ErrorKind, EvaluationSpec, Event, GuestPath, LimitKind, Limits, Loss, Status, Stream,
    TimeSpan, Validity,
};
use crucible_testkit::fake::{FakeFile, Fault, Script, Step};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn with_limits(change: impl FnOnce(&mut Limits)) -> EvaluationSpec {
    let mut spec = spec();
    change(&mut spec.limits);
    spec
}

#[tokio::test(start_paused = true)]
async fn the_wall_clock_ends_a_guest_that_waits() {
    let bench = Bench::new(Script::of([Step::WaitForever]));
    let outcome = bench.evaluate(with_limits(|limits| limits.timeout = TimeSpan::secs(2))).await.unwrap();
    assert_eq!((outcome.status, outcome.exit_code, outcome.signal), (Status::TimedOut, None, Some(9)));
    assert!((Duration::from_secs(2)..Duration::from_millis(2100)).contains(&outcome.usage.wall));
}

#[tokio::test(start_paused = true)]
async fn the_shortest_timeout_still_gives_an_outcome() {
    let bench = Bench::new(Script::of([Step::WaitForever]));
    let outcome = bench.evaluate(with_limits(|limits| limits.timeout = TimeSpan::millis(1))).await.unwrap();
    assert_eq!(outcome.status, Status::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_cut_at_the_limit_and_ends_the_guest() {
    for stream in [Stream::Stdout, Stream::Stderr] {
        let recorder = Recorder::default();
        let bench = Bench::new(Script::of([Step::Flood(stream)]));
        let spec = with_limits(|limits| limits.output = ByteSize::bytes(100_000));
        let outcome = bench.evaluate_with(spec, &recorder, CancellationToken::new()).await.unwrap();
        assert_eq!(outcome.status, Status::LimitExceeded { limit: LimitKind::Output });
        let (flooded, other) = match stream {
            Stream::Stdout => (outcome.stdout, outcome.stderr),
            Stream::Stderr => (outcome.stderr, outcome.stdout),
        };
        assert_eq!((flooded.bytes.len(), flooded.truncated), (100_000, true));
        assert_eq!((other.bytes.len(), other.truncated), (0, false));
        // No more was taken than the limit, the reader's buffer and the pipe.
        assert!(bench.ledger.flooded() < 100_000 + 3 * 65_536, "{}", bench.ledger.flooded());
        let told: usize = recorder.events().iter().map(output_bytes).sum();
        assert_eq!(told, 100_000);
        assert!(recorder.events().contains(&Event::LimitReached { limit: LimitKind::Output }));
    }
}

fn output_bytes(event: &Event) -> usize {
    match event {
        Event::OutputProduced { bytes, .. } => bytes.len(),
        _ => 0,
    }
}

#[tokio::test(start_paused = true)]
async fn output_of_exactly_the_limit_is_whole_and_one_byte_more_is_not() {
    let run = async |size: usize| {
        let bench = Bench::new(Script::of([Step::Write(Stream::Stdout, vec![b'x'; size]), Step::Exit(0)]));
        bench.evaluate(with_limits(|limits| limits.output = ByteSize::bytes(10))).await.unwrap()
    };
    let exact = run(10).await;
    assert_eq!((exact.status, exact.stdout.truncated), (Status::Exited { code: 0 }, false));
    let over = run(11).await;
    assert_eq!(over.status, Status::LimitExceeded { limit: LimitKind::Output });
    assert_eq!((over.stdout.bytes.len(), over.stdout.truncated), (10, true));
}

#[tokio::test(start_paused = true)]
async fn processor_time_of_all_processes_together_ends_the_guest_in_time() {
    for (processors, most) in [(1, 1010), (4, 260)] {
        let bench = Bench::new(Script::of([Step::BurnCpu(processors), Step::WaitForever]));
        let spec = with_limits(|limits| {
            limits.cpu_time = TimeSpan::secs(1);
            limits.cpus = CpuCount::millis(processors * 1000);
        });
        let outcome = bench.evaluate(spec).await.unwrap();
        assert_eq!(outcome.status, Status::LimitExceeded { limit: LimitKind::CpuTime });
        assert!(outcome.usage.wall <= Duration::from_millis(most), "{:?}", outcome.usage.wall);
        assert!(bench.ledger.counters_read() < 30, "{}", bench.ledger.counters_read());
    }
}

#[tokio::test(start_paused = true)]
async fn processor_time_above_the_limit_is_seen_even_after_the_exit() {
    let bench = Bench::new(Script::of([Step::UseCpu(Duration::from_secs(60)), Step::Exit(0)]));
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!(outcome.status, Status::LimitExceeded { limit: LimitKind::CpuTime });
    assert_eq!(outcome.exit_code, Some(0));
}

#[tokio::test(start_paused = true)]
async fn counters_that_fail_while_the_guest_runs_end_it() {
    let bench = Bench::new(Script::of([Step::WaitForever]).with_fault(Fault::Counters));
    assert_eq!(bench.evaluate(spec()).await.unwrap_err().kind(), ErrorKind::Infrastructure);
}

#[tokio::test(start_paused = true)]
async fn the_peak_of_processes_is_sampled_where_the_backend_keeps_none() {
    let counters = Counters { processes: Some(0), ..Counters::default() };
    let steps = [Step::HoldOpen(Stream::Stdout), Step::HoldOpen(Stream::Stderr), Step::WaitForever];
    let outcome = Bench::new(Script { counters, ..Script::of(steps) }).evaluate(spec()).await.unwrap();
    assert_eq!(outcome.usage.processes_peak, Some(3));
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_the_guest_and_gives_an_outcome() {
    let bench = Bench::new(Script::of([Step::Write(Stream::Stdout, b"so far".to_vec()), Step::WaitForever]));
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        canceller.cancel();
    });
    let outcome = bench.evaluate_with(spec(), &Recorder::default(), cancel).await.unwrap();
    assert_eq!((outcome.status, outcome.stdout.bytes.as_slice()), (Status::Cancelled, &b"so far"[..]));
    assert_eq!(outcome.usage.wall, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_evaluation_cancelled_before_it_began_starts_nothing() {
    let bench = Bench::new(Script::default());
    let (cancel, recorder) = (CancellationToken::new(), Recorder::default());
    cancel.cancel();
    let collect = vec![GuestPath::parse("x").unwrap()];
    let outcome = bench.evaluate_with(EvaluationSpec { collect, ..spec() }, &recorder, cancel).await.unwrap();
    assert_eq!((outcome.status, outcome.files_refused.len(), bench.ledger.created()), (Status::Cancelled, 1, 0));
    assert!(recorder.events().contains(&Event::CommandEnded { status: Status::Cancelled }));
}

#[tokio::test(start_paused = true)]
async fn an_out_of_memory_kill_is_told_from_a_crash_and_keeps_the_programs_own_end() {
    for (step, exit_code, signal) in [(Step::Exit(1), Some(1), None), (Step::Signal(9), None, Some(9))] {
        let outcome = Bench::new(Script::of([Step::LoseProcessToMemory, step])).evaluate(spec()).await.unwrap();
        assert_eq!((outcome.status, outcome.exit_code, outcome.signal), (Status::OutOfMemory, exit_code, signal));
    }
    let outcome = Bench::new(Script::of([Step::Signal(9)])).evaluate(spec()).await.unwrap();
    assert_eq!(outcome.status, Status::Signaled { signal: 9 });
}

#[tokio::test(start_paused = true)]
async fn an_out_of_memory_kill_goes_before_a_timeout_and_before_a_flood() {
    for step in [Step::WaitForever, Step::Flood(Stream::Stdout)] {
        let outcome = Bench::new(Script::of([Step::LoseProcessToMemory, step])).evaluate(spec()).await.unwrap();
        assert_eq!(outcome.status, Status::OutOfMemory);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_lost_to_memory_is_an_outcome_whose_files_are_refused() {
    let script = Script::of([Step::LoseProcessToMemory, Step::LoseSandbox(Loss::RunnerEnded)]);
    let bench = Bench::new(script.with_file("/work/x", FakeFile::Regular(vec![])));
    let collect = vec![GuestPath::parse("x").unwrap()];
    let outcome = bench.evaluate(EvaluationSpec { collect, ..spec() }).await.unwrap();
    assert_eq!((outcome.status, outcome.exit_code, outcome.signal), (Status::OutOfMemory, None, None));
    assert_eq!(outcome.validity, Validity::Valid, "the kernel ended it for want of memory, and nobody else");
    assert_eq!((outcome.files.len(), outcome.files_refused[0].path.as_str()), (0, "/work/x"));
    assert!(outcome.files_refused[0].reason.contains("lost"));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_lost_without_evidence_is_crucibles_failure() {
    let bench = Bench::new(Script::of([Step::LoseSandbox(Loss::MachineryLost)]));
    assert_eq!(bench.evaluate(spec()).await.unwrap_err().kind(), ErrorKind::Infrastructure);
    assert_eq!(bench.ledger.destroyed(), 1);
}

#[tokio::test(start_paused = true)]
async fn processes_that_cannot_be_ended_after_a_timeout_cost_the_files_only() {
    for fault in [Fault::EndProcesses, Fault::EndProcessesHangs] {
        let script = Script::of([Step::WaitForever]).with_fault(fault);
        let bench = Bench::new(script.with_file("/work/x", FakeFile::Regular(vec![])));
        let collect = vec![GuestPath::parse("x").unwrap()];
        let outcome = bench.evaluate(EvaluationSpec { collect, ..spec() }).await.unwrap();
        assert_eq!((outcome.status, outcome.files.len(), outcome.files_refused.len()), (Status::TimedOut, 0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn limits_that_the_guest_met_are_observed_beside_its_own_exit() {
    let steps = [Step::MeetLimit(LimitKind::Pids), Step::MeetLimit(LimitKind::Disk), Step::Exit(1)];
    let outcome = Bench::new(Script::of(steps)).evaluate(spec()).await.unwrap();
    assert_eq!(outcome.status, Status::Exited { code: 1 });
    assert_eq!(outcome.limits_observed, BTreeSet::from([LimitKind::Pids, LimitKind::Disk]));
    let outcome = Bench::new(Script::of([Step::Signal(25)])).evaluate(spec()).await.unwrap();
    assert_eq!(outcome.limits_observed, BTreeSet::from([LimitKind::FileSize]));
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_slows_the_output_and_loses_nothing() {
    let recorder = Recorder::dawdling(Duration::from_millis(100));
    let steps: Vec<_> = (0..20).map(|_| Step::Write(Stream::Stdout, vec![b'x'; 60_000])).collect();
    let spec = with_limits(|limits| limits.output = ByteSize::mib(2));
    let bench = Bench::new(Script::of(steps));
    let outcome = bench.evaluate_with(spec, &recorder, CancellationToken::new()).await.unwrap();
    assert_eq!((outcome.status, outcome.stdout.bytes.len()), (Status::Exited { code: 0 }, 1_200_000));
    assert_eq!(recorder.events().iter().map(output_bytes).sum::<usize>(), 1_200_000);
    assert!(outcome.usage.wall > Duration::from_millis(500), "{:?}", outcome.usage.wall);
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_does_not_hold_the_timeout_or_the_clearing_away_up() {
    let recorder = Recorder::dawdling(Duration::from_secs(3600));
    let bench = Bench::new(Script::of([Step::Flood(Stream::Stdout)]));
    let spec = with_limits(|limits| limits.output = ByteSize::mib(64));
    let outcome = bench.evaluate_with(spec, &recorder, CancellationToken::new()).await.unwrap();
    assert_eq!(outcome.status, Status::TimedOut);
    assert!(outcome.usage.wall < Duration::from_secs(11), "{:?}", outcome.usage.wall);
    assert!(outcome.timings.exec < Duration::from_secs(11), "{:?}", outcome.timings);
    let kept = outcome.stdout.bytes.len();
    assert_eq!(recorder.events().iter().map(output_bytes).sum::<usize>(), kept);
    assert!(bench.ledger.flooded() < 1 << 20, "{}", bench.ledger.flooded());
}
