//! The DSSE envelope: a payload with its type, and signatures over both.
//!
//! Reading is strict where DSSE leaves a choice (every field once, no other ones, standard base64, a key id on every
//! signature), so that no two envelopes differ only in what nobody signed.

use crate::canonical;
use crate::key::{KeyId, PublicKey, SigningKey};
use crate::statement::shorten;
use crate::verify::VerifyError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crucible_core::Result;
use serde::{Deserialize, Serialize};

/// The largest envelope that is read, in bytes. A suite of a hundred properties takes about a fiftieth of it.
pub const MAX_ENVELOPE_BYTES: usize = 4 << 20;
/// What the payload of an in-toto statement is called.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The most signatures that are looked at.
const MAX_SIGNATURES: usize = 16;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// The bytes that are signed: DSSE's pre-authentication encoding of a payload and its type.
#[must_use]
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// The envelope of a statement.
///
/// # Errors
/// `Infrastructure` for what JSON can't hold.
pub(crate) fn seal(payload: &[u8], key: &SigningKey) -> Result<Vec<u8>> {
    let signature = key.sign(&pre_authentication_encoding(PAYLOAD_TYPE, payload));
    canonical::json(&Envelope {
        payload: STANDARD.encode(payload),
        payload_type: PAYLOAD_TYPE.to_owned(),
        signatures: vec![Signature { keyid: key.public_key().keyid().to_string(), sig: STANDARD.encode(signature) }],
    })
}

/// The payload of an envelope that one of these keys signed, with that key.
pub(crate) fn open(bytes: &[u8], keys: &[PublicKey]) -> Result<(Vec<u8>, KeyId), VerifyError> {
    if bytes.len() > MAX_ENVELOPE_BYTES {
        return Err(VerifyError::TooLarge { bytes: bytes.len() });
    }
    let envelope: Envelope =
        serde_json::from_slice(bytes).map_err(|error| VerifyError::NotAnEnvelope { reason: error.to_string() })?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(VerifyError::WrongPayloadType { found: shorten(&envelope.payload_type) });
    }
    let not_base64 = |what: &str| VerifyError::NotAnEnvelope { reason: format!("its {what} is not base64") };
    let payload = STANDARD.decode(&envelope.payload).map_err(|_| not_base64("payload"))?;
    if envelope.signatures.len() > MAX_SIGNATURES {
        let reason = format!("it has {} signatures", envelope.signatures.len());
        return Err(VerifyError::NotAnEnvelope { reason });
    }
    let signed = pre_authentication_encoding(PAYLOAD_TYPE, &payload);
    let mut wrong = None;
    for Signature { keyid, sig } in &envelope.signatures {
        let Some(key) = keys.iter().find(|key| key.keyid().to_string() == *keyid) else { continue };
        let signature = STANDARD.decode(sig).map_err(|_| not_base64("signature"))?;
        if key.has_signed(&signed, &signature) {
            return Ok((payload, key.keyid()));
        }
        wrong = Some(key.keyid());
    }
    Err(match wrong {
        Some(keyid) => VerifyError::WrongSignature { keyid },
        None => VerifyError::UnknownKey {
            found: envelope.signatures.iter().map(|signature| shorten(&signature.keyid)).collect(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_dsse_says() {
        // The example of the DSSE specification.
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
