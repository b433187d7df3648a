//! For tests: results as a suite has them, and results made to break a report.

use crucible_core::{
    ArmResult, ControlResult, Expected, HeldBy, Layer, PropertyResult, Reach, ReportContext, ReportNode, SuiteResult,
    UserKind, Verdict,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Compares a report with the one that is kept, byte for byte. `CRUCIBLE_BLESS=1` writes it anew.
pub(super) fn assert_kept(name: &str, report: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/kept").join(name);
    if std::env::var_os("CRUCIBLE_BLESS").is_some() {
        std::fs::write(&path, report).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(report == kept, "{name} isn't as it was kept:\n{report}");
}

pub(super) fn context() -> ReportContext {
    ReportContext {
        version: "0.1.0".to_owned(),
        node: ReportNode { kernel: "6.18.44".to_owned(), user: UserKind::Root },
        policy: "standard".to_owned(),
        attestations: BTreeMap::from([("jail".to_owned(), "sha256:9f86d081884c7d65".to_owned())]),
    }
}

pub(super) fn property(id: &str, verdict: Verdict) -> PropertyResult {
    let arm = |reach, seen: &str, milliseconds| ArmResult {
        reach,
        seen: seen.to_owned(),
        took: Duration::from_millis(milliseconds),
    };
    let control = |reach, seen| ControlResult {
        without: vec![Layer::MountNamespace, Layer::PrivateRoot],
        result: arm(reach, seen, 14),
    };
    let (protected, control, reason) = match verdict {
        Verdict::Held => (
            Some(arm(Reach::NotReached, "the canary was never opened", 12)),
            Some(control(Reach::Reached, "the canary was opened once")),
            "the probe reached its canary only where the protection was left off",
        ),
        Verdict::Breached => (
            Some(arm(Reach::Reached, "the canary was opened once", 12)),
            Some(control(Reach::Reached, "the canary was opened once")),
            "the probe reached its canary",
        ),
        Verdict::Inconclusive => (
            Some(arm(Reach::Unproven, "no sign of the probe", 10_000)),
            Some(control(Reach::NotReached, "the canary was never opened")),
            "the control arm didn't reach the canary either, so the probe proves nothing",
        ),
        Verdict::NotApplicable => (None, None, "the backend has no paths of its own"),
    };
    PropertyResult {
        id: id.to_owned(),
        group: id.split('.').next().unwrap_or_default().to_owned(),
        statement: "a file of the host can't be opened by its absolute path".to_owned(),
        expected: Expected::Hidden,
        references: vec!["CWE-22".to_owned(), "CVE-2019-5736".to_owned()],
        verdict,
        reason: reason.to_owned(),
        protected,
        control,
        held_by: None,
    }
}

pub(super) fn suite(backend: &str, properties: Vec<PropertyResult>) -> SuiteResult {
    SuiteResult {
        backend: backend.to_owned(),
        suite: "0123".to_owned(),
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_780_000_000_500),
        took: Duration::from_millis(12_345),
        properties,
    }
}

pub(super) fn suite_of(backend: &str, verdicts: &[Verdict]) -> SuiteResult {
    suite(backend, verdicts.iter().map(|verdict| property("filesystem.host_path", *verdict)).collect())
}

/// Two backends with every verdict, and a property that only one of them tells of.
pub(super) fn two() -> Vec<SuiteResult> {
    use Verdict::{Breached, Held, Inconclusive, NotApplicable};
    let jail = [
        ("filesystem.host_path", Held),
        ("filesystem.mount_a_tmpfs", Held),
        ("processes.signal_a_process_of_the_host", Inconclusive),
        ("kernel.import_that_is_not_linked", NotApplicable),
        ("network.loopback_listener", Held),
    ];
    let subprocess = [
        ("filesystem.host_path", Breached),
        ("filesystem.mount_a_tmpfs", Held),
        ("processes.signal_a_process_of_the_host", Breached),
        ("kernel.import_that_is_not_linked", NotApplicable),
    ];
    let properties = |of: &[(&str, Verdict)]| of.iter().map(|(id, verdict)| property(id, *verdict)).collect();
    vec![suite("jail", properties(&jail)), suite("subprocess", properties(&subprocess))]
}

/// One backend, with the layers that hold each property.
pub(super) fn ablated() -> SuiteResult {
    let mut suite = two().remove(0);
    let held_by = |alone: &[Layer], needed: &[Layer], unknown: &[Layer]| HeldBy {
        alone: alone.to_vec(),
        needed: needed.to_vec(),
        unknown: unknown.to_vec(),
    };
    suite.properties[0].held_by =
        Some(held_by(&[Layer::MountNamespace, Layer::PrivateRoot, Layer::Landlock], &[], &[Layer::UserNamespace]));
    suite.properties[1].held_by = Some(held_by(&[Layer::Seccomp], &[Layer::Seccomp], &[]));
    suite.properties[4].held_by = Some(held_by(&[], &[Layer::NetworkNamespace, Layer::Seccomp], &[]));
    suite
}

/// Texts that mean something to a browser, an XML reader, a terminal or the eye.
pub(super) const HOSTILE: [&str; 9] = [
    "</details></style><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "<!--]]><![CDATA[ &amp; &#x3c;script&#x3e; {{ 7*7 }} {% include \"x\" %}",
    "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{0}\u{b}\u{7f}",
    "held\u{202e}DEHCAERB\u{2066}\u{200b}\u{e0041}\u{feff}",
    "first\nheld  held\r\n\tthird\u{2028}fourth\u{85}",
    "' onmouseover='alert(1)' style='x",
    "\u{fffe}\u{ffff}\u{fdd0} \u{10ffff}",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301} 大きい أكبر 👩‍👩‍👧 \u{fdfd}",
];

/// The same results with every text turned into one of letters and digits, different ones into different ones.
pub(super) fn harmless(suites: &[SuiteResult], context: &ReportContext) -> (Vec<SuiteResult>, ReportContext) {
    let tame = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let arm = |arm: &ArmResult| ArmResult { seen: tame(&arm.seen), ..arm.clone() };
    let property = |property: &PropertyResult| PropertyResult {
        id: tame(&property.id),
        group: tame(&property.group),
        statement: tame(&property.statement),
        references: property.references.iter().map(|text| tame(text)).collect(),
        reason: tame(&property.reason),
        protected: property.protected.as_ref().map(arm),
        control: (property.control.as_ref())
            .map(|control| ControlResult { result: arm(&control.result), ..control.clone() }),
        ..property.clone()
    };
    let suite = |suite: &SuiteResult| SuiteResult {
        backend: tame(&suite.backend),
        properties: suite.properties.iter().map(property).collect(),
        ..suite.clone()
    };
    let context = ReportContext {
        version: tame(&context.version),
        node: ReportNode { kernel: tame(&context.node.kernel), user: context.node.user },
        policy: tame(&context.policy),
        attestations: context.attestations.iter().map(|(backend, id)| (tame(backend), tame(id))).collect(),
    };
    (suites.iter().map(suite).collect(), context)
}

/// A suite in which every text is hostile.
pub(super) fn hostile() -> Vec<SuiteResult> {
    let hostile = |index: usize| HOSTILE[index % HOSTILE.len()].to_owned();
    let spoil = |(index, mut property): (usize, PropertyResult)| {
        property.id = format!("{}.{}", "x".repeat(index * 40), hostile(index));
        property.group = hostile(index + 1);
        property.statement = hostile(index + 2);
        property.reason = hostile(index + 3);
        property.references = vec![hostile(index + 4)];
        for arm in property.protected.iter_mut().chain(property.control.as_mut().map(|control| &mut control.result)) {
            arm.seen = hostile(index + 5);
        }
        property
    };
    let verdicts = [Verdict::Held, Verdict::Breached, Verdict::Inconclusive, Verdict::NotApplicable];
    let properties = |shift: usize| {
        let all = (0..HOSTILE.len()).map(|index| property("", verdicts[(index + shift) % verdicts.len()]));
        all.enumerate().map(spoil).collect()
    };
    vec![suite(&hostile(0), properties(0)), suite(&hostile(4), properties(1))]
}

/// What a report says of the node, with hostile texts.
pub(super) fn hostile_context() -> ReportContext {
    let [version, kernel, policy, attestation, ..] = HOSTILE.map(str::to_owned);
    ReportContext {
        version,
        node: ReportNode { kernel, user: UserKind::Ordinary },
        policy,
        attestations: BTreeMap::from([(HOSTILE[0].to_owned(), attestation)]),
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        "[a-z]{1,12}(\\.[a-z_]{1,20}){1,6}",
        "[\u{200b}\u{301}大👩\u{200d}\u{fe0f}#\u{20e3}لا ]{0,40}",
    ]
}

/// Up to some thirty years, to the nanosecond.
fn any_duration() -> impl Strategy<Value = Duration> {
    (0_u64..1_000_000_000, 0_u32..1_000_000_000).prop_map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds))
}

fn any_layers() -> impl Strategy<Value = Vec<Layer>> {
    prop::collection::vec(prop::sample::select(Layer::ALL.to_vec()), 0..8)
}

fn any_arm() -> impl Strategy<Value = ArmResult> {
    let reach = prop::sample::select(vec![Reach::Reached, Reach::NotReached, Reach::Unproven]);
    (reach, any_text(), any_duration()).prop_map(|(reach, seen, took)| ArmResult { reach, seen, took })
}

fn any_property() -> impl Strategy<Value = PropertyResult> {
    let verdict =
        prop::sample::select(vec![Verdict::Held, Verdict::Breached, Verdict::Inconclusive, Verdict::NotApplicable]);
    let texts = (any_text(), any_text(), any_text(), any_text(), any_text());
    let control = (any_layers(), any_arm()).prop_map(|(without, result)| ControlResult { without, result });
    let held_by = (any_layers(), any_layers(), any_layers()).prop_map(|(alone, needed, unknown)| HeldBy {
        alone,
        needed,
        unknown,
    });
    let arms = (prop::option::of(any_arm()), prop::option::of(control), prop::option::of(held_by));
    (verdict, texts, arms).prop_map(
        |(verdict, (id, group, statement, reason, reference), (protected, control, held_by))| {
            let references = vec![reference];
            let expected = Expected::Denied;
            PropertyResult { id, group, statement, expected, references, verdict, reason, protected, control, held_by }
        },
    )
}

/// Any results at all, of any number of backends.
pub(super) fn any_suites() -> impl Strategy<Value = Vec<SuiteResult>> {
    let seconds = prop_oneof![0_u64..4_000_000_000, Just(9_000_000_000_000)];
    let suite = (any_text(), seconds, any_duration(), prop::collection::vec(any_property(), 0..4));
    let suite = suite.prop_map(|(backend, seconds, took, properties)| SuiteResult {
        backend,
        suite: "0123".to_owned(),
        started: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        took,
        properties,
    });
    prop::collection::vec(suite, 0..8)
}
