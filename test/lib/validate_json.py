"""Validates JSON against the schemas of gateway/schema, with Debian's python3-jsonschema.

    validate_json.py SCHEMA_DIR <lines of "schema name, tab, JSON">

Prints a line for each thing that is wrong. The schemas themselves are checked first: whatever has
properties has no others, and needs them all; whatever is a figure or a text says what it is.
"""

import json
import pathlib
import sys

import jsonschema

BASE = "file:///"


def complaints_of_schema(schema, path):
    """Where a schema is not as strict, or not as well described, as ours are to be."""
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from complaints_of_schema(part, f"{path}/{number}")
    if not isinstance(schema, dict):
        return
    if "properties" in schema:
        if schema.get("additionalProperties") is not False:
            yield f"{path}: other properties are allowed"
        if schema.get("required") != list(schema["properties"]):
            yield f"{path}: not all properties are required"
        for name, part in schema["properties"].items():
            says_itself = {"description", "$ref", "const", "enum", "properties"} & part.keys()
            if not says_itself and part.get("type") not in ("object", ["object", "null"]):
                yield f"{path}/properties/{name}: no description"
    for name, part in schema.items():
        yield from complaints_of_schema(part, f"{path}/{name}")


def main(directory):
    schemas = {path.name: json.loads(path.read_text()) for path in directory.glob("*.schema.json")}
    for name, schema in sorted(schemas.items()):
        jsonschema.Draft202012Validator.check_schema(schema)
        for complaint in complaints_of_schema(schema, name):
            print(complaint)
    validators = {}
    for line in sys.stdin:
        name, _, text = line.rstrip("\n").partition("\t")
        if name not in validators:
            schema = schemas[f"{name}.schema.json"]
            store = {BASE + other: schemas[other] for other in schemas}
            resolver = jsonschema.RefResolver(f"{BASE}{name}.schema.json", schema, store=store)
            validators[name] = jsonschema.Draft202012Validator(schema, resolver=resolver)
        for error in validators[name].iter_errors(json.loads(text)):
            print(f"{name}: {error.json_path}: {error.message[:500]}")


main(pathlib.Path(sys.argv[1]))
