r"""Muon for Keras models, convolutions included.

For the kernel of a hidden layer, unrolled to a matrix with a column for each output channel,

.. math:: m \leftarrow \beta m + g, \qquad \theta \leftarrow \theta - \eta\,O(g + \beta m),

where :math:`O` replaces the singular values of a matrix by numbers near 1 (`nnzen.mathematics.optimizers`). Everything
else (biases, gains, the output layer) follows Nesterov's momentum with a learning rate of its own.
``keras.optimizers.Muon`` of Keras 3.15 takes matrices alone: it gives kernels of convolutions to AdamW.

Source: Jordan (2024), https://kellerjordan.github.io/posts/muon/.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

__all__ = ["muon"]

_STEPS = 5  # of the iteration that makes a matrix orthogonal


def muon(
    learning_rate: Any,
    *,
    momentum: float = 0.9,
    biases: float = 1.0,
    output: str = "logits",
    average: float | None = None,
) -> keras.optimizers.Optimizer:
    r"""Make a Keras optimizer that gives kernels of hidden layers to Muon and all else to Nesterov's momentum.

    Parameters
    ----------
    learning_rate : float or schedule
        :math:`\eta` of the kernels; a schedule is one of ``keras.optimizers.schedules``. A step changes a kernel by
        about this much in each singular direction.
    momentum : float
        :math:`\beta` of both, from 0 to below 1.
    biases : float
        Learning rate of vectors (biases, gains), as a multiple of `learning_rate`.
    output : str
        Name of the layer that gives the logits: its kernel counts among all else.
    average : float, optional
        Decay of a moving average of the weights, as ``ema_momentum`` of all optimizers of Keras; None keeps none.

    Returns
    -------
    keras.optimizers.Optimizer

    Raises
    ------
    ValueError
        If a number is out of range; when it is built, if no variable belongs to a layer of the name `output`.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum is {momentum}; it must be from 0 to below 1")
    if not (math.isfinite(biases) and biases > 0):
        raise ValueError(f"biases is {biases}; it must be a finite number above 0")
    import keras

    ops = keras.ops

    class Muon(keras.optimizers.Optimizer):
        def build(self, variables: list[Any]) -> None:
            if self.built:
                return
            super().build(variables)
            layers = [variable.path.split("/")[-2] for variable in variables]
            if output not in layers:
                raise ValueError(
                    f"no layer with weights is called {output!r}; there are {', '.join(sorted({*layers}))}"
                )
            self.by_muon = [len(v.shape) > 1 and layer != output for v, layer in zip(variables, layers, strict=True)]
            self.velocities = [self.add_variable_from_reference(v, name="velocity") for v in variables]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            index = self._get_variable_index(variable)
            velocity = self.velocities[index]
            self.assign(velocity, momentum * velocity + gradient)
            ahead = gradient + momentum * velocity
            if self.by_muon[index]:
                matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
                update = ops.reshape(orthogonal(matrix), variable.shape)
            else:
                update = biases * ahead if len(variable.shape) == 1 else ahead
            self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * update)

        def get_config(self) -> dict[str, Any]:
            own = {"momentum": momentum, "biases": biases, "output": output}
            return super().get_config() | own

    def orthogonal(matrix: Any) -> Any:  # nnzen.mathematics.optimizers.orthogonalize, in tensors
        tall = matrix.shape[0] > matrix.shape[1]
        x = ops.transpose(matrix) if tall else matrix
        x = x / (ops.norm(x) + 1e-7)
        for _ in range(_STEPS):
            a = x @ ops.transpose(x)
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        return ops.transpose(x) if tall else x

    ema = {} if average is None else {"use_ema": True, "ema_momentum": average}
    return Muon(learning_rate=learning_rate, **ema)
