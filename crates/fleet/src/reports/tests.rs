use std::time::UNIX_EPOCH;

use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn report(seen: u64, generation: u64, said: Option<&str>) -> ReportDocument {
    let said = said.map(|version| Report { version: version.to_owned(), ..Report::default() });
    ReportDocument { generation, said, ..ReportDocument::new(at(1), at(seen)) }
}

/// The session that began then.
fn attending(since: u64, report: ReportDocument) -> ReportDocument {
    ReportDocument {
        attendance: Some(Attendance { session: since, since: at(since), takeovers: 0 }),
        over: false,
        ..report
    }
}

fn over(report: ReportDocument) -> ReportDocument {
    ReportDocument { over: true, ..report }
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
    // It is where it came last, and nowhere if it left there, whatever the clocks of processes say.
    let (first, second) = (attending(4, report(50, 1, Some("a"))), attending(8, report(9, 1, Some("b"))));
    check(first.clone(), second.clone(), second.clone());
    check(over(first.clone()), second.clone(), second.clone());
    check(first.clone(), over(second.clone()), over(second.clone()));
    // A process to which it only showed who it is knows nothing of that.
    check(first.clone(), report(90, 2, None), ReportDocument { generation: 2, ..first.clone() });
    // One's own word is newer than what one wrote.
    assert_eq!(merged(&over(first.clone()), &first), over(first));
}

#[test]
fn texts_are_cut_between_characters() {
    let check = |text: &str, bytes: usize, expected: &str| assert_eq!(cut(text, bytes), expected);
    check("", 5, "");
    check("abc", 5, "abc");
    check("abc", 2, "ab");
    check("aä", 2, "a");
    check("\u{1f375}", 3, "");
}

/// Whatever an agent says, and however it is written.
#[test]
fn a_report_fits_into_a_document() {
    let long = || "\u{1}".repeat(5_000);
    let input = InputStatus {
        kind: long(),
        name: long(),
        app: long(),
        last_error: long(),
        files: u64::MAX,
        lag_bytes: u64::MAX,
        lag_millis: u64::MAX,
        stored_bytes: u64::MAX,
        lines: u64::MAX,
        errors: u64::MAX,
    };
    let said = Report {
        version: long(),
        host: long(),
        os: long(),
        own_inputs: true,
        offered: None,
        running: None,
        failed: Some(FailedConfiguration { hash: ConfigurationHash::of(""), reason: long() }),
        status: Some(AgentStatus { inputs: vec![input; 1_000], clock_skew_millis: i64::MIN, error: long() }),
    };
    let document = ReportDocument { said: Some(said.cut()), ..report(1, 1, None) };
    let bytes = encode(&document).len();
    assert!((weir_state::MAX_VALUE / 2..weir_state::MAX_VALUE).contains(&bytes), "{bytes}");
    let said = document.said.expect("it says something");
    assert_eq!(said.lag_bytes(), Some(u64::MAX));
    assert_eq!(said.last_error().map(str::len), Some(1024));
    assert_eq!(said.failed.map(|failed| failed.reason.len()), Some(1024));
}

#[test]
fn what_tells_how_an_agent_is_is_written_at_once() {
    let written = attending(1, report(100, 1, Some("a")));
    let due = |report: &ReportDocument| report.is_due(Some(&written));
    assert!(written.is_due(None));
    assert!(!due(&written));
    assert!(!due(&ReportDocument { seen: at(159), ..written.clone() }));
    assert!(due(&ReportDocument { seen: at(160), ..written.clone() }));
    assert!(due(&ReportDocument { generation: 2, ..written.clone() }));
    assert!(due(&over(written.clone())));
    assert!(due(&ReportDocument { attendance: None, ..written.clone() }));
    assert!(due(&attending(2, written.clone())));
    let says = |change: &dyn Fn(&mut Report)| {
        let mut report = ReportDocument { seen: at(103), ..written.clone() };
        change(report.said.as_mut().expect("it said something"));
        due(&report)
    };
    assert!(!says(&|said| said.status = Some(AgentStatus::default())));
    assert!(says(&|said| said.running = Some(ConfigurationHash::of("a"))));
    assert!(says(&|said| said.offered = Some(ConfigurationHash::of("a"))));
    let failed = FailedConfiguration { hash: ConfigurationHash::of("a"), reason: String::new() };
    assert!(says(&|said| said.failed = Some(failed.clone())));
    // One that says something else all the time is not written all the time.
    assert!(!due(&ReportDocument { said: None, seen: at(102), ..written.clone() }));
    assert!(due(&ReportDocument { said: None, seen: at(103), ..written.clone() }));
}

#[test]
fn who_is_not_heard_does_not_attend() {
    let report = attending(1, report(100, 1, None));
    let attends = |now: u64| report.view(at(now)).attending.is_some();
    assert_eq!((attends(50), attends(100), attends(250), attends(251)), (true, true, true, false));
}

#[test]
fn another_life_of_a_name_begins_anew() {
    let reports = Reports::default();
    let agent = AgentName::new("node").expect("legal");
    reports.saw(&agent, at(1), 7, at(2));
    reports.saw(&agent, at(400), 1, at(401));
    assert_eq!(reports.get(&agent).map(|report| (report.generation, report.life)), Some((1, at(400))));
}

#[test]
fn an_agent_leaves_where_it_attends() {
    let (reports, agent) = (Reports::default(), AgentName::new("node").expect("legal"));
    let attendance = |session| Attendance { session, since: at(session), takeovers: 0 };
    let attend = |session| {
        reports.note(&agent, at(1), at(session), |report| report.attendance = Some(attendance(session)));
    };
    let is_over = || reports.get(&agent).is_some_and(|report| report.over);
    attend(5);
    attend(9);
    reports.leaves(&agent, attendance(5));
    assert!(!is_over(), "it came again");
    reports.leaves(&agent, attendance(9));
    assert!(is_over());
}
