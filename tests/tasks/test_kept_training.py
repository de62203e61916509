"""The recorded training is brought as near to here as this machine allows."""

from __future__ import annotations

from sentinel.config import Training
from sentinel.training.device.hardware import choose_hardware
from sentinel.training.reproduction.record import Machine, machine_differences
from tasks.kept_training import machine_here, settings_here

THEN = Training(device="auto", devices="auto", precision="auto", batch_size=64)


def recorded(processes: int) -> Machine:
    name = choose_hardware(THEN.model_copy(update={"device": "cpu", "precision": "fp32"})).name
    return Machine(device="cpu", name=name, precision="fp32", threads=2, processes=processes)


def test_as_many_processes_train_again_as_trained() -> None:
    settings = settings_here(THEN, recorded(processes=2))
    assert (settings.device, settings.precision, settings.devices) == ("cpu", "fp32", 2)
    assert machine_differences(recorded(processes=2), machine_here(settings, threads=2)) == []


def test_another_number_of_processes_is_told() -> None:
    settings = settings_here(THEN, recorded(processes=65))  # more than a batch has rows
    assert settings == THEN
    now = machine_here(settings.model_copy(update={"device": "cpu", "precision": "fp32", "devices": 1}), threads=2)
    (difference,) = machine_differences(recorded(processes=65), now)
    assert difference.sentence == "machine processes: 65 then, 1 now"
