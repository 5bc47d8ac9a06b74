use std::fmt;

/// Where an instance of a service is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A name or an IP address.
    pub host: String,
    pub port: u16,
    /// What its registration says under `http_schema`, for services that speak HTTP: `http` or `https`.
    pub scheme: Option<String>,
}

impl Endpoint {
    /// `http://10.0.0.1:9200`; without a scheme of its own it is `http`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{self}", self.scheme.as_deref().unwrap_or("http"))
    }
}

/// `10.0.0.1:9092`, `[::1]:9092`
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_and_a_url() {
        let check = |host: &str, scheme: Option<&str>, address: &str, url: &str| {
            let endpoint = Endpoint { host: host.to_owned(), port: 9200, scheme: scheme.map(str::to_owned) };
            assert_eq!((endpoint.to_string().as_str(), endpoint.url().as_str()), (address, url));
        };
        check("10.0.0.1", None, "10.0.0.1:9200", "http://10.0.0.1:9200");
        check("es.internal", Some("https"), "es.internal:9200", "https://es.internal:9200");
        check("::1", None, "[::1]:9200", "http://[::1]:9200");
    }
}
