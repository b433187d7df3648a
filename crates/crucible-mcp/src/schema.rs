//! Schemas: those of results are made of their types, those of arguments are written beside the tools.

use rmcp::model::JsonObject;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// Where the description of an HTTP interface has its types, and where a schema alone has them.
const OF_HTTP: &str = "#/components/schemas/";
const ALONE: &str = "#/$defs/";

/// The schema of what a tool answers.
pub(crate) fn of_result<T: ToSchema>() -> Arc<JsonObject> {
    let mut used = Vec::new();
    T::schemas(&mut used);
    let mut whole = serde_json::to_value(T::schema()).unwrap_or_default();
    let used: JsonObject =
        used.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default())).collect();
    if let Some(whole) = whole.as_object_mut()
        && !used.is_empty()
    {
        whole.insert("$defs".to_owned(), Value::Object(used));
    }
    stand_alone(&mut whole);
    object(whole)
}

/// The schema of what a tool is given: exactly these properties.
pub(crate) fn of_arguments(properties: Value, required: &[&str]) -> Arc<JsonObject> {
    object(json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
}

fn object(value: Value) -> Arc<JsonObject> {
    Arc::new(match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    })
}

/// Has references lead to where a schema alone has its types.
fn stand_alone(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("$ref")
                && let Some(name) = reference.strip_prefix(OF_HTTP)
            {
                *reference = format!("{ALONE}{name}");
            }
            object.values_mut().for_each(stand_alone);
        }
        Value::Array(items) => items.iter_mut().for_each(stand_alone),
        _ => {}
    }
}
