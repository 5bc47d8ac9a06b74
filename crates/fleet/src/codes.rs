//! The codes of refusals that operators and agents can meet; each has a page in `docs/errors/`.

/// Code and meaning, in the order of codes.
pub const CODES: &[(&str, &str)] = &[
    (AGENT_REVOKED, "the agent was revoked; it has to join anew"),
    (APP_DISABLED, "the app is disabled; nobody may send in its name"),
    (APP_IN_USE, "agents or access keys of the app are still good"),
    (APP_SECRETS_FULL, "the app has two secrets; remove the old one first"),
    (BAD_CONFIGURATION, "the configuration is too large, or agents would not take it"),
    (BAD_CSR, "the request for a certificate can not be used; the message says why"),
    (BAD_KEY_SPEC, "the access key would be of no use: no app, no use, or no time"),
    (BAD_NAME, "the agent can not be called as it wants to be"),
    (BAD_SECRET, "the given secret is too short to be one"),
    (BAD_TOKEN, "the access token was not issued by this instance for this purpose and certificate"),
    (CERTIFICATE_EXPIRED, "the certificate that the agent showed is not valid any more"),
    (CERTIFICATE_SUPERSEDED, "the agent has a newer certificate than the one that it showed"),
    (CLONE_DETECTED, "two had the key of the agent; it was locked and both are out"),
    (CLOSING, "the process is shutting down"),
    (INSTANCE_KEYS, "the keys of the instance can not be used: an authority has ended, or a key is damaged"),
    (KEY_EXPIRED, "the time of the access key is over"),
    (KEY_REVOKED, "the access key was revoked"),
    (KEY_USED_UP, "as many agents as the access key is for have joined with it"),
    (LAST_OPERATOR, "nobody could do anything without the last operator"),
    (NAME_TAKEN, "there is one of this name already"),
    (PUBLIC_KEY_USED, "an agent joined with this public key before and has gone on since"),
    (ROTATION_NOT_READY, "agents or access keys that know only the old root would be cut off"),
    (ROTATION_STEP, "this is not the next step of the rotation of the root"),
    (STATE_DAMAGED, "a document of the state can not be read"),
    (STATE_FULL, "the state has no space left; nothing was changed"),
    (STATE_OUTCOME_UNKNOWN, "the state failed while storing; whether it was changed is not known"),
    (STATE_UNAVAILABLE, "the state can not be read or written now; nothing was changed"),
    (TOKEN_EXPIRED, "the access token has expired, or is of a time to come"),
    (TOO_EARLY, "the agent has a new certificate already; try again after the given delay"),
    (UNKNOWN_AGENT, "there is no agent of this name"),
    (UNKNOWN_APP, "there is no app of this name"),
    (UNKNOWN_CERTIFICATE, "the certificate is not one of the agent that it names"),
    (UNKNOWN_CONFIGURATION, "there is no configuration of this revision for these agents"),
    (UNKNOWN_KEY, "there is no such access key, or its secret is another"),
    (UNKNOWN_OPERATOR, "there is no operator of this name, or with this token"),
    (WRONG_SECRET, "there is no such app, or its secret is another"),
];

pub(crate) const AGENT_REVOKED: &str = "agent-revoked";
pub(crate) const APP_DISABLED: &str = "app-disabled";
pub(crate) const APP_IN_USE: &str = "app-in-use";
pub(crate) const APP_SECRETS_FULL: &str = "app-secrets-full";
pub(crate) const BAD_CONFIGURATION: &str = "bad-configuration";
pub(crate) const BAD_CSR: &str = "bad-csr";
pub(crate) const BAD_KEY_SPEC: &str = "bad-key-spec";
pub(crate) const BAD_NAME: &str = "bad-name";
pub(crate) const BAD_SECRET: &str = "bad-secret";
pub(crate) const BAD_TOKEN: &str = "bad-token";
pub(crate) const CERTIFICATE_EXPIRED: &str = "certificate-expired";
pub(crate) const CERTIFICATE_SUPERSEDED: &str = "certificate-superseded";
pub(crate) const CLONE_DETECTED: &str = "clone-detected";
pub(crate) const CLOSING: &str = "closing";
pub(crate) const INSTANCE_KEYS: &str = "instance-keys";
pub(crate) const KEY_EXPIRED: &str = "key-expired";
pub(crate) const KEY_REVOKED: &str = "key-revoked";
pub(crate) const KEY_USED_UP: &str = "key-used-up";
pub(crate) const LAST_OPERATOR: &str = "last-operator";
pub(crate) const NAME_TAKEN: &str = "name-taken";
pub(crate) const PUBLIC_KEY_USED: &str = "public-key-used";
pub(crate) const ROTATION_NOT_READY: &str = "rotation-not-ready";
pub(crate) const ROTATION_STEP: &str = "rotation-step";
pub(crate) const STATE_DAMAGED: &str = "state-damaged";
pub(crate) const STATE_FULL: &str = "state-full";
pub(crate) const STATE_OUTCOME_UNKNOWN: &str = "state-outcome-unknown";
pub(crate) const STATE_UNAVAILABLE: &str = "state-unavailable";
pub(crate) const TOKEN_EXPIRED: &str = "token-expired";
pub(crate) const TOO_EARLY: &str = "too-early";
pub(crate) const UNKNOWN_AGENT: &str = "unknown-agent";
pub(crate) const UNKNOWN_APP: &str = "unknown-app";
pub(crate) const UNKNOWN_CERTIFICATE: &str = "unknown-certificate";
pub(crate) const UNKNOWN_CONFIGURATION: &str = "unknown-configuration";
pub(crate) const UNKNOWN_KEY: &str = "unknown-key";
pub(crate) const UNKNOWN_OPERATOR: &str = "unknown-operator";
pub(crate) const WRONG_SECRET: &str = "wrong-secret";
