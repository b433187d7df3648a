//! What verifies, and that nothing else does.

use super::*;
use crate::canonical;
use crate::fingerprint::tests::{Described, layers, node};
use crate::fingerprint::{Fingerprint, Protection};
use crate::key::SigningKey;
use crate::predicate::tests::suite;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crucible_core::Policy;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;

fn predicate() -> IsolationAttestation {
    let (backend, layers, policy) = (Described::default(), layers(), Policy::default());
    let protection = Protection { backend: &backend, layers: &layers, policy: &policy };
    IsolationAttestation::new(Fingerprint::new(node(), &protection), &suite())
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn sealed() -> Vec<u8> {
    envelope::seal(&statement::write(&predicate()).unwrap(), &key()).unwrap()
}

/// The statement with a change, signed all the same: what a careless or newer signer might produce.
fn signed_with(change: impl FnOnce(&mut Value)) -> Result<VerifiedStatement, VerifyError> {
    let mut value: Value = serde_json::from_slice(&statement::write(&predicate()).unwrap()).unwrap();
    change(&mut value);
    let bytes = envelope::seal(&canonical::json(&value).unwrap(), &key()).unwrap();
    verify(&bytes, &[key().public_key()])
}

/// The envelope with a change.
fn enveloped_with(change: impl FnOnce(&mut Value)) -> Result<VerifiedStatement, VerifyError> {
    let mut value: Value = serde_json::from_slice(&sealed()).unwrap();
    change(&mut value);
    verify(value.to_string().as_bytes(), &[key().public_key()])
}

#[test]
fn what_was_attested_is_read_back() {
    let bytes = sealed();
    let other = SigningKey::from_seed(&[8; 32]).public_key();
    let verified = verify(&bytes, &[other, key().public_key()]).unwrap();
    assert_eq!(verified.predicate, predicate());
    assert_eq!(verified.keyid, key().public_key().keyid());
    assert_eq!(verified.subject, predicate().fingerprint.digest().unwrap());
    assert_eq!(verified.id.to_string(), format!("sha256:{}", Sha256Digest::of(&bytes)));
    assert_eq!(verified.predicate.started.to_string(), "2027-01-15T08:00:00.123Z");
    assert_eq!(verified.predicate.finished.to_string(), "2027-01-15T08:00:09.123Z");
    signed_with(|_| {}).unwrap();
    enveloped_with(|_| {}).unwrap();
}

#[test]
fn it_is_a_statement_that_other_tools_know() {
    let envelope: Value = serde_json::from_slice(&sealed()).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    let digest = predicate().fingerprint.digest().unwrap().to_string();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest);
    assert_eq!(statement["predicate"]["counts"]["held"], 2);
    assert_eq!(statement["predicate"]["properties"][0]["control"]["reach"], "reached");
}

#[test]
fn without_the_key_nothing_verifies() {
    let bytes = sealed();
    let other = SigningKey::from_seed(&[8; 32]).public_key();
    let keyid = key().public_key().keyid().to_string();
    let unknown = VerifyError::UnknownKey { found: vec![keyid.clone()] };
    assert_eq!(verify(&bytes, &[]).unwrap_err(), unknown);
    assert_eq!(verify(&bytes, std::slice::from_ref(&other)).unwrap_err(), unknown);
    // Under the id of another key, that key's signature would be needed.
    let renamed = String::from_utf8(bytes).unwrap().replace(&keyid, &other.keyid().to_string());
    let error = verify(renamed.as_bytes(), std::slice::from_ref(&other)).unwrap_err();
    assert_eq!(error, VerifyError::WrongSignature { keyid: other.keyid() });
}

#[test]
fn every_mistake_of_an_envelope_is_named() {
    let name = |result: Result<VerifiedStatement, VerifyError>| result.unwrap_err().as_str();
    let keys = [key().public_key()];
    for bytes in [&b""[..], b"x", b"{}", b"[]", b"null", b"\xff", &sealed()[1..], &[sealed(), b"{}".to_vec()].concat()]
    {
        assert_eq!(name(verify(bytes, &keys)), "not_an_envelope");
    }
    assert_eq!(name(verify(&vec![b' '; MAX_ENVELOPE_BYTES + 1], &keys)), "too_large");
    assert_eq!(name(verify(&b"[".repeat(100_000), &keys)), "not_an_envelope");
    assert_eq!(name(enveloped_with(|it| it["payloadType"] = json!("text/plain"))), "wrong_payload_type");
    assert_eq!(name(enveloped_with(|it| it["payload"] = json!("%%"))), "not_an_envelope");
    assert_eq!(name(enveloped_with(|it| it["payload"] = json!("e30="))), "wrong_signature");
    assert_eq!(name(enveloped_with(|it| it["signatures"] = json!([]))), "unknown_key");
    assert_eq!(name(enveloped_with(|it| it["signatures"][0]["sig"] = json!("AAAA"))), "wrong_signature");
    assert_eq!(name(enveloped_with(|it| it["signatures"][0]["sig"] = json!("A"))), "not_an_envelope");
    assert_eq!(name(enveloped_with(|it| it["unsigned"] = json!(1))), "not_an_envelope");
    let many = |it: &mut Value| it["signatures"] = Value::Array(vec![it["signatures"][0].clone(); 17]);
    assert_eq!(name(enveloped_with(many)), "not_an_envelope");
}

#[test]
fn a_second_signature_by_a_stranger_does_no_harm() {
    let stranger = json!({"keyid": "someone", "sig": "AAAA"});
    enveloped_with(|it| it["signatures"].as_array_mut().unwrap().insert(0, stranger)).unwrap();
}

#[test]
fn every_mistake_of_a_statement_is_named_although_it_is_signed() {
    let name = |change: fn(&mut Value)| signed_with(change).unwrap_err().as_str();
    assert_eq!(name(|it| it["_type"] = json!("https://in-toto.io/Statement/v0.1")), "unknown_statement");
    assert_eq!(name(|it| *it = json!(7)), "unknown_statement");
    assert_eq!(name(|it| it["predicateType"] = json!("https://slsa.dev/provenance/v1")), "unknown_predicate");
    assert_eq!(name(|it| it["subject"] = json!([])), "not_a_statement");
    assert_eq!(name(|it| it["subject"][0]["digest"] = json!({"sha512": "00"})), "not_a_statement");
    assert_eq!(name(|it| it["subject"][0]["digest"]["sha256"] = json!("00")), "not_a_statement");
    assert_eq!(name(|it| it["subject"][0]["digest"]["sha256"] = json!("00".repeat(32))), "wrong_subject");
    assert_eq!(name(|it| it["predicate"]["fingerprint"]["backend"]["version"] = json!("2")), "wrong_subject");
    assert_eq!(name(|it| it["predicate"]["fingerprint"]["more"] = json!(1)), "wrong_subject");
    assert_eq!(name(|it| it["predicate"]["counts"]["held"] = json!(3)), "wrong_counts");
    assert_eq!(name(|it| it["predicate"]["properties"][2]["verdict"] = json!("held")), "wrong_counts");
    assert_eq!(name(|it| it["predicate"]["properties"][2]["verdict"] = json!("perfect")), "not_a_statement");
    assert_eq!(name(|it| it["predicate"]["properties"] = json!([])), "not_a_statement");
    assert_eq!(name(|it| it["predicate"]["finished"] = json!("1999-01-01T00:00:00Z")), "not_a_statement");
    assert_eq!(name(|it| it["predicate"]["started"] = json!("yesterday")), "not_a_statement");
    let gone = |it: &mut Value| drop(it.as_object_mut().unwrap().remove("predicate"));
    assert_eq!(signed_with(gone).unwrap_err().as_str(), "not_a_statement");
    // What a later version may add to the rest is passed over.
    signed_with(|it| it["predicate"]["more"] = json!(1)).unwrap();
}

static SEALED: LazyLock<Vec<u8>> = LazyLock::new(sealed);

#[test]
fn no_single_bit_can_be_flipped_anywhere_outside_the_payload() {
    // The payload is most of the file and the same all over; the rest is tried bit by bit.
    let text = String::from_utf8(SEALED.clone()).unwrap();
    let end = text.find("\",\"payloadType").unwrap();
    let keys = [key().public_key()];
    for place in (0..20).chain(end - 20..SEALED.len()) {
        for bit in 0..8 {
            let mut bytes = SEALED.clone();
            bytes[place] ^= 1 << bit;
            assert!(verify(&bytes, &keys).is_err(), "bit {bit} of byte {place}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_verify(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(verify(&bytes, &[key().public_key()]).is_err());
    }

    #[test]
    fn arbitrary_json_in_an_envelope_never_verifies(payload in ".{0,60}", kind in ".{0,20}", keyid in ".{0,20}") {
        let own = key().public_key().keyid().to_string();
        for keyid in [keyid, own] {
            let envelope = json!({"payload": STANDARD.encode(&payload), "payloadType": kind,
                "signatures": [{"keyid": keyid, "sig": STANDARD.encode(&payload)}]});
            prop_assert!(verify(envelope.to_string().as_bytes(), &[key().public_key()]).is_err());
        }
    }

    #[test]
    fn a_signed_payload_of_arbitrary_bytes_never_verifies(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = envelope::seal(&payload, &key()).unwrap();
        prop_assert!(verify(&bytes, &[key().public_key()]).is_err());
    }

    #[test]
    fn changed_bytes_never_verify(changes in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4)) {
        let mut bytes = SEALED.clone();
        for (place, change) in changes {
            let place = place.index(bytes.len());
            bytes[place] ^= change;
        }
        prop_assume!(bytes != *SEALED);
        prop_assert!(verify(&bytes, &[key().public_key()]).is_err());
    }

    #[test]
    fn a_part_of_an_envelope_never_verifies(length in any::<prop::sample::Index>()) {
        let length = length.index(SEALED.len());
        prop_assert!(verify(&SEALED[..length], &[key().public_key()]).is_err());
    }
}
