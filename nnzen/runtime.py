"""Seeds, deterministic arithmetic, and a report of the device that a notebook runs on."""

from __future__ import annotations

import contextlib
import os
import platform
import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["DeviceReport", "device_report", "processors", "quiet_stderr", "setup"]


def setup(seed: int, *, keras: bool = False) -> np.random.Generator:
    """Seed every generator that a chapter may draw from, and set the book's figure style.

    Parameters
    ----------
    seed : int
        Zero or more, below 2³².
    keras : bool
        Also import TensorFlow and Keras (about ten seconds of processor time), seed them, and make TensorFlow's
        operations deterministic. Their start-up messages are dropped, so that notebooks store no stderr.

    Returns
    -------
    numpy.random.Generator
        A generator of its own, seeded with `seed`: draw from it in the chapter.

    Raises
    ------
    ValueError
        If `seed` is not an integer in the range.
    """
    import numpy as np

    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed!r}; it must be an integer from 0 to 4294967295")
    seed = int(seed)
    random.seed(seed)
    np.random.seed(seed)
    if keras:
        _seed_keras(seed)
    from nnzen import plots

    plots.use_style()
    return np.random.default_rng(seed)


def _seed_keras(seed: int) -> None:
    # or `fit` writes a harmless error to stderr under op determinism; read when TensorFlow is imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        tf.zeros(1).numpy()  # the first operation prints, too
    tf.get_logger().setLevel("ERROR")  # or repeated `fit` calls warn of retracing


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to descriptor 2; TensorFlow's import prints whatever its log level says."""
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(null)
        os.close(saved)


@dataclass(frozen=True)
class DeviceReport:
    """What a notebook runs on: versions by package name, processor threads, and accelerators by name."""

    python: str
    system: str
    threads: int
    versions: dict[str, str]
    accelerators: tuple[str, ...]

    def rows(self) -> list[tuple[str, str]]:
        """Return the report as pairs of label and value."""
        return [
            ("Python", self.python),
            ("System", self.system),
            ("Processor threads", str(self.threads)),
            ("Accelerators", ", ".join(self.accelerators) or "none"),
            *self.versions.items(),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{label:18} {value}" for label, value in self.rows())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(f'<tr><th scope="row">{label}</th><td>{value}</td></tr>' for label, value in self.rows())
        return f"<table>{rows}</table>"


def device_report() -> DeviceReport:
    """Describe the device: Python, system, threads, accelerators, versions of the packages that matter.

    TensorFlow is asked for accelerators, so the first call imports it. A notebook shows the report in a cell
    tagged ``nbval-ignore-output``, or not at all: it differs from machine to machine.
    """
    with quiet_stderr():
        import tensorflow as tf

        devices = [d for d in tf.config.list_physical_devices() if d.device_type != "CPU"]
        names = [tf.config.experimental.get_device_details(d).get("device_name", d.name) for d in devices]
    return DeviceReport(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        threads=processors(),
        versions={name: _version(name) for name in ("nnzen", "numpy", "tensorflow", "keras")},
        accelerators=tuple(names),
    )


def processors() -> int:
    """Return the number of processor threads that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
