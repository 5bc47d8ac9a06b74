//! The OpenAPI 3.1 document, made from the routes and the types that they speak.
//!
//! The committed `openapi.json` is what is served; a test says when it no longer is what the code says.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::route::{Access, Answer, Route, SchemaOf};
use crate::server;

/// The document of this version of weir.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// The document as the code says it now.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in &server::routes() {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_ascii_lowercase()] = operation(route, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "weir",
            "version": "1",
            "description": "Search, tail, audit and dead letters; apps, access keys, agents and their configurations. \
                            Events are sent to `/produce`, `/produce_batch` and `/api/v1/apps/{app}/events` of the same \
                            port; see `docs/` for those. Where the address can be reached from other machines, every \
                            operation needs the token of an operator, elsewhere those that say so.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "operator": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({ "operationId": route.id, "summary": route.summary });
    let mut parameters = path_parameters(route.path);
    if let Some(query) = route.query {
        parameters.extend(query_parameters(query, generator));
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = route.body {
        let content = json!({ "application/json": { "schema": body(generator) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if route.access == Access::Operators {
        operation["security"] = json!([{ "operator": [] }]);
    }
    operation["responses"] = responses(&route.answer, route.refusal, generator);
    operation
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect()
}

fn query_parameters(query: SchemaOf, generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = query(generator);
    let properties = schema.get("properties").and_then(Value::as_object);
    let parameter = |(name, property): (&String, &Value)| {
        let mut property = property.clone();
        let description = property.as_object_mut().and_then(|fields| fields.remove("description"));
        let mut parameter = json!({ "name": name, "in": "query", "schema": property });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    };
    properties.into_iter().flatten().map(parameter).collect()
}

fn responses(answer: &Answer, refusal: SchemaOf, generator: &mut SchemaGenerator) -> Value {
    let failure = json!({
        "description": "An error with a stable code.",
        "content": { "application/json": { "schema": refusal(generator) } },
    });
    let text = json!({ "schema": { "type": "string" } });
    let content = match answer {
        Answer::Nothing => return json!({ "204": { "description": "Done." }, "default": failure }),
        Answer::Json(schema) => json!({ "application/json": { "schema": schema(generator) } }),
        Answer::JsonOrLines(schema, line) => json!({
            "application/json": { "schema": schema(generator) },
            "application/x-ndjson": { "schema": line(generator) },
            "text/csv": text,
        }),
        Answer::Events(data) => {
            let data = data(generator);
            json!({ "text/event-stream": { "schema": { "type": "string", "contentSchema": data } } })
        }
    };
    json!({ "200": { "description": "Success.", "content": content }, "default": failure })
}
