//! What is flagged and what isn't, and in which words.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn label() -> Label {
    "gsm8k".parse().unwrap()
}

/// A run that used so many milliseconds of processor time, and was watched for everything.
fn run(cpu_ms: f64) -> Profile {
    Profile {
        at: SystemTime::UNIX_EPOCH,
        backend: "jail".to_owned(),
        ended: ExitKind::Succeeded,
        wall: Duration::from_millis(300),
        cpu: Duration::from_secs_f64(cpu_ms / 1e3),
        memory_peak_bytes: Some(20 << 20),
        processes_peak: Some(1),
        output_bytes: 100,
        behavior: BehaviorKind::ALL.into_iter().map(|kind| (kind, Tally::default())).collect(),
        findings: Severity::ALL.into_iter().map(|severity| (severity, 0)).collect(),
    }
}

fn did(mut profile: Profile, kind: BehaviorKind, count: u64, names: u64) -> Profile {
    profile.behavior.insert(kind, Tally { count, names });
    profile
}

fn flagged(earlier: &[Profile], profile: &Profile) -> Vec<Anomaly> {
    Baseline::new(earlier, "jail").anomalies(&label(), profile)
}

fn messages(anomalies: &[Anomaly]) -> Vec<&str> {
    anomalies.iter().map(|anomaly| anomaly.message.as_str()).collect()
}

/// Forty runs around 210 ms, half of them within 20 ms.
fn forty() -> Vec<Profile> {
    let near = [190.0, 200.0, 210.0, 220.0, 230.0];
    let far = [150.0, 185.0, 210.0, 235.0, 260.0];
    near.into_iter().chain(far).cycle().take(40).map(run).collect()
}

#[test]
fn a_run_that_uses_much_more_is_flagged_with_the_reason_in_words() {
    let flagged = flagged(&forty(), &run(9100.0));
    assert_eq!(
        messages(&flagged),
        [
            "used 9.1 s of processor time; the 40 earlier runs of 'gsm8k' used 0.21 s at the median, and half of them were \
          within 0.02 s of it"
        ]
    );
    let Anomaly { metric, value, median, score, runs, .. } = &flagged[0];
    assert_eq!((metric.as_str(), *value, *median, *runs), ("cpu_ms", 9100.0, 210.0, 40));
    assert!((score - (9100.0 - 210.0) / (0.15 * 210.0)).abs() < 1e-9, "{score}");
}

#[test]
fn a_run_among_the_others_is_not_flagged() {
    for cpu_ms in [150.0, 210.0, 260.0, 300.0] {
        assert_eq!(flagged(&forty(), &run(cpu_ms)), []);
    }
}

#[test]
fn seven_earlier_runs_say_nothing_and_eight_do() {
    let strange = did(run(60_000.0), BehaviorKind::ProcessStarted, 1, 1);
    let earlier = vec![run(200.0); 8];
    assert_eq!(flagged(&earlier[1..], &strange), []);
    assert_eq!(flagged(&earlier, &strange).len(), 2);
}

#[test]
fn earlier_runs_that_were_all_alike_do_not_make_every_difference_infinite() {
    let earlier = vec![run(0.0); 20];
    assert_eq!(flagged(&earlier, &run(80.0)), []);
    let flagged = flagged(&earlier, &run(100.0));
    assert_eq!(
        messages(&flagged),
        ["used 100 ms of processor time; the 20 earlier runs of 'gsm8k' used 0 ms at the median, and half of them or \
             more were exactly there"]
    );
    assert!(flagged[0].score.is_finite());
}

#[test]
fn a_kind_of_behaviour_that_is_new_is_told_first_and_once() {
    let earlier = vec![run(200.0); 8];
    let mut strange = did(run(2000.0), BehaviorKind::ProcessStarted, 3, 2);
    strange.findings.insert(Severity::Critical, 1);
    strange.findings.insert(Severity::Low, 1);
    let flagged = flagged(&earlier, &strange);
    assert_eq!(
        messages(&flagged),
        [
            "no earlier run with this label started a process (of 8); this one did 3 times",
            "no earlier run with this label had a finding of critical severity (of 8); this one has 1",
            "used 2 s of processor time; the 8 earlier runs of 'gsm8k' used 0.2 s at the median, and half of them or more \
             were exactly there",
        ]
    );
}

#[test]
fn what_earlier_runs_did_now_and_then_is_nothing_new() {
    let mut earlier = vec![run(200.0); 20];
    earlier[3] = did(run(200.0), BehaviorKind::ProcessStarted, 1, 1);
    assert_eq!(flagged(&earlier, &did(run(200.0), BehaviorKind::ProcessStarted, 2, 2)), []);
    let many = flagged(&earlier, &did(run(200.0), BehaviorKind::ProcessStarted, 500, 40));
    assert_eq!(
        messages(&many),
        [
            "started a process 500 times; the 20 earlier runs of 'gsm8k' did so 0 times at the median, and half of them \
             or more were exactly there",
            "started a process under 40 different names; the 20 earlier runs of 'gsm8k' did so under 0 at the median, and \
             half of them or more were exactly there",
        ]
    );
}

#[test]
fn runs_that_were_not_watched_for_a_kind_say_nothing_about_it() {
    let unwatched = |mut profile: Profile| {
        profile.behavior.remove(&BehaviorKind::ProcessStarted);
        profile
    };
    let strange = did(run(200.0), BehaviorKind::ProcessStarted, 3, 2);
    let mut earlier: Vec<_> = vec![unwatched(run(200.0)); 20];
    earlier.extend(vec![run(200.0); 7]);
    assert_eq!(flagged(&earlier, &strange), []);
    earlier.push(run(200.0));
    assert_eq!(flagged(&earlier, &strange)[0].runs, 8);
    assert_eq!(flagged(&earlier, &unwatched(strange)), []);
}

#[test]
fn runs_on_another_backend_are_not_compared_with() {
    let mut earlier = vec![Profile { backend: "subprocess".to_owned(), ..run(200.0) }; 30];
    earlier.extend(vec![run(9000.0); 8]);
    assert_eq!(Baseline::new(&earlier, "jail").runs(), 8);
    assert_eq!(flagged(&earlier, &run(9000.0)), []);
    assert_eq!(Baseline::new(&earlier, "docker").runs(), 0);
}

#[test]
fn only_the_latest_runs_count() {
    let mut earlier = vec![run(9000.0); 300];
    earlier.extend(vec![run(200.0); BASELINE_WINDOW]);
    let flagged = flagged(&earlier, &run(9000.0));
    assert_eq!((flagged.len(), flagged[0].runs), (1, 200));
}

/// A metric's value at will, to try each.
fn with(metric: Metric, value: u64) -> Profile {
    let mut profile = run(200.0);
    match metric {
        Metric::Cpu => profile.cpu = Duration::from_millis(value),
        Metric::Wall => profile.wall = Duration::from_millis(value),
        Metric::Memory => profile.memory_peak_bytes = Some(value),
        Metric::Processes => profile.processes_peak = Some(value),
        Metric::Output => profile.output_bytes = value,
        Metric::Count(kind) => drop(profile.behavior.insert(kind, Tally { count: value, names: 1 })),
        Metric::Names(kind) => drop(profile.behavior.insert(kind, Tally { count: 1, names: value })),
        Metric::Findings(severity) => drop(profile.findings.insert(severity, value)),
    }
    profile
}

#[test]
fn every_metric_is_flagged_by_its_own_name_and_none_panics_at_the_ends() {
    for metric in Metric::all() {
        let earlier: Vec<_> = (0..20_u64).map(|n| with(metric, 100 + n % 3)).collect();
        let flagged = flagged(&earlier, &with(metric, u64::MAX >> 12));
        let names: Vec<_> = flagged.iter().map(|one| one.metric.clone()).collect();
        assert_eq!(names, [metric.name()], "{metric:?}");
        assert!(flagged[0].score.is_finite() && flagged[0].message.len() < 300, "{}", flagged[0].message);
        for end in [0, u64::MAX >> 12] {
            let flagged = self::flagged(&vec![with(metric, end); 8], &with(metric, (u64::MAX >> 12) - end));
            assert!(flagged.iter().all(|one| one.score.is_finite()));
        }
    }
}

proptest! {
    #[test]
    fn a_run_like_an_earlier_one_near_the_median_is_never_flagged(
        times in proptest::collection::vec(0_u32..100_000, 8..60),
    ) {
        let earlier: Vec<_> = times.iter().map(|ms| run(f64::from(*ms))).collect();
        let usual = Baseline::new(&earlier, "jail").usual();
        let cpu = usual.iter().find(|usual| usual.metric == Metric::Cpu).unwrap();
        for within in [-1.0, 0.0, 1.0] {
            let value = (cpu.median + within * cpu.deviation).max(0.0);
            prop_assert_eq!(flagged(&earlier, &run(value)), []);
        }
    }

    #[test]
    fn farther_is_never_less_suspect(
        times in proptest::collection::vec(0_u32..1000, 8..60), near in 1000_u32..100_000, more in 0_u32..100_000,
    ) {
        let earlier: Vec<_> = times.iter().map(|ms| run(f64::from(*ms))).collect();
        let score = |ms: u32| flagged(&earlier, &run(f64::from(ms))).first().map_or(0.0, |anomaly| anomaly.score);
        prop_assert!(score(near) <= score(near + more));
    }
}
