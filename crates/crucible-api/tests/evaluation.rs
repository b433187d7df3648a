//! An evaluation that is held, on the wire: exactly the contract's fields, and why it is held.

use crucible_api::v1;
use crucible_core::{
    AdmissionRecord, Decision, DecisionReason, EvaluationSpec, HeldEvaluation, Limits, Policy, Program,
};
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

#[test]
fn a_held_evaluation_has_every_field_of_the_contract() {
    let spec = EvaluationSpec {
        id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        program: Program::Command { argv: vec!["ls".to_owned()] },
        backend: "jail".to_owned(),
        stdin: vec![],
        files: vec![],
        collect: vec![],
        tripwires: vec![],
        env: BTreeMap::new(),
        limits: Limits::default(),
        policy: Policy::strict(),
        review: None,
        label: Some("nightly".parse().unwrap()),
    };
    let reason = DecisionReason {
        decision: Decision::Hold,
        clause: "before.hold".to_owned(),
        message: "main.py:1: net.socket (high): opens a socket".to_owned(),
    };
    let admission = AdmissionRecord {
        decision: Decision::Hold,
        reasons: vec![reason],
        review: None,
        rules_digest: Some("d1".to_owned()),
    };
    let held = HeldEvaluation { spec, findings: vec![], admission, at: UNIX_EPOCH };
    let evaluation = v1::Evaluation::held(&held, "node-1");
    let expected = concat!(
        r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","state":"held","outcome":null,"failure":null,"validity":null,"#,
        r#""attempt":0,"node":"node-1","labels":{"label":"nightly"},"#,
        r#""admission":{"decision":"hold","reasons":[{"decision":"hold","clause":"before.hold","#,
        r#""message":"main.py:1: net.socket (high): opens a socket"}],"review":null,"rules_digest":"d1"},"findings":[],"#,
        r#""project":"","priority":0,"created_at":"1970-01-01T00:00:00.000Z","started_at":null,"finished_at":null,"#,
        r#""cancel_requested":false,"review":null}"#
    );
    let text = serde_json::to_string(&evaluation).unwrap();
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<v1::Evaluation>(&text).unwrap(), evaluation);
}
