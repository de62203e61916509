"""What plain `feast` commands see: the default data set's features, made from sentinel/features.

Objects stand here once a run (or `sentinel features apply`) has built the feature files.
"""

import os
from pathlib import Path

from sentinel.features.store import applied_objects
from sentinel.paths import DEFAULT_NAME, find_paths

_PATHS = find_paths(Path(__file__).parent, os.environ)

# Feast looks for objects among a module's names.
globals().update({f"{type(made).__name__}_{made.name}": made for made in applied_objects(_PATHS, DEFAULT_NAME)})
