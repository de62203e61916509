"""`sentinel keys`: the pair that signs releases and decisions, and whose signatures are trusted."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from flows.cli.console import ConfigOption, JsonOption, Session, answers, new_group, open_session

app = new_group("Make the key pair that signs releases and decisions, and see whose are trusted.", "sentinel keys init")


@app.command(epilog="Example: sentinel keys init")
def init(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Make the pair, once. A run makes it, too, when there is none.

    The private key stays here, readable by its owner alone; give the public one to whoever verifies. To retire a pair,
    move signing.key away, rename signing.pub to another name that ends in .pub, and call this again: the old key still
    verifies what it signed.
    """
    from sentinel.promotion.keys import create_keys, fingerprint

    session = open_session(config, as_json)
    public = create_keys(session.paths.keys)
    if as_json:
        session.answer({"public_key": str(public), "fingerprint": fingerprint(public)})
        return
    answers.print(f"[green]Made:[/] {escape(str(public))}\nfingerprint {fingerprint(public)}", soft_wrap=True)
    answers.print(
        "Copy this file to whoever verifies (`sentinel models verify FOLDER --public-key FILE`, or the serve image), "
        "tell them the fingerprint another way, and keep a copy of signing.key where nobody else reads it."
    )


@app.command(epilog="Example: sentinel keys show --json")
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the trusted public keys with their fingerprints, and which of them signs here."""
    session = open_session(config, as_json)
    trusted = _trusted(session)
    if as_json:
        session.answer(trusted)
        return
    for key in trusted:
        answers.print(
            f"{key['fingerprint']}  {escape(key['public_key'])}{'  (signs here)' if key['signs'] else ''}",
            soft_wrap=True,
        )


def _trusted(session: Session) -> list[dict[str, Any]]:
    from sentinel.promotion.keys import PRIVATE, fingerprint, public_keys

    private = session.paths.keys / PRIVATE
    signer = fingerprint(private) if private.exists() else None
    found = [(public, fingerprint(public)) for public in public_keys(session.paths.keys)]
    return [{"public_key": str(public), "fingerprint": print_, "signs": print_ == signer} for public, print_ in found]
