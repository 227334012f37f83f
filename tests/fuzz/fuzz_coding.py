"""Feed the reader of .nnz files bytes that atheris makes up: guided by coverage, until it is stopped.

``make fuzz`` runs it. The first argument is a folder of inputs, which is filled if it is empty; the others go to
libFuzzer. An input is the body of a file; the header is made to fit, so that the checksum hides nothing.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["nnzen.compression"]):
    from nnzen.compression.coding import FormatError, Limits, _read, _write

from tests.fuzz.networks import body, network, sealed

LIMITS = Limits(parameters=4000, layers=8, values=10_000)


def one_input(data: bytes) -> None:
    """Let anything but a FormatError escape, and networks that are not written as they were read."""
    for file in (data, sealed(data)):
        try:
            found = _read(file, LIMITS)
        except FormatError:
            continue
        written = _write(found)
        if _write(_read(written, LIMITS)) != written:
            raise AssertionError("a network that was read is not written and read alike")


def main(folder: str, *options: str) -> None:
    inputs = Path(folder)
    inputs.mkdir(parents=True, exist_ok=True)
    if not any(inputs.iterdir()):
        for seed in range(200):
            (inputs / str(seed)).write_bytes(body(_write(network(seed))))
    atheris.Setup([sys.argv[0], folder, *options], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
