//! The control plane as operators ask for it.

mod access;
mod agents;
mod apps;
mod configurations;
mod keys;
mod operators;
mod pki;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use weir_foundation::clock::timeout;

use crate::world::World;

impl World {
    /// The answer to an operator, which is a success.
    async fn good(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.operate(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    async fn look(&self, path: &str) -> Value {
        self.good(Method::GET, path, None).await
    }

    async fn tell(&self, path: &str, body: Value) -> Value {
        self.good(Method::POST, path, Some(body)).await
    }

    /// A refusal by its code; gives the message.
    async fn refused(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        status: u16,
        code: &str,
    ) -> String {
        let (found, answer) = self.operate(method.clone(), path, body).await;
        let error = &answer["error"];
        assert_eq!(
            (found.as_u16(), error["code"].as_str()),
            (status, Some(code)),
            "{method} {path}: {answer}"
        );
        error["message"].as_str().expect("is a text").to_owned()
    }

    async fn agent(&self, name: &str) -> Value {
        self.look(&format!("/api/v1/agents/{name}")).await
    }

    /// The agent as soon as it is so.
    async fn until(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let looking = async {
            loop {
                let agent = self.agent(name).await;
                if is_so(&agent) {
                    return agent;
                }
                self.clock.sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(&*self.clock, Duration::from_secs(20), looking).await.expect("it comes to that")
    }

    async fn key(&self, labels: Value) -> String {
        if self.operate(Method::GET, "/api/v1/apps/shop", None).await.0 != 200 {
            self.tell("/api/v1/apps", json!({ "app": "shop" })).await;
        }
        let key = json!({ "title": "web", "apps": ["shop"], "labels": labels, "uses": "unlimited" });
        text(&self.tell("/api/v1/keys", key).await["access_key"]).to_owned()
    }

    async fn removed(&self, path: &str) {
        let (status, _) = self.operate(Method::DELETE, path, None).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{path}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("is a text")
}
