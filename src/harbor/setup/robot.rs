//! The two robots and their rights. A secret is written to a file that only its owner can read, and nowhere else.

use crate::harbor::Error;
use crate::harbor::Harbor;
use crate::harbor::HarborRequest;
use crate::harbor::error::harmless;
use crate::harbor::rights;
use crate::harbor::rights::RobotRights;
use crate::harbor::setup::SetupRun;
use crate::harbor::setup::StepState;
use crate::oci::registry::credentials;
use crate::oci::registry::credentials::RobotLogin;
use crate::sys::clock;
use crate::sys::fs;
use crate::values::Secret;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// The description by which our robots are found again.
const MARK: &str = "made by `sockel publish --setup`";

/// The two robots.
#[derive(Debug, Clone)]
pub struct Robots {
    /// Name of the robot that pushes to staging and scans.
    pub pipeline: String,
    /// Name of the robot that alone writes to the release project.
    pub release: String,
    /// For how many days they are valid; -1 without limit.
    pub days: i64,
    /// Folder for secrets: that of a new robot is written to `<name>.json` with mode 0600.
    pub keep: PathBuf,
}

/// The projects in which robots work.
#[derive(Debug, Clone, Copy)]
pub(super) struct RobotPlaces<'a> {
    pub(super) staging: &'a str,
    pub(super) release: &'a str,
    /// The project of the shared cache, where there is one.
    pub(super) cache: Option<&'a str>,
}

/// Harbor's default prefix of robots' names.
const USUAL_PREFIX: &str = "robot$";

/// Largest file with a robot's secret.
const SECRET_LIMIT: u64 = 64 << 10;

/// The file with a robot's secret, as Harbor's pages export it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSecret {
    /// Full name, such as `robot$pipeline`.
    pub name: String,
    /// Secret with which it logs in.
    pub secret: Secret,
    /// The registry that it is for, if the file says so: then it is sent to no other
    /// ([`crate::oci::registry::credentials`]).
    pub registry: Option<String>,
}

/// `Robot` of the API, as far as it is compared.
#[derive(Debug, Deserialize)]
struct RobotAccount {
    id: i64,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    level: String,
    #[serde(default)]
    disable: bool,
    #[serde(default)]
    duration: Option<i64>,
    #[serde(default)]
    expires_at: Option<i64>,
    #[serde(default)]
    permissions: Option<Vec<Permission>>,
}

#[derive(Debug, Deserialize)]
struct Permission {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    access: Option<Vec<RobotAccess>>,
}

#[derive(Debug, Deserialize)]
struct RobotAccess {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    action: String,
}

#[derive(Deserialize)]
struct CreatedRobot {
    name: String,
    secret: String,
}

/// `Configurations` of the API, as far as they are needed.
#[derive(Deserialize)]
struct Configurations {
    #[serde(default)]
    robot_name_prefix: Option<ConfiguredText>,
}

#[derive(Deserialize)]
struct ConfiguredText {
    #[serde(default)]
    value: String,
}

/// Rights as kind, namespace, resource and action.
type Rights = BTreeSet<[String; 4]>;

/// Returns what a robot may do, by the projects' names.
fn robot_rights(robot: &RobotRights, places: &RobotPlaces<'_>) -> Rights {
    let RobotPlaces { staging, release, cache } = *places;
    let mut parts =
        vec![("project", staging, robot.staging), ("project", release, robot.release), ("system", "/", robot.system)];
    // the cache may be in the staging project
    parts.extend(cache.map(|cache| ("project", cache, robot.cache)));

    let mut rights = Rights::new();
    for (kind, namespace, uses) in parts {
        rights.extend(uses.iter().map(|one| [kind, namespace, one.resource, one.action].map(str::to_owned)));
    }
    rights
}

/// Returns the projects on which there are rights.
fn projects(rights: &Rights) -> BTreeSet<&str> {
    rights.iter().filter(|[kind, ..]| kind == "project").map(|[_, namespace, ..]| namespace.as_str()).collect()
}

/// Returns a remedy for a robot that works in other projects: another registry file made it for those, and this one must
/// neither take its rights away nor give it more.
fn foreign(present: &Rights, places: &RobotPlaces<'_>) -> Option<String> {
    let theirs = projects(present);
    // one that works in both projects is ours; a third one was the cache's, or somebody added it
    if [places.staging, places.release].iter().all(|project| theirs.contains(project)) {
        return None;
    }

    let ours = [Some(places.staging), Some(places.release), places.cache];
    let others: Vec<String> =
        theirs.iter().filter(|name| !ours.contains(&Some(**name))).map(|name| format!("`{name}`")).collect();
    if others.is_empty() {
        return None;
    }
    Some(format!(
        "it has rights on {}, so it belongs to another registry file: give this file robots of its own with `robot-name` in `setup`",
        harmless(&others.join(", "), 300)
    ))
}

/// Returns the rights that a robot keeps because they are on projects that the registry file does not name.
fn kept(present: &Rights, wanted: &Rights) -> Rights {
    let ours = projects(wanted);
    let is_foreign = |right: &&[String; 4]| right[0] == "project" && !ours.contains(right[1].as_str());
    present.iter().filter(is_foreign).cloned().collect()
}

/// Reads the file with a robot's secret; an error is a remedy. Harbor shows a secret only once.
fn secret_file(path: &Path) -> Result<KeptSecret, String> {
    // without the cause: whatever it is, the secret is not to be had from there
    let kept = fs::read(path, SECRET_LIMIT).ok().and_then(|bytes| credentials::robot(&bytes).ok());
    let Some(RobotLogin { login, registry }) = kept else {
        return Err(format!(
            "its secret is not in `{}`: put the file back, or delete the robot in Harbor and run `sockel publish --setup` again, which makes a new one",
            path.display()
        ));
    };
    Ok(KeptSecret { name: login.user, secret: login.password, registry })
}

/// Returns rights as Harbor takes them: grouped by project or system.
fn permissions(rights: &Rights) -> Value {
    let mut groups: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    for [kind, namespace, resource, action] in rights {
        groups.entry((kind, namespace)).or_default().push(json!({"resource": resource, "action": action}));
    }

    let mut permissions = Vec::new();
    for ((kind, namespace), access) in groups {
        permissions.push(json!({"kind": kind, "namespace": namespace, "access": access}));
    }
    permissions.into()
}

/// Lists rights that are in one set and not in the other, each after a sign.
fn difference(rights: &Rights, without: &Rights, sign: char) -> Vec<String> {
    let different = rights.difference(without);
    different.map(|[_, namespace, resource, action]| format!("{sign}{namespace} {resource}:{action}")).collect()
}

impl RobotAccount {
    /// Returns the robot's rights in comparable form.
    fn rights(&self) -> Rights {
        let mut rights = Rights::new();
        for Permission { kind, namespace, access } in self.permissions.iter().flatten() {
            for RobotAccess { resource, action } in access.iter().flatten() {
                rights.insert([kind, namespace, resource, action].map(Clone::clone));
            }
        }
        rights
    }

    /// Tells whether the full name is a short name after some prefix, and the robot is one of ours.
    fn is_ours(&self, name: &str) -> bool {
        self.description.as_deref() == Some(MARK) && self.prefix_before(name).is_some()
    }

    /// Returns the prefix before a short name in the full name. It ends with a mark such as `$`: `robot$my-pipeline` is
    /// not the robot `pipeline`.
    fn prefix_before(&self, name: &str) -> Option<&str> {
        let prefix = self.name.strip_suffix(name)?;
        prefix.ends_with(|c: char| !c.is_ascii_alphanumeric() && c != '-').then_some(prefix)
    }

    /// Returns a remedy for a robot that exists, but does not work.
    fn trouble(&self, now: i64) -> Option<&'static str> {
        // -1 stands for "never"
        match self.expires_at {
            _ if self.disable => Some("it is disabled: enable it in Harbor"),
            Some(time) if time > 0 && time <= now => Some("it is expired: delete it in Harbor and run this again"),
            _ => None,
        }
    }
}

impl KeptSecret {
    /// Returns the file's text.
    fn text(&self) -> String {
        // the only place where the secret leaves its type
        json!({"name": self.name, "secret": self.secret.expose(), "registry": self.registry}).to_string()
    }
}

impl SetupRun<'_, '_> {
    /// Sets up both robots.
    pub(super) async fn robots(&mut self, robots: &Robots, places: &RobotPlaces<'_>) -> Result<(), Error> {
        let list = self.harbor.list(|| HarborRequest::get("read the robots", ["robots"]).query("q", "Level=system"));
        let present: Result<Vec<RobotAccount>, Error> = list.await;
        let Some(present) = self.look("robots", present).await? else { return Ok(()) };

        let prefix = self.harbor.robot_prefix().await?;
        for (name, rights) in [(&robots.pipeline, &rights::PIPELINE), (&robots.release, &rights::RELEASE)] {
            let wanted = robot_rights(rights, places);
            let full = format!("{}{name}", prefix.as_deref().unwrap_or(USUAL_PREFIX));
            let named = present.iter().find(|robot| robot.name == full);
            // whoever may not read the prefix recognises a robot by its description
            match named.or_else(|| present.iter().find(|robot| robot.is_ours(name))) {
                Some(robot) => {
                    let trouble = foreign(&robot.rights(), places);
                    self.update(robot, &robots.keep.join(format!("{name}.json")), &wanted, trouble).await?;
                }
                None => self.create(robots, name, &wanted).await?,
            }
        }
        Ok(())
    }

    /// Changes the rights of a robot that exists and whose secret is in the file at `path`, unless there is a trouble with
    /// it already.
    async fn update(
        &mut self,
        robot: &RobotAccount,
        path: &Path,
        wanted: &Rights,
        trouble: Option<String>,
    ) -> Result<(), Error> {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let (what, present) = (format!("robot `{name}`"), robot.rights());

        // what only a person can decide comes first: rights do not help a robot that cannot log in
        let trouble = robot.trouble(clock::now().0).map(str::to_owned).or(trouble);
        let secret = match trouble.map_or_else(|| secret_file(path), Err) {
            Ok(secret) => secret,
            Err(remedy) => {
                self.step(what, StepState::Left { remedy });
                return Ok(());
            }
        };
        self.rename(&what, robot, secret, path)?;

        let mut wanted = wanted.clone();
        wanted.extend(kept(&present, &wanted));
        if present == wanted {
            self.step(what, StepState::Exists);
            return Ok(());
        }

        let mut change = difference(&wanted, &present, '+');
        change.extend(difference(&present, &wanted, '-'));

        // PUT replaces the whole robot, so everything that stays is sent as well
        let body = json!({
            "id": robot.id,
            "name": robot.name,
            "description": robot.description,
            "level": if robot.level.is_empty() { "system" } else { &robot.level },
            "disable": false,
            // a validity that a person chose stays
            "duration": robot.duration.unwrap_or(-1),
            "permissions": permissions(&wanted),
        });
        let request = HarborRequest::put(format!("change {what}"), ["robots", &robot.id.to_string()]).body(body);
        let change = harmless(&change.join(", "), usize::MAX);
        self.act(&what, request, Some(change)).await?;
        Ok(())
    }

    /// Writes a robot's name into its file when Harbor's prefix changed: Harbor puts the current one before every name.
    fn rename(&mut self, what: &str, robot: &RobotAccount, secret: KeptSecret, path: &Path) -> Result<(), Error> {
        if secret.name == robot.name {
            return Ok(());
        }

        let names = [&secret.name, &robot.name].map(|name| harmless(name, 300));
        let change = format!("name: {} → {}", names[0], names[1]);
        let what = format!("file of {what}");
        if self.dry {
            self.step(what, StepState::WouldChange(change));
            return Ok(());
        }
        let place = RobotPlace::open(path.parent().unwrap_or(Path::new("")))?;
        place.keep(path, &KeptSecret { name: robot.name.clone(), ..secret })?;
        self.step(what, StepState::Changed(change));
        Ok(())
    }

    /// Creates a robot and keeps its secret.
    async fn create(&mut self, robots: &Robots, name: &str, wanted: &Rights) -> Result<(), Error> {
        let what = format!("robot `{name}`");
        if self.dry {
            self.step(what, StepState::WouldCreate);
            return Ok(());
        }

        // Harbor shows the secret only once: first make sure that it can be written
        let path = robots.keep.join(format!("{name}.json"));
        let place = RobotPlace::open(&robots.keep)?;
        let body = json!({
            "name": name,
            "description": MARK,
            "level": "system",
            "disable": false,
            "duration": robots.days,
            "permissions": permissions(wanted),
        });

        // never retried: a retry would not get the secret of the robot that the first attempt created
        let request = HarborRequest::post(format!("create {what}"), ["robots"]).body(body).once();
        let state = match self.harbor.call(request).await {
            Ok(reply) => {
                // without the parser's message: it may quote the secret
                let created = serde_json::from_slice(reply.bytes());
                let created: CreatedRobot =
                    created.map_err(|_| Error::malformed(&format!("create {what}"), &"no name or no secret in it"))?;
                let registry = Some(self.harbor.audience().to_string());
                place.keep(&path, &KeptSecret { name: created.name, secret: Secret::new(created.secret), registry })?;
                StepState::Created
            }
            Err(Error::NotPermitted { message, .. }) => self.not_permitted(&message),
            Err(Error::Conflict { .. }) => StepState::Left {
                remedy: format!(
                    "it exists, but is not shown to `{}`: delete it in Harbor and run this again",
                    self.harbor.user()
                ),
            },
            Err(error) => return Err(error),
        };
        self.step(what, state);
        Ok(())
    }
}

impl Harbor<'_> {
    /// Returns what Harbor puts before names of robots (its setting `robot_name_prefix`); `None` where the account may not
    /// know. Robots never may.
    async fn robot_prefix(&self) -> Result<Option<String>, Error> {
        match self.call(HarborRequest::get("read Harbor's configuration", ["configurations"])).await {
            Ok(reply) => Ok(reply.json::<Configurations>()?.robot_name_prefix.map(|text| text.value)),
            Err(Error::NotPermitted { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A file for a secret, not yet under its name. Its mode is 0600 from the beginning, as `tempfile` creates all its
/// files.
struct RobotPlace(tempfile::NamedTempFile);

impl RobotPlace {
    /// Creates the file, in the folder where it will stay.
    fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir(folder)?;
        Ok(Self(fs::temporary(folder)?))
    }

    /// Writes the secret and gives the file its name.
    fn keep(self, path: &Path, kept: &KeptSecret) -> Result<(), Error> {
        use std::io::Write;
        let mut file = self.0;

        // on disk before it has its name: a crash never leaves an empty file instead of the only copy
        let written = file.write_all(kept.text().as_bytes()).and_then(|()| file.as_file().sync_all());
        let named = written.and_then(|()| file.persist(path).map_err(|error| error.error));
        named.map(drop).map_err(|cause| fs::Error::new("write", path, cause).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const PLACES: RobotPlaces<'_> = RobotPlaces { staging: "s", release: "r", cache: Some("c") };

    #[test]
    fn only_one_robot_writes_to_release() {
        let writes = |rights: &Rights, project: &str| {
            rights.iter().any(|right| {
                right[1] == project && matches!(right[3].as_str(), "create" | "push" | "update" | "delete" | "*")
            })
        };
        let (pipeline, release) = (robot_rights(&rights::PIPELINE, &PLACES), robot_rights(&rights::RELEASE, &PLACES));
        assert!(writes(&pipeline, "s") && !writes(&pipeline, "r") && writes(&release, "r"));
        // neither of them creates projects, robots or rules, or changes a project
        let kinds: BTreeSet<&str> = pipeline.union(&release).map(|right| right[2].as_str()).collect();
        assert!(
            ["robot", "immutable-tag", "tag-retention", "notification-policy"].iter().all(|kind| !kinds.contains(kind))
        );
        assert!(!pipeline.union(&release).any(|right| right[2] == "project" && right[3] != "read"));
    }

    #[test]
    fn rights_in_other_projects_stay() {
        let own = robot_rights(&rights::PIPELINE, &PLACES);
        // the cache moved to another project
        let moved = RobotPlaces { cache: Some("d"), ..PLACES };
        let wanted = robot_rights(&rights::PIPELINE, &moved);
        assert_eq!((foreign(&own, &moved), kept(&own, &wanted).len()), (None, 3));
        for places in [RobotPlaces { staging: "x", ..PLACES }, RobotPlaces { release: "x", ..PLACES }] {
            assert!(foreign(&own, &places).unwrap().starts_with("it has rights on "));
        }
        assert_eq!(foreign(&Rights::new(), &PLACES), None);
    }

    #[test]
    fn recognises_its_own_rights() {
        let wanted = robot_rights(&rights::RELEASE, &PLACES);
        let permissions = permissions(&wanted);
        assert_eq!(permissions.as_array().unwrap().len(), 2);
        let robot = json!({"id": 1, "name": "robot$x", "permissions": permissions, "expires_at": 5});
        let robot: RobotAccount = serde_json::from_value(robot).unwrap();
        assert_eq!(robot.rights(), wanted);
        assert_eq!((robot.trouble(4), robot.trouble(5).is_some()), (None, true));
        let never: RobotAccount = serde_json::from_str(r#"{"id":1,"name":"x","expires_at":-1}"#).unwrap();
        assert_eq!((never.trouble(i64::MAX), never.rights().len()), (None, 0));
    }

    #[test]
    fn keeps_secrets_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/pipeline.json");
        let kept = KeptSecret {
            name: "robot$pipeline".to_owned(),
            secret: Secret::new("marker".to_owned()),
            registry: Some("https://h".to_owned()),
        };
        RobotPlace::open(path.parent().unwrap()).unwrap().keep(&path, &kept).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_text(&path, 100).unwrap(),
            r#"{"name":"robot$pipeline","secret":"marker","registry":"https://h"}"#
        );
        assert!(!format!("{kept:?}").contains("marker"));
    }
}
