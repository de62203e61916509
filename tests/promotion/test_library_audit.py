"""What is known of the lock's libraries, by the real pip-audit against a database of our own."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator

import pytest

from sentinel.promotion import library_audit
from sentinel.promotion.bill_of_materials import Distribution
from sentinel.promotion.library_audit import NOT_REACHED, audit_libraries, database_answers

KNOWN = {
    "id": "PYSEC-1",
    "aliases": ["CVE-1"],
    "summary": "It runs what it is given.",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}
LIBRARIES = [
    Distribution("leaky", "1.0+cpu", (), "MIT"),
    Distribution("solid", "2.0", (), "MIT"),
    Distribution("free", "3.0", (), "GPL-3.0"),
    Distribution("silent", "4.0", (), "unknown"),
]


class Database(http.server.BaseHTTPRequestHandler):
    """As OSV answers: by name and version."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012
    pause_s = 0.0

    def do_GET(self) -> None:
        self.send_error(405)

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, version = query["package"]["name"], query["version"]
        self.asked.append((name, version))
        time.sleep(self.pause_s)
        body = json.dumps({"vulns": [KNOWN]} if (name, version) == ("leaky", "1.0") else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Database, "asked", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Database)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    server.shutdown()
    server.server_close()
    thread.join()


def test_vulnerabilities_are_named_with_what_mends_them(database: str) -> None:
    told = audit_libraries(LIBRARIES, database)["vulnerabilities"]

    assert told["checked"]
    assert [(one["name"], one["id"], one["fixed_in"]) for one in told["found"]] == [("leaky", "PYSEC-1", ["1.1"])]
    assert told["sentence"].startswith("1 known in leaky, of 4 libraries asked about at http://127.0.0.1")
    assert sorted(Database.asked) == [("free", "3.0"), ("leaky", "1.0"), ("silent", "4.0"), ("solid", "2.0")]

    assert audit_libraries(LIBRARIES[1:], database)["vulnerabilities"]["sentence"].startswith("none known, of 3")


def test_licences_are_counted_and_those_that_are_unknown_or_copyleft_named() -> None:
    told = audit_libraries(LIBRARIES, "http://127.0.0.1:9/")

    assert told["licences"] == {"MIT": 2, "GPL-3.0": 1, "unknown": 1}
    assert told["unknown"] == ["silent"]
    assert told["copyleft"] == [{"name": "free", "version": "3.0", "licence": "GPL-3.0"}]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/", "https://no-such-host.invalid/v1/query"])
def test_where_no_database_answers_nothing_was_checked(address: str) -> None:
    told = audit_libraries(LIBRARIES, address)["vulnerabilities"]

    assert told == {"checked": False, "sentence": NOT_REACHED, "found": []}
    assert "none" not in told["sentence"]
    assert not database_answers(address)


def test_database_that_answers_too_slowly_or_with_nonsense_is_not_taken_for_a_check(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database_answers(database)
    monkeypatch.setattr(library_audit, "_AUDIT_S", 0.1)
    told = audit_libraries(LIBRARIES, database)["vulnerabilities"]
    assert not told["checked"] and told["sentence"].startswith("not checked: the database had not answered")

    monkeypatch.undo()
    monkeypatch.setattr(Database, "do_POST", Database.do_GET)
    told = audit_libraries(LIBRARIES, database)["vulnerabilities"]
    assert not told["checked"] and told["sentence"].startswith("not checked: pip-audit ended with 1")
