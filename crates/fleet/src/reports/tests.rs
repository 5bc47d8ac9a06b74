use std::time::UNIX_EPOCH;

use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn report(seen: u64, generation: u64, said: Option<&str>) -> ReportDocument {
    let said = said.map(|version| Report { version: version.to_owned(), ..Report::default() });
    ReportDocument { life: at(1), seen: at(seen), generation, said }
}

#[test]
fn the_newest_of_two_is_told() {
    let check = |one: ReportDocument, other: ReportDocument, expected: ReportDocument| {
        assert_eq!(merged(&one, &other), expected);
        assert_eq!(merged(&other, &one), expected);
    };
    check(report(5, 2, Some("a")), report(9, 1, Some("b")), report(9, 2, Some("b")));
    check(report(5, 2, Some("a")), report(9, 3, None), report(9, 3, Some("a")));
    check(report(5, 2, None), report(9, 3, None), report(9, 3, None));
}

#[test]
fn texts_are_cut_between_characters() {
    let check = |text: &str, bytes: usize, expected: &str| assert_eq!(cut(text, bytes), expected);
    check("", 5, "");
    check("abc", 5, "abc");
    check("abc", 2, "ab");
    check("aä", 2, "a");
    check("\u{1f375}", 3, "");
    let long = Report {
        version: "v".repeat(100),
        last_error: Some("ä".repeat(2_000)),
        failed: Some(FailedConfiguration { hash: ConfigurationHash::of(""), reason: "r".repeat(5_000) }),
        ..Report::default()
    };
    let cut = long.cut();
    assert_eq!(cut.version.len(), 64);
    assert_eq!(cut.last_error.map(|text| text.len()), Some(1024));
    assert_eq!(cut.failed.map(|failed| failed.reason.len()), Some(1024));
}

#[test]
fn each_agent_is_written_once_a_minute() {
    let reports = Reports::default();
    let agent = AgentName::new("node").expect("legal");
    let due = |now: u64| {
        let due = reports.due(at(now));
        for (agent, report) in &due {
            reports.written(agent, report, at(now));
        }
        due.len()
    };
    assert_eq!(due(10), 0);
    reports.saw(&agent, at(1), 1, at(10));
    assert_eq!((due(10), due(11), due(80)), (1, 0, 0), "nothing new");
    reports.saw(&agent, at(1), 1, at(85));
    assert_eq!((due(85), due(86)), (1, 0));
    reports.saw(&agent, at(1), 1, at(90));
    assert_eq!((due(144), due(145), due(300)), (0, 1, 0));
    // What is heard while it is written comes later.
    reports.saw(&agent, at(1), 1, at(300));
    let written = reports.due(at(300));
    reports.saw(&agent, at(1), 2, at(301));
    reports.written(&agent, &written[0].1, at(302));
    assert_eq!((due(303), due(362)), (0, 1));
    // Another life of the name begins anew.
    reports.saw(&agent, at(400), 1, at(401));
    assert_eq!(reports.get(&agent).map(|report| (report.generation, report.life)), Some((1, at(400))));
    assert_eq!(due(401), 1);
}
