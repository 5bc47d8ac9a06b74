//! Whose log a file is, by its name.
//!
//! * `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log`
//! * `/var/log/containers/<pod>_<namespace>_<container>-<64 hexadecimal digits>.log`, which is a link to the former
//!
//! Names of Kubernetes have no `_`, so that there is one way to read them.

use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    namespace: String,
    name: String,
    uid: Option<String>,
    container: String,
    container_id: Option<String>,
}

impl Pod {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let folder = |above: usize| path.ancestors().nth(above)?.file_name()?.to_str();
        let (file, parent) = (folder(0)?, folder(1)?);
        if folder(3) == Some("pods") { Self::of_pod(folder(2)?, parent) } else { Self::of_link(parent, file) }
    }

    fn of_pod(folder: &str, container: &str) -> Option<Self> {
        let mut parts = folder.split('_');
        let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
        let is_one = [namespace, name, uid, container].iter().all(|part| !part.is_empty());
        (is_one && parts.next().is_none()).then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: Some(uid.to_owned()),
            container: container.to_owned(),
            container_id: None,
        })
    }

    fn of_link(parent: &str, file: &str) -> Option<Self> {
        let mut parts = file.split('_');
        let (name, namespace, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let (container, id) = rest.strip_suffix(".log")?.rsplit_once('-')?;
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_one = [name, namespace, container].iter().all(|part| !part.is_empty());
        (parent == "containers" && is_id && is_one && parts.next().is_none()).then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: None,
            container: container.to_owned(),
            container_id: Some(id.to_owned()),
        })
    }

    /// What events say of it.
    pub(crate) fn json(&self) -> String {
        let mut members = serde_json::Map::new();
        let mut put = |key: &str, value: &str| members.insert(key.to_owned(), value.into());
        put("namespace", &self.namespace);
        put("pod", &self.name);
        put("container", &self.container);
        for (key, value) in [("pod_uid", &self.uid), ("container_id", &self.container_id)] {
            if let Some(value) = value {
                put(key, value);
            }
        }
        serde_json::Value::Object(members).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        let found = Pod::of(Path::new(path)).map(|pod| pod.json());
        assert_eq!(found.as_deref(), expected, "{path}");
    }

    #[test]
    fn files_say_whose_they_are() {
        check(
            "/var/log/pods/kube-system_coredns-5d78c_0e8f1c2a-77aa/coredns/0.log",
            Some(
                r#"{"container":"coredns","namespace":"kube-system","pod":"coredns-5d78c","pod_uid":"0e8f1c2a-77aa"}"#,
            ),
        );
        check(
            "/elsewhere/pods/shop_web-0_1/app/3.log.20261129-081530",
            Some(r#"{"container":"app","namespace":"shop","pod":"web-0","pod_uid":"1"}"#),
        );
        let id = "0123456789abcdef".repeat(4);
        check(
            &format!("/var/log/containers/web-0_shop_app-two-{id}.log"),
            Some(&format!(
                r#"{{"container":"app-two","container_id":"{id}","namespace":"shop","pod":"web-0"}}"#
            )),
        );
        check("/var/log/containers/web-0_shop_app-123.log", None);
        check(&format!("/var/log/others/web-0_shop_app-{id}.log"), None);
        check("/var/log/pods/shop_web-0/app/0.log", None);
        check("/var/log/pods/shop_web-0__x_/app/0.log", None);
        check("/var/log/pods/_web-0_1/app/0.log", None);
        check("/var/log/app.log", None);
        check("app.log", None);
        check("/", None);
    }
}
