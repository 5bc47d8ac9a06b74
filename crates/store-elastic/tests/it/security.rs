//! Who weir says that it is, and whom it believes.

use std::path::Path;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use weir_foundation::settings::Secret;
use weir_foundation::tls::TlsSection;
use weir_services::Engine;
use weir_store::IndexStore;
use weir_store::conformance::fixture::partition;
use weir_store_elastic::{ElasticMetrics, ElasticSection};
use weir_testkit::{Action, Authority, Proxy};

use crate::world::{World, batch, documents, eventually, node, section};

async fn check(expected: &'static str, who: impl FnOnce(&str) -> ElasticSection) {
    let node = node(Engine::OpenSearch2);
    let proxy = Proxy::start(node).await.expect("starts");
    proxy.rule(move |request| match request.header("authorization") == Some(expected) {
        true => Action::Forward,
        false => Action::Refuse(401),
    });
    let common = section(proxy.address());
    let section = ElasticSection { namespace: common.namespace.clone(), ..who(&proxy.address().to_string()) };
    let world = World::open(&section);
    world.store.write(batch(&partition(0), "shop", 5)).await.expect("is answered");
    let name = section.namespace.unwrap_or_default();
    assert_eq!(documents(node, &format!("{name}shop-*")).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weir_says_who_it_is() {
    // `jo:secret`
    let basic = "Basic am86c2VjcmV0";
    check(basic, |node| ElasticSection {
        urls: Some(vec![format!("http://{node}")]),
        username: Some("jo".to_owned()),
        password: Some(Secret::new("secret")),
        ..ElasticSection::default()
    })
    .await;
    check(basic, |node| ElasticSection {
        urls: Some(vec![format!("http://jo:secret@{node}")]),
        ..ElasticSection::default()
    })
    .await;
    check("ApiKey a2V5", |node| ElasticSection {
        urls: Some(vec![format!("http://{node}")]),
        api_key: Some(Secret::new("a2V5")),
        ..ElasticSection::default()
    })
    .await;
}

/// A server that wants to know its clients.
fn server(authority: &Authority) -> Arc<ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("is a certificate");
    roots.add(ca).expect("is an authority");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .expect("has roots");
    let (certificate, key) = authority.sign("127.0.0.1");
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("is a certificate");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("is a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("has versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("fit together"))
}

fn tls_section(proxy: &Proxy, ca: &Path, client: Option<&Authority>) -> ElasticSection {
    ElasticSection {
        urls: Some(vec![format!("https://{}", proxy.address())]),
        tls: TlsSection {
            ca_file: Some(ca.to_owned()),
            cert_file: client.map(|authority| authority.path("client.pem")),
            key_file: client.map(|authority| authority.path("client.key")),
        },
        ..section(proxy.address())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_know_each_other() {
    let node = node(Engine::OpenSearch2);
    let authority = Authority::new();
    authority.issue("client", "weir");
    let proxy = Proxy::start_tls(node, server(&authority)).await.expect("starts");
    let section = tls_section(&proxy, &authority.path("ca.pem"), Some(&authority));
    let world = World::open(&section);
    world.store.write(batch(&partition(0), "shop", 5)).await.expect("is answered");
    let name = section.namespace.unwrap_or_default();
    assert_eq!(documents(node, &format!("{name}shop-*")).await.len(), 5);

    for section in [
        tls_section(&proxy, &authority.path("ca.pem"), None),
        tls_section(&proxy, &Authority::new().path("ca.pem"), Some(&authority)),
    ] {
        let Ok(world) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| World::open(&section)))
        else {
            continue;
        };
        let before = proxy.seen("_bulk").len();
        let write = world.write(batch(&partition(0), "shop", 5));
        eventually("it does not get through", async || world.state().contains("did not answer")).await;
        assert!(!write.is_finished());
        assert_eq!(proxy.seen("_bulk").len(), before);
        write.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_no_certificates_are_refused_at_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, "no certificate").expect("writes");
    for path in [file, directory.path().join("missing.pem")] {
        let tls = TlsSection { ca_file: Some(path.clone()), ..TlsSection::default() };
        let section = ElasticSection { tls, ..ElasticSection::default() };
        let settings = weir_store_elastic::Settings::validate(&section).expect("are valid");
        let clock: Arc<dyn weir_foundation::clock::Clock> = Arc::new(weir_foundation::clock::SystemClock);
        let supervisor = weir_foundation::supervise::Supervisor::new(
            tokio::runtime::Handle::current(),
            Arc::clone(&clock),
            weir_foundation::supervise::DrainDeadlines::default(),
        );
        let parts = weir_store_elastic::ElasticParts {
            health: weir_foundation::health::Health::new(Arc::clone(&clock)),
            clock,
            spawner: supervisor.spawner(),
            metrics: ElasticMetrics::register(&mut weir_foundation::metrics::Builder::new()),
        };
        let error = weir_store_elastic::ElasticStore::open(settings, parts).expect_err("is refused");
        let text = weir_foundation::failure::chain(&error).to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
    }
}
