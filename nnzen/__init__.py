"""Helper library of *Zen and the Art of Neural Network Computation*.

Import it as ``import nnzen as nz``. Names are loaded when they are first used, so that the import itself
costs a few milliseconds and never loads TensorFlow.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FUNCTIONS = {
    "claim": "evidence",
    "claims_table": "evidence",
    "setup": "runtime",
    "device_report": "runtime",
    "show": "plots",
    "check": "exercises",
}
_MODULES = (
    "architectures",
    "attacks",
    "attribution",
    "audit",
    "augment",
    "calibration",
    "classification",
    "classification_plots",
    "compression",
    "costs",
    "datasets",
    "diagnosis",
    "evaluation",
    "evidence",
    "exercises",
    "generalization",
    "inspection",
    "ledger",
    "mathematics",
    "models",
    "plots",
    "predictors",
    "profiling",
    "records",
    "regularization",
    "reports",
    "roofline",
    "runner",
    "runtime",
    "studies",
    "training",
)
__all__ = sorted([*_FUNCTIONS, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        value = getattr(import_module(f"nnzen.{_FUNCTIONS[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"nnzen.{name}")
    else:
        raise AttributeError(f"nnzen has no attribute {name!r}; it has: {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
