"""The schemas of operators' own kinds, strictly, from CRDs beside the repository."""

import gzip
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import pytest
import yaml
from cluster_files import ROOT, Manifest

SCHEMAS = ROOT.parent / "shared" / "schemas"


def _strict(schema: Any) -> Any:
    """A CRD's schema that refuses unknown fields, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [_strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: _strict(value) for key, value in schema.items()}
    if "properties" in made and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def faults_by_crds(folder: str, files: Mapping[str, str], version: str) -> Callable[[Manifest], list[str]]:
    """What the CRDs of a folder, by kind, have against a manifest; skips the test where they are not there."""
    crds = SCHEMAS / folder
    if not crds.is_dir():
        pytest.skip(f"the CRDs {folder} are not on this machine (shared/schemas beside the repository)")
    validators = {}
    for kind, file in files.items():
        text = gzip.decompress((crds / file).read_bytes())
        crd = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        (served,) = [one for one in crd["spec"]["versions"] if one["name"] == version]
        schema = _strict(served["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        validators[kind] = jsonschema.Draft202012Validator(schema)
    return lambda manifest: [
        f"{error.json_path}: {error.message}" for error in validators[manifest["kind"]].iter_errors(manifest)
    ]
