"""Judges TOML files by a JSON Schema, as editors do: one line a file on stdout, "valid" or where and why it is not.

Arguments: the schema, then the files. What stands in the place of `${...}` is not known here, so texts stay as they are.
"""

import json
import sys
import tomllib

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match


def place(error):
    return ".".join(str(part) for part in error.absolute_path) or "the file"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for path in sys.argv[2:]:
        with open(path, "rb") as file:
            error = best_match(validator.iter_errors(tomllib.load(file)))
        print("valid" if error is None else f"{place(error)}: {error.message}".splitlines()[0])


main()
