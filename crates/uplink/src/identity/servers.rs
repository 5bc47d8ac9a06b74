//! Where agents are taken, and where they were before.

use serde::{Deserialize, Serialize};

/// The servers of an agent. A list that is wrong cuts nobody off: those of before are asked as well until one of the list
/// has taken the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Servers {
    #[serde(rename = "servers")]
    present: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<String>,
}

/// Which attempt to connect it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Grows with each, from any number on.
    pub(crate) attempt: usize,
    /// How many have failed since one was good.
    pub(crate) failures: usize,
}

impl Servers {
    pub(crate) fn new(present: Vec<String>) -> Self {
        Self { present, former: Vec::new() }
    }

    pub(crate) fn present(&self) -> &[String] {
        &self.present
    }

    /// The server has said where agents are taken; nothing, if that stays.
    pub(crate) fn told(self, next: Vec<String>) -> Self {
        if next.is_empty() || next == self.present {
            return self;
        }
        // What nobody has reached is not where agents were taken.
        let before = if self.former.is_empty() { self.present } else { self.former };
        let former = before.into_iter().filter(|server| !next.contains(server)).collect();
        Self { present: next, former }
    }

    /// Another one for each attempt; of those of before every second one that follows a failure.
    pub(crate) fn at(&self, Turn { attempt, failures }: Turn) -> Option<&str> {
        let (list, place) = match (self.former.is_empty(), failures.is_multiple_of(2)) {
            (true, _) => (&self.present, attempt),
            (false, true) => (&self.present, attempt / 2),
            (false, false) => (&self.former, attempt / 2),
        };
        list.get(place.checked_rem(list.len())?).map(String::as_str)
    }

    /// The agent was taken there. Whether that is news.
    pub(crate) fn reached(&mut self, server: &str) -> bool {
        let is_news = !self.former.is_empty() && self.present.iter().any(|present| present == server);
        if is_news {
            self.former.clear();
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    /// Where an agent goes that connects in vain from now on.
    fn asked(servers: &Servers, attempts: usize) -> Vec<String> {
        let turn = |failures| Turn { attempt: 6 + failures, failures };
        (0..attempts).map(|failures| servers.at(turn(failures)).expect("there is one").to_owned()).collect()
    }

    #[test]
    fn each_attempt_goes_to_another_one() {
        let servers = Servers::new(list(&["a", "b"]));
        assert_eq!(asked(&servers, 3), ["a", "b", "a"]);
        assert_eq!(Servers::new(Vec::new()).at(Turn::default()), None);
    }

    #[test]
    fn those_of_before_are_asked_until_one_of_the_new_is_reached() {
        let servers = Servers::new(list(&["a", "b"])).told(list(&["b", "c", "d"]));
        assert_eq!(servers.present(), ["b", "c", "d"]);
        assert_eq!(asked(&servers, 6), ["b", "a", "c", "a", "d", "a"]);
        // One that was never reached does not take the place of those that were.
        let mut servers = servers.told(list(&["e"]));
        assert_eq!(asked(&servers, 3), ["e", "a", "e"]);
        assert!(!servers.reached("a"), "the new ones may be wrong as before");
        assert_eq!(asked(&servers, 2), ["e", "a"]);
        assert!(servers.reached("e") && !servers.reached("e"));
        assert_eq!(asked(&servers, 2), ["e", "e"]);
        assert_eq!(servers.clone().told(Vec::new()), servers);
        assert_eq!(servers.clone().told(list(&["e"])), servers);
    }

    #[test]
    fn a_file_of_before_has_no_former_ones() {
        let servers: Servers = serde_json::from_str(r#"{"servers": ["a"]}"#).expect("it is good");
        assert_eq!(servers, Servers::new(list(&["a"])));
        assert_eq!(serde_json::to_string(&servers).expect("is JSON"), r#"{"servers":["a"]}"#);
    }
}
