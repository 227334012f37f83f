"""Studies: how long or many-seeded results stay evidence.

A study is a notebook ``NAME.ipynb`` in this folder that papermill runs once for each cell of a declared grid. Its
last cell calls :func:`record`; the measurements of all cells are stored in ``NAME.json`` beside it, with a hash of
the recipe (:mod:`nnzen.studies.recipe`). When the recipe changes, the stored results are stale and every claim that
rests on them says so, until ``nnzen study NAME`` has measured them again.

The notebook's metadata declares the study::

    {"nnzen": {"study": {
        "name": "first_cnn",
        "grid": {"seed": [0, 1, 2], "model": ["linear", "cnn"]},     parameters and their values
        "data": ["fashion_mnist"],                                   data sets it loads
        "entry": ["nnzen.training:train"],                           functions it rests on
        "toy": {"epochs": 1, "train_size": 512},                     parameters of a quick trial
        "needs": "GPU",                                              only if it says something about such a device
        "minutes": 12                                                only if a cell takes long on two cores
    }}}

The cells of the grid are counted from 0, with parameters in alphabetical order and the last one varying fastest. A
measurement whose name ends in ``seconds`` is stored and shown, but belongs to the machine: no check compares it.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import math
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnzen.evidence import display_line, records_in
from nnzen.studies.recipe import RecipeError, recipe_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DeviceMissing",
    "Study",
    "StudyError",
    "StudyRun",
    "check_study",
    "is_measured",
    "load",
    "names",
    "pick",
    "record",
    "run_study",
    "summary",
]

_FOLDER = Path(__file__).parent
_CHECK_CONFIDENCE = 0.999
_PICKED_MINUTES = 5  # a check of a commit runs no cell that takes longer
_TIMED = "seconds"  # how names of measurements end that belong to the machine


class StudyError(ValueError):
    """A study that is unknown, not declared properly, damaged, not measured yet, or that failed to run."""


class DeviceMissing(StudyError):
    """A study that needs a device which this machine lacks; nothing is wrong with its results."""


# --- results ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Study:
    """Stored results of a study.

    Attributes
    ----------
    name : str
        Its name.
    grid : dict
        Parameter names and their values.
    cells : tuple of dict
        ``{"parameters": {...}, "measured": {...}}`` for each cell of the grid, in its order.
    stale : bool
        The recipe has changed since the results were measured.
    versions : dict
        Versions of Python and of packages that they were measured with.
    device : str
        What they were measured on.
    """

    name: str
    grid: dict[str, list[Any]]
    cells: tuple[dict[str, Any], ...]
    stale: bool
    versions: dict[str, str]
    device: str

    @property
    def measures(self) -> list[str]:
        """Names of what was measured."""
        return sorted(self.cells[0]["measured"])

    def values(self, measure: str, **where: Any) -> NDArray[np.float64]:
        """Return one measured value per cell whose parameters equal `where`, in the order of the grid.

        Parameters
        ----------
        measure : str
            What was measured, such as ``"test_accuracy"``.
        **where
            Values of parameters, such as ``model="cnn"``.

        Returns
        -------
        ndarray of float64, shape (cells,)
            Ordered by seed where all other parameters are given.

        Raises
        ------
        ValueError
            If there is no such measure, parameter or value.
        """
        import numpy as np

        return np.array([cell["measured"][measure] for cell in self._select(measure, where)], dtype=np.float64)

    def mean_interval(self, measure: str, *, confidence: float = 0.95, **where: Any) -> tuple[float, float]:
        """Return the Student confidence interval of the mean over the seeds of one setting.

        Raises
        ------
        ValueError
            If `where` leaves more than one setting, or the setting has fewer than two runs.
        """
        from nnzen.evaluation import mean_interval

        interval = mean_interval(self._one_setting(measure, where), confidence=confidence)
        return interval.low, interval.high

    def prediction_interval(self, measure: str, *, confidence: float = 0.999, **where: Any) -> tuple[float, float]:
        """Return the interval that one new run of a setting falls in with probability `confidence`.

        With mean x̄ and standard deviation s of n runs it is x̄ ± t s √(1 + 1/n), where t is a quantile of Student's
        distribution with n − 1 degrees of freedom; see Hahn & Meeker, *Statistical Intervals* (1991), §4.8.

        Parameters
        ----------
        measure : str
            What was measured.
        confidence : float
            Between 0 and 1.
        **where
            Values that single out one setting: all parameters but the seed.

        Returns
        -------
        low, high : float
            In the measure's unit.

        Raises
        ------
        ValueError
            If `where` leaves more than one setting, or the setting has fewer than two runs.
        """
        return _prediction_interval(self._one_setting(measure, where), confidence)

    def describe(self) -> str:
        """Return a few lines: size, settings with mean and spread of each measure, versions and device."""
        lines = [self._headline()]
        for setting, n, measure, mean, spread in self._rows():
            lines.append(f"  {setting or 'all runs'}: {measure} {mean} ± {spread} (mean ± SD of {n})")
        lines.append(f"  measured with {_pairs(self.versions, ' ')} on {self.device}")
        return "\n".join(lines)

    __repr__ = describe

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(setting or 'all runs')}</td><td>{html.escape(measure)}</td>"
            f"<td>{mean} ± {spread}</td><td>{n}</td></tr>"
            for setting, n, measure, mean, spread in self._rows()
        )
        head = "".join(f'<th scope="col">{title}</th>' for title in ("Setting", "Measure", "Mean ± SD", "Runs"))
        return (
            f'<div class="nz-study"><p>{html.escape(self._headline())}</p>'
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def _headline(self) -> str:
        grid = ", ".join(f"{len(values)} of {name}" for name, values in sorted(self.grid.items()))
        state = ": STALE, its recipe has changed since" if self.stale else ""
        return f"Study {self.name}: {len(self.cells)} runs ({grid}){state}"

    def _rows(self) -> Iterable[tuple[str, int, str, str, str]]:
        for setting in _settings(self.grid):
            for measure in self.measures:
                values = self.values(measure, **setting)
                spread = f"{values.std(ddof=1):.2g}" if len(values) > 1 else "?"
                yield _pairs(setting, "="), len(values), measure, f"{values.mean():.4g}", spread

    def _select(self, measure: str, where: Mapping[str, Any]) -> list[dict[str, Any]]:
        if measure not in self.cells[0]["measured"]:
            raise ValueError(f"study {self.name} has no measure {measure!r}; it has: {', '.join(self.measures)}")
        for name, value in where.items():
            if name not in self.grid:
                raise ValueError(f"study {self.name} has no parameter {name!r}; it has: {', '.join(sorted(self.grid))}")
            if value not in self.grid[name]:
                raise ValueError(f"study {self.name} has no {name}={value!r}; it has: {self.grid[name]}")
        return [cell for cell in self.cells if all(cell["parameters"][name] == value for name, value in where.items())]

    def _one_setting(self, measure: str, where: Mapping[str, Any]) -> NDArray[np.float64]:
        open_ = {k: v for k, v in self.grid.items() if k != "seed" and k not in where and len(v) > 1}
        if open_:
            raise ValueError(f"study {self.name} has several settings; choose one value each of {open_}")
        return self.values(measure, **where)


def _prediction_interval(values: Sequence[float] | NDArray[np.float64], confidence: float) -> tuple[float, float]:
    import numpy as np
    from scipy import stats

    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1")
    n = len(values)
    if n < 2:
        raise ValueError(f"a prediction interval needs two runs or more; there are {n}")
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * np.std(values, ddof=1) * math.sqrt(1 + 1 / n)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def load(name: str, *, folder: Path = _FOLDER) -> Study:
    """Load the stored results of a study.

    Parameters
    ----------
    name : str
        Its name; :func:`names` lists them.
    folder : Path
        Where studies are, by default those that ship with this library.

    Raises
    ------
    StudyError
        If there is no such study, it has not been measured, or its file is damaged.
    """
    declaration = _declaration(name, folder)
    path = folder / f"{name}.json"
    if not path.is_file():
        raise StudyError(f"study {name} has not been measured yet; run `nnzen study {name}`")
    stored = _read_results(path, declaration)
    data = {known: declaration.checksums().get(known) or stored["data"].get(known, "") for known in declaration.data}
    stale = stored["recipe"] != declaration.recipe(data) or stored["grid"] != declaration.grid
    return Study(name, stored["grid"], tuple(stored["cells"]), stale, stored["versions"], stored["device"])


def names(*, folder: Path = _FOLDER) -> list[str]:
    """Return the names of the studies."""
    return sorted(path.stem for path in folder.glob("*.ipynb"))


def is_measured(name: str, *, folder: Path = _FOLDER) -> bool:
    """Say whether a study has stored results, stale or not.

    Raises
    ------
    StudyError
        If there is no such study.
    """
    return (folder / f"{_declaration(name, folder).name}.json").is_file()


def summary(name: str, *, folder: Path = _FOLDER) -> str:
    """Return one line on a study: its grid, and whether its stored results are up to date."""
    declaration = _declaration(name, folder)
    needs = f"needs a {declaration.needs}, " if declaration.needs else ""
    needs += f"{declaration.minutes:g} minutes a cell, " if declaration.minutes else ""
    if not is_measured(name, folder=folder):
        state = "not measured yet"
    else:
        state = "stale" if load(name, folder=folder).stale else "up to date"
    return f"{name}: {len(declaration.cells())} cells ({_pairs(declaration.grid, '=')}); {needs}{state}"


def pick(commit_hash: str, *, folder: Path = _FOLDER) -> tuple[str, int]:
    """Pick one measured study that any machine can run in minutes, and one cell of its grid, from a commit's hash.

    Parameters
    ----------
    commit_hash : str
        Hexadecimal, at least 7 digits.

    Returns
    -------
    name : str
    cell : int

    Raises
    ------
    ValueError
        If `commit_hash` is no hash.
    StudyError
        If no such study has been measured.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{7,64}", commit_hash):
        raise ValueError(f"{commit_hash!r} is not a commit hash; it must be 7 to 64 hexadecimal digits")
    known = [name for name in names(folder=folder) if is_measured(name, folder=folder)]
    declarations = [_declaration(name, folder) for name in known]
    declarations = [d for d in declarations if not d.needs and d.minutes <= _PICKED_MINUTES]
    if not declarations:
        raise StudyError(f"no study in {folder} that runs on any machine within minutes has been measured")
    number, index = divmod(int(commit_hash, 16), len(declarations))
    return declarations[index].name, number % len(declarations[index].cells())


# --- recording ----------------------------------------------------------------------------------------------


def record(**measurements: float) -> None:
    """Record what a study's notebook has measured; called in its last cell.

    Parameters
    ----------
    **measurements
        Finite numbers by name; the unit belongs in the name where it is not obvious.

    Raises
    ------
    ValueError
        If there are none, or one is not a finite number.
    """
    if not measurements:
        raise ValueError("nothing to record; give measurements by name, such as record(test_accuracy=accuracy)")
    measured = {name: _finite(name, value) for name, value in measurements.items()}
    text = f"recorded: {_pairs(measured, ' = ')}"
    markup = f'<p class="nz-recorded">{html.escape(text)}</p>'
    display_line(text, markup, {"nnzen_study": {"measured": measured, "device": _device()}})


def _finite(name: str, value: Any) -> float | int:
    try:
        number = value.item() if hasattr(value, "item") else value
    except (TypeError, ValueError):
        number = value
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError(f"measurement {name} is {value!r}; it must be one finite number")
    return number if isinstance(number, int) else float(f"{number:.8g}")


def _device() -> str:
    """Describe what this process computes on, without names of machines."""
    from nnzen.runtime import processors

    words = [f"{platform.system()} {platform.machine()}", f"{processors()} processor threads"]
    if "tensorflow" in sys.modules:
        from nnzen.runtime import device_report

        words += device_report().accelerators
    return ", ".join(words)


# --- declarations and files ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Declaration:
    """What a study's notebook says about itself."""

    name: str
    notebook: dict[str, Any]
    grid: dict[str, list[Any]]
    data: list[str]
    entry: list[str]
    toy: dict[str, Any]
    needs: str
    minutes: float

    def cells(self) -> list[dict[str, Any]]:
        """Return the parameters of each cell of the grid."""
        return _grid_cells(self.grid)

    def checksums(self) -> dict[str, str]:
        """Return the checksums of its data that are known without reading it."""
        from nnzen import datasets

        rows = {row.name: row.checksum for row in datasets.available()}
        unknown = [name for name in self.data if name not in rows]
        if unknown:
            raise StudyError(f"study {self.name} names unknown data {unknown}; known are: {', '.join(rows)}")
        return {name: rows[name] for name in self.data if rows[name]}

    def recipe(self, data: Mapping[str, str]) -> str:
        from nnzen.notebooks import code_cells, source_of

        sources = [source_of(cell) for cell in code_cells(self.notebook)]
        try:
            return recipe_hash(sources, self.entry, self.grid, data, library=Path(__file__).parent.parent)
        except RecipeError as error:
            raise StudyError(f"study {self.name}: {error}") from error


def _declaration(name: str, folder: Path) -> _Declaration:
    from nnzen.notebooks import NotebookError, parameters_of, read

    known = names(folder=folder)
    if name not in known:
        raise StudyError(f"there is no study {name!r}; the known ones are: {', '.join(known) or 'none'}")
    try:
        notebook = read(folder / f"{name}.ipynb")
    except NotebookError as error:
        raise StudyError(str(error)) from error
    said = notebook.get("metadata", {}).get("nnzen", {}).get("study")
    problem = _declaration_problem(name, said, set(parameters_of(notebook)))
    if problem:
        raise StudyError(f"study {name} is not declared properly in its notebook's metadata: {problem}")
    parts = {"data": [], "entry": [], "toy": {}, "needs": "", "minutes": 0} | said
    return _Declaration(name, notebook, *(parts[key] for key in ("grid", "data", "entry", "toy", "needs", "minutes")))


def _declaration_problem(name: str, said: Any, parameters: set[str]) -> str:
    if not isinstance(said, dict) or said.get("name") != name:
        return f'it must hold {{"nnzen": {{"study": {{"name": "{name}", "grid": …}}}}}}'
    grid = said.get("grid")
    if not isinstance(grid, dict) or not grid or not all(isinstance(v, list) and v for v in grid.values()):
        return f"grid is {grid!r}; it must map each parameter to a list of values"
    repeated = [key for key, values in grid.items() if len({json.dumps(v) for v in values}) < len(values)]
    if repeated:
        return f"grid repeats values of {', '.join(repeated)}"
    if said.get("needs", "GPU") != "GPU":
        return f"needs is {said['needs']!r}; it can only be 'GPU', or be left out"
    minutes = said.get("minutes", 1)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes < math.inf:
        return f"minutes is {minutes!r}; it must be a number above 0, or be left out"
    missing = sorted((set(grid) | set(said.get("toy", {}))) - parameters)
    if missing:
        return f"its cell tagged `parameters` does not assign {', '.join(missing)}"
    return ""


def _read_results(path: Path, declaration: _Declaration) -> dict[str, Any]:
    """Read stored results and check their structure."""
    remedy = f"restore {path.name} from version control, or delete it and run `nnzen study {declaration.name}`"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        cells = [(dict(cell["parameters"]), dict(cell["measured"])) for cell in stored["cells"]]
        shape = [stored["recipe"], stored["grid"], stored["data"], stored["versions"], stored["device"]]
        measures = {tuple(sorted(measured)) for _, measured in cells}
        values = [value for _, measured in cells for value in measured.values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        words = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise StudyError(f"the stored results of study {declaration.name} are damaged: {words}; {remedy}") from error
    problem = ""
    if [type(part) for part in shape] != [str, dict, dict, dict, str] or stored.get("study") != declaration.name:
        problem = "a field has the wrong type or the study another name"
    elif [parameters for parameters, _ in cells] != _grid_cells(stored["grid"]):
        problem = f"it has {len(cells)} cells that are not those of its grid"
    elif stored != _sealed(stored):
        problem = "its checksum does not fit its content"
    elif len(measures) != 1 or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        problem = "its cells do not all hold the same finite measurements"
    if problem:
        raise StudyError(f"the stored results of study {declaration.name} are damaged: {problem}; {remedy}")
    return stored


def _sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with a checksum of it, so that a change by hand or by a merge is noticed."""
    content = {key: value for key, value in content.items() if key != "checksum"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {**content, "checksum": digest}


def _grid_cells(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    keys = sorted(grid)
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*(grid[key] for key in keys))]


def _settings(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return all combinations of the parameters other than the seed."""
    return _grid_cells({key: values for key, values in grid.items() if key != "seed"})


def _pairs(values: Mapping[str, Any], between: str) -> str:
    return ", ".join(f"{name}{between}{value}" for name, value in sorted(values.items()))


# --- running ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyRun:
    """What a run of a study did.

    Attributes
    ----------
    name : str
        The study.
    measured : tuple of dict
        The cells that were run, ``{"cell": 3, "parameters": {...}, "measured": {...}}``.
    missing : tuple of int
        Cells of the grid without a result; None are missing once the study is stored.
    stored : bool
        The results of the whole grid were written.
    toy : bool
        It ran at toy size, so nothing was kept.
    """

    name: str
    measured: tuple[dict[str, Any], ...]
    missing: tuple[int, ...] = ()
    stored: bool = False
    toy: bool = False

    def __str__(self) -> str:
        lines = [
            f"cell {c['cell']} ({_pairs(c['parameters'], '=')}): {_pairs(c['measured'], ' ')}" for c in self.measured
        ]
        if self.toy:
            lines.append(f"study {self.name} runs at toy size; nothing was stored")
        elif self.stored:
            lines.append(f"study {self.name}: results stored")
        elif self.missing:
            lines.append(
                f"study {self.name}: not stored yet, {len(self.missing)} cells are missing "
                f"({', '.join(map(str, self.missing))}); run `nnzen study {self.name}`"
            )
        else:
            lines.append(f"study {self.name} is up to date")
        return "\n".join(lines)


def run_study(
    name: str,
    *,
    cells: Sequence[int] | None = None,
    toy: bool = False,
    force: bool = False,
    jobs: int = 1,
    timeout: int = 3600,
    work: Path | None = None,
    folder: Path = _FOLDER,
    display: bool = False,
) -> StudyRun:
    """Measure the cells of a study that have no result yet, and store the whole grid once it is complete.

    Results of single cells are kept under `work`, so that an interrupted study resumes; they count while recipe and
    versions stay the same. A failing cell does not stop the others, and never touches the stored results.

    Parameters
    ----------
    name : str
        The study.
    cells : sequence of int, optional
        Only these cells of the grid.
    toy : bool
        Run at toy size, by default the first seed of each setting; nothing is kept.
    force : bool
        Measure again what is up to date.
    jobs : int
        How many cells at a time.
    timeout : int
        Seconds that one code cell may take.
    work : Path, optional
        Where results of single cells are kept, ``build/studies`` by default.
    folder : Path
        Where studies are.
    display : bool
        Show progress on stdout.

    Raises
    ------
    StudyError
        If the study is unknown, not declared properly or damaged, or if cells failed; the others are kept.
    DeviceMissing
        If the study needs a device that this machine lacks. A toy run does without.
    """
    declaration = _declaration(name, folder)
    if not toy:
        _require_device(declaration)
    grid = declaration.cells()
    chosen = _chosen_cells(declaration, cells, toy)
    run = _Measuring(declaration, jobs, timeout, display)
    if toy:
        measured = run.measure({cell: {**grid[cell], **declaration.toy} for cell in chosen})
        return StudyRun(name, tuple(_cell(grid, cell, measured) for cell in sorted(measured)), toy=True)
    store = _Store(declaration, folder, work or Path("build") / "studies")
    known = store.known(same_versions=force)
    todo = [cell for cell in chosen if force or cell not in known]
    fresh = run.measure({cell: grid[cell] for cell in todo}, keep=store.keep)
    known |= fresh
    missing = tuple(cell for cell in range(len(grid)) if cell not in known)
    stored = not missing and store.write(known)
    return StudyRun(name, tuple(_cell(grid, cell, fresh) for cell in sorted(fresh)), missing, stored)


def check_study(
    name: str,
    *,
    cells: Sequence[int] | None = None,
    jobs: int = 1,
    timeout: int = 3600,
    folder: Path = _FOLDER,
    display: bool = False,
) -> str:
    """Measure cells at full size again: each must fall in the prediction interval of its setting's other seeds.

    Where the others are all equal, a seed that alone differs must repeat its own stored value, to six digits. Seconds
    are not compared. The intervals have confidence 0.999 for everything that is measured by one call together. Nothing
    is stored.

    Parameters
    ----------
    name : str
        The study.
    cells : sequence of int, optional
        Cells of the grid; all by default.
    jobs, timeout, folder, display
        As for :func:`run_study`.

    Returns
    -------
    str
        Lines that say so.

    Raises
    ------
    StudyError
        If the study is stale, a cell fails, or a measurement lies outside.
    DeviceMissing
        If the study needs a device, and this machine lacks it or has another one than was measured.
    """
    declaration = _declaration(name, folder)
    _require_device(declaration)
    study = load(name, folder=folder)
    _require_device(declaration, like=study.device)
    if study.stale:
        raise StudyError(f"study {name} is stale: its recipe has changed; run `nnzen study {name}`")
    grid = declaration.cells()
    chosen = _chosen_cells(declaration, cells, toy=False)
    others = {cell: _other_seeds(study, grid[cell]) for cell in chosen}
    if any(len(found) < 2 for found in others.values()):
        raise StudyError(f"study {name} cannot be checked: a setting needs three seeds or more")
    fresh = _Measuring(declaration, jobs, timeout, display).measure({cell: grid[cell] for cell in chosen})
    confidence = 1 - (1 - _CHECK_CONFIDENCE) / sum(len(result.measured) for result in fresh.values())
    lines, outside = [], 0
    for cell in chosen:
        lines.append(f"study {name}, cell {cell} ({_pairs(grid[cell], '=')}), against {len(others[cell])} other seeds:")
        for measure, value in sorted(fresh[cell].measured.items()):
            if any(measure not in other for other in others[cell]):
                raise StudyError(f"study {name}, cell {cell}: its results have no measure {measure!r}")
            if measure.endswith(_TIMED):
                lines.append(f"  {measure} {value:.6g} is not compared: it belongs to the machine")
                continue
            low, high = _prediction_interval([other[measure] for other in others[cell]], confidence)
            slack = 1e-6 * max(abs(low), abs(high))  # of results that do not vary at all
            inside = low - slack <= value <= high + slack
            own = study.cells[cell]["measured"].get(measure, math.nan)
            repeats = low == high and math.isclose(value, own, rel_tol=1e-6)
            outside += not (inside or repeats)
            word = "inside" if inside else "as stored, not" if repeats else "OUTSIDE"
            lines.append(f"  {measure} {value:.6g} is {word} {low:.6g} to {high:.6g}")
    if outside:
        raise StudyError("\n".join([f"study {name}: {outside} measurements left the prediction interval", *lines]))
    return "\n".join(lines)


def _other_seeds(study: Study, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the other seeds of a setting measured."""
    setting = {key: value for key, value in parameters.items() if key != "seed"}
    return [
        cell["measured"]
        for cell in study.cells
        if cell["parameters"] != parameters and setting.items() <= cell["parameters"].items()
    ]


def _require_device(declaration: _Declaration, like: str = "") -> None:
    """Raise DeviceMissing unless this machine has what the study needs: any such device, or one that `like` names."""
    if not declaration.needs:
        return
    from nnzen.runtime import device_report

    here = device_report().accelerators
    if not here:
        raise DeviceMissing(
            f"study {declaration.name} needs a {declaration.needs} that TensorFlow can use, and there is none here; "
            f"`nnzen study {declaration.name}` measures it on a machine that has one"
        )
    if like and not any(name in like for name in here):
        raise DeviceMissing(
            f"study {declaration.name} was measured on {like}, and this machine has {', '.join(here)}: "
            "numbers of different devices are not compared"
        )


def _chosen_cells(declaration: _Declaration, cells: Sequence[int] | None, toy: bool) -> list[int]:
    grid = declaration.cells()
    if cells is not None:
        for cell in cells:
            if not 0 <= cell < len(grid):
                raise StudyError(f"study {declaration.name} has no cell {cell}; its cells are 0 to {len(grid) - 1}")
        return sorted(set(cells))
    if toy:
        firsts = [{**setting, **_first_seed(declaration.grid)} for setting in _settings(declaration.grid)]
        return [grid.index(parameters) for parameters in firsts]
    return list(range(len(grid)))


def _first_seed(grid: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {"seed": grid["seed"][0]} if "seed" in grid else {}


def _cell(grid: Sequence[dict[str, Any]], cell: int, results: Mapping[int, _Result]) -> dict[str, Any]:
    return {"cell": cell, "parameters": grid[cell], "measured": results[cell].measured}


@dataclass(frozen=True)
class _Result:
    measured: dict[str, Any]
    device: str


@dataclass(frozen=True)
class _Measuring:
    """Runs cells of a study, each in a process of its own."""

    declaration: _Declaration
    jobs: int
    timeout: int
    display: bool

    def measure(self, cells: Mapping[int, dict[str, Any]], keep: Any = None) -> dict[int, _Result]:
        """Run cells with their parameters; `keep(cell, result)` is called as each succeeds.

        Raises
        ------
        StudyError
            After all have ended, if any failed.
        """
        from nnzen.execution import Display, Task, run_tasks

        if not cells:
            return {}
        name = self.declaration.name
        labels = {f"{name} {cell}": cell for cell in cells}
        tasks = [
            Task(label, self.declaration.notebook, cells[cell], Path.cwd(), self.timeout)
            for label, cell in labels.items()
        ]
        screen = Display(list(labels), unit="study, cell") if self.display else None
        results, failures = {}, []
        with screen or nullcontext(), closing(run_tasks(tasks, jobs=self.jobs, display=screen)) as finished:
            for end in finished:
                cell = labels[end.name]
                try:
                    results[cell] = _result(end)
                    if keep is not None:
                        keep(cell, results[cell])
                except (StudyError, OSError) as error:
                    failures.append(f"cell {cell} ({_pairs(cells[cell], '=')}) {error}")
                if screen is not None:
                    screen.finish(end.name, "done" if cell in results else "failed", seconds=end.seconds)
        if failures:
            kept = "Stored results are untouched, other cells are kept, and the same command resumes."
            raise StudyError("\n".join([f"study {name}: {failure}" for failure in failures] + [kept]))
        return results


def _result(end: Any) -> _Result:
    if end.failure is not None:
        raise StudyError(str(end.failure))
    records = list(records_in(end.notebook, "nnzen_study"))
    measured: dict[str, Any] = {}
    for part in records:
        repeated = set(measured) & set(part["measured"])
        if repeated:
            raise StudyError(f"recorded {', '.join(sorted(repeated))} more than once")
        measured |= part["measured"]
    if not measured:
        raise StudyError("recorded nothing; its last cell must call nz.studies.record(name=value)")
    return _Result(measured, records[-1]["device"])


@dataclass
class _Store:
    """The results of a study: whole in `folder`, cell by cell in `work`."""

    declaration: _Declaration
    folder: Path
    work: Path
    data: dict[str, str] = field(init=False)
    recipe: str = field(init=False)
    versions: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        from nnzen.runner import versions

        self.data = _checksums(self.declaration)
        self.recipe = self.declaration.recipe(self.data)
        self.versions = versions()

    def known(self, *, same_versions: bool) -> dict[int, _Result]:
        """Return the results that still count, by cell; stored ones perhaps only if measured with these versions."""
        known = {}
        path = self.folder / f"{self.declaration.name}.json"
        if path.is_file():
            stored = _read_results(path, self.declaration)
            current = stored["recipe"] == self.recipe and stored["grid"] == self.declaration.grid
            if current and (stored["versions"] == self.versions or not same_versions):
                known = {i: _Result(c["measured"], stored["device"]) for i, c in enumerate(stored["cells"])}
        for cell, parameters in enumerate(self.declaration.cells()):
            try:
                part = json.loads(self._part(cell).read_text(encoding="utf-8"))
                current = [part["recipe"], part["versions"], part["parameters"]]
                if current == [self.recipe, self.versions, parameters]:
                    known.setdefault(cell, _Result(dict(part["measured"]), str(part["device"])))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # measured again
        return known

    def keep(self, cell: int, result: _Result) -> None:
        """Keep the result of one cell, unless the code changed under it."""
        if self.declaration.recipe(self.data) != self.recipe:
            raise StudyError("was not kept: the library's code changed while it ran; run it again")
        part = {
            "recipe": self.recipe,
            "versions": self.versions,
            "parameters": self.declaration.cells()[cell],
            "measured": result.measured,
            "device": result.device,
        }
        self._write(self._part(cell), part)

    def write(self, results: Mapping[int, _Result]) -> bool:
        """Store the results of the whole grid; return whether that changed anything."""
        measures = {tuple(sorted(result.measured)) for result in results.values()}
        if len(measures) > 1:
            raise StudyError(
                f"the cells of study {self.declaration.name} recorded different measures: {sorted(measures)}"
            )
        path = self.folder / f"{self.declaration.name}.json"
        cells = [
            {"parameters": parameters, "measured": results[cell].measured}
            for cell, parameters in enumerate(self.declaration.cells())
        ]
        if path.is_file():
            stored = _read_results(path, self.declaration)
            if stored["recipe"] == self.recipe and stored["cells"] == cells:
                return False
        content = {
            "study": self.declaration.name,
            "recipe": self.recipe,
            "grid": self.declaration.grid,
            "data": self.data,
            "cells": cells,
            "versions": self.versions,
            "device": "; ".join(sorted({result.device for result in results.values()})),
        }
        self._write(path, _sealed(content))
        return True

    def _part(self, cell: int) -> Path:
        return self.work / self.declaration.name / f"{cell}.json"

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        from nnzen.notebooks import write_atomically, write_problem

        try:
            write_atomically(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        except OSError as error:
            raise StudyError(write_problem(path, error)) from error


def _checksums(declaration: _Declaration) -> dict[str, str]:
    """Return the checksums of a study's data, reading what has none declared."""
    from nnzen import datasets

    checksums = declaration.checksums()
    try:
        return {name: checksums.get(name) or datasets.load(name).checksum for name in declaration.data}
    except datasets.DatasetError as error:
        raise StudyError(f"study {declaration.name} cannot run here: {error}") from error
