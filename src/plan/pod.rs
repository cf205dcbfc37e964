//! What jobs on Kubernetes have in common: restricted pods, a store, the registry's login.

use crate::plan::Surroundings;
use serde::Serialize;

/// Folder that jobs may write: home, temporary files and, without a claim, the store.
pub(super) const WORK: &str = "/workspace";
/// Folder of a store that jobs share.
const STORE: &str = "/store";
/// Folder of the registry's login, as Docker names its file.
const LOGIN: &str = "/run/secrets/sockel";
/// The user of sockel's own image.
const USER: u32 = 10001;

/// A pod's security context: the *restricted* Pod Security Standard.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSecurity {
    run_as_non_root: bool,
    run_as_user: u32,
    run_as_group: u32,
    fs_group: u32,
    seccomp_profile: Seccomp,
}

#[derive(Serialize)]
struct Seccomp {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// A container's security context.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Security {
    allow_privilege_escalation: bool,
    read_only_root_filesystem: bool,
    capabilities: Capabilities,
}

#[derive(Serialize)]
struct Capabilities {
    drop: [&'static str; 1],
}

/// An environment variable.
#[derive(Serialize)]
pub(super) struct Variable {
    name: &'static str,
    value: String,
}

/// A mounted volume.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount {
    name: &'static str,
    mount_path: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
}

/// A volume; exactly one source is there.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    empty_dir: Option<EmptyDir>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    persistent_volume_claim: Option<Claim>,
}

#[derive(Serialize)]
struct EmptyDir {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    secret_name: String,
    items: [Item; 1],
}

#[derive(Serialize)]
struct Item {
    key: &'static str,
    path: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claim {
    claim_name: String,
}

/// What a container may use.
#[derive(Serialize)]
pub(super) struct Resources {
    requests: Amounts,
    limits: Amounts,
}

#[derive(Serialize)]
struct Amounts {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<&'static str>,
    memory: &'static str,
}

/// Returns the pod's security context.
pub(super) fn pod_security() -> PodSecurity {
    PodSecurity {
        run_as_non_root: true,
        run_as_user: USER,
        run_as_group: USER,
        fs_group: USER,
        seccomp_profile: Seccomp { kind: "RuntimeDefault" },
    }
}

/// Returns a container's security context.
pub(super) fn security() -> Security {
    Security {
        allow_privilege_escalation: false,
        read_only_root_filesystem: true,
        capabilities: Capabilities { drop: ["ALL"] },
    }
}

/// Returns what a container may use.
pub(super) fn resources() -> Resources {
    Resources { requests: Amounts { cpu: Some("500m"), memory: "512Mi" }, limits: Amounts { cpu: None, memory: "2Gi" } }
}

/// Returns an argument as Kubernetes reads it ("Container v1 core", `args`): it replaces `$(NAME)`, by secrets as well, and `$$`
/// stands for a dollar sign.
pub(super) fn escaped(word: &str) -> String {
    word.replace('$', "$$")
}

/// Returns the environment of sockel.
pub(super) fn environment(around: &Surroundings) -> Vec<Variable> {
    let store = if around.store.is_some() { STORE.to_owned() } else { format!("{WORK}/store") };
    let mut all = vec![
        Variable { name: "HOME", value: WORK.to_owned() },
        Variable { name: "TMPDIR", value: WORK.to_owned() },
        Variable { name: "SOCKEL_STORE", value: store },
    ];
    if around.login.is_some() {
        all.push(Variable { name: "DOCKER_CONFIG", value: LOGIN.to_owned() });
    }
    all
}

/// Returns the volumes of a pod and where they are mounted.
pub(super) fn volumes(around: &Surroundings) -> (Vec<Volume>, Vec<Mount>) {
    let mut volumes = vec![Volume { name: "work", empty_dir: Some(EmptyDir {}), ..Volume::default() }];
    let mut mounts = vec![Mount { name: "work", mount_path: WORK, read_only: false }];
    if let Some(claim) = &around.store {
        let claim = Some(Claim { claim_name: claim.clone() });
        volumes.push(Volume { name: "store", persistent_volume_claim: claim, ..Volume::default() });
        mounts.push(Mount { name: "store", mount_path: STORE, read_only: false });
    }
    if let Some(name) = &around.login {
        let items = [Item { key: ".dockerconfigjson", path: "config.json" }];
        let secret = Some(Secret { secret_name: name.clone(), items });
        volumes.push(Volume { name: "registry-login", secret, ..Volume::default() });
        mounts.push(Mount { name: "registry-login", mount_path: LOGIN, read_only: true });
    }
    (volumes, mounts)
}
