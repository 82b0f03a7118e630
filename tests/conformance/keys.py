#!/usr/bin/env python3
"""Checks the vectors of docs/keys.md, or docs/http.md, with a second implementation of its text: keys.py [DOCUMENT].

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


def of_request(vector):
    """The fingerprint of a request, by docs/http.md."""
    path, _, query = vector["target"].partition("?")
    pairs = sorted(query.split("&"), key=lambda pair: octets(pair.split("=")[0]))
    headers = [(name.lower(), value) for name, value in vector["request_headers"]]
    parts = [b"onceward http fingerprint v1", *map(octets, (vector["method"], path, "&".join(pairs)))]
    for chosen in sorted(name.lower() for name in vector.get("headers", [])):
        for name, value in headers:
            if name == chosen:
                parts += [octets(name), octets(value)]
    media_type = dict(headers).get("content-type", "").split(";")[0].strip().lower()
    is_json = media_type == "application/json" or media_type.endswith("+json")
    body = octets(vector["body"])
    if vector["form"] == "raw" or not is_json or not body:
        return digest(*parts, b"raw", hashlib.sha256(body).digest())
    if vector["form"] == "json":
        if json.loads(body) != json.loads(vector["canonical"]):
            raise ValueError("the canonical form says something else")
        return digest(*parts, b"json", octets(vector["canonical"]))
    there = [pointer for pointer in sorted(vector["pointers"]) if pointer in vector["values"]]
    fields = [octets(part) for pointer in there for part in (pointer, vector["values"][pointer])]
    return digest(*parts, b"fields", *fields)


def expected(vector):
    """The digest that the document's text asks for; None where it asks for a refusal."""
    if "method" in vector:
        return of_request(vector)
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
