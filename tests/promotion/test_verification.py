"""An untouched copy of a release verifies; what is changed in it is told with its file, and never by a traceback."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from model_signing import verifying

from sentinel.artifacts import MANIFEST, SIGNATURE
from sentinel.errors import RecordInvalid
from sentinel.promotion.keys import create_keys, read_public
from sentinel.promotion.manifest import read_manifest, wrong_files
from sentinel.promotion.signature import sentences_against_bundle, sentences_against_signature
from sentinel.promotion.signing import sign_release
from sentinel.promotion.verification import sentences_against
from sentinel.storage import canonical_json, sha256_file
from tests.promotion.standins import packaged, read_json, stages


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release; read only."""
    made, _, release = packaged(stages(tmp_path_factory.mktemp("released") / "home", variant_weight=1.5001e-3))
    return made.home / release.path


@pytest.fixture(scope="module")
def public(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that another machine has of the signer."""
    return Path(shutil.copy(released.parents[2] / "keys" / "signing.pub", tmp_path_factory.mktemp("key")))


@pytest.fixture
def copy(released: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(released, tmp_path / released.name))
    for file in folder.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)  # other permissions are no change
    return folder


def names(sentences: list[str]) -> set[str]:
    return {sentence.partition(":")[0] for sentence in sentences}


def test_untouched_copy_verifies_by_the_public_key_alone(copy: Path, public: Path, tmp_path: Path) -> None:
    assert sentences_against(copy, None, [public]) == []
    link = tmp_path / "link"
    link.symlink_to(copy)
    assert sentences_against(link, None, [public]) == []
    assert sentences_against(Path(os.path.relpath(copy)), None, [create_keys(tmp_path / "other"), public]) == []


def test_model_signings_own_verifier_takes_the_same_signature(copy: Path, public: Path) -> None:
    def verify() -> None:
        verifying.Config().use_elliptic_key_verifier(public_key=public).verify(copy, copy / SIGNATURE)

    verify()
    (copy / "card.md").write_text("better than it was")
    with pytest.raises(ValueError, match=r"card\.md"):
        verify()
    assert "card.md" in names(sentences_against(copy, None, [public]))


def test_signature_of_no_trusted_key_is_told(copy: Path, tmp_path: Path) -> None:
    stranger = create_keys(tmp_path / "stranger")
    (told,) = sentences_against(copy, None, [stranger])
    assert told.startswith("model.sig: is of no trusted key") and str(stranger) in told
    (told,) = sentences_against(copy, None, [])
    assert "trusted: none" in told


def flipped(content: bytes, position: int, bit: int) -> bytes:
    return content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :]


def test_every_byte_of_the_signature_counts(released: Path, public: Path) -> None:
    manifest, trusted = read_manifest(released), [read_public(public)]
    whole = (released / SIGNATURE).read_bytes()
    assert sentences_against_bundle(whole, manifest, trusted) == []
    for position in range(len(whole)):
        told = sentences_against_bundle(flipped(whole, position, 1 << position % 8), manifest, trusted)
        assert names(told) == {SIGNATURE}, position
    for altered in (whole + b" ", b" " + whole, whole[:-1], whole.replace(b",", b", "), b"", b"[" * 100_000):
        assert names(sentences_against_bundle(altered, manifest, trusted)) == {SIGNATURE}


def _with(bundle: dict[str, Any], *path: Any, value: Any) -> bytes:
    inner: Any = bundle
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return json.dumps(bundle, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("mediaType",), "application/vnd.dev.sigstore.bundle.v0.2+json"),
        (("verificationMaterial", "tlogEntries"), [{}]),
        (("verificationMaterial", "publicKey", "rawBytes"), "AA=="),
        (("verificationMaterial", "publicKey", "hint"), None),
        (("dsseEnvelope", "payloadType"), "text/plain"),
        (("dsseEnvelope", "signatures", 0, "keyid"), "me"),
        (("dsseEnvelope", "signatures"), []),
        (("dsseEnvelope", "payload"), base64.b64encode(b"{}").decode()),
        (("more",), 1),
    ],
)
def test_no_field_of_the_signature_is_free(released: Path, public: Path, path: tuple[Any, ...], value: Any) -> None:
    altered = _with(read_json(released / SIGNATURE), *path, value=value)
    told = sentences_against_bundle(altered, read_manifest(released), [read_public(public)])
    assert names(told) == {SIGNATURE}


def test_every_byte_of_the_manifest_counts(copy: Path, public: Path) -> None:
    whole, trusted = (copy / MANIFEST).read_bytes(), [read_public(public)]
    for position in range(len(whole)):
        (copy / MANIFEST).write_bytes(flipped(whole, position, 1 << position % 8))
        try:
            manifest = read_manifest(copy)
        except RecordInvalid as error:
            assert str(error).startswith(f"{MANIFEST}: ")
            continue
        assert MANIFEST in " ".join(sentences_against_signature(copy, manifest, trusted)), position
    for altered in (whole[:-1], whole + b"\n", whole.replace(b",", b", ", 1), b"", b"[" * 100_000, b"\xff"):
        (copy / MANIFEST).write_bytes(altered)
        assert names(sentences_against(copy, None, [public])) == {MANIFEST}


def test_every_byte_of_a_small_file_and_many_of_the_large_ones_count(copy: Path) -> None:
    manifest, draw = read_manifest(copy), random.Random(7)
    for name, kept in manifest.files.items():
        whole = (copy / name).read_bytes()
        some_of_them = draw.sample(range(kept.bytes), min(kept.bytes, 40))
        for position in {*some_of_them, 0, kept.bytes - 1}:
            (copy / name).write_bytes(flipped(whole, position, 1 << position % 8))
            assert names([f"{path}: x" for path in wrong_files(copy, manifest)]) == {name}
        for altered in (whole[:-1], whole + b"\n", b""):
            (copy / name).write_bytes(altered)
            assert set(wrong_files(copy, manifest)) == {name}
        (copy / name).write_bytes(whole)
    assert wrong_files(copy, manifest) == {}


@settings(max_examples=15, deadline=None)
@given(data=some.data())
def test_one_changed_byte_of_anything_is_told_by_the_whole_check(
    tmp_path_factory: pytest.TempPathFactory, released: Path, public: Path, data: some.DataObject
) -> None:
    folder = Path(shutil.copytree(released, tmp_path_factory.mktemp("copy") / released.name))
    names_of_all = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    name = data.draw(some.sampled_from(names_of_all))
    whole = (folder / name).read_bytes()
    changed = flipped(whole, data.draw(some.integers(0, len(whole) - 1)), 1 << data.draw(some.integers(0, 7)))
    (folder / name).chmod(0o644)
    (folder / name).write_bytes(changed)
    assert name in names(sentences_against(folder, None, [public]))
    shutil.rmtree(folder)


def _removed(folder: Path) -> None:
    (folder / "golden.json").unlink()


def _added(folder: Path) -> None:
    (folder / "evidence" / "note.txt").write_text("hello")


def _empty_folder(folder: Path) -> None:
    (folder / "nothing" / "in it").mkdir(parents=True)


def _link_to_a_file(folder: Path) -> None:
    original = folder.with_name("elsewhere")
    (folder / "card.md").rename(original)
    (folder / "card.md").symlink_to(original)


def _link_to_a_folder(folder: Path) -> None:
    original = folder.with_name("elsewhere")
    (folder / "evidence").rename(original)
    (folder / "evidence").symlink_to(original)


def _renamed(folder: Path) -> None:
    (folder / "card.md").rename(folder / "Card.md")


def _folder_for_a_file(folder: Path) -> None:
    (folder / "card.md").unlink()
    (folder / "card.md").mkdir()


def _pipe(folder: Path) -> None:
    (folder / "card.md").unlink()
    os.mkfifo(folder / "card.md")


def _unsigned(folder: Path) -> None:
    (folder / SIGNATURE).unlink()


def _signature_is_a_folder(folder: Path) -> None:
    (folder / SIGNATURE).unlink()
    (folder / SIGNATURE).mkdir()


def _odd_name(folder: Path) -> None:
    (folder / b"\xff\n".decode(errors="surrogateescape")).write_text("x")


def _another_release(folder: Path) -> None:
    folder.rename(folder.with_name("0" * 16))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_removed, {"golden.json"}),
        (_added, {"evidence/note.txt"}),
        (_empty_folder, {"nothing", "nothing/in it"}),
        (_link_to_a_file, {"card.md"}),
        (_renamed, {"card.md", "Card.md"}),
        (_folder_for_a_file, {"card.md"}),
        (_pipe, {"card.md"}),
        (_unsigned, {"model.sig"}),
        (_signature_is_a_folder, {"model.sig"}),
        (_odd_name, {r"'\udcff\n'"}),
        (_another_release, {"manifest.json"}),
    ],
)
def test_whatever_is_not_as_it_was_released_is_told_with_its_name(
    copy: Path, public: Path, change: Callable[[Path], None], told: set[str]
) -> None:
    change(copy)
    folder = next(path for path in copy.parent.iterdir() if (path / MANIFEST).exists())
    sentences = sentences_against(folder, None, [public])
    assert names(sentences) == told
    assert all(sentence.isprintable() for sentence in sentences)


def test_everything_that_does_not_hold_is_told_and_not_the_first_alone(copy: Path, public: Path) -> None:
    _link_to_a_folder(copy)
    _removed(copy)
    (copy / "model.onnx").write_bytes(b"no graph")
    (copy / SIGNATURE).write_text("{}")
    told = names(sentences_against(copy, "0" * 64, [public]))
    assert {"evidence", "evidence/scores.parquet", "golden.json", "model.onnx", "model.sig", "manifest.json"} <= told


def forge(folder: Path, public: Path, *, key: Path | None = None) -> list[str]:
    """What is told of a folder whose manifest was made to fit, signed by somebody else or, with `key`, again."""
    manifest = read_json(folder / MANIFEST)
    there = [path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, SIGNATURE)]
    manifest["files"] = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in there
    }
    (folder / MANIFEST).write_text(canonical_json(manifest) + "\n")
    named = folder.with_name(manifest["name"])
    folder.rename(named)
    if key:
        sign_release(named, key)
    return sentences_against(named, None, [public])


def change_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**read_json(file), **changes}))


def test_changed_file_with_a_manifest_made_to_fit_is_told_by_the_signature(copy: Path, public: Path) -> None:
    change_json(copy / "threshold.json", threshold=0.01)
    (copy / "model.onnx").write_bytes(b"whatever a stranger would have us run")
    told = [sentence for sentence in forge(copy, public) if "model.onnx" not in sentence]
    assert told == [f"model.sig: {name} is not what was signed" for name in ("manifest.json", "threshold.json")]


def _worse_parity(folder: Path) -> None:
    change_json(folder / "evidence" / "parity.json", max_absolute_difference=0.5)


def _better_value(folder: Path) -> None:
    gates = read_json(folder / "gates.json")["gates"]
    next(gate for gate in gates if gate["name"] == "onnx_parity")["value"] = 1e-9
    change_json(folder / "gates.json", gates=gates)


def _fewer_gates(folder: Path) -> None:
    change_json(folder / "gates.json", gates=read_json(folder / "gates.json")["gates"][:-1])


def _no_gates(folder: Path) -> None:
    change_json(folder / "gates.json", gates=[])


def _wider_settings(folder: Path) -> None:
    change_json(folder / "gates.json", settings={**read_json(folder / "gates.json")["settings"], "min_pr_auc": 0.01})


def _slower_samples(folder: Path) -> None:
    measured = read_json(folder / "evidence" / "latency.json")
    change_json(folder / "evidence" / "latency.json", samples_ms=[one + 1e6 for one in measured["samples_ms"]])


def _no_table(folder: Path) -> None:
    (folder / "evidence" / "scores.parquet").write_bytes(b"PAR1 no table PAR1")


def _no_graph(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"\x00\x01no graph")


def _other_answers(folder: Path) -> None:
    golden = read_json(folder / "golden.json")
    change_json(folder / "golden.json", probability=[*golden["probability"][:-1], 0.123])


def _no_questions(folder: Path) -> None:
    change_json(folder / "golden.json", numeric=[], categorical=[], probability=[])


def _deep_json(folder: Path) -> None:
    (folder / "gates.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_worse_parity, "gates.json: gate onnx_parity is failed"),
        (_better_value, "gates.json: gate onnx_parity"),
        (_fewer_gates, "is not in the report"),
        (_no_gates, "gates.json: gate data_validation is not in the report"),
        (_wider_settings, "gates.json: gate pr_auc_floor"),
        (_slower_samples, "gates.json: gate latency is failed"),
        (_no_table, "gates.json: "),
        (_no_graph, "golden.json: cannot be answered here"),
        (_other_answers, "golden.json: the graph answers otherwise here"),
        (_no_questions, "golden.json: cannot be answered here"),
        (_deep_json, "gates.json: cannot be judged anew"),
    ],
)
def test_release_signed_with_something_untrue_in_it_is_told_though_every_digest_fits(
    copy: Path, released: Path, public: Path, change: Callable[[Path], None], said: str
) -> None:
    change(copy)
    told = forge(copy, public, key=released.parents[2] / "keys" / "signing.key")
    assert any(said in sentence for sentence in told), told
    assert not any(sentence.startswith("model.sig") for sentence in told)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../b", "./card.md", "a//b", "", "model.sig"])
def test_manifest_that_leads_elsewhere_is_refused(copy: Path, public: Path, path: str) -> None:
    manifest = read_json(copy / MANIFEST)
    manifest["files"][path] = {"sha256": "0" * 64, "bytes": 1}
    (copy / MANIFEST).write_text(canonical_json(manifest) + "\n")
    (told,) = sentences_against(copy, None, [public])
    assert told.startswith(f"{MANIFEST}: lists")


def test_folder_that_is_no_release_is_a_sentence(tmp_path: Path, public: Path) -> None:
    assert "manifest.json: is missing" in sentences_against(tmp_path, None, [public])[0]
    for none in ("nowhere", "x" * 5000, "loop"):
        (tmp_path / "loop").unlink(missing_ok=True)
        (tmp_path / "loop").symlink_to("loop")
        assert len(sentences_against(tmp_path / none, None, [public])) == 1
    with (tmp_path / MANIFEST).open("wb") as file:
        file.truncate(3_000_000_000)
    assert "3,000,000,000 bytes" in sentences_against(tmp_path, None, [public])[0]


def test_checking_a_release_needs_none_of_the_heavy_libraries() -> None:
    heavy = ("torch", "mlflow", "model_signing", "duckdb", "prefect", "boto3", "feast", "jinja2")
    script = f"import sys, sentinel.promotion.verification\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
