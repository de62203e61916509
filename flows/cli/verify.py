"""`sentinel models verify`: whether a release and the decisions about it hold, with no server and no network."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session, print_json, remarks
from flows.environment import require_mlflow, tracking_uri
from sentinel.artifacts import MANIFEST
from sentinel.errors import ConfigInvalid, RecordInvalid, ServiceUnavailable
from sentinel.storage import sha256_file

_ALIASES = ("champion", "challenger", "previous")


@dataclass
class Subject:
    """What is verified. `version` and `digest` are None for a folder, which says itself what it is."""

    folder: Path
    name: str | None
    version: str | None = None
    digest: str | None = None
    wrong: list[str] = field(default_factory=list[str])


def verify(
    wanted: Annotated[str, typer.Argument(metavar="VERSION|ALIAS|FOLDER", help="A version, or a release's folder.")],
    public_key: Annotated[
        list[Path] | None,
        typer.Option("--public-key", help="Trust this key, and not those of .sentinel/keys. May be repeated."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every byte and the signature of a release, answer its golden questions and judge its gates again.

    The chain of decisions is walked, too: always for a version or an alias, for a folder when this project knows its
    release. Needs the public key only, no server and no network. Exit code 0: all of it holds; 8: each thing that does
    not is listed, with its file.
    """
    from sentinel.promotion.verification import sentences_against

    is_folder = _is_folder(wanted)
    session = _session(config, as_json, may_be_elsewhere=is_folder and bool(public_key))
    subject = _of_folder(Path(wanted)) if is_folder or session is None else _of_version(session, wanted)
    trusted, wrong = _trusted_keys(session, public_key)
    wrong += subject.wrong + sentences_against(subject.folder, subject.digest, trusted)
    decisions = _decisions(session, subject)
    if decisions is not None and session is not None:
        wrong += _against_decisions(session, wanted, subject, trusted, decisions)
    document = {
        "holds": not wrong,
        "release_path": str(subject.folder),
        "version": subject.version,
        "decisions": str(decisions) if decisions else None,
        "wrong": wrong,
    }
    if wrong:
        _refuse(document, as_json)
    _tell(session, wanted, subject, document, as_json)


def _session(config: Path | None, as_json: bool, *, may_be_elsewhere: bool) -> Session | None:
    """None outside a project, where a folder and a public key are all there is."""
    try:
        return open_session(config, as_json)
    except ConfigInvalid:
        if may_be_elsewhere and config is None:
            return None
        raise


def _is_folder(wanted: str) -> bool:
    if wanted in _ALIASES or re.fullmatch(r"\d{1,9}", wanted):
        return False
    try:
        return "/" in wanted or Path(wanted).exists()
    except OSError:  # such as a name that is too long
        return False


def _of_folder(folder: Path) -> Subject:
    try:
        name = str(json.loads((folder / MANIFEST).read_bytes())["name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        name = ""  # the manifest is looked at again, and what is wrong with it is told then
    return Subject(Path(os.path.realpath(folder)), name if re.fullmatch(r"[a-z][a-z0-9_-]{0,40}", name) else None)


def _of_version(session: Session, wanted: str) -> Subject:
    """By the registry where it answers, else by what lies in the home folder."""
    from sentinel.promotion.registry import Registry

    uri, name = tracking_uri(session.config, session.paths), session.config.name
    registry = Registry(uri, name, session.paths)
    try:
        require_mlflow(uri)
        catalogue = registry.catalogue()
    except ServiceUnavailable as error:
        remarks.print(f"{error} What {wanted} is comes from the local chain of decisions.", markup=False)
        return _of_chain(session, wanted)
    if not catalogue.versions and session.paths.decisions(name).is_file():
        remarks.print(f"{uri} knows no version of {name}. What {wanted} is comes from the local chain.", markup=False)
        return _of_chain(session, wanted)
    stored = catalogue.find(wanted)
    kept = session.paths.releases(name) / stored.release[:16]
    folder = kept if kept.exists() else registry.release_folder(stored)  # what lies there is checked, not mended
    return Subject(folder, name, stored.version, stored.release)


def _of_chain(session: Session, wanted: str) -> Subject:
    """The release that a decision names by its version; of the aliases the chain knows the champion."""
    from sentinel.promotion.decisions import read_chain
    from sentinel.promotion.entries import champion_by

    file, name = session.paths.decisions(session.config.name), session.config.name
    chain = read_chain(file)
    version = champion_by(chain) if wanted == "champion" else wanted
    digests = [str(entry["release"]) for entry in chain if entry.get("version") == version]
    if not digests:
        known = ", ".join(sorted({str(entry.get("version")) for entry in chain}))
        raise RecordInvalid(f"{file} has no decision about {wanted!r}; it has some about {known or 'no version'}.")
    folder = session.paths.releases(name) / digests[-1][:16]
    return Subject(folder, name, version, digests[-1])


def _trusted_keys(session: Session | None, given: list[Path] | None) -> tuple[list[Path], list[str]]:
    """The keys that can be read, and a sentence for each that cannot."""
    from sentinel.promotion.keys import public_keys, read_public

    trusted: list[Path] = []
    wrong: list[str] = []
    for key in given or (public_keys(session.paths.keys) if session else []):
        try:
            trusted.append(read_public(key).file)
        except RecordInvalid as error:
            wrong.append(str(error))
    return trusted, wrong


def _decisions(session: Session | None, subject: Subject) -> Path | None:
    """The chain that speaks of this release, where this project has one."""
    if session is None or subject.name is None:
        return None
    file = session.paths.decisions(subject.name)
    if subject.version is not None:
        return file
    decisions = file.read_text(errors="replace") if file.is_file() else ""
    known = [name for name in _digests(subject.folder) if name in decisions]
    return file if known or (session.paths.releases(subject.name) / subject.folder.name).exists() else None


def _digests(folder: Path) -> list[str]:
    """By which the home folder may know a release: its folder's name, and that of a copy under any name."""
    named = [folder.name] if re.fullmatch("[0-9a-f]{16}", folder.name) else []
    manifest = folder / MANIFEST
    return [*named, sha256_file(manifest)] if manifest.is_file() else named


def _against_decisions(session: Session, wanted: str, subject: Subject, trusted: list[Path], file: Path) -> list[str]:
    """The chain itself, and whether it speaks of the version as the registry does."""
    from sentinel.promotion.decisions import read_chain, sentences_against_chain
    from sentinel.promotion.entries import champion_by

    wrong = sentences_against_chain(file, trusted)
    if wrong or subject.version is None:
        return wrong
    chain = read_chain(file)
    told = {str(entry["release"]) for entry in chain if entry.get("version") == subject.version}
    if told - {subject.digest}:
        wrong.append(f"{file}: speaks of another release as version {subject.version} than the registry")
    if wanted == "champion" and (named := champion_by(chain)) != subject.version:
        wrong.append(f"{file}: no decision made version {subject.version} the champion; the last one names {named}")
    return wrong


def _refuse(document: dict[str, Any], as_json: bool) -> None:
    sentences = "\n".join(f"  {sentence}" for sentence in document["wrong"])
    error = RecordInvalid(
        f"{document['release_path']} does not hold:\n{sentences}\n"
        "It must not serve. Restore what is named from a copy, or promote another version."
    )
    if not as_json:
        raise error
    print_json({**document, "error": {"type": type(error).__name__, "message": str(error)}})
    raise typer.Exit(error.exit_code)


def _tell(session: Session | None, wanted: str, subject: Subject, document: dict[str, Any], as_json: bool) -> None:
    facts = json.loads((subject.folder / "release.json").read_text(encoding="utf-8"))
    lost = _lost_features(session, wanted, subject, facts) if session and subject.version else []
    if as_json:
        print_json({**document, "passed": facts["passed"], "lost_features": lost})
    else:
        what = "every file, the signature, every gate and every golden answer"
        chain = f", and the decisions in {document['decisions']}" if document["decisions"] else ""
        answers.print(f"[green]Holds:[/] {what} of {escape(str(subject.folder))}{escape(chain)}.", soft_wrap=True)
        if not facts["passed"]:
            answers.print(f"Its gates did not pass: {', '.join(facts['failed'])}. It may not serve.", markup=False)
    for sentence in lost:
        remarks.print(f"[bold red]Lost:[/] {escape(sentence)}")


def _lost_features(session: Session, wanted: str, subject: Subject, facts: dict[str, Any]) -> list[str]:
    """Whether Feast could still answer for the features that this version was trained on."""
    from sentinel.features.in_use import InUse, lost_features

    name, version = session.config.name, str(subject.version)
    used = InUse(name, version, "model" if wanted == version else wanted, facts["feature_set_hash"])
    return lost_features(session.paths, name, [used])
