//! Requests that are JSON objects and nothing else.
//!
//! What serde derives would take an array for a structure, too: its members in their order. Nobody means that, and no
//! description of the interface says it.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// What is read from an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<T>(pub T);

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// Reads a list of objects.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects: Vec<Object<T>> = Vec::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(one)| one).collect())
}

/// Reads an object, or none.
pub(super) fn maybe<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let object: Option<Object<T>> = Option::deserialize(deserializer)?;
    Ok(object.map(|Object(one)| one))
}

#[cfg(test)]
mod tests {
    use super::Object;
    use crate::v1::{ExecRequest, SetQueueFlow, SubmitBatch, SubmitEvaluation};
    use serde_json::json;

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        let read = |value| serde_json::from_value::<Object<SubmitBatch>>(value).map(|Object(batch)| batch);
        let good = read(json!({"evaluations": [{"code": "1", "files": [{"path": "a", "content": ""}]}]})).unwrap();
        assert_eq!((good.evaluations.len(), good.evaluations[0].files.len()), (1, 1));
        for bad in [
            json!([[]]),
            json!({"evaluations": [[]]}),
            json!({"evaluations": [{"files": [["a", ""]]}]}),
            json!({"evaluations": [{"code": "1", "more": 1}]}),
            json!(null),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
        assert!(serde_json::from_value::<Object<SubmitEvaluation>>(json!(["1"])).is_err());
        assert!(serde_json::from_value::<Object<SetQueueFlow>>(json!(["open"])).is_err());
        let terminal = json!({"command": ["a"], "terminal": [1, 1]});
        assert!(serde_json::from_value::<Object<ExecRequest>>(terminal).is_err());
        let none = json!({"command": ["a"], "terminal": null});
        assert!(serde_json::from_value::<Object<ExecRequest>>(none).is_ok());
    }
}
