"""Validates every document of an OCI layout against the image-spec's JSON Schemas.

Usage: schema.py LAYOUT SCHEMAS; prints how many documents of which kind were valid.
"""

import json
import os
import sys
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
import jsonschema

layout, folder = sys.argv[1:]


def plain(value):
    """Without `id`: the schemas refer to each other by file name."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if not (k == "id" and isinstance(v, str))}
    return [plain(v) for v in value] if isinstance(value, list) else value


schemas = {n: plain(json.load(open(os.path.join(folder, n)))) for n in os.listdir(folder) if n.endswith(".json")}
counts = {}


def valid(kind, document):
    schema = schemas[kind]
    resolver = jsonschema.RefResolver("", schema, store=schemas)
    jsonschema.Draft4Validator(schema, resolver=resolver).validate(document)
    counts[kind] = counts.get(kind, 0) + 1


def blob(descriptor):
    path = os.path.join(layout, "blobs", *descriptor["digest"].split(":"))
    assert os.path.getsize(path) == descriptor["size"], f"{path} has another size"
    return json.load(open(path))


def walk(descriptor):
    valid("content-descriptor.json", descriptor)
    document = blob(descriptor)
    if "index" in descriptor["mediaType"]:
        valid("image-index-schema.json", document)
        for child in document["manifests"]:
            walk(child)
    else:
        valid("image-manifest-schema.json", document)
        valid("config-schema.json", blob(document["config"]))


valid("image-layout-schema.json", json.load(open(os.path.join(layout, "oci-layout"))))
index = json.load(open(os.path.join(layout, "index.json")))
valid("image-index-schema.json", index)
for entry in index["manifests"]:
    walk(entry)
print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
