"""HOW each step is run: one thin Prefect task a stage. WHAT runs, in which order, stands in flows/."""

from tasks.ask_reviewer import ask_reviewer
from tasks.audit import audit
from tasks.champion_data import find_champion_data
from tasks.compare import compare
from tasks.export import export
from tasks.features import features, point_feast_at
from tasks.gate import features_of_champion, find_opponent, gate
from tasks.libraries import libraries
from tasks.materialize import materialize
from tasks.package import package
from tasks.promote import promote, standing_decision
from tasks.publish import publish_where_configured
from tasks.pull import pull
from tasks.quantize import choose, quantize
from tasks.register import register
from tasks.reproduce import reproduce
from tasks.split import split
from tasks.train import train
from tasks.validate import validate

__all__ = [
    "ask_reviewer", "audit", "choose", "compare", "export", "features", "features_of_champion", "find_champion_data",
    "find_opponent", "gate", "libraries", "materialize", "package", "point_feast_at", "promote",
    "publish_where_configured", "pull", "quantize", "register", "reproduce", "split",
    "standing_decision", "train", "validate",
]  # fmt: skip
