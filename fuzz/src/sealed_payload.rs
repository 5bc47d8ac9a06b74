//! Sealed payloads, behind the 8 bytes of their sequence: what was not sealed is not opened.

use weir_auth::seal::{Opener, SealKey, SealPublic, ServerRandom};
use weir_auth::{AgentIdentity, AgentName, InstanceId};

pub fn run(data: &[u8]) {
    let Some((sequence, sealed)) = data.split_first_chunk() else { return };
    let agent = AgentIdentity {
        instance: InstanceId::new("one").expect("is legal"),
        agent: AgentName::new("node-7").expect("is legal"),
    };
    let offer = SealKey::from_bytes(&[1; 32]).public();
    let (key, random) = (SealKey::from_bytes(&[2; 32]), ServerRandom::from([3; 32]));
    let mut opener = Opener::new(&key, &offer, &random, &agent).expect("is no weak key");
    if let Ok(payload) = opener.open(u64::from_be_bytes(*sequence), b"additional", sealed) {
        assert_eq!(payload, b"a payload");
    }
    // The other half as somebody sends it.
    if let Ok(offer) = SealPublic::try_from(sealed)
        && let Ok(mut opener) = Opener::new(&key, &offer, &random, &agent)
    {
        assert!(opener.open(0, b"", sealed).is_err());
    }
}
