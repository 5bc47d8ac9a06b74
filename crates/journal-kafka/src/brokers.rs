//! The addresses under which brokers are found, which may become others while the journal is open.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use crate::native;

/// Addresses of some brokers, from which the others are learned. Clones are the same.
///
/// Clients that are told of other addresses keep the ones that they know: librdkafka can not be made to forget
/// one. Whoever knows no broker that answers tries all of them.
#[derive(Clone, Default)]
pub struct Brokers {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    addresses: Vec<String>,
    clients: Vec<Teller>,
}

/// Tells one client of addresses, unless there are none; whether it still lives.
type Teller = Box<dyn Fn(&str) -> bool + Send>;

impl Brokers {
    /// From now on brokers are found there.
    pub fn are_at(&self, addresses: Vec<String>) {
        let mut state = self.state();
        if state.addresses == addresses {
            return;
        }
        let text = addresses.join(",");
        state.addresses = addresses;
        state.clients.retain(|tell| tell(&text));
    }

    /// Where they are found.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.state().addresses.clone()
    }

    /// The client, which was made with the addresses of a moment ago, hears of all others as long as it lives.
    pub(crate) fn enlist<T: Send + Sync + 'static>(&self, client: &Arc<T>, add: fn(&T, &str)) {
        let client: Weak<T> = Arc::downgrade(client);
        let tell = move |addresses: &str| {
            let client = client.upgrade();
            if let Some(client) = client.as_ref().filter(|_| !addresses.is_empty()) {
                add(client, addresses);
            }
            client.is_some()
        };
        let mut state = self.state();
        tell(&state.addresses.join(","));
        state.clients.retain(|tell| tell(""));
        state.clients.push(Box::new(tell));
    }

    pub(crate) fn enlist_consumer<C: ConsumerContext + 'static>(&self, consumer: &Arc<BaseConsumer<C>>) {
        self.enlist(consumer, |consumer, addresses| native::add_brokers(consumer.client(), addresses));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Vec<String>> for Brokers {
    fn from(addresses: Vec<String>) -> Self {
        let brokers = Self::default();
        brokers.are_at(addresses);
        brokers
    }
}

/// `a:9092,b:9092`
impl fmt::Display for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.state().addresses.join(","))
    }
}

impl fmt::Debug for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Brokers").field(&self.state().addresses).finish()
    }
}

impl PartialEq for Brokers {
    fn eq(&self, other: &Self) -> bool {
        self.addresses() == other.addresses()
    }
}

impl Eq for Brokers {}

#[cfg(test)]
mod tests {
    use super::*;

    type Heard = Mutex<Vec<String>>;

    fn hear(heard: &Heard, addresses: &str) {
        heard.lock().expect("nobody panics").push(addresses.to_owned());
    }

    #[test]
    fn clients_hear_where_brokers_are_as_long_as_they_live() {
        let brokers = Brokers::from(vec!["a:1".to_owned()]);
        let (one, other) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
        brokers.enlist(&one, hear);
        brokers.are_at(vec!["a:1".to_owned()]);
        brokers.are_at(vec!["b:1".to_owned(), "c:1".to_owned()]);
        brokers.enlist(&other, hear);
        let heard = |client: &Arc<Heard>| client.lock().expect("nobody panics").clone();
        assert_eq!(heard(&one), ["a:1", "b:1,c:1"], "and nothing twice");
        assert_eq!(heard(&other), ["b:1,c:1"]);
        drop(one);
        brokers.are_at(vec!["d:1".to_owned()]);
        assert_eq!(heard(&other), ["b:1,c:1", "d:1"]);
        assert_eq!(brokers.state().clients.len(), 1);
        assert_eq!((brokers.to_string(), brokers.addresses()), ("d:1".to_owned(), vec!["d:1".to_owned()]));
    }
}
