use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_auth::access_key::KeyId;
use weir_fleet::{
    CertificateView, ConfigurationHash, FailedConfiguration, Labels, OperatorName, ReportView,
    RevocationReason, Revoked, Selector,
};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn now() -> SystemTime {
    UNIX_EPOCH + 1_000 * HOUR
}

fn app(name: &str) -> AppName {
    AppName::new(name).expect("is legal")
}

/// An agent that is well: it runs what it should, and joined six hours ago for a day.
fn well() -> Picture {
    let wanted = configuration(4, "inputs: []");
    let certificate = CertificateView {
        serial: "1".to_owned(),
        thumbprint: "A".repeat(43).parse().expect("is one"),
        pin: format!("sha256:{}", "0".repeat(64)).parse().expect("is one"),
        issued: now() - 6 * HOUR,
        not_after: now() + 18 * HOUR,
    };
    let status = AgentStatus { inputs: vec![input("/a", "shop", 0)], ..AgentStatus::default() };
    let said = Report { running: Some(wanted.hash.clone()), status: Some(status), ..Report::default() };
    let attending = Some(Attendance { session: 1, since: now() - HOUR, takeovers: 0 });
    let view = AgentView {
        name: AgentName::new("web-1").expect("is legal"),
        state: AgentState::Good,
        apps: vec![app("shop"), app("bank")],
        labels: Labels::default(),
        seal: false,
        access_key: KeyId::random(),
        joined: now() - 6 * HOUR,
        generation: 1,
        certificate: Some(certificate),
        report: Some(ReportView { seen: now() - Duration::from_secs(5), attending, said: Some(said) }),
    };
    Picture { view, wanted: Some(wanted), off: Vec::new() }
}

fn configuration(revision: u64, text: &str) -> ConfigurationView {
    ConfigurationView {
        revision,
        selector: Selector::everybody(),
        hash: ConfigurationHash::of(text),
        text: text.into(),
        made: now(),
        made_by: operator(),
        note: String::new(),
        restores: None,
    }
}

fn operator() -> OperatorName {
    OperatorName::new("ann").expect("is legal")
}

fn input(name: &str, app: &str, lag_seconds: u64) -> InputStatus {
    InputStatus {
        name: name.to_owned(),
        app: app.to_owned(),
        lag_bytes: lag_seconds * 1_000,
        lag_millis: lag_seconds * 1_000,
        ..InputStatus::default()
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Picture), state: api::AgentState, why: Option<&str>) {
    let mut picture = well();
    change(&mut picture);
    assert_eq!(picture.standing(now()), (state, why.map(str::to_owned)));
}

fn status(picture: &mut Picture) -> &mut AgentStatus {
    said(picture).status.as_mut().expect("it is well")
}

fn attending(picture: &mut Picture) -> &mut Option<Attendance> {
    &mut picture.view.report.as_mut().expect("it is well").attending
}

fn said(picture: &mut Picture) -> &mut Report {
    picture.view.report.as_mut().and_then(|report| report.said.as_mut()).expect("it is well")
}

fn revoked(reason: RevocationReason) -> impl FnOnce(&mut Picture) {
    move |picture| picture.view.state = AgentState::Revoked(Revoked { at: now(), reason })
}

#[test]
fn one_that_is_well_says_only_what_is_odd() {
    use api::AgentState::Ok;
    check(|_| {}, Ok, None);
    check(|picture| status(picture).inputs = vec![input("/a", "shop", 59)], Ok, None);
    check(|picture| picture.wanted = None, Ok, Some("has nothing to run: no configuration fits its labels"));
    let reads_its_own = |picture: &mut Picture| {
        picture.wanted = None;
        said(picture).own_inputs = true;
    };
    check(reads_its_own, Ok, None);
    check(
        |picture| picture.wanted = Some(configuration(5, "new")),
        Ok,
        Some("has not said yet that it runs revision 5"),
    );
    let replaced = |takeovers: u32, ago: u64| {
        move |picture: &mut Picture| {
            *attending(picture) =
                Some(Attendance { session: 9, since: now() - Duration::from_secs(ago), takeovers });
        }
    };
    let rivals = "was replaced by itself 4 times in a minute: its connection breaks, or two have its folder or its key";
    check(replaced(4, 5), Ok, Some(rivals));
    check(replaced(3, 5), Ok, None);
    check(replaced(4, 61), Ok, None);
    let own = |picture: &mut Picture| {
        picture.wanted = Some(configuration(5, "new"));
        said(picture).own_inputs = true;
        assert_eq!(picture.progress(), None, "it does not count for a configuration");
    };
    check(own, Ok, Some("runs the inputs of its own settings, and not revision 5"));
    check(|picture| status(picture).clock_skew_millis = 30_000, Ok, Some("its clock is 30s ahead"));
    check(|picture| status(picture).clock_skew_millis = -7_200_000, Ok, Some("its clock is 2h behind"));
    check(|picture| status(picture).clock_skew_millis = 29_999, Ok, None);
    let ends_in = |left: Duration| {
        move |picture: &mut Picture| {
            let certificate = picture.view.certificate.as_mut().expect("it is well");
            (certificate.issued, certificate.not_after) = (now() + left - 24 * HOUR, now() + left);
        }
    };
    check(ends_in(7 * HOUR), Ok, None);
    check(ends_in(5 * HOUR), Ok, Some("its certificate ends in 5h and was not renewed yet"));
    // What it has not said yet is not held against it.
    check(|picture| said(picture).status = None, Ok, None);
}

#[test]
fn one_that_is_late_says_what_waits() {
    use api::AgentState::Late;
    let waits = |error: &'static str| {
        move |picture: &mut Picture| {
            let worst = InputStatus { last_error: error.to_owned(), ..input("/b", "shop", 600) };
            status(picture).inputs = vec![input("/a", "shop", 60), worst, input("/c", "shop", 70)];
        }
    };
    check(waits(""), Late, Some("585.9 KiB of `/b` wait for 10m"));
    check(waits("rate-limited"), Late, Some("585.9 KiB of `/b` wait for 10m: rate-limited"));
    check(|picture| status(picture).error = "the disk is full".to_owned(), Late, Some("the disk is full"));
}

#[test]
fn one_that_is_away_says_since_when() {
    use api::AgentState::Away;
    check(|picture| *attending(picture) = None, Away, Some("not connected, seen 5s ago"));
    let never = |picture: &mut Picture| picture.view.report = None;
    check(never, Away, Some("not seen since it joined 6h ago"));
    let ended = |picture: &mut Picture| {
        *attending(picture) = None;
        picture.view.certificate.as_mut().expect("it is well").not_after = now() - 2 * HOUR;
    };
    let why = "not connected, seen 5s ago; its certificate ended 2h ago, it asks for a new one by itself";
    check(ended, Away, Some(why));
}

#[test]
fn one_that_is_refused_says_for_which_app() {
    use api::AgentState::{Ok, Refused};
    let off = |name: &'static str| {
        move |picture: &mut Picture| picture.off = vec![Off { app: app(name), why: "is disabled" }]
    };
    check(off("shop"), Refused, Some("app `shop` is disabled: nothing of it is taken"));
    // It reads nothing for that one.
    check(off("bank"), Ok, None);
    let reads_nothing_yet = |picture: &mut Picture| {
        off("bank")(picture);
        status(picture).inputs.clear();
    };
    check(reads_nothing_yet, Refused, Some("app `bank` is disabled: nothing of it is taken"));
}

#[test]
fn one_whose_configuration_failed_says_what_it_runs() {
    use api::AgentState::{FailedConfiguration as Failed, Ok};
    let fails = |text: &'static str| {
        move |picture: &mut Picture| {
            picture.wanted = Some(configuration(5, "new"));
            let hash = ConfigurationHash::of(text);
            said(picture).failed = Some(FailedConfiguration { hash, reason: "no such folder".to_owned() });
        }
    };
    check(fails("new"), Failed, Some("revision 5 does not work, it runs the one before: no such folder"));
    let runs_none = |picture: &mut Picture| {
        fails("new")(picture);
        said(picture).running = None;
    };
    check(runs_none, Failed, Some("revision 5 does not work, it runs none: no such folder"));
    // It failed with another one before.
    check(fails("old"), Ok, Some("has not said yet that it runs revision 5"));
}

#[test]
fn one_that_is_out_says_by_whom() {
    use api::AgentState::Revoked;
    let by = operator();
    let note = |note: &str| RevocationReason::Operator { by: operator(), note: note.to_owned() };
    check(revoked(note("")), Revoked, Some("revoked by `ann`"));
    check(revoked(note("stolen")), Revoked, Some("revoked by `ann`: stolen"));
    let key = RevocationReason::AccessKey { by: by.clone() };
    check(revoked(key), Revoked, Some("revoked by `ann`, with the access key that it joined with"));
    let cloned = RevocationReason::Cloned { how: "an old certificate was renewed".to_owned() };
    check(
        revoked(cloned),
        Revoked,
        Some("two had its key, and both are out: an old certificate was renewed"),
    );
    check(revoked(RevocationReason::Forgotten { by }), Revoked, Some("forgotten by `ann`"));
}

#[test]
fn the_first_state_that_fits_counts() {
    let mut picture = well();
    let mut states = vec![picture.standing(now()).0];
    status(&mut picture).inputs[0].lag_millis = 600_000;
    states.push(picture.standing(now()).0);
    picture.wanted = Some(configuration(5, "new"));
    let failed = FailedConfiguration { hash: ConfigurationHash::of("new"), reason: String::new() };
    said(&mut picture).failed = Some(failed);
    states.push(picture.standing(now()).0);
    picture.off = vec![Off { app: app("shop"), why: "is disabled" }];
    states.push(picture.standing(now()).0);
    *attending(&mut picture) = None;
    states.push(picture.standing(now()).0);
    revoked(RevocationReason::Forgotten { by: operator() })(&mut picture);
    states.push(picture.standing(now()).0);
    use api::AgentState::{Away, FailedConfiguration as Failed, Late, Ok, Refused, Revoked};
    assert_eq!(states, [Ok, Late, Failed, Refused, Away, Revoked]);
}
