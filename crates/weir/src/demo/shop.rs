//! The shop itself: requests of visitors, told by the services that they pass. The same seed makes the same
//! shop, event by event.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::incident::Incident;

/// What an event says.
pub(super) type Content = Map<String, Value>;

#[derive(Debug)]
pub(super) struct Shop {
    rng: ChaCha8Rng,
    incident: Option<Incident>,
    orders: u64,
    /// Events of the request that is being told, the last first.
    story: Vec<Content>,
}

/// One thing that visitors do.
struct Action {
    /// Of all requests, in percent; the sum of all is 100.
    share: u32,
    method: &'static str,
    path: &'static str,
    /// Who does the work behind the gateway.
    service: &'static str,
    message: &'static str,
    /// Usual milliseconds.
    latency: f64,
}

const ACTIONS: [Action; 8] = [
    Action {
        share: 34,
        method: "GET",
        path: "/products",
        service: "catalog",
        message: "listed products",
        latency: 18.0,
    },
    Action {
        share: 24,
        method: "GET",
        path: "/products/{id}",
        service: "catalog",
        message: "showed product",
        latency: 7.0,
    },
    Action {
        share: 13,
        method: "GET",
        path: "/search",
        service: "search",
        message: "searched products",
        latency: 41.0,
    },
    Action {
        share: 10,
        method: "POST",
        path: "/cart/items",
        service: "cart",
        message: "added item to cart",
        latency: 11.0,
    },
    Action { share: 7, method: "GET", path: "/cart", service: "cart", message: "showed cart", latency: 6.0 },
    Action {
        share: 5,
        method: "POST",
        path: "/login",
        service: "users",
        message: "logged in",
        latency: 92.0,
    },
    Action {
        share: 4,
        method: "GET",
        path: "/healthz",
        service: "gateway",
        message: "healthy",
        latency: 0.4,
    },
    Action {
        share: 3,
        method: "POST",
        path: "/checkout",
        service: "checkout",
        message: "placed order",
        latency: 160.0,
    },
];

const REGIONS: [&str; 3] = ["eu-west", "eu-central", "us-east"];
const AGENTS: [&str; 4] = ["firefox", "chrome", "safari", "shop-app/4.2"];
const WORDS: [&str; 8] =
    ["lamp", "walnut desk", "mug", "rain jacket", "tea", "bike light", "notebook", "headphones"];

impl Shop {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), incident: None, orders: 1_000, story: Vec::new() }
    }

    /// The next event.
    pub(super) fn event(&mut self) -> Content {
        loop {
            if let Some(event) = self.story.pop() {
                return event;
            }
            self.request();
            self.story.reverse();
        }
    }

    /// Tells one request, from the service that did the work to the gateway that answered.
    fn request(&mut self) {
        let action = self.action();
        let visit = self.visit();
        self.incident = match self.incident {
            Some(incident) => incident.after_request(),
            None => Incident::maybe(&mut self.rng),
        };
        // Half of the requests to the service in trouble go well all the same.
        let touched = self.incident.filter(|incident| {
            let passes = action.service == incident.kind.service()
                || (action.service == "checkout" && incident.kind.service() == "payment");
            passes && self.rng.random_bool(0.5)
        });
        let (status, latency) = match touched {
            Some(incident) => self.fail(&visit, incident),
            None => self.succeed(&visit, action),
        };
        let mut gateway = visit.clone();
        let level = if status >= 500 {
            "error"
        } else if status >= 400 {
            "warn"
        } else {
            "info"
        };
        fill(&mut gateway, "gateway", level, "answered request");
        gateway.insert("method".into(), action.method.into());
        gateway.insert("path".into(), self.path(action).into());
        gateway.insert("status".into(), status.into());
        gateway.insert("latency_ms".into(), round(latency + self.rng.random_range(0.2..2.0)).into());
        gateway.insert("agent".into(), AGENTS[self.rng.random_range(0..AGENTS.len())].into());
        self.story.push(gateway);
    }

    fn fail(&mut self, visit: &Content, incident: Incident) -> (u16, f64) {
        let latency = incident.kind.latency(&mut self.rng);
        let mut event = visit.clone();
        fill(&mut event, incident.kind.service(), "error", incident.kind.message());
        event.insert("latency_ms".into(), round(latency).into());
        event.insert("attempt".into(), self.rng.random_range(1..=3).into());
        self.story.push(event);
        (incident.kind.status(), latency)
    }

    fn succeed(&mut self, visit: &Content, action: &Action) -> (u16, f64) {
        let latency = action.latency * (0.4 + self.rng.random_range(0.0..1.0_f64).powi(4) * 6.0);
        let mut event = visit.clone();
        fill(&mut event, action.service, "info", action.message);
        event.insert("latency_ms".into(), round(latency).into());
        let mut status = 200;
        match action.service {
            "search" => {
                event.insert("query".into(), WORDS[self.rng.random_range(0..WORDS.len())].into());
                event.insert("results".into(), self.rng.random_range(0..120).into());
            }
            "users" if self.rng.random_bool(0.08) => {
                status = 401;
                fill(&mut event, "users", "warn", "login refused: wrong password");
            }
            "checkout" => self.order(visit, &mut event),
            "gateway" => return (status, latency),
            _ if self.rng.random_bool(0.01) => {
                status = 404;
                fill(&mut event, action.service, "warn", "no such product");
            }
            _ => {}
        }
        if latency > action.latency * 5.0 {
            event.insert("slow".into(), true.into());
        }
        self.story.push(event);
        (status, latency)
    }

    fn order(&mut self, visit: &Content, event: &mut Content) {
        self.orders += 1;
        let order = format!("o-{}", self.orders);
        let cents = self.rng.random_range(490..48_000);
        let total = json!({ "amount": f64::from(cents) / 100.0, "currency": "EUR" });
        let mut payment = visit.clone();
        fill(&mut payment, "payment", "info", "authorized payment");
        payment.insert("order".into(), order.clone().into());
        payment.insert("total".into(), total.clone());
        payment.insert("latency_ms".into(), round(self.rng.random_range(30.0..140.0)).into());
        self.story.push(payment);
        event.insert("order".into(), order.into());
        event.insert("items".into(), self.rng.random_range(1..6).into());
        event.insert("total".into(), total);
    }

    fn action(&mut self) -> &'static Action {
        let mut draw = self.rng.random_range(0..100);
        for action in &ACTIONS {
            if draw < action.share {
                return action;
            }
            draw -= action.share;
        }
        &ACTIONS[0]
    }

    fn visit(&mut self) -> Content {
        let mut visit = Map::new();
        visit.insert("request_id".into(), format!("{:016x}", self.rng.next_u64()).into());
        visit.insert("user".into(), format!("u-{}", self.rng.random_range(1..5_000)).into());
        visit.insert("region".into(), REGIONS[self.rng.random_range(0..REGIONS.len())].into());
        visit
    }

    fn path(&mut self, action: &Action) -> String {
        action.path.replace("{id}", &self.rng.random_range(1..900).to_string())
    }
}

fn fill(event: &mut Content, service: &str, level: &str, message: &str) {
    event.insert("service".into(), service.into());
    event.insert("level".into(), level.into());
    event.insert("message".into(), message.into());
}

fn round(milliseconds: f64) -> f64 {
    (milliseconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(seed: u64, count: usize) -> Vec<Content> {
        let mut shop = Shop::new(seed);
        (0..count).map(|_| shop.event()).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_shop() {
        assert_eq!(events(7, 500), events(7, 500));
        assert_ne!(events(7, 500), events(8, 500));
    }

    #[test]
    fn the_shares_of_actions_are_whole() {
        assert_eq!(ACTIONS.iter().map(|action| action.share).sum::<u32>(), 100);
    }

    #[test]
    fn every_event_says_who_what_and_how_bad() {
        for event in events(1, 2_000) {
            for field in ["service", "level", "message", "request_id", "latency_ms"] {
                assert!(event.contains_key(field), "no `{field}` in {event:?}");
            }
        }
    }

    #[test]
    fn trouble_comes_and_goes() {
        let errors = |events: &[Content]| events.iter().filter(|event| event["level"] == "error").count();
        let events = events(3, 60_000);
        let errors = errors(&events);
        assert!((20..6_000).contains(&errors), "{errors} errors of {}", events.len());
    }

    #[test]
    fn an_event_looks_like_one_of_a_shop() {
        let first: Vec<String> =
            events(1, 4).into_iter().map(|event| Value::Object(event).to_string()).collect();
        insta::assert_snapshot!(first.join("\n"));
    }
}
