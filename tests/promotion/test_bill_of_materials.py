from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import cyclonedx.schema
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from sentinel.promotion.bill_of_materials import bill_of_materials, installed_distributions
from sentinel.storage import canonical_json, sha256_file

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "cpu.lock"


def test_every_installed_distribution_of_the_lock_is_in_it_with_its_hashes_and_licence() -> None:
    distributions = installed_distributions(LOCK)
    text = LOCK.read_text()

    by_name = {one.name: one for one in distributions}
    assert len(distributions) == len(by_name) > 250
    assert {one.version for one in distributions if one.name == "numpy"} == {version("numpy")}
    assert sum(len(one.hashes) for one in distributions) <= text.count("--hash=sha256:")
    assert all(f"--hash=sha256:{content}" in text for one in distributions for content in one.hashes)
    assert all(one.hashes for one in distributions)
    assert "BSD" in by_name["numpy"].licence
    assert by_name["onnxruntime"].licence.startswith("MIT")


def test_it_is_a_valid_cyclonedx_document_and_the_same_each_time() -> None:
    distributions = installed_distributions(LOCK)
    bill = bill_of_materials(LOCK, distributions)

    schemas = Path(cyclonedx.schema.__file__).parent / "_res"
    parts = [json.loads((schemas / f"{name}.SNAPSHOT.schema.json").read_text()) for name in ("spdx", "jsf-0.82")]
    known = Registry().with_resources([(part["$id"], Resource.from_contents(part)) for part in parts])
    schema = json.loads((schemas / "bom-1.6.SNAPSHOT.schema.json").read_text())
    assert list(Draft7Validator(schema, registry=known).iter_errors(bill))[:1] == []
    properties = {one["name"]: one["value"] for one in bill["metadata"]["properties"]}
    assert properties["sentinel:lock_sha256"] == sha256_file(LOCK)
    assert canonical_json(bill) == canonical_json(bill_of_materials(LOCK, installed_distributions(LOCK)))


def test_what_is_not_installed_is_left_out_and_hashes_are_of_the_locked_version_alone(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    pinned = f"    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n    # via x\n"
    lock.write_text(
        f"NumPy=={version('numpy')} \\\n{pinned}no-such-distribution==1.0 \\\n{pinned}pyarrow==0.0.1 \\\n{pinned}"
    )

    numpy, pyarrow = installed_distributions(lock)

    assert (numpy.name, numpy.hashes) == ("numpy", ("a" * 64, "b" * 64))
    assert (pyarrow.version, pyarrow.hashes) == (version("pyarrow"), ())
