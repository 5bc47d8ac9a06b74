//! Refusals as gRPC statuses, with the details of `google/rpc/error_details.proto` that clients act on.

use prost::Message;
use tonic::{Code, Status};
use weir_foundation::failure::Failure;

use crate::refusal::Refusal;
use crate::section::Compat;

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// `google.rpc.ErrorInfo`
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

/// Whose reasons those of [`ErrorInfo`] are.
const DOMAIN: &str = "weir";

pub(super) fn status(refusal: &Refusal, compat: Compat) -> Status {
    let code = refusal.grpc_code(compat);
    let message = refusal.message();
    let reason = ErrorInfo { reason: refusal.code().to_owned(), domain: DOMAIN.to_owned() };
    let mut details = vec![any("google.rpc.ErrorInfo", &reason)];
    if let Some(delay) = refusal.retry_after() {
        // Delays are at most an hour.
        let retry_delay = prost_types::Duration::try_from(delay).ok();
        details.push(any("google.rpc.RetryInfo", &RetryInfo { retry_delay }));
    }
    let rpc = RpcStatus { code: Code::into(code), message: message.clone(), details };
    Status::with_details(code, message, rpc.encode_to_vec().into())
}

fn any(name: &str, message: &impl Message) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weir_limits::OverLimit;

    use super::*;

    #[test]
    fn a_limited_client_is_told_when_to_come_back() {
        let over = OverLimit { rate: 1, retry_after: Some(Duration::from_millis(2500)) };
        let status = status(&Refusal::from(over), Compat::Weir);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "Bandwidth Limit Exceeded");
        let rpc = RpcStatus::decode(status.details()).expect("is a google.rpc.Status");
        assert_eq!((rpc.code, rpc.message.as_str()), (8, "Bandwidth Limit Exceeded"));
        let retry = &rpc.details[1];
        assert_eq!(retry.type_url, "type.googleapis.com/google.rpc.RetryInfo");
        // Field 1, six bytes: seconds 2, nanoseconds 500,000,000.
        assert_eq!(retry.value, [0x0a, 0x08, 0x08, 0x02, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]);
    }

    #[test]
    fn what_never_fits_has_no_retry_info() {
        let status = status(&Refusal::from(OverLimit { rate: 1, retry_after: None }), Compat::Weir);
        let rpc = RpcStatus::decode(status.details()).expect("is a google.rpc.Status");
        assert_eq!(rpc.details.len(), 1);
        let reason = ErrorInfo::decode(&*rpc.details[0].value).expect("is an ErrorInfo");
        assert_eq!((reason.reason.as_str(), reason.domain.as_str()), ("rate-limited", "weir"));
    }
}
