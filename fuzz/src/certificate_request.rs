//! Requests for certificates: whatever they ask for, the certificate is the one that was decided.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use weir_auth::pki::{Authority, CheckedRequest};
use weir_auth::{AgentName, InstanceId};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const DAY: Duration = Duration::from_hours(24);

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    Authority::root(&InstanceId::new("one").expect("is legal"), NOW, DAY).expect("is issued")
});

pub fn run(data: &[u8]) {
    let Ok(request) = CheckedRequest::read(data) else { return };
    let name = AgentName::new("node-7").expect("is legal");
    let certificate = AUTHORITY.issue_agent(&request, &name, NOW, DAY).expect("is issued");
    assert_eq!(certificate.subject().to_string(), "spiffe://one/agent/node-7");
    assert_eq!(certificate.pin(), request.pin());
}
