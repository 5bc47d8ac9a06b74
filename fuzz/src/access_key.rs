//! Access keys as somebody pastes them: what is read is written the same, and is never shown.

use weir_auth::access_key::AccessKey;
use weir_foundation::settings::Secret;

pub fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(key) = text.parse::<AccessKey>() else { return };
    let again = key.encode().expect("a key that was read can be written");
    assert_eq!(again.reveal(), text.trim());
    let other = AccessKey { secret: Secret::new("hunter2"), ..key.clone() };
    assert_eq!(format!("{key:?}"), format!("{other:?}"));
}
