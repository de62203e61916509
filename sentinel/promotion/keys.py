"""The key pair that signs releases and decisions, and the public keys by which they are verified.

`signing.key` signs (P-256, readable by its owner alone); every `*.pub` beside it is trusted, so that a machine that
only verifies needs public keys only, and a retired key still verifies what it signed.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sentinel.errors import ConfigInvalid, RecordInvalid
from sentinel.storage import complete_file, sha256_bytes

PRIVATE, PUBLIC = "signing.key", "signing.pub"
_ALGORITHM = ec.ECDSA(hashes.SHA256())


def create_keys(folder: Path) -> Path:
    """Make a new pair in `folder`; its public key. Raises ConfigInvalid when one is there: it is never replaced."""
    if (folder / PRIVATE).exists():
        raise ConfigInvalid(
            f"{folder / PRIVATE} is there already, and what it signed is verified by its public key. To retire it, "
            f"move it away, rename {PUBLIC} to another name that ends in .pub, and call again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with complete_file(folder / PUBLIC) as temporary:
        temporary.write_bytes(public)
    with complete_file(folder / PRIVATE) as temporary:  # last: with it the pair is whole
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
    return folder / PUBLIC


def signing_key(folder: Path) -> Path:
    """The private key of `folder`; a pair is made when there is none. The caller holds a lock or is alone."""
    if not (folder / PRIVATE).exists():
        create_keys(folder)
    return folder / PRIVATE


def public_keys(folder: Path) -> list[Path]:
    """Every trusted public key. Raises RecordInvalid when there is none: nothing could be verified."""
    found = sorted(folder.glob("*.pub"))
    if not found:
        raise RecordInvalid(
            f"There is no public key in {folder}, so no signature can be verified. Copy the signer's {PUBLIC} there, "
            "or make a pair with `sentinel keys init`."
        )
    return found


def fingerprint(key: Path) -> str:
    """sha256 of the public key (DER), of a private or a public key file."""
    content = key.read_bytes()
    try:
        public = _private(content).public_key() if b"PRIVATE" in content else serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RecordInvalid(f"{key} is no key in PEM ({error}). Restore it, or remove it.") from error
    encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256_bytes(encoded)


def sign(content: bytes, private: Path) -> str:
    """The signature in base64."""
    return base64.b64encode(_private(private.read_bytes()).sign(content, _ALGORITHM)).decode()


def is_signed(content: bytes, signature: str, public: Path) -> bool:
    """Whether `signature` is exactly what the owner of `public` wrote about exactly this content."""
    key = serialization.load_pem_public_key(public.read_bytes())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        raw = base64.b64decode(signature, validate=True)
        if base64.b64encode(raw).decode() != signature:  # unused bits of the last letter
            return False
        key.verify(raw, content, _ALGORITHM)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _private(content: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(content, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("it is not on an elliptic curve")
    return key
