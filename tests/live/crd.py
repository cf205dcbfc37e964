"""Checks a YAML document against a Kubernetes CustomResourceDefinition, strictly: unknown fields are errors."""
import sys

import jsonschema
import yaml


def strict(schema):
    if isinstance(schema, list):
        for part in schema:
            strict(part)
    if not isinstance(schema, dict):
        return
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    if schema.get("type") == "object" and "properties" in schema and not is_open:
        schema.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    for part in list(schema.values()):
        strict(part)


definition, path = sys.argv[1:]
document = yaml.safe_load(open(path))
version = document["apiVersion"].split("/")[1]
versions = yaml.safe_load(open(definition))["spec"]["versions"]
schema = next(v for v in versions if v["name"] == version)["schema"]["openAPIV3Schema"]
strict(schema)
schema["properties"].update({"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}})
errors = list(jsonschema.Draft202012Validator(schema).iter_errors(document))
for error in errors:
    print("/".join(map(str, error.absolute_path)), error.message[:200])
sys.exit(bool(errors))
