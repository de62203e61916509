"""Write great_expectations/: the suites and checkpoints of the project's configs, for people to read and run.

    python -m sentinel.data.suite_files

A run makes its suite from its config by the same function, so these files are a picture of what runs check; a test
holds them equal. Ids come from names, so that writing again changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sentinel.config import Config, load_config
from sentinel.data.checkpoint import ASSET, BATCH, DATASOURCE, RESULT_FORMAT, SITE
from sentinel.data.suite import contract_suite
from sentinel.paths import find_paths


def suite_files(config: Config) -> dict[str, str]:
    """The text of each file of one config, by its path below great_expectations/."""
    name = config.name
    return {
        f"expectations/{name}.json": _text(_suite(config)),
        f"validation_definitions/{name}.json": _text(_validation_definition(name)),
        f"checkpoints/{name}.json": _text(_checkpoint(name)),
    }


def _suite(config: Config) -> dict[str, Any]:
    name = config.name
    suite: dict[str, Any] = contract_suite(
        name, config.columns, config.validation, config.splits.label_maturity
    ).to_json_dict()
    for expectation in suite["expectations"]:
        expectation["id"] = _id("expectation", name, expectation["meta"]["name"])
    return suite | {"id": _id("suite", name)}


def _validation_definition(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "id": _id("validation", name),
        "suite": {"name": name, "id": _id("suite", name)},
        "data": {
            "datasource": {"name": DATASOURCE, "id": _id("datasource")},
            "asset": {"name": ASSET, "id": _id("asset")},
            "batch_definition": {"name": BATCH, "id": _id("batch")},
        },
    }


def _checkpoint(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "id": _id("checkpoint", name),
        "validation_definitions": [{"name": name, "id": _id("validation", name)}],
        "actions": [{"name": "update_data_docs", "type": "update_data_docs", "site_names": [SITE]}],
        "result_format": RESULT_FORMAT,
    }


def _id(*names: str) -> str:
    return str(uuid5(NAMESPACE_URL, "/".join(("sentinel", *names))))


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_suite_files(configs: Path, folder: Path) -> list[Path]:
    """Write the files of every config in `configs`; return them."""
    written: list[Path] = []
    for file in sorted(configs.glob("*.toml")):
        for path, text in suite_files(load_config(file)).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
            written.append(folder / path)
    return written


if __name__ == "__main__":
    here = find_paths(Path.cwd(), {})
    write_suite_files(here.configs, here.great_expectations)
