//! The parts that jobs on Kubernetes have in common: restricted pods, a store and the registry's login.

use crate::plan::PipelineSettings;
use serde::Serialize;

/// Folder that jobs can write: home folder, temporary files and, without a claim, the store.
pub(super) const WORK: &str = "/workspace";
/// Folder of the store that jobs share.
const STORE: &str = "/store";
/// Folder with the registry's login in `config.json`, the name that Docker gives it.
const LOGIN: &str = "/run/secrets/sockel";
/// User and group id of jobs: those of sockel's own image.
const USER: u32 = 10001;

/// A pod's security context: the *restricted* Pod Security Standard.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSecurityContext {
    run_as_non_root: bool,
    run_as_user: u32,
    run_as_group: u32,
    fs_group: u32,
    seccomp_profile: SeccompProfile,
}

#[derive(Serialize)]
struct SeccompProfile {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// A container's security context.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerSecurityContext {
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
pub(super) struct EnvVar {
    name: &'static str,
    value: String,
}

/// A mounted volume.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeMount {
    name: &'static str,
    mount_path: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
}

/// A volume with exactly one source.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    empty_dir: Option<EmptyDirVolumeSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<SecretVolumeSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
}

#[derive(Serialize)]
struct EmptyDirVolumeSource {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretVolumeSource {
    secret_name: String,
    items: [KeyToPath; 1],
}

#[derive(Serialize)]
struct KeyToPath {
    key: &'static str,
    path: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PersistentVolumeClaimVolumeSource {
    claim_name: String,
}

/// Processor time and memory of a container.
#[derive(Serialize)]
pub(super) struct ResourceRequirements {
    requests: ResourceAmounts,
    limits: ResourceAmounts,
}

#[derive(Serialize)]
struct ResourceAmounts {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<&'static str>,
    memory: &'static str,
}

/// Returns the pod's security context.
pub(super) fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: true,
        run_as_user: USER,
        run_as_group: USER,
        // Makes volumes writable for the user, who owns none of them.
        fs_group: USER,
        seccomp_profile: SeccompProfile { kind: "RuntimeDefault" },
    }
}

/// Returns a container's security context.
pub(super) fn security() -> ContainerSecurityContext {
    ContainerSecurityContext {
        allow_privilege_escalation: false,
        // Stricter than the standard: all that jobs write is in volumes.
        read_only_root_filesystem: true,
        capabilities: Capabilities { drop: ["ALL"] },
    }
}

/// Returns the resources of a container that runs sockel.
pub(super) fn resources() -> ResourceRequirements {
    // No limit for the processor: it would only slow compression down while the node has time to spare.
    ResourceRequirements {
        requests: ResourceAmounts { cpu: Some("500m"), memory: "512Mi" },
        limits: ResourceAmounts { cpu: None, memory: "2Gi" },
    }
}

/// Escapes an argument for Kubernetes, which replaces `$(NAME)` with a variable, even a secret one, and reads `$$` as a dollar
/// sign ("Container v1 core", `args`).
pub(super) fn escaped(word: &str) -> String {
    word.replace('$', "$$")
}

/// Returns the environment of sockel.
pub(super) fn environment(around: &PipelineSettings) -> Vec<EnvVar> {
    let store = if around.store.is_some() { STORE.to_owned() } else { format!("{WORK}/store") };

    // The root is read-only, so everything that a program may write has to point into a volume.
    let mut variables = vec![
        EnvVar { name: "HOME", value: WORK.to_owned() },
        EnvVar { name: "TMPDIR", value: WORK.to_owned() },
        EnvVar { name: "SOCKEL_STORE", value: store },
    ];
    if around.login.is_some() {
        variables.push(EnvVar { name: "DOCKER_CONFIG", value: LOGIN.to_owned() });
    }

    variables
}

/// Returns the volumes of a pod and their mounts.
pub(super) fn volumes(around: &PipelineSettings) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes = vec![Volume { name: "work", empty_dir: Some(EmptyDirVolumeSource {}), ..Volume::default() }];
    let mut mounts = vec![VolumeMount { name: "work", mount_path: WORK, read_only: false }];

    if let Some(claim) = &around.store {
        let claim = Some(PersistentVolumeClaimVolumeSource { claim_name: claim.clone() });
        volumes.push(Volume { name: "store", persistent_volume_claim: claim, ..Volume::default() });
        mounts.push(VolumeMount { name: "store", mount_path: STORE, read_only: false });
    }

    if let Some(name) = &around.login {
        // A secret of type `kubernetes.io/dockerconfigjson` always has this key.
        let items = [KeyToPath { key: ".dockerconfigjson", path: "config.json" }];
        let secret = Some(SecretVolumeSource { secret_name: name.clone(), items });
        volumes.push(Volume { name: "registry-login", secret, ..Volume::default() });
        mounts.push(VolumeMount { name: "registry-login", mount_path: LOGIN, read_only: true });
    }

    (volumes, mounts)
}
