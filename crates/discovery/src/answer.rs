//! What Consul answers, as far as it is looked at.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::endpoint::Endpoint;

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub endpoint: Endpoint,
    /// All of its checks pass; the catalog knows no checks and says yes.
    pub passing: bool,
}

/// The answer is not of the form that Consul documents.
#[derive(Debug, thiserror::Error)]
#[error("the answer of Consul could not be read")]
pub struct AnswerError(#[from] serde_json::Error);

type Meta = Option<BTreeMap<String, String>>;

/// An entry of `/v1/catalog/service/<name>`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CatalogEntry {
    address: String,
    #[serde(default)]
    service_address: String,
    service_port: u16,
    #[serde(default)]
    service_meta: Meta,
}

/// An entry of `/v1/health/service/<name>`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthEntry {
    node: Node,
    service: Service,
    #[serde(default)]
    checks: Option<Vec<Check>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    address: String,
    port: u16,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    status: String,
}

/// Reads the answer of `/v1/catalog/service/<name>`.
pub fn read_catalog(json: &[u8]) -> Result<Vec<Instance>, AnswerError> {
    let entries: Option<Vec<CatalogEntry>> = serde_json::from_slice(json)?;
    let instance = |entry: CatalogEntry| Instance {
        endpoint: endpoint(entry.service_address, entry.address, entry.service_port, entry.service_meta),
        passing: true,
    };
    Ok(entries.unwrap_or_default().into_iter().map(instance).collect())
}

/// Reads the answer of `/v1/health/service/<name>`.
pub fn read_health(json: &[u8]) -> Result<Vec<Instance>, AnswerError> {
    let entries: Option<Vec<HealthEntry>> = serde_json::from_slice(json)?;
    let instance = |entry: HealthEntry| Instance {
        passing: entry.checks.iter().flatten().all(|check| check.status == "passing"),
        endpoint: endpoint(entry.service.address, entry.node.address, entry.service.port, entry.service.meta),
    };
    Ok(entries.unwrap_or_default().into_iter().map(instance).collect())
}

/// A service without an address of its own is at that of its node.
fn endpoint(service: String, node: String, port: u16, meta: Meta) -> Endpoint {
    let host = if service.is_empty() { node } else { service };
    let scheme = meta.unwrap_or_default().remove("http_schema").filter(|scheme| !scheme.is_empty());
    // Written as `http` or as `http://`.
    let scheme = scheme.map(|scheme| scheme.trim_end_matches("://").to_owned());
    Endpoint { host, port, scheme }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(host: &str, port: u16, scheme: Option<&str>, passing: bool) -> Instance {
        Instance {
            endpoint: Endpoint { host: host.to_owned(), port, scheme: scheme.map(str::to_owned) },
            passing,
        }
    }

    #[test]
    fn the_catalog_is_read() {
        let json = br#"[
            {"ID":"x","Node":"c1","Address":"10.0.0.1","ServiceAddress":"10.1.0.1","ServicePort":9092,
             "ServiceMeta":{"http_schema":"https://"},"ServiceTags":[]},
            {"Node":"c2","Address":"10.0.0.2","ServiceAddress":"","ServicePort":9093,"ServiceMeta":null}
        ]"#;
        let expected =
            [instance("10.1.0.1", 9092, Some("https"), true), instance("10.0.0.2", 9093, None, true)];
        assert_eq!(read_catalog(json).expect("is an answer"), expected);
        assert_eq!(read_catalog(b"[]").expect("is an answer"), []);
        assert_eq!(read_catalog(b"null").expect("is an answer"), []);
    }

    #[test]
    fn the_health_is_read() {
        let json = br#"[
            {"Node":{"Node":"c1","Address":"10.0.0.1"},
             "Service":{"ID":"a","Address":"","Port":1,"Meta":{"http_schema":"http"}},
             "Checks":[{"Status":"passing"},{"Status":"passing"}]},
            {"Node":{"Address":"10.0.0.2"},"Service":{"Address":"b","Port":2},"Checks":[{"Status":"warning"}]},
            {"Node":{"Address":"10.0.0.3"},"Service":{"Address":"","Port":3},"Checks":null}
        ]"#;
        let expected = [
            instance("10.0.0.1", 1, Some("http"), true),
            instance("b", 2, None, false),
            instance("10.0.0.3", 3, None, true),
        ];
        assert_eq!(read_health(json).expect("is an answer"), expected);
    }

    #[test]
    fn anything_else_is_an_error() {
        for json in [&b""[..], b"{}", b"[{}]", b"[{\"Address\":\"a\",\"ServicePort\":70000}]", b"\xff"] {
            assert!(read_catalog(json).is_err() && read_health(json).is_err());
        }
    }
}
