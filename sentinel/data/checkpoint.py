"""One run of a suite over a table by Great Expectations, which writes its Data Docs and nothing else."""

# some of GX's return types are open
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import great_expectations as gx
from great_expectations.checkpoint.actions import UpdateDataDocsAction, ValidationAction
from great_expectations.checkpoint.checkpoint import Checkpoint
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.core.validation_definition import ValidationDefinition
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from sentinel.data.table_engine import TableDatasource, whole_table

SITE = "data_docs"
DATASOURCE, ASSET, BATCH = "sentinel", "transactions", "whole_table"
# Rows are named by their position: GX takes minutes to name millions of them by a column.
RESULT_FORMAT: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": 5}


def run_checkpoint(suite: ExpectationSuite, transactions: Path, site: Path, scratch: Path) -> list[dict[str, Any]]:
    """GX's result of each expectation, as JSON, in the order of the suite; pages for people below `site`.

    The file is asked on disk, whatever its size; `scratch` takes what does not fit in memory.
    """
    names = [expectation.meta["name"] for expectation in suite.expectations if expectation.meta]
    context = gx.get_context(mode="ephemeral", project_config=_project(site))
    table = TableDatasource(name=DATASOURCE)  # pyright: ignore[reportCallIssue]  # a field of its base
    source = cast(TableDatasource, context.add_datasource(datasource=table))
    batch = source.add_dataframe_asset(ASSET).add_batch_definition_whole_dataframe(BATCH)
    name = suite.name
    validation = context.validation_definitions.add(
        ValidationDefinition(name=name, data=batch, suite=context.suites.add(suite))
    )
    actions: list[ValidationAction] = [UpdateDataDocsAction(name="update_data_docs", site_names=[SITE])]
    checkpoint = context.checkpoints.add(
        Checkpoint(name=name, validation_definitions=[validation], actions=actions, result_format=RESULT_FORMAT)
    )
    rows = {"dataframe": whole_table(transactions, scratch)}
    outcome = checkpoint.run(batch_parameters=rows, run_id=RunIdentifier(run_name=name))
    (result,) = outcome.run_results.values()
    found = {one["expectation_config"]["meta"]["name"]: one for one in cast(Any, result).to_json_dict()["results"]}
    return [found[name] for name in names]  # a KeyError where GX dropped one: better no verdict than a part of it


def _project(site: Path) -> DataContextConfig:
    """Everything in memory but the pages; no telemetry, no progress bars."""
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={
            SITE: {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)},
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
        },
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
