//! Templates: what indices of weir look like where nobody says otherwise.

use serde_json::{Value, json};
use weir_foundation::failure::BoxError;
use weir_model::IndexPrefix;

use crate::client::Call;
use crate::section::{Documents, IndexMode};
use crate::store::{ElasticStore, Refused, Shared};

/// What [`ElasticStore::setup`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Name of the index template that was written.
    pub template: String,
    /// The indices that it is for.
    pub patterns: Vec<String>,
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

impl ElasticStore {
    /// Writes the index template of weir for some prefixes, or for all; indices that are there stay as they are.
    /// To be called before the first event: without the template the store guesses from the first events, and a
    /// field that is a number in one and a text in another refuses the second.
    ///
    /// Under the template texts are `text` with a `keyword` below, nothing is taken for a date but `@timestamp`, a
    /// value that does not fit its field is kept and not indexed, objects may be 100 deep and have 2,000 fields.
    pub async fn setup(&self, prefixes: &[IndexPrefix]) -> Result<Setup, SetupError> {
        let shared = self.shared();
        let patterns = match (prefixes, shared.names.mode) {
            ([], IndexMode::DataStream) => vec![format!("{}*", shared.names.namespace)],
            ([], IndexMode::Daily | IndexMode::Single) => vec![shared.names.every_pattern()],
            (prefixes, _) => prefixes.iter().map(|prefix| shared.names.pattern(prefix)).collect(),
        };
        let template = format!("weir-{}events", shared.names.namespace);
        let mut body = json!({
            "index_patterns": patterns,
            "priority": PRIORITY,
            "template": appearance(shared.names.mode, shared.settings.documents),
            "_meta": { "description": "events of weir" },
        });
        if shared.names.mode == IndexMode::DataStream {
            body["data_stream"] = json!({});
        }
        let put = shared.ask(&Call::put_index_template(&template, &body), ANSWER).await;
        put.map_err(SetupError)?;
        Ok(Setup { template, patterns })
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
    fn the_template_of_a_data_stream_is_that_of_barito_flow() {
        let found = stream_template("shop", Some("barito-default-replica"), Documents::Barito);
        let expected = r#"{"index_patterns":["shop"],"data_stream":{},"composed_of":["barito-default-replica"],"priority":200,"_meta":{"description":"default template"}}"#;
        assert_eq!(found, serde_json::from_str::<Value>(expected).expect("is JSON"));
        let without = stream_template("shop", None, Documents::Barito);
        assert_eq!(without["composed_of"], json!([]));
    }
}
