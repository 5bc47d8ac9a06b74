//! Templates: what indices of weir look like where nobody says otherwise.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_foundation::clock::Clock;
use weir_foundation::failure::BoxError;
use weir_model::IndexPrefix;

use crate::client::Call;
use crate::http::Http;
use crate::names::Names;
use crate::section::{Documents, IndexMode, Settings};
use crate::store::{Refused, Shared};

/// The index template of weir for some prefixes, or for all. To be written before the first event: without it the
/// store guesses from the first events, and a field that is a number in one and a text in another refuses the
/// second. Indices that are there stay as they are.
///
/// Under the template texts are `text` with a `keyword` below, nothing is taken for a date but `@timestamp`, a
/// value that does not fit its field is kept and not indexed, objects may be 100 deep and have 2,000 fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// What it is called in the store.
    pub name: String,
    /// The indices that it is for.
    pub patterns: Vec<String>,
    /// What the store is told.
    pub body: Value,
}

/// Why there is no template.
#[derive(Debug, thiserror::Error)]
#[error("the index template could not be written")]
pub struct SetupError(#[source] BoxError);

/// Above the templates that stores bring along, below what operators usually take.
const PRIORITY: u32 = 120;
/// barito-flow's, for a template of one data stream.
const STREAM_PRIORITY: u32 = 200;
const ANSWER: usize = 1 << 20;

impl Template {
    /// For these prefixes; for all if there is none.
    #[must_use]
    pub fn new(settings: &Settings, prefixes: &[IndexPrefix]) -> Self {
        let names = Names { namespace: settings.namespace.clone(), mode: settings.mode };
        let patterns = match (prefixes, names.mode) {
            ([], IndexMode::DataStream) => vec![format!("{}*", names.namespace)],
            ([], IndexMode::Daily | IndexMode::Single) => vec![names.every_pattern()],
            (prefixes, _) => prefixes.iter().map(|prefix| names.pattern(prefix)).collect(),
        };
        let mut body = json!({
            "index_patterns": patterns,
            "priority": PRIORITY,
            "template": appearance(names.mode, settings.documents),
            "_meta": { "description": "events of weir" },
        });
        if names.mode == IndexMode::DataStream {
            body["data_stream"] = json!({});
        }
        Self { name: format!("weir-{}events", names.namespace), patterns, body }
    }

    /// The path of the request that writes it, a `PUT`.
    #[must_use]
    pub fn path(&self) -> String {
        self.call().path
    }

    /// Writes it to the store of these settings, in the place of one that is there.
    pub async fn put(&self, settings: &Settings, clock: Arc<dyn Clock>) -> Result<(), SetupError> {
        let http = Http::new(settings, clock).map_err(|error| SetupError(error.into()))?;
        let answer = http.ask(&self.call(), ANSWER).await.map_err(|error| SetupError(error.into()))?;
        match answer.is_success() {
            true => Ok(()),
            false => Err(SetupError(Refused { status: answer.status, reason: answer.reason() }.into())),
        }
    }

    fn call(&self) -> Call {
        Call::put_index_template(&self.name, &self.body)
    }
}

impl Shared {
    /// Makes the template of a data stream that is not there, as barito-flow does: `<name>-template`, of the
    /// component template if that is there. The stream itself comes with its first document.
    pub(crate) async fn ensure_stream(&self, name: &str) -> Result<(), BoxError> {
        let template = format!("{name}-template");
        if self.is_there(&Call::exists(name)).await?
            || self.is_there(&Call::has_index_template(&template)).await?
        {
            return Ok(());
        }
        let component = &self.settings.component_template;
        let has_component =
            !component.is_empty() && self.is_there(&Call::has_component_template(component)).await?;
        let body =
            stream_template(name, has_component.then_some(component.as_str()), self.settings.documents);
        tracing::info!(
            template,
            component = has_component.then_some(component),
            "making a template for a data stream"
        );
        self.ask(&Call::put_index_template(&template, &body), ANSWER).await.map(drop)
    }

    async fn is_there(&self, call: &Call) -> Result<bool, BoxError> {
        let answer = self.http.ask(call, ANSWER).await?;
        match answer.status {
            200..=299 => Ok(true),
            404 => Ok(false),
            status => Err(Refused { status, reason: answer.reason() }.into()),
        }
    }
}

fn stream_template(name: &str, component: Option<&str>, documents: Documents) -> Value {
    let mut body = json!({
        "index_patterns": [name],
        "data_stream": {},
        "composed_of": component.into_iter().collect::<Vec<_>>(),
        "priority": STREAM_PRIORITY,
        "_meta": { "description": "default template" },
    });
    if documents == Documents::Weir {
        body["template"] = appearance(IndexMode::DataStream, documents);
    }
    body
}

/// Settings and mappings of an index.
fn appearance(mode: IndexMode, documents: Documents) -> Value {
    let timestamp = match mode {
        // A data stream is sorted by it.
        IndexMode::DataStream => json!({ "type": "date", "ignore_malformed": false }),
        IndexMode::Daily | IndexMode::Single => json!({ "type": "date" }),
    };
    let mut properties = json!({ "@timestamp": timestamp });
    if documents == Documents::Weir {
        properties["weir"] = json!({ "properties": {
            "stream": { "type": "keyword" },
            "id": { "type": "keyword", "index": false, "doc_values": false },
            "received": { "type": "date" },
            "time": { "type": "long" },
            "order": { "type": "keyword", "index": false },
        } });
    }
    json!({
        "settings": {
            "index.mapping.ignore_malformed": true,
            "index.mapping.total_fields.limit": 2_000,
            "index.mapping.depth.limit": 100,
        },
        "mappings": {
            "date_detection": false,
            "dynamic_templates": [
                { "texts": { "match_mapping_type": "string", "mapping": {
                    "type": "text", "fields": { "keyword": { "type": "keyword", "ignore_above": 256 } },
                } } },
            ],
            "properties": properties,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_for_all_indices_or_those_of_some_prefixes() {
        let section = crate::section::ElasticSection {
            namespace: Some("eu-".to_owned()),
            ..crate::section::ElasticSection::default()
        };
        let settings = Settings::validate(&section).expect("are valid");
        let all = Template::new(&settings, &[]);
        assert_eq!(
            (all.path().as_str(), &all.patterns[..]),
            ("_index_template/weir-eu-events", &["eu-*-*.*.*".to_owned()][..])
        );
        let shop = Template::new(&settings, &[IndexPrefix::new("shop").expect("is legal")]);
        assert_eq!(shop.patterns, ["eu-shop-*"]);
        assert_eq!(shop.body["index_patterns"], json!(["eu-shop-*"]));
        assert_eq!(shop.body["template"], all.body["template"]);
    }

    #[test]
    fn the_template_of_a_data_stream_is_that_of_barito_flow() {
        let found = stream_template("shop", Some("barito-default-replica"), Documents::Barito);
        let expected = r#"{"index_patterns":["shop"],"data_stream":{},"composed_of":["barito-default-replica"],"priority":200,"_meta":{"description":"default template"}}"#;
        assert_eq!(found, serde_json::from_str::<Value>(expected).expect("is JSON"));
        let without = stream_template("shop", None, Documents::Barito);
        assert_eq!(without["composed_of"], json!([]));
    }
}
