#!/usr/bin/env python3
"""Checks the vectors of docs/keys.md with a second implementation of its text: keys.py [DOCUMENT].

Python 3.9 or later, standard library only. Of canonical JSON it knows the digest alone: that the canonical form is
RFC 8785's is for the RFC's own test data. Ends with 0 if every vector holds.
"""

import hashlib
import json
import pathlib
import struct
import sys

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "keys.md"


def octets(value):
    return value.encode("utf-8") if isinstance(value, str) else bytes.fromhex(value["hex"])


def digest(*parts):
    """SHA-256 over parts, each behind its length."""
    return hashlib.sha256(b"".join(struct.pack("<I", len(part)) + part for part in parts)).hexdigest()


def in_order(fields):
    """Names and values in order of the names' bytes."""
    return [part for field in sorted((octets(name), octets(value)) for name, value in fields) for part in field]


def expected(vector):
    """The digest that the document's text asks for; None where it asks for a refusal."""
    if "derive" in vector:
        return digest(b"onceward key v1", octets(vector["derive"]), *in_order(vector["fields"]))
    if "child" in vector:
        return digest(b"onceward child key v1", octets(vector["of"]), octets(vector["child"]))
    if "derived_key" in vector:
        return digest(b"onceward derived key v1", *map(octets, vector["derived_key"]))
    if "fingerprint_of" in vector:
        return hashlib.sha256(octets(vector["fingerprint_of"])).hexdigest()
    if "fingerprint_of_fields" in vector:
        return digest(b"onceward fingerprint of fields v1", *in_order(vector["fingerprint_of_fields"]))
    document, canonical = vector["fingerprint_of_json"], vector.get("canonical")
    if canonical is None:
        return None
    if json.loads(document) != json.loads(canonical):
        raise ValueError("the canonical form says something else")
    return digest(b"onceward fingerprint of json v1", octets(canonical))


def main():
    text = pathlib.Path(sys.argv[1] if sys.argv[1:] else DOCUMENT).read_text(encoding="utf-8")
    lines = text.split("```jsonl\n")[1].split("```")[0].splitlines()
    wrong = 0
    for line in lines:
        vector = json.loads(line)
        want, got = expected(vector), vector.get("key", vector.get("fingerprint"))
        if want != got:
            wrong += 1
            print(f"{line}\n  the text asks for {want}")
    print(f"{len(lines)} vectors: {wrong} fail")
    return 1 if wrong or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
