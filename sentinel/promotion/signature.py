"""Whether model.sig is the signature of exactly this release, by cryptography alone.

model-signing writes it (signing.py): a Sigstore bundle with a DSSE envelope, in it an in-toto statement that lists the
sha256 of every file. Its own verifier takes the same file; this one is for machines that only score, and stricter: no
byte of the bundle is free. A test holds both to the same answer.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from sentinel.artifacts import MANIFEST, SIGNATURE
from sentinel.errors import RecordInvalid
from sentinel.promotion.keys import TrustedKey, pem
from sentinel.promotion.manifest import Manifest, read_small, shown
from sentinel.storage import sha256_bytes

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]}


def sentences_against_signature(folder: Path, manifest: Manifest, trusted: list[TrustedKey]) -> list[str]:
    """A sentence for each thing in the signature that does not hold; none: a trusted key signed this release."""
    try:
        return sentences_against_bundle(read_small(folder, SIGNATURE), manifest, trusted)
    except RecordInvalid as error:
        return [str(error)]


def sentences_against_bundle(content: bytes, manifest: Manifest, trusted: list[TrustedKey]) -> list[str]:
    """The same of the bytes of a signature, wherever they come from."""
    try:
        hint, payload, signature = _parts(json.loads(content))
        signed = base64.b64decode(payload, validate=True)
        is_as_written = json.dumps(_bundle(hint, payload, signature), separators=(",", ":")).encode() == content
        if not is_as_written or base64.b64encode(signed).decode() != payload:  # unused bits of the last letter
            return [f"{SIGNATURE}: is not as model-signing wrote it"]
        signer = next((key for key in trusted if sha256_bytes(pem(key.key)) == hint), None)
        if signer is None or not signer.has_signed(_pre_authentication(signed), signature):
            keys = ", ".join(f"{key.file} ({key.fingerprint[:16]})" for key in trusted)
            return [f"{SIGNATURE}: is of no trusted key, or not of this content; trusted: {keys or 'none'}"]
        return _against_statement(json.loads(signed), manifest)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        return [f"{SIGNATURE}: is no signature of a release ({error!r:.200})"]


def _parts(bundle: Any) -> tuple[str, str, str]:
    """Who signed, what, and the signature."""
    envelope = bundle["dsseEnvelope"]
    hint = bundle["verificationMaterial"]["publicKey"]["hint"]
    return str(hint), str(envelope["payload"]), str(envelope["signatures"][0]["sig"])


def _bundle(hint: str, payload: str, signature: str) -> dict[str, Any]:
    """The whole file, from the three things in it that may differ."""
    return {
        "mediaType": _BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": payload,
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": signature, "keyid": ""}],
        },
    }


def _pre_authentication(payload: bytes) -> bytes:
    """What DSSE signs: type and content, each with its length."""
    return f"DSSEv1 {len(_PAYLOAD)} {_PAYLOAD} {len(payload)} ".encode() + payload


def _against_statement(statement: Any, manifest: Manifest) -> list[str]:
    """The statement is authentic; it must speak of these very files, and of nothing else."""
    released = {path: kept.sha256 for path, kept in manifest.files.items()} | {MANIFEST: manifest.sha256}
    resources = statement["predicate"]["resources"]
    signed = {str(one["name"]): one["digest"] for one in resources}
    differing = [path for path in {**released, **signed} if released.get(path) != signed.get(path)]
    if differing:
        return [f"{SIGNATURE}: {shown(path)} is not what was signed" for path in sorted(differing)]
    if statement != _statement(manifest.name, resources):
        return [f"{SIGNATURE}: says more or less than the signature of a release of {shown(manifest.name)}"]
    return []


def _statement(name: str, resources: list[dict[str, str]]) -> dict[str, Any]:
    digests = [str(one["digest"]) for one in resources]
    listed = [
        {"name": one["name"], "algorithm": "sha256", "digest": digest}
        for one, digest in zip(resources, digests, strict=True)
    ]
    subject = {"name": name, "digest": {"sha256": sha256_bytes(b"".join(map(bytes.fromhex, digests)))}}
    return {
        "_type": _STATEMENT,
        "subject": [subject],
        "predicateType": _PREDICATE,
        "predicate": {"serialization": _SERIALIZATION, "resources": listed},
    }
