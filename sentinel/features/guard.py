"""No registration changes what a serving model uses: its feature service as it is, against as it would become.

A service's definition is all that decides what is read: the service, its views with schema, ttl and source, and their
entities. Times, materialized intervals and where newer files lie are no part of it.
"""

# Feast carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from feast import FeatureStore
from feast.errors import FeatureServiceNotFoundException
from google.protobuf.json_format import MessageToDict

from sentinel.errors import FeaturesInUse
from sentinel.features.definitions import service_named
from sentinel.features.in_use import InUse
from sentinel.storage import sha256_json

_NO_PART = ("meta", "uri")  # times; where the files lie
_SHOWN = 6  # differences of one service in a sentence


def service_definition(store: FeatureStore, name: str) -> dict[str, Any] | None:
    """What the service consists of, as it is registered; None: it is not."""
    try:
        service = store.registry.get_feature_service(name, store.project)
    except FeatureServiceNotFoundException:
        return None
    views = [store.get_feature_view(projection.name) for projection in service.feature_view_projections]
    entities = sorted({entity for view in views for entity in view.entities})
    return {
        "service": _spec(service),
        "view": {view.name: _spec(view) for view in views},
        "entity": {entity: _spec(store.get_entity(entity)) for entity in entities},
    }


def fingerprint(definition: Mapping[str, Any]) -> str:
    return sha256_json(definition)


def require_unchanged(
    used: Sequence[InUse], before: Mapping[str, Mapping[str, Any]], would_be: FeatureStore, applying: str
) -> None:
    """Raise FeaturesInUse for a model whose service would become another one.

    `before`: the definition of each service that is known, by name. `would_be`: a store in which the change is made; a
    service that it lacks was lost before. `applying`: what is registered, for the message.
    """
    after = {name: service_definition(would_be, name) for name in before}
    found = {name: changes(before[name], became) for name, became in after.items() if became is not None}
    hurt = [(each, found.get(service_named(each.feature_set_hash), [])) for each in used]
    sentences = [_sentence(each, differences) for each, differences in hurt if differences]
    if sentences:
        raise FeaturesInUse(
            f"Registering {applying} would change what serves, so nothing was registered.\n"
            + "\n".join(f"  {sentence}" for sentence in sentences)
            + "\nGive these data a configuration with another `name`, so that both live side by side, or take the "
            "alias from that version first."
        )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Each difference of two definitions in words: where, what it is, what it would be."""
    was, would_be = _flat(before), _flat(after)
    return [
        f"{place}: {was.get(place, 'absent')} -> {would_be.get(place, 'absent')}"
        for place in dict.fromkeys([*was, *would_be])
        if was.get(place) != would_be.get(place)
    ]


def _sentence(used: InUse, differences: list[str]) -> str:
    more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return f"The {used} uses features {used.feature_set_hash[:12]}: {'; '.join(differences[:_SHOWN])}{more}."


def _spec(registered: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", _lasting(MessageToDict(registered.to_proto().spec)))


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(held) for key, held in cast("dict[str, Any]", value).items() if key not in _NO_PART}
    return [_lasting(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _flat(value: Any, place: str = "") -> dict[str, str]:
    """Every leaf by its place; a named element of a list stands under its name."""
    if isinstance(value, list):
        elements = cast("list[Any]", value)
        value = {_name_of(each) or str(position): each for position, each in enumerate(elements)}
    if not isinstance(value, Mapping):
        return {place: str(value)}
    flat: dict[str, str] = {}
    for key, held in cast("Mapping[str, Any]", value).items():
        flat |= _flat(held, f"{place} {key}".strip())
    return flat


def _name_of(element: Any) -> str | None:
    if not isinstance(element, Mapping):
        return None
    named = cast("Mapping[str, Any]", element)
    return named.get("name") or named.get("featureViewName")
