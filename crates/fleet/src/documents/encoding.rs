//! How values look in JSON.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use weir_auth::AgentName;
use weir_auth::InstanceId;
use weir_auth::access_key::KeyId;
use weir_auth::pki::{Pin, Thumbprint};
use weir_auth::secret::SecretHash;
use weir_model::{AppName, IndexPrefix};

use crate::configurations::ConfigurationHash;
use crate::labels::{Labels, Selector};
use crate::names::{OperatorName, Title};

/// Texts as they are.
impl TextForm for Arc<str> {
    fn read(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

/// Has one text, which its `Display` prints.
pub(crate) trait TextForm: Sized + fmt::Display {
    fn read(text: &str) -> Option<Self>;
}

macro_rules! text_forms {
    ($($name:ty => $read:expr,)*) => {$(
        impl TextForm for $name {
            fn read(text: &str) -> Option<Self> {
                $read(text).ok()
            }
        }
    )*};
}
text_forms! {
    AgentName => AgentName::new,
    AppName => AppName::new,
    IndexPrefix => IndexPrefix::new,
    InstanceId => InstanceId::new,
    KeyId => KeyId::new,
    OperatorName => OperatorName::new,
    Title => Title::new,
    Labels => Labels::from_str,
    Selector => Selector::from_str,
    Pin => Pin::from_str,
    Thumbprint => Thumbprint::from_str,
    SecretHash => SecretHash::from_str,
    ConfigurationHash => ConfigurationHash::from_str,
}

fn read<T: TextForm, E: serde::de::Error>(text: &str) -> Result<T, E> {
    T::read(text).ok_or_else(|| E::custom("the text has another form"))
}

pub(crate) mod text {
    use super::{Deserialize, Deserializer, Serializer, TextForm, read};

    pub(crate) fn serialize<T: TextForm, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: TextForm, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        read(&String::deserialize(deserializer)?)
    }
}

pub(crate) mod texts {
    use super::{Deserialize, Deserializer, Serializer, TextForm, read};

    pub(crate) fn serialize<T: TextForm, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, T: TextForm, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        Vec::<String>::deserialize(deserializer)?.iter().map(|text| read(text)).collect()
    }
}

pub(crate) mod optional_text {
    use super::{Deserialize, Deserializer, Serializer, TextForm, read};

    #[expect(clippy::ref_option, reason = "serde gives it so")]
    pub(crate) fn serialize<T: TextForm, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: TextForm, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| read(&text)).transpose()
    }
}

pub(crate) mod moment {
    use super::{Deserialize, Deserializer, Serializer, SystemTime, of_micros, to_micros};

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(to_micros(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        of_micros(u64::deserialize(deserializer)?)
    }
}

pub(crate) mod optional_moment {
    use super::{Deserialize, Deserializer, Serializer, SystemTime, of_micros, to_micros};

    #[expect(clippy::ref_option, reason = "serde gives it so")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_u64(to_micros(*time)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        Option::<u64>::deserialize(deserializer)?.map(of_micros).transpose()
    }
}

/// Of a time before 1970 it is 0.
fn to_micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn of_micros<E: serde::de::Error>(micros: u64) -> Result<SystemTime, E> {
    UNIX_EPOCH.checked_add(Duration::from_micros(micros)).ok_or_else(|| E::custom("the time is too late"))
}

pub(super) fn encode_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&zeroize::Zeroizing::new(STANDARD.encode(bytes)))
}

pub(super) fn decode_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
    STANDARD.decode(text.as_bytes()).map_err(|_what_is_wrong| D::Error::custom("it is no base64"))
}
