//! The attack suite's report on the wire: exactly the documented names, in their order, and every text as it was.

use crucible_api::v1::AttackReport;
use crucible_core::{
    ArmResult, ControlResult, Expected, HeldBy, Layer, PropertyResult, Reach, ReportContext, ReportNode, SuiteResult,
    UserKind, Verdict,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

fn context() -> ReportContext {
    ReportContext {
        version: "0.1.0".to_owned(),
        node: ReportNode { kernel: "6.18.44".to_owned(), user: UserKind::Ordinary },
        policy: "strict".to_owned(),
        attestations: BTreeMap::from([("jail".to_owned(), "att-1".to_owned())]),
    }
}

fn arm(reach: Reach, seen: &str) -> ArmResult {
    ArmResult { reach, seen: seen.to_owned(), took: Duration::from_nanos(12_345_600) }
}

fn suite() -> SuiteResult {
    let whole = PropertyResult {
        id: "filesystem.host_path".to_owned(),
        group: "filesystem".to_owned(),
        statement: "a file of the host can't be opened by its path".to_owned(),
        expected: Expected::Hidden,
        references: vec!["CWE-22".to_owned()],
        verdict: Verdict::Held,
        reason: "the control arm reached the canary".to_owned(),
        protected: Some(arm(Reach::NotReached, "the canary wasn't read")),
        control: Some(ControlResult {
            without: vec![Layer::MountNamespace, Layer::PrivateRoot],
            result: arm(Reach::Reached, "the canary was read"),
        }),
        held_by: Some(HeldBy { alone: vec![Layer::PrivateRoot], needed: vec![], unknown: vec![Layer::Landlock] }),
    };
    let bare = PropertyResult {
        id: "kernel.import".to_owned(),
        verdict: Verdict::NotApplicable,
        protected: None,
        control: None,
        held_by: None,
        ..whole.clone()
    };
    SuiteResult {
        backend: "jail".to_owned(),
        suite: "0123".to_owned(),
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_780_000_000_500),
        took: Duration::from_micros(1_234_567),
        properties: vec![whole, bare],
    }
}

#[test]
fn the_names_and_their_order_are_as_documented() {
    let expected = r#"{"format":"crucible.attack.v1","crucible_version":"0.1.0","node":{"kernel":"6.18.44","user":"ordinary"},"policy":"strict","verdict":"held","suites":[{"backend":"jail","suite":"0123","attestation":"att-1","started":"2026-05-28T20:26:40.500Z","took_ms":1234.567,"counts":{"held":1,"breached":0,"inconclusive":0,"not_applicable":1},"properties":[{"id":"filesystem.host_path","group":"filesystem","statement":"a file of the host can't be opened by its path","expected":"hidden","references":["CWE-22"],"verdict":"held","reason":"the control arm reached the canary","protected":{"reach":"not_reached","seen":"the canary wasn't read","took_ms":12.346},"control":{"without":["mount_namespace","private_root"],"reach":"reached","seen":"the canary was read","took_ms":12.346},"held_by":{"alone":["private_root"],"needed":[],"unknown":["landlock"]}},{"id":"kernel.import","group":"filesystem","statement":"a file of the host can't be opened by its path","expected":"hidden","references":["CWE-22"],"verdict":"not_applicable","reason":"the control arm reached the canary","protected":null,"control":null,"held_by":null}]}]}"#;
    assert_eq!(serde_json::to_string(&AttackReport::new(&[suite()], &context())).unwrap(), expected);
}

#[test]
fn a_backend_without_an_attestation_says_so_and_an_empty_suite_is_inconclusive() {
    let empty = SuiteResult { backend: "docker".to_owned(), properties: vec![], ..suite() };
    let report = serde_json::to_value(AttackReport::new(&[suite(), empty], &context())).unwrap();
    assert_eq!(report["verdict"], "inconclusive");
    assert_eq!(report["suites"][0]["attestation"], "att-1");
    assert!(report["suites"][1]["attestation"].is_null());
}

#[test]
fn every_verdict_and_reach_has_the_name_that_the_record_has() {
    let verdicts = [Verdict::Held, Verdict::Breached, Verdict::Inconclusive, Verdict::NotApplicable];
    for verdict in verdicts {
        let wire = serde_json::to_value(crucible_api::v1::Verdict::from(verdict)).unwrap();
        assert_eq!(wire, verdict.as_str());
    }
    let reaches = [(Reach::Reached, "reached"), (Reach::NotReached, "not_reached"), (Reach::Unproven, "unproven")];
    for (reach, name) in reaches {
        assert_eq!(serde_json::to_value(crucible_api::v1::Reach::from(reach)).unwrap(), name);
    }
}

#[test]
fn a_reader_accepts_fields_that_came_later() {
    let mut report = serde_json::to_value(AttackReport::new(&[suite()], &context())).unwrap();
    report["later"] = true.into();
    report["suites"][0]["properties"][0]["control"]["later"] = true.into();
    assert!(serde_json::from_value::<AttackReport>(report).is_ok());
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(
        texts in prop::array::uniform5(any::<String>()),
        took in 0_u64..1_000_000_000_000,
        layers in prop::collection::vec(prop::sample::select(Layer::ALL.to_vec()), 0..4),
    ) {
        let [id, group, reason, seen, backend] = texts;
        let mut suite = suite();
        suite.backend = backend;
        suite.took = Duration::from_nanos(took);
        let property = &mut suite.properties[0];
        (property.id, property.group, property.reason) = (id.clone(), group, reason);
        property.control = Some(ControlResult { without: layers.clone(), result: arm(Reach::Unproven, &seen) });
        let report = AttackReport::new(&[suite], &context());
        let text = serde_json::to_string(&report).unwrap();
        prop_assert_eq!(&serde_json::from_str::<AttackReport>(&text).unwrap(), &report);
        let property = &report.suites[0].properties[0];
        prop_assert_eq!(&property.id, &id);
        prop_assert_eq!(&property.control.as_ref().unwrap().arm.seen, &seen);
        prop_assert_eq!(property.control.as_ref().unwrap().without.len(), layers.len());
    }
}
