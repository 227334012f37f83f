"""What a compression returns: the new model, and what was done to each layer."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

__all__ = ["Change", "Compressed", "copied"]


@dataclass(frozen=True)
class Change:
    """What was done to one layer.

    Attributes
    ----------
    layer, kind : str
        Its name in the model that was given, and its class.
    before, after : int
        How much it had and has, in the unit of `Compressed`.
    note : str
        What else is to be said, such as the share of filters that were removed.
    """

    layer: str
    kind: str
    before: int
    after: int
    note: str = ""


@dataclass(frozen=True, repr=False)
class Compressed:
    """A new model, and what was done to each layer with weights.

    Attributes
    ----------
    model : keras.Model
        Not compiled. The one that was given is as it was.
    done : str
        What was done, such as ``"pruned by magnitude"``.
    unit : str
        What `before` and `after` of the changes count, such as ``"weights that are not 0"`` or ``"bytes of weights"``.
    changes : tuple of Change
        In the order of the layers.
    """

    model: keras.Model
    done: str
    unit: str
    changes: tuple[Change, ...]

    @property
    def before(self) -> int:
        """Of all layers, before."""
        return sum(change.before for change in self.changes)

    @property
    def after(self) -> int:
        """Of all layers, after."""
        return sum(change.after for change in self.changes)

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [
            (c.layer, c.kind, f"{c.before:,}", f"{c.after:,}", _share(c.before, c.after), c.note) for c in self.changes
        ]
        rows.append(("in all", "", f"{self.before:,}", f"{self.after:,}", _share(self.before, self.after), ""))
        return rows

    def __str__(self) -> str:
        lines = _lines([_HEAD, *self._rows()])
        return "\n".join([f"{self.model.name}: {self.done} ({self.unit})", *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        caption = f"<caption>{html.escape(f'{self.model.name}: {self.done} ({self.unit})')}</caption>"
        body = "".join(line(row, "td") for row in self._rows())
        return f'<table class="nz-compressed">{caption}<thead>{line(_HEAD, "th")}</thead><tbody>{body}</tbody></table>'


_HEAD = ("layer", "kind", "before", "after", "left", "")


def _share(before: int, after: int) -> str:
    return f"{after / before:.1%}" if before else "–"


def _lines(table: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as text: names to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return [
        "  ".join(
            cell.rjust(w) if 2 <= i < 5 else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def copied(model: keras.Model, layer: Callable[[Any], Any] | None = None) -> keras.Model:
    """Return a model of the same layers, names and weights, which shares nothing with the one that is given.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional, built.
    layer : function, optional
        Returns the new layer for an old one, where that is to be another; then no weights are copied.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    TypeError
        If it is not a Keras model.
    ValueError
        If it has no graph of layers: it is subclassed, or not built.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")])
    >>> copied(model).get_layer("out").kernel is model.get_layer("out").kernel
    False
    """
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model is a {type(model).__name__}; it must be a Keras model")
    if not hasattr(getattr(model, "_functional", None) or model, "_nodes_by_depth"):
        raise ValueError(
            f"model {model.name!r} ({type(model).__name__}) has no graph of layers: write it with keras.Sequential and "
            "an Input, or with the functional interface"
        )
    compiled, model.compiled = model.compiled, False  # or Keras clones the optimizer, too, if it can
    try:
        copy = keras.models.clone_model(model, clone_function=layer)
    finally:
        model.compiled = compiled
    if layer is None:
        copy.set_weights(model.get_weights())
    return copy
