"""What the live test of Harbor does itself, as an administrator, through Harbor's API: URL USER PASSWORD COMMAND ARGUMENT…

Whatever it makes or changes is undone by `clean`, and `state` shows what there is, to compare.
"""

import base64
import gzip
import hashlib
import io
import json
import re
import sys
import tarfile
import time
import urllib.error
import urllib.request

url, user, password, command, *arguments = sys.argv[1:]
LOGIN = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"


def ask(method, path, body=None, accept="application/json", kind="application/json", usual=True):
    """Returns status, headers and body; fails on refusals unless they are expected."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": LOGIN, "Accept": accept, "Content-Type": kind, "X-Is-Resource-Name": "true"}
    request = urllib.request.Request(path if "://" in path else url + path, method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refusal:
        if usual:
            sys.exit(f"{method} {path}: {refusal.code} {refusal.read()[:300]}")
        return refusal.code, refusal.headers, refusal.read()


def api(method, path, body=None, **how):
    text = ask(method, "/api/v2.0" + path, body, **how)[2]
    return json.loads(text) if text else None


def pages(path):
    all, page = [], 1
    while True:
        part = api("GET", f"{path}{'&' if '?' in path else '?'}page={page}&page_size=100") or []
        all += part
        if len(part) < 100:
            return all
        page += 1


def artifact(repository, reference):
    project, name = repository.split("/", 1)
    path = f"/projects/{project}/repositories/{name.replace('/', '%252F')}/artifacts/{reference}"
    return api("GET", path + "?with_tag=true&with_label=true&with_immutable_status=true")


def state():
    """Prints projects, robots and the settings that the test changes."""
    settings = api("GET", "/systeminfo")
    shown = {
        "projects": sorted(project["name"] for project in pages("/projects")),
        "robots": sorted(robot["name"] for robot in pages("/robots?q=Level%3Dsystem")),
        "read-only": settings["read_only"],
    }
    print(json.dumps(shown, indent=1))


def clean(prefix):
    """Deletes the projects and robots that are called `prefix` or `prefix-…`."""
    own = re.compile(re.escape(prefix) + "(-|$)")
    for project in pages("/projects"):
        name = project["name"]
        if not own.match(name):
            continue
        for rule in pages(f"/projects/{name}/immutabletagrules"):
            api("PUT", f"/projects/{name}/immutabletagrules/{rule['id']}", {"id": rule["id"], "disabled": True})
        for repository in pages(f"/projects/{name}/repositories"):
            path = repository["name"].split("/", 1)[1].replace("/", "%252F")
            api("DELETE", f"/projects/{name}/repositories/{path}")
        api("DELETE", f"/projects/{name}")
    for robot in pages("/robots?q=Level%3Dsystem"):
        # after Harbor's own prefix, whatever it is
        if own.search(robot["name"]):
            api("DELETE", f"/robots/{robot['id']}")


def released(repository, tag, label):
    """Prints the digest that a tag names, once it never moves and has the label."""
    found = artifact(repository, tag)
    tags = {one["name"]: one for one in found["tags"]}
    assert tags[tag]["immutable"], tags
    assert label in [one["name"] for one in found["labels"] or []], found["labels"]
    print(found["digest"])


def untagged(repository, digest):
    assert not artifact(repository, digest)["tags"], "the throw-away tag is still there"


def quota(project, room):
    """Leaves a project so much room; -1 is no limit."""
    number = api("GET", f"/projects/{project}")["project_id"]
    [found] = api("GET", f"/quotas?reference=project&reference_id={number}")
    limit = -1 if int(room) < 0 else found["used"]["storage"] + int(room)
    api("PUT", f"/quotas/{found['id']}", {"hard": {"storage": limit}})


def read_only(value):
    api("PUT", "/configurations", {"read_only": value == "true"})


def push(repository, data):
    begun = ask("POST", f"/v2/{repository}/blobs/uploads/", b"")[1]["Location"]
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    place = begun + ("&" if "?" in begun else "?") + "digest=" + digest
    ask("PUT", place if "://" in place else url + place, data, kind="application/octet-stream")
    return {"digest": digest, "size": len(data)}


def application(base, reference, repository, tag):
    """Puts one layer onto the first image of a base, as any builder would, and pushes the result."""
    def manifest(reference):
        return json.loads(ask("GET", f"/v2/{base}/manifests/{reference}", accept=MANIFESTS)[2])

    image = manifest(reference)
    if "manifests" in image:
        image = manifest(image["manifests"][0]["digest"])
    config = json.loads(ask("GET", f"/v2/{base}/blobs/{image['config']['digest']}")[2])
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("srv/application.txt")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"works"))
    config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(tar.getvalue()).hexdigest())
    config["history"].append({"created_by": "COPY application.txt /srv/"})
    for layer in image["layers"]:
        ask("POST", f"/v2/{repository}/blobs/uploads/?mount={layer['digest']}&from={base}", b"")
    layer = push(repository, gzip.compress(tar.getvalue(), mtime=0))
    image["layers"].append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **layer})
    image["config"].update(push(repository, json.dumps(config).encode()))
    image.pop("annotations", None)
    ask("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(image).encode(), kind=image["mediaType"])


def collect_garbage():
    """Has Harbor delete everything that no tag names, and waits for it."""
    status, _, text = ask("POST", "/api/v2.0/system/gc/schedule", {"schedule": {"type": "Manual"}, "parameters": {"delete_untagged": True}}, usual=False)
    if status == 501:
        sys.exit(77)
    assert status == 201, (status, text)
    for _ in range(120):
        time.sleep(1)
        last = api("GET", "/system/gc?page=1&page_size=1&sort=-creation_time")[0]
        if last["job_status"] not in ("Pending", "Running", "Scheduled"):
            break
    assert last["job_status"] == "Success", last


{
    "state": state, "clean": clean, "released": released, "untagged": untagged, "quota": quota, "read-only": read_only,
    "application": application, "collect-garbage": collect_garbage,
}[command](*arguments)
