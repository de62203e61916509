"""Stage libraries: the bill of materials, and what is known of licences and vulnerabilities; information, no gate."""

from __future__ import annotations

import os
from datetime import timedelta

from sentinel.artifacts import Libraries
from sentinel.promotion.layout import BILL, LIBRARIES
from sentinel.storage import canonical_json, complete_folder, sha256_path, write_json
from tasks.run import Run
from tasks.stage import Work, stage


def _nothing_new_to_learn(run: Run, libraries: Libraries) -> bool:
    """What could not be checked without a network is looked up again once there is one."""
    from sentinel.promotion.library_audit import database_answers

    return libraries.checked or not database_answers()


@stage(
    code=("sentinel/promotion/bill_of_materials.py", "sentinel/promotion/library_audit.py"),
    settings=lambda run: [],
    timeout=timedelta(minutes=5),
    is_still_there=_nothing_new_to_learn,
)
def libraries(work: Work) -> Libraries:
    from sentinel.promotion.bill_of_materials import bill_of_materials, installed_distributions
    from sentinel.promotion.library_audit import audit_libraries

    run = work.run
    installed = installed_distributions(run.lock)
    with complete_folder(work.out) as folder:
        (folder / BILL).write_text(canonical_json(bill_of_materials(run.lock, installed)) + "\n")
        known = audit_libraries(installed)
        write_json(folder / LIBRARIES, known)
    return Libraries(
        path=os.path.relpath(work.out, run.paths.home),
        sha256=sha256_path(work.out),
        checked=known["vulnerabilities"]["checked"],
    )
