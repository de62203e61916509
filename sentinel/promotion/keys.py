"""The key pair that signs releases and decisions, and the public keys by which they are verified.

`signing.key` signs (P-256, readable by its owner alone); every `*.pub` beside it is trusted, so that a machine that
only verifies needs public keys only, and a retired key still verifies what it signed.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sentinel.errors import ConfigInvalid, RecordInvalid
from sentinel.storage import complete_file, sha256_bytes

PRIVATE, PUBLIC = "signing.key", "signing.pub"
_ALGORITHM = ec.ECDSA(hashes.SHA256())
_OTHERS = 0o077  # what nobody but the owner may do with a private key

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrustedKey:
    """A public key and the file it came from."""

    file: Path
    key: ec.EllipticCurvePublicKey

    @property
    def fingerprint(self) -> str:
        """sha256 of the key (DER)."""
        return sha256_bytes(
            self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def has_signed(self, content: bytes, signature: str) -> bool:
        """Whether `signature` (base64) is exactly what the key's owner wrote about exactly this content."""
        try:
            raw = base64.b64decode(signature, validate=True)
            if base64.b64encode(raw).decode() != signature:  # unused bits of the last letter
                return False
            self.key.verify(raw, content, _ALGORITHM)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def create_keys(folder: Path) -> Path:
    """Make a new pair in `folder`; its public key. Raises ConfigInvalid when one is there: it is never replaced."""
    if (folder / PRIVATE).exists():
        raise ConfigInvalid(
            f"{folder / PRIVATE} is there already, and what it signed is verified by its public key. To retire it, "
            f"move it away, rename {PUBLIC} to another name that ends in .pub, and call again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _keep_foreign_key(folder)
    private = ec.generate_private_key(ec.SECP256R1())
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with complete_file(folder / PUBLIC) as temporary:
        temporary.write_bytes(pem(private.public_key()))
    with complete_file(folder / PRIVATE) as temporary:  # last: with it the pair is whole
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
    return folder / PUBLIC


def signing_key(folder: Path) -> Path:
    """The private key of `folder`; a pair is made when there is none. The caller holds a lock or is alone.

    Raises ConfigInvalid or RecordInvalid for a key that cannot sign, or whose public half is another's.
    """
    private, public = folder / PRIVATE, folder / PUBLIC
    if not private.exists():
        create_keys(folder)
        _log.warning(
            "A key pair was made that signs releases and decisions. Copy %s to whoever verifies them, and keep a "
            "copy of %s where nobody else reads it.", public, private,
        )  # fmt: skip
        return private
    own = pem(_read_private(private).public_key())
    if not public.exists():
        with complete_file(public) as temporary:  # nothing is decided by it: the private key says what it is
            temporary.write_bytes(own)
    elif public.read_bytes() != own:
        raise RecordInvalid(
            f"{public} is not the public half of {private}: what is signed now could not be verified by it. Restore "
            "the one that was altered; to trust another signer, too, give that key a name of its own that ends in .pub."
        )
    return private


def public_keys(folder: Path) -> list[Path]:
    """Every trusted public key. Raises RecordInvalid when there is none: nothing could be verified."""
    found = sorted(folder.glob("*.pub"))
    if not found:
        raise RecordInvalid(
            f"There is no public key in {folder}, so no signature can be verified. Copy the signer's {PUBLIC} there, "
            "or make a pair with `sentinel keys init`."
        )
    return found


def read_public(file: Path) -> TrustedKey:
    """Raises RecordInvalid unless the file is exactly what `create_keys` writes: one P-256 key in PEM."""
    try:
        content = file.read_bytes()
        key = serialization.load_pem_public_key(content)
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise RecordInvalid(f"{file} is no public key in PEM ({error}). Copy it from the signer again.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_p256(key) or pem(key) != content:
        raise RecordInvalid(f"{file} is not a P-256 key in PEM, byte for byte as it was made. Copy it again.")
    return TrustedKey(file, key)


def fingerprint(key: Path) -> str:
    """sha256 of the public key (DER), of a private or a public key file."""
    if key.suffix == ".pub":
        return read_public(key).fingerprint
    return TrustedKey(key, _read_private(key).public_key()).fingerprint


def sign(content: bytes, private: Path) -> str:
    """The signature in base64."""
    return base64.b64encode(_read_private(private).sign(content, _ALGORITHM)).decode()


def pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _keep_foreign_key(folder: Path) -> None:
    """A signing.pub with no private key beside it is another signer's: it stays trusted, under its fingerprint."""
    if (folder / PUBLIC).exists():
        (folder / PUBLIC).rename(folder / f"{fingerprint(folder / PUBLIC)[:16]}.pub")


def _read_private(file: Path) -> ec.EllipticCurvePrivateKey:
    """Raises ConfigInvalid for one that others may read or that asks for a passphrase, RecordInvalid for no key."""
    if file.stat().st_mode & _OTHERS:
        raise ConfigInvalid(
            f"{file} can be read by others (mode {file.stat().st_mode & 0o777:o}), so they could sign, too. Close it "
            f"with: chmod 600 {file}; if somebody may have copied it, retire it (see `sentinel keys init --help`)."
        )
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except TypeError as error:
        raise ConfigInvalid(
            f"{file} asks for a passphrase, and a run that nobody watches has none to give. Take it off with: "
            f"openssl pkey -in {file} -out KEY, and put KEY in its place."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RecordInvalid(f"{file} is no private key in PEM. Restore it from a copy, or retire it.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p256(key.public_key()):
        raise ConfigInvalid(f"{file} is no P-256 key. Restore the one that `sentinel keys init` made.")
    return key


def _is_p256(key: ec.EllipticCurvePublicKey) -> bool:
    return isinstance(key.curve, ec.SECP256R1)
