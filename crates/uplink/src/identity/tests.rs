use std::os::unix::fs::PermissionsExt as _;

use weir_auth::InstanceId;
use weir_auth::pki::{Authority, CheckedRequest};
use weir_foundation::clock::ManualClock;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// An instance that gives certificates to whoever asks.
struct Instance {
    root: Authority,
    issuing: Authority,
}

impl Instance {
    fn new(now: SystemTime) -> Self {
        let root = Authority::root(&InstanceId::random(), now, 300 * DAY).expect("it can be made");
        let issuing = root.intermediate(now, 90 * DAY).expect("it can be made");
        Self { root, issuing }
    }

    fn credentials(&self, request: &[u8], agent: &str, generation: u64, now: SystemTime) -> Credentials {
        let request = CheckedRequest::read(request).expect("it is one");
        let agent = weir_auth::AgentName::new(agent).expect("a name");
        let own = self.issuing.issue_agent(&request, &agent, now, DAY).expect("it can be issued");
        let chain = [own, self.issuing.chain()[0].clone()];
        Credentials {
            chain: chain.iter().map(|certificate| certificate.der().to_vec()).collect(),
            roots: vec![self.root.certificate().der().to_vec()],
            generation,
            not_after: seconds(chain[0].not_after()),
        }
    }

    fn enrolment(&self, request: &[u8], now: SystemTime) -> EnrolResponse {
        EnrolResponse {
            instance: self.root.instance().to_string(),
            agent: "web-3".to_owned(),
            credentials: Some(self.credentials(request, "web-3", 1, now)),
            servers: vec!["one:8083".to_owned(), "two:8083".to_owned()],
            apps: vec!["shop".to_owned()],
            seal: Vec::new(),
        }
    }
}

fn key() -> AccessKey {
    let root = Authority::root(&InstanceId::random(), start(), DAY).expect("it can be made");
    AccessKey {
        enrol: vec!["weir.example:8084".to_owned()],
        id: weir_auth::access_key::KeyId::random(),
        secret: weir_auth::secret::random_text(),
        pins: vec![root.certificate().pin()],
        seal: None,
    }
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A folder whose node is enrolled.
fn enrolled(folder: &Path, instance: &Instance, clock: &ManualClock) -> IdentityFile {
    let key = key();
    let mut candidate = Candidate::open(folder, Some(&key)).expect("it is new").expect("there is a key");
    let request = candidate.request().expect("the key is good");
    candidate.enrolled(instance.enrolment(&request, clock.now()), &key, clock.now()).expect("it is good");
    candidate.file(Arc::new(clock.clone()), DAY).expect("it is enrolled")
}

#[test]
fn the_same_is_asked_again_until_there_is_an_answer() {
    let folder = tempfile::tempdir().expect("there is space");
    assert!(Candidate::open(folder.path(), None).expect("it is empty").is_none());
    let same = key();
    let ask = || {
        let candidate = Candidate::open(folder.path(), Some(&same)).expect("it can be read");
        let request = candidate.expect("there is a key").request().expect("it is good");
        CheckedRequest::read(&request).expect("it is one").pin()
    };
    assert_eq!(ask(), ask(), "an answer that got lost");
    assert!(!is_enrolled(folder.path()));
    let mode = folder.path().join(JOINING).metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn who_is_enrolled_needs_no_key_any_more() {
    let (folder, clock) = (tempfile::tempdir().expect("there is space"), ManualClock::new(start()));
    let instance = Instance::new(start());
    let file = enrolled(folder.path(), &instance, &clock);
    assert!(is_enrolled(folder.path()));
    assert_eq!((file.agent(), file.apps()), ("web-3".to_owned(), vec!["shop".to_owned()]));
    let again = Candidate::open(folder.path(), None).expect("it can be read").expect("it is enrolled");
    let again = again.file(Arc::new(clock.clone()), DAY).expect("it is enrolled");
    let addresses: Vec<String> =
        (0..3).map(|attempt| again.way(Turn { attempt, failures: 0 }).expect("it is good").0).collect();
    assert_eq!(addresses, ["one:8083", "two:8083", "one:8083"]);
    assert!(!format!("{file:?}").contains("key"), "{file:?}");
}

#[test]
fn whom_to_seal_for_stands_in_the_access_key() {
    let (clock, instance) = (ManualClock::new(start()), Instance::new(start()));
    let [one, other] = [1, 2].map(|byte| SealPublic::try_from(&[byte; 32][..]).expect("it has the length"));
    let check = |known: Option<SealPublic>, told: &[u8], is_taken: bool| {
        let folder = tempfile::tempdir().expect("there is space");
        let key = AccessKey { seal: known, ..key() };
        let mut candidate = Candidate::open(folder.path(), Some(&key)).expect("it is new").expect("a key");
        let request = candidate.request().expect("the key is good");
        let answer = EnrolResponse { seal: told.to_vec(), ..instance.enrolment(&request, clock.now()) };
        let outcome = candidate.enrolled(answer, &key, clock.now());
        assert_eq!(outcome.is_ok(), is_taken, "{told:?}");
        assert!(is_taken || matches!(outcome, Err(IdentityError::OtherSeal)), "{outcome:?}");
        assert_eq!(is_enrolled(folder.path()), is_taken);
    };
    check(None, b"", true);
    check(Some(one), one.as_bytes(), true);
    check(Some(one), b"", false);
    check(Some(one), other.as_bytes(), false);
    check(Some(one), &one.as_bytes()[1..], false);
    check(None, one.as_bytes(), false);
}

#[test]
fn who_comes_with_another_key_joins_anew() {
    let (folder, clock) = (tempfile::tempdir().expect("there is space"), ManualClock::new(start()));
    let instance = Instance::new(start());
    enrolled(folder.path(), &instance, &clock);
    let other = Candidate::open(folder.path(), Some(&key())).expect("it can be read");
    assert!(!other.expect("there is a key").is_enrolled());
    // As long as it is not another one, it is who it was.
    let former = Candidate::open(folder.path(), None).expect("it can be read");
    assert!(former.expect("it is there").is_enrolled());
}

#[test]
fn a_renewal_that_is_interrupted_goes_on_with_the_same_key() {
    let (folder, clock) = (tempfile::tempdir().expect("there is space"), ManualClock::new(start()));
    let instance = Instance::new(start());
    let file = enrolled(folder.path(), &instance, &clock);
    let first = file.renew_at(clock.monotonic(), clock.now());
    let part = first.duration_since(clock.monotonic()).as_secs_f64() / DAY.as_secs_f64();
    assert!((0.5..0.7).contains(&part), "{part}");
    let pin = |request: &[u8]| CheckedRequest::read(request).expect("it is one").pin();
    let (generation, request) = file.request().expect("it can be written");
    let reopened = Candidate::open(folder.path(), None).expect("it can be read").expect("it is enrolled");
    let reopened = reopened.file(Arc::new(clock.clone()), DAY).expect("it is enrolled");
    let (again, same) = reopened.request().expect("it can be written");
    assert_eq!((generation, pin(&request)), (again, pin(&same)));
    clock.advance(DAY / 2);
    let credentials = instance.credentials(&same, "web-3", 2, clock.now());
    let answer = RenewResponse { credentials: Some(credentials), servers: Vec::new() };
    reopened.renewed(answer, clock.now()).expect("it is good");
    assert!(reopened.not_after() > start() + DAY);
    assert_eq!(reopened.servers().len(), 2, "they stay");
    let (generation, next) = reopened.request().expect("it can be written");
    assert_eq!(generation, 2);
    assert_ne!(pin(&next), pin(&same));
}

#[test]
fn new_servers_may_be_wrong_until_one_was_reached() {
    let (folder, clock) = (tempfile::tempdir().expect("there is space"), ManualClock::new(start()));
    let instance = Instance::new(start());
    let file = enrolled(folder.path(), &instance, &clock);
    let (_, request) = file.request().expect("it can be written");
    let credentials = Some(instance.credentials(&request, "web-3", 2, clock.now()));
    let answer = RenewResponse { credentials, servers: vec!["three:8083".to_owned()] };
    file.renewed(answer, clock.now()).expect("it is good");
    assert_eq!(file.servers(), ["three:8083"]);
    let asked = || {
        let known = Candidate::open(folder.path(), None).expect("it can be read").expect("it is there");
        let known = known.file(Arc::new(clock.clone()), DAY).expect("it is enrolled");
        [0, 1].map(|failures| known.way(Turn { attempt: failures, failures }).expect("it is good").0)
    };
    assert_eq!(asked(), ["three:8083", "one:8083"]);
    file.reached("three:8083");
    assert_eq!(asked(), ["three:8083", "three:8083"]);
}

#[test]
fn what_is_for_another_agent_or_key_is_refused_and_changes_nothing() {
    let (folder, clock) = (tempfile::tempdir().expect("there is space"), ManualClock::new(start()));
    let instance = Instance::new(start());
    let file = enrolled(folder.path(), &instance, &clock);
    let (_, request) = file.request().expect("it can be written");
    let other = PrivateKey::generate().request();
    let check = |credentials: Option<Credentials>| {
        let answer = RenewResponse { credentials, servers: Vec::new() };
        file.renewed(answer, clock.now()).expect_err("it is not ours");
    };
    check(None);
    check(Some(instance.credentials(&other, "web-3", 2, clock.now())));
    check(Some(instance.credentials(&request, "web-4", 2, clock.now())));
    check(Some(Instance::new(start()).credentials(&request, "web-3", 2, clock.now())));
    check(Some(Credentials { roots: Vec::new(), ..instance.credentials(&request, "web-3", 2, clock.now()) }));
    check(Some(Credentials {
        chain: vec![vec![1]],
        ..instance.credentials(&request, "web-3", 2, clock.now())
    }));
    assert_eq!(file.request().expect("it can be written").0, 1);
    let good = instance.credentials(&request, "web-3", 2, clock.now());
    file.renewed(RenewResponse { credentials: Some(good), servers: Vec::new() }, clock.now())
        .expect("it is ours");
}

#[test]
fn what_no_agent_wrote_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("there is space");
    let check = |text: &str, expected: &str| {
        fs::write(folder.path().join(NAME), text).expect("there is space");
        let error = Candidate::open(folder.path(), None).err().expect("it is refused").to_string();
        assert!(error.contains(expected) && error.contains(NAME), "{error}");
        assert!(is_enrolled(folder.path()));
    };
    check("", "not what an agent writes");
    check("{\"format\":1,\"joined_with\":\"\",\"enrolment\":[],\"key\":\"?\"}", "not what an agent writes");
    check(
        "{\"format\":2,\"joined_with\":\"\",\"enrolment\":[],\"key\":\"\"}",
        "has format 2, this weir knows 1",
    );
}

/// The key that is asked with is on disk before; the certificate may come later.
#[test]
fn a_full_disk_while_a_certificate_is_renewed_makes_no_copy() {
    let (folder, clock) = (tempfile::tempdir().expect("there is space"), ManualClock::new(start()));
    let instance = Instance::new(start());
    let file = enrolled(folder.path(), &instance, &clock);
    let draft = folder.path().join("identity.json.new");
    let fill = || fs::create_dir_all(draft.join("in-the-way")).expect("there is space");
    let free = || fs::remove_dir_all(&draft).expect("it is there");
    fill();
    for _ in 0..2 {
        file.request().expect_err("it can not be written down");
    }
    free();
    let (generation, request) = file.request().expect("there is space");
    fill();
    let ended = file.not_after();
    clock.advance(Duration::from_secs(3_600));
    let credentials = instance.credentials(&request, "web-3", 2, clock.now());
    let answer = RenewResponse { credentials: Some(credentials), servers: Vec::new() };
    file.renewed(answer, clock.now()).expect("it is used at once");
    assert!(file.not_after() > ended);
    free();
    // Another process knows the former certificate, and asks with the same key for the next one.
    let reopened = Candidate::open(folder.path(), None).expect("it can be read").expect("it is there");
    let reopened = reopened.file(Arc::new(clock.clone()), DAY).expect("it is enrolled");
    let (again, other) = reopened.request().expect("there is space");
    let pin = |request: &[u8]| CheckedRequest::read(request).expect("it is one").pin();
    assert_eq!((generation, pin(&request)), (again, pin(&other)));
}
