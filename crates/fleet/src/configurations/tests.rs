use super::*;
use crate::labels::Labels;
use weir_model::AppName;

#[test]
fn the_narrowest_and_then_the_newest_wins() {
    let check = |assignments: &[(&str, u64)], labels: &str, expected: Option<u64>| {
        let documents: Vec<Assignment> = assignments
            .iter()
            .map(|(selector, revision)| Assignment {
                selector: selector.parse().expect("legal"),
                revisions: vec![1, *revision],
            })
            .collect();
        let agent = AgentName::new("node-7").expect("legal");
        let apps = [AppName::new("shop").expect("legal")];
        let labels: Labels = labels.parse().expect("legal");
        let marked = Marked { agent: &agent, apps: &apps, labels: &labels };
        for order in [documents.clone(), documents.into_iter().rev().collect()] {
            let chosen = choose(order.iter(), marked).and_then(|chosen| chosen.revisions.last().copied());
            assert_eq!(chosen, expected, "{assignments:?} {labels}");
        }
    };
    check(&[], "zone=eu", None);
    check(&[("zone=us", 5)], "zone=eu", None);
    check(&[("*", 5)], "", Some(5));
    check(&[("*", 9), ("zone=eu", 5)], "zone=eu", Some(5));
    check(&[("*", 9), ("zone=us", 5)], "zone=eu", Some(9));
    check(&[("zone=eu", 9), ("zone=eu,rack=7", 5), ("*", 11)], "zone=eu,rack=7", Some(5));
    check(&[("zone=eu", 9), ("zone=eu,rack=8", 5), ("*", 11)], "zone=eu,rack=7", Some(9));
    check(&[("zone=eu", 5), ("rack=7", 9)], "zone=eu,rack=7", Some(9));
    check(&[("zone=eu", 9), ("rack=7", 5)], "zone=eu,rack=7", Some(9));
    check(&[("zone=eu", 9), ("agent=node-7", 12)], "zone=eu", Some(12));
    check(&[("zone=eu", 9), ("agent=node-8", 12)], "zone=eu", Some(9));
    check(&[("app=shop", 3), ("app=bank", 12)], "", Some(3));
}

#[test]
fn hashes_have_one_form() {
    let hash = ConfigurationHash::of("abc");
    assert_eq!(hash.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(hash.as_str().parse(), Ok(hash.clone()));
    for other in ["", "abc", &hash.as_str()[1..], &hash.as_str().to_uppercase()] {
        assert_eq!(other.parse::<ConfigurationHash>(), Err(IllegalHash), "{other}");
    }
}
