"""Every error a user can meet.

    SentinelError                 1   anything below, or an unforeseen refusal
      ConfigInvalid               2   the configuration or a command's argument is wrong
      DataContractError           3   the source breaks the column contract
      DataDamaged                 4   stored bytes are not the pinned ones, or are missing
      ValidationFailed            5   the data break an expectation
      LeakageFound                6   a feature knew the future
        AuditBlind                6   the leak audit could not have seen one
      GateFailed                  7   the candidate did not pass
      RecordInvalid               8   a record, release or decision does not hold
      DiskFull                    9   not enough room for what would be written
      ServiceUnavailable         10   a configured service does not answer
      TrainingFailed             11   training could not produce a model
      FeaturesInUse              12   a change of features would reach a model that serves
      DecisionRefused            13   a decision about a version may not be made, or was made already
        ChampionMoved            13   the champion is another one than the decision was about

A message is one or more clear sentences: the cause, the value, what to do next.
The number is the exit code of the `sentinel` command (typer itself uses 2 for wrong usage).
"""

from __future__ import annotations


class SentinelError(Exception):
    """A failure with a sentence for the user; commands print it without a traceback."""

    exit_code = 1


class ConfigInvalid(SentinelError):
    exit_code = 2


class DataContractError(SentinelError):
    exit_code = 3


class DataDamaged(SentinelError):
    exit_code = 4


class ValidationFailed(SentinelError):
    exit_code = 5


class LeakageFound(SentinelError):
    exit_code = 6


class AuditBlind(LeakageFound):
    """Nothing is proven: what was planted was not caught, or the data cannot show a leak."""


class GateFailed(SentinelError):
    exit_code = 7


class RecordInvalid(SentinelError):
    exit_code = 8


class DiskFull(SentinelError):
    exit_code = 9


class ServiceUnavailable(SentinelError):
    exit_code = 10


class TrainingFailed(SentinelError):
    exit_code = 11


class FeaturesInUse(SentinelError):
    exit_code = 12


class DecisionRefused(SentinelError):
    exit_code = 13


class ChampionMoved(DecisionRefused):
    """Nothing moved: who decided saw another champion than the one that is there."""
