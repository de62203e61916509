from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel.errors import ConfigInvalid, RecordInvalid
from sentinel.promotion.keys import create_keys, fingerprint, public_keys, read_public, sign, signing_key


def test_only_the_owner_can_read_the_private_key_and_the_public_one_verifies(tmp_path: Path) -> None:
    private = signing_key(tmp_path / "keys")
    (public,) = public_keys(tmp_path / "keys")

    assert private.stat().st_mode & 0o777 == 0o600
    assert fingerprint(private) == fingerprint(public)
    signature = sign(b"content", private)
    assert read_public(public).has_signed(b"content", signature)
    assert not read_public(public).has_signed(b"kontent", signature)
    assert not read_public(create_keys(tmp_path / "stranger")).has_signed(b"content", signature)


def test_pair_is_never_replaced(tmp_path: Path) -> None:
    create_keys(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    with pytest.raises(ConfigInvalid, match="is there already"):
        create_keys(tmp_path)

    assert signing_key(tmp_path) == tmp_path / "signing.key"
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_key_of_another_signer_stays_trusted_when_a_machine_that_only_verified_gets_a_pair(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    foreign = create_keys(tmp_path / "there")
    (tmp_path / "here" / "signing.pub").write_bytes(foreign.read_bytes())

    own = create_keys(tmp_path / "here")

    assert {fingerprint(public) for public in public_keys(tmp_path / "here")} == {
        fingerprint(foreign),
        fingerprint(own),
    }


def test_lost_public_half_is_written_again_and_that_of_another_pair_is_refused(tmp_path: Path) -> None:
    public = create_keys(tmp_path)
    before = public.read_bytes()
    public.unlink()
    signing_key(tmp_path)
    assert public.read_bytes() == before

    public.write_bytes(create_keys(tmp_path / "other").read_bytes())
    with pytest.raises(RecordInvalid, match="not the public half"):
        signing_key(tmp_path)


def test_every_byte_of_a_public_key_counts(tmp_path: Path) -> None:
    public = create_keys(tmp_path)
    whole = public.read_bytes()
    for position in range(len(whole)):
        for bit in (1, 16, 32, 128):
            public.write_bytes(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
            with pytest.raises(RecordInvalid, match=r"signing\.pub"):
                read_public(public)
    for altered in (whole + b"\n", whole.replace(b"\n", b"\r\n"), whole[:-1], whole + whole, b""):
        public.write_bytes(altered)
        with pytest.raises(RecordInvalid, match=r"signing\.pub"):
            read_public(public)


def _open_to_others(key: Path) -> None:
    key.chmod(0o640)


def _with_a_passphrase(key: Path) -> None:
    command = ["openssl", "pkcs8", "-topk8", "-v2", "aes256", "-passout", "pass:secret", "-in", key, "-out", f"{key}2"]
    subprocess.run(command, check=True, capture_output=True)
    Path(f"{key}2").replace(key)
    key.chmod(0o600)


def _cut_short(key: Path) -> None:
    key.write_bytes(key.read_bytes()[:-40])


def _on_another_curve(key: Path) -> None:
    curve = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", key]
    subprocess.run(curve, check=True, capture_output=True)
    key.chmod(0o600)


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (_open_to_others, ConfigInvalid, "can be read by others.*chmod 600"),
        (_with_a_passphrase, ConfigInvalid, "asks for a passphrase.*openssl"),
        (_cut_short, RecordInvalid, "is no private key in PEM"),
        (_on_another_curve, ConfigInvalid, "is no P-256 key"),
    ],
)
def test_private_key_that_cannot_be_used_is_told_and_not_shown(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[Exception], said: str
) -> None:
    create_keys(tmp_path)
    spoil(tmp_path / "signing.key")

    for use in (lambda: signing_key(tmp_path), lambda: sign(b"x", tmp_path / "signing.key")):
        with pytest.raises(error, match=said) as raised:
            use()
        secret = (tmp_path / "signing.key").read_text().splitlines()[1]
        assert secret not in str(raised.value)
