use proptest::prelude::*;

use super::*;
use crate::identity::{AgentName, InstanceId};

/// Both ends of a stream.
struct Stream {
    key: SealKey,
    offer: SealPublic,
    random: ServerRandom,
    agent: AgentIdentity,
    sealer: Sealer,
    opener: Opener,
}

fn agent(instance: &str, agent: &str) -> AgentIdentity {
    let instance = InstanceId::new(instance).expect("is legal");
    AgentIdentity { instance, agent: AgentName::new(agent).expect("is legal") }
}

fn stream_of(key: SealKey, offer: SealOffer, random: ServerRandom, agent: AgentIdentity) -> Stream {
    let public = offer.public();
    let sealer = offer.accepted(&key.public(), &random, &agent).expect("is no weak key");
    let opener = Opener::new(&key, &public, &random, &agent).expect("is no weak key");
    Stream { key, offer: public, random, agent, sealer, opener }
}

fn stream() -> Stream {
    let (key, offer) = (SealKey::generate(), SealOffer::generate());
    stream_of(key, offer, ServerRandom::generate(), agent("one", "node-7"))
}

/// Made with `cryptography` 48 for Python, by what stands at the top of the module.
#[test]
fn sealed_payloads_are_what_other_libraries_make() {
    let (key, offer) = (SealKey::from_bytes(&[2; 32]), SealOffer(StaticSecret::from([1; 32])));
    let mut stream = stream_of(key, offer, ServerRandom([3; 32]), agent("one", "node-7"));
    let mut check = |sequence, expected: &str| {
        let sealed = stream.sealer.seal(sequence, b"additional", b"a payload").expect("is sealed");
        assert_eq!(text::hex(&sealed), expected);
    };
    check(0, "7b7529db4f331f68227fd7c75c5e0c435434f7ffb0b83c7395");
    check(0x0102_0304_0506_0708, "0797a07f5ff9c8e7077b93e2f2115f33f9da3c0937a6de5c11");
}

#[test]
fn what_was_sealed_is_opened() {
    let mut stream = stream();
    let mut check = |sequence, payload: &[u8]| {
        let sealed = stream.sealer.seal(sequence, b"batch", payload).expect("is sealed");
        assert_eq!(sealed.len(), payload.len() + OVERHEAD);
        assert!(payload.len() < 16 || !sealed.windows(16).any(|bytes| bytes == &payload[..16]));
        assert_eq!(stream.opener.open(sequence, b"batch", &sealed).as_deref(), Ok(payload));
    };
    check(0, b"a payload");
    check(1, b"");
    check(2, &[7; 100_000]);
    check(1 << 40, b"after a gap");
    check(u64::MAX, b"the last one");
}

#[test]
fn the_same_payload_is_never_the_same_twice() {
    let (mut one, mut other) = (stream(), stream());
    let mut sealed = vec![
        one.sealer.seal(0, b"", b"payload").expect("is sealed"),
        one.sealer.seal(1, b"", b"payload").expect("is sealed"),
        other.sealer.seal(0, b"", b"payload").expect("is sealed"),
    ];
    sealed.sort();
    sealed.dedup();
    assert_eq!(sealed.len(), 3);
}

#[test]
fn no_sequence_is_used_twice() {
    let mut sealer = stream().sealer;
    assert!(sealer.seal(5, b"", b"payload").is_ok());
    for sequence in [5, 4, 0] {
        let expected = SealError::OutOfOrder { sequence, last: 5 };
        assert_eq!(sealer.seal(sequence, b"", b"payload"), Err(expected));
    }
    assert!(sealer.seal(6, b"", b"payload").is_ok());
}

#[test]
fn no_payload_is_opened_twice_or_late() {
    let mut stream = stream();
    let sealed: Vec<_> =
        (0..4).map(|sequence| stream.sealer.seal(sequence, b"", b"payload").expect("is sealed")).collect();
    let mut open =
        |sequence: u64, which: usize| stream.opener.open(sequence, b"", &sealed[which]).map(|_| ());
    assert_eq!(open(1, 1), Ok(()));
    assert_eq!(open(1, 1), Err(OpenError::OutOfOrder { sequence: 1, last: 1 }));
    assert_eq!(open(0, 0), Err(OpenError::OutOfOrder { sequence: 0, last: 1 }));
    // Under another number.
    assert_eq!(open(2, 1), Err(OpenError::Foreign));
    assert_eq!(open(2, 3), Err(OpenError::Foreign));
    assert_eq!(open(u64::MAX, 3), Err(OpenError::Foreign));
    assert_eq!(open(3, 3), Ok(()), "what was refused changed nothing");
    assert_eq!(open(2, 2), Err(OpenError::OutOfOrder { sequence: 2, last: 3 }));
}

#[test]
fn no_bit_can_be_changed() {
    let mut stream = stream();
    let sealed = stream.sealer.seal(7, b"batch", b"a payload").expect("is sealed");
    let mut refused = |sealed: &[u8]| {
        assert_eq!(stream.opener.open(7, b"batch", sealed), Err(OpenError::Foreign), "{sealed:?}");
    };
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        refused(&changed);
    }
    (0..sealed.len()).for_each(|end| refused(&sealed[..end]));
    refused(&sealed[1..]);
    refused(&[&sealed[..], &[0]].concat());
    refused(&[]);
    for additional in [&b""[..], b"batcH", b"batch2", b"batc"] {
        assert_eq!(stream.opener.open(7, additional, &sealed), Err(OpenError::Foreign));
    }
    assert_eq!(stream.opener.open(7, b"batch", &sealed).as_deref(), Ok(&b"a payload"[..]));
}

#[test]
fn a_payload_opens_in_its_own_stream_only() {
    let mut stream = stream();
    let sealed = stream.sealer.seal(0, b"", b"payload").expect("is sealed");
    let Stream { key, offer, random, agent: sender, .. } = &stream;
    let check =
        |key: &SealKey, offer: &SealPublic, random: &ServerRandom, agent: &AgentIdentity, good: bool| {
            let mut opener = Opener::new(key, offer, random, agent).expect("is no weak key");
            assert_eq!(opener.open(0, b"", &sealed).is_ok(), good);
        };
    check(key, offer, random, sender, true);
    check(&SealKey::generate(), offer, random, sender, false);
    check(key, &SealOffer::generate().public(), random, sender, false);
    check(key, offer, &ServerRandom::generate(), sender, false);
    check(key, offer, random, &agent("one", "node-8"), false);
    check(key, offer, random, &agent("two", "node-7"), false);
}

#[test]
fn names_do_not_run_into_each_other() {
    let key = SealKey::generate();
    let (offer, random) = ([1; 32], ServerRandom::generate());
    let mut sealer = SealOffer(StaticSecret::from(offer))
        .accepted(&key.public(), &random, &agent("one", "eu1"))
        .expect("is no weak key");
    let sealed = sealer.seal(0, b"", b"payload").expect("is sealed");
    let offer = SealOffer(StaticSecret::from(offer)).public();
    for (instance, name) in [("onee", "u1"), ("on", "eeu1"), ("one-", "eu1")] {
        let mut opener = Opener::new(&key, &offer, &random, &agent(instance, name)).expect("is no weak key");
        assert_eq!(opener.open(0, b"", &sealed), Err(OpenError::Foreign));
    }
}

/// The points of low order, as <https://cr.yp.to/ecdh.html> lists them.
#[test]
fn keys_that_everybody_knows_are_refused() {
    let points = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let points = points.map(|point| text::from_hex::<32>(point).expect("is hexadecimal"));
    // The highest bit does not count.
    let again = points.map(|mut point| {
        point[31] |= 0x80;
        point
    });
    for point in points.into_iter().chain(again) {
        let weak = SealPublic(point);
        let (random, agent) = (ServerRandom::generate(), agent("one", "node-7"));
        let opener = Opener::new(&SealKey::generate(), &weak, &random, &agent);
        assert_eq!(opener.map(|_| ()), Err(WeakKey), "{weak}");
        let sealer = SealOffer::generate().accepted(&weak, &random, &agent);
        assert_eq!(sealer.map(|_| ()), Err(WeakKey), "{weak}");
    }
}

#[test]
fn keys_can_be_kept_and_are_never_shown() {
    let key = SealKey::generate();
    let again = SealKey::from_bytes(&key.to_bytes());
    assert_eq!(again.public(), key.public());
    assert_ne!(SealKey::generate().public(), key.public());
    assert_ne!(SealOffer::generate().public(), SealOffer::generate().public());
    assert_ne!(ServerRandom::generate(), ServerRandom::generate());
    let Stream { sealer, opener, .. } = stream();
    let shown = format!("{key:?} {:?} {sealer:?} {opener:?}", SealOffer::generate());
    assert_eq!(shown, "SealKey(***) SealOffer(***) Sealer(***) Opener(***)");
}

#[test]
fn public_keys_have_one_text() {
    let public = SealPublic([7; 32]);
    assert_eq!(public.to_string(), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
    assert_eq!(public.to_string().parse(), Ok(public));
    for other in ["", "BwcH", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd", &format!("{public}=")] {
        assert_eq!(other.parse::<SealPublic>(), Err(IllegalLength), "{other:?}");
    }
    assert_eq!(SealPublic::try_from(&[7; 32][..]), Ok(public));
    assert_eq!(SealPublic::try_from(&[7; 31][..]), Err(IllegalLength));
    assert_eq!(ServerRandom::try_from(&[7; 33][..]), Err(IllegalLength));
}

proptest! {
    #[test]
    fn only_what_was_sealed_is_opened(
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        additional in proptest::collection::vec(any::<u8>(), 0..50),
        other in proptest::collection::vec(any::<u8>(), 0..300),
        sequence: u64,
    ) {
        let mut stream = stream();
        prop_assert_eq!(stream.opener.open(sequence, &additional, &other), Err(OpenError::Foreign));
        let sealed = stream.sealer.seal(sequence, &additional, &payload).expect("is sealed");
        prop_assert_eq!(stream.opener.open(sequence, &additional, &sealed), Ok(payload));
    }
}
