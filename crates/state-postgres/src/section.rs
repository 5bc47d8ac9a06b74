//! The settings of a state in Postgres.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::network::HostPort;
use weir_foundation::settings::{DurationText, Problem, Problems, Secret};
use weir_foundation::tls::{TlsSection, TlsSettings};

/// A Postgres in which the control plane remembers, for instances whose roles run on several machines. Among what it
/// remembers are the private keys of the instance: give weir a database, or at least a schema, of its own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSection {
    /// Host and port of Postgres 13 or newer, of the server that takes writes, `postgres.internal:5432`.
    /// Default: none, Postgres is not used.
    pub address: Option<String>,
    /// The database, which must have the encoding UTF8. Default: `weir`.
    pub database: Option<String>,
    /// Who to log in as. Default: `weir`.
    pub username: Option<String>,
    /// The password. Default: none.
    pub password: Option<Secret>,
    /// The schema, made if it is not there: lower-case letters, digits and `_`. Each is a state of its own.
    /// Default: `weir`.
    pub schema: Option<String>,
    /// How long an answer may take before Postgres counts as away. Default: `5s`.
    pub timeout: Option<DurationText>,
    /// Connect by TLS, and only to a server whose certificate is for the host of `address`. Passwords and private keys
    /// travel over the connection: where the address is not one of this machine, no TLS must be asked for in so many
    /// words. Default: `false`.
    pub encrypt: Option<bool>,
    /// Certificates, with `encrypt`.
    pub tls: TlsSection,
}

/// The validated [`PostgresSection`].
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    pub address: HostPort,
    pub database: String,
    pub username: String,
    pub password: Option<Secret>,
    pub schema: Schema,
    pub timeout: Duration,
    pub encryption: Encryption,
}

/// The name of a schema, which needs no quoting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema(String);

/// How bytes go to Postgres.
#[derive(Debug, Clone)]
pub enum Encryption {
    None,
    Tls(TlsSettings),
}

const DATABASE: &str = "weir";
const USERNAME: &str = "weir";
const SCHEMA: &str = "weir";
const TIMEOUT: DurationText = DurationText::from_secs(5);
/// Postgres counts in milliseconds, and takes no more of them than an `i32` holds.
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
/// Bytes of the longest identifier of Postgres.
const MAX_IDENTIFIER: usize = 63;

impl PostgresSettings {
    /// `None` if Postgres is not used.
    pub fn validate(raw: &PostgresSection) -> Result<Option<Self>, Problems> {
        let mut problems = Problems::default();
        let timeout = raw.timeout.unwrap_or(TIMEOUT).duration();
        if !TIMEOUTS.contains(&timeout) {
            problems.push(Problem::at("timeout", "must be from `10ms` to `1h`"));
        }
        let mut text = |name: &'static str, given: &Option<String>, default: &str| {
            let text = given.clone().unwrap_or_else(|| default.to_owned());
            if text.is_empty() || text.contains('\0') {
                problems.push(Problem::at(name, "must not be empty or have a NUL"));
            }
            text
        };
        let database = text("database", &raw.database, DATABASE);
        let username = text("username", &raw.username, USERNAME);
        let schema = raw.schema.as_deref().unwrap_or(SCHEMA);
        let schema = schema.parse::<Schema>().map_err(|why| Problem::at("schema", why).into());
        let schema = problems.take("", schema);
        let tls = problems.take("tls", TlsSettings::validate(&raw.tls));
        if raw.encrypt != Some(true) && raw.tls != TlsSection::default() {
            problems.push(Problem::at("tls", "needs `encrypt`"));
        }
        let Some(text) = raw.address.as_deref().map(str::trim).filter(|address| !address.is_empty()) else {
            // An address that a variable did not have would make another instance somewhere else.
            if *raw != PostgresSection::default() {
                problems.push(Problem::at(
                    "address",
                    "must be set, as in `postgres:5432`, or nothing of the section",
                ));
            }
            return problems.or(None);
        };
        let address = text.parse::<HostPort>().ok();
        match &address {
            // Where there is a user there may be a password, which is not for a log.
            None if text.contains('@') => {
                let message = "is no URL but a host and port, as in `postgres:5432`";
                let hint = "`username`, `password` and `database` are settings of their own";
                problems.push(Problem::at("address", message).hint(hint));
            }
            None => problems
                .push(Problem::at("address", format!("`{text}` is no host and port, as in `postgres:5432`"))),
            Some(address) if raw.encrypt.is_none() && !address.is_loopback() => problems.push(Problem::at(
                "encrypt",
                format!(
                    "private keys would travel to `{text}` as they are: write `true`, or `false` if they may"
                ),
            )),
            Some(_) => {}
        }
        match (address, schema, tls) {
            (Some(address), Some(schema), Some(tls)) if problems.is_empty() => Ok(Some(Self {
                address,
                database,
                username,
                password: raw.password.clone(),
                schema,
                timeout,
                encryption: if raw.encrypt == Some(true) { Encryption::Tls(tls) } else { Encryption::None },
            })),
            _ => Err(problems),
        }
    }
}

impl Schema {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Schema {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let begins = |c: char| c.is_ascii_lowercase() || c == '_';
        let goes_on = |c: char| begins(c) || c.is_ascii_digit();
        if !text.starts_with(begins) || !text.chars().all(goes_on) || text.len() > MAX_IDENTIFIER {
            return Err(format!(
                "must be up to {MAX_IDENTIFIER} lower-case letters, digits and `_`, and not begin with a digit"
            ));
        }
        if text.starts_with("pg_") || text == "information_schema" {
            return Err("must not be one of Postgres itself".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(address: &str) -> PostgresSection {
        PostgresSection { address: Some(address.to_owned()), ..PostgresSection::default() }
    }

    #[track_caller]
    fn check(raw: &PostgresSection, expected: &str) {
        assert_eq!(PostgresSettings::validate(raw).expect_err("is refused").to_string(), expected);
    }

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let documented: PostgresSection = weir_foundation::settings::documented_defaults();
        let show = |section| {
            let section = PostgresSection { address: Some("localhost:5432".to_owned()), ..section };
            format!("{:?}", PostgresSettings::validate(&section).expect("is valid"))
        };
        assert_eq!(show(documented), show(PostgresSection::default()));
    }

    #[test]
    fn without_an_address_it_is_not_used() {
        assert!(PostgresSettings::validate(&PostgresSection::default()).expect("is valid").is_none());
        // Somebody meant to use it.
        let unset = "address: must be set, as in `postgres:5432`, or nothing of the section\n";
        check(&raw(" "), unset);
        check(&PostgresSection { encrypt: Some(true), ..PostgresSection::default() }, unset);
    }

    #[test]
    fn names_every_problem() {
        check(
            &PostgresSection {
                timeout: Some(DurationText::from_secs(0)),
                database: Some(String::new()),
                username: Some("a\0b".to_owned()),
                schema: Some("public; drop schema public".to_owned()),
                tls: TlsSection { ca_file: Some("a".into()), ..TlsSection::default() },
                ..raw("postgres://localhost:5432")
            },
            "timeout: must be from `10ms` to `1h`\n\
             database: must not be empty or have a NUL\n\
             username: must not be empty or have a NUL\n\
             schema: must be up to 63 lower-case letters, digits and `_`, and not begin with a digit\n\
             tls: needs `encrypt`\n\
             address: `postgres://localhost:5432` is no host and port, as in `postgres:5432`\n",
        );
    }

    #[test]
    fn private_keys_do_not_travel_openly_unless_told_to() {
        let far = "encrypt: private keys would travel to `db.internal:5432` as they are: write `true`, or `false` \
                   if they may\n";
        check(&raw("db.internal:5432"), far);
        for encrypt in [true, false] {
            let section = PostgresSection { encrypt: Some(encrypt), ..raw("db.internal:5432") };
            let settings = PostgresSettings::validate(&section).expect("is valid").expect("has an address");
            assert_eq!(matches!(settings.encryption, Encryption::Tls(_)), encrypt);
        }
        for near in ["localhost:1", "LOCALHOST:1", "127.0.0.1:1", "127.8.8.8:1", "[::1]:1"] {
            assert!(PostgresSettings::validate(&raw(near)).is_ok(), "{near}");
        }
        for far in ["localhost.evil.org:1", "128.0.0.1:1", "[::2]:1", "0.0.0.0:1", "127.0.0.1.evil.org:1"] {
            assert!(PostgresSettings::validate(&raw(far)).is_err(), "{far}");
        }
    }

    #[test]
    fn schemas_are_plain_identifiers() {
        let longest = "a".repeat(63);
        for (text, expected) in [
            ("weir", true),
            ("_w3", true),
            (&*longest, true),
            ("", false),
            ("3w", false),
            ("Weir", false),
            ("wéir", false),
            ("we\"ir", false),
            ("we.ir", false),
            ("we ir", false),
            ("weir\n", false),
            ("pg_weir", false),
            ("information_schema", false),
            (&*format!("{longest}a"), false),
        ] {
            assert_eq!(text.parse::<Schema>().is_ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let section = PostgresSection { password: Some(Secret::new("hunter2")), ..raw("localhost:1") };
        let settings = PostgresSettings::validate(&section).expect("is valid");
        assert!(!format!("{section:?} {settings:?}").contains("hunter2"));
    }
}
