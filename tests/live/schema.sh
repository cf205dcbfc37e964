# shellcheck shell=bash
# The OCI documents against the schemas of the OCI image specification, as Debian packages them.

schemas() { # schemas: prints the folder of the official JSON schemas
    local package=golang-github-opencontainers-image-spec-dev folder=usr/share/gocode/src/github.com/opencontainers/image-spec/schema
    [[ -d /$folder ]] && { echo "/$folder"; return; }
    mkdir -p "$work/image-spec"
    (
        cd "$work/image-spec" || exit 1
        apt-get download -qq "$package" || { apt-get update -qq && apt-get download -qq "$package"; } || exit 1
        dpkg-deb -x ./*.deb .
    ) >/dev/null 2>&1 || return 1
    echo "$work/image-spec/$folder"
}
validator() { # validator: prints a Python that has jsonschema
    local python
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import jsonschema' 2>/dev/null && { echo "$python"; return; }
    done
    { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q jsonschema; } >/dev/null 2>&1 || return 1
    echo "$work/venv/bin/python"
}
follows_schemas() { # follows_schemas PYTHON SCHEMAS LAYOUT: the layout, and every document that its index leads to
    "$1" -W ignore - "$2" "$3" <<'PY'
import json, pathlib, sys
import jsonschema
folder, layout = map(pathlib.Path, sys.argv[1:])
# the files refer to each other by name, while their `id` names another place: leave it out, resolve by file
def load(name):
    def plain(value):
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if not (k == "id" and isinstance(v, str))}
        return [plain(v) for v in value] if isinstance(value, list) else value
    return plain(json.loads((folder / name).read_text()))
store = {f"https://schema.test/{path.name}": load(path.name) for path in folder.glob("*.json")}
assert len(store) >= 7, f"only {len(store)} schemas"
def errors(name, document):
    url = f"https://schema.test/{name}-schema.json"
    resolver = jsonschema.RefResolver(url, store[url], store=store)
    return [f"{name}: {e.json_path}: {e.message[:200]}" for e in jsonschema.Draft4Validator(store[url], resolver=resolver).iter_errors(document)]
# a validator that accepts everything proves nothing
assert errors("image-manifest", {"schemaVersion": 2, "layers": []}) and errors("config", {"os": 1}), "the schemas refuse nothing"
kinds = {
    "application/vnd.oci.image.index.v1+json": "image-index",
    "application/vnd.oci.image.manifest.v1+json": "image-manifest",
    "application/vnd.oci.image.config.v1+json": "config",
}
found, seen = errors("image-layout", json.loads((layout / "oci-layout").read_text())), {}
def follow(kind, document):
    found.extend(errors(kind, document))
    for child in document.get("manifests", []) + ([document["config"]] if "config" in document and kind != "config" else []):
        if child["digest"] not in seen:
            seen[child["digest"]] = kinds[child["mediaType"]]
            data = (layout / "blobs" / child["digest"].replace(":", "/")).read_bytes()
            assert len(data) == child["size"], f"{child['digest']}: {len(data)} bytes instead of {child['size']}"
            follow(kinds[child["mediaType"]], json.loads(data))
follow("image-index", json.loads((layout / "index.json").read_text()))
counts = {kind: list(seen.values()).count(kind) for kind in kinds.values()}
assert all(counts.values()), f"not every kind of document was there: {counts}"
print(*found, counts, sep="\n")
sys.exit(bool(found))
PY
}
if python=$(validator) && folder=$(schemas); then
    check "index, manifests and configurations follow the schemas of OCI" follows_schemas "$python" "$folder" "$work/out"
    [[ -d $work/zstd ]] && check "so do those with zstd layers" follows_schemas "$python" "$folder" "$work/zstd"
else
    skip "schemas of OCI: PYTHON'S jsonschema OR DEBIAN'S image-spec PACKAGE CANNOT BE HAD"
fi
