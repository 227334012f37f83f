"""The benchmarks print; what is tested is that they run and compare two computations of the same thing."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_convolution_benchmark_compares_equals():
    tiny = ["--images", "2", "--size", "5", "--channels", "3", "--repetitions", "1"]
    printed = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "convolution.py", *tiny], capture_output=True, text=True, check=True
    ).stdout
    rows = re.findall(r"^(forward.*?) +([\d.]+) ms +([\d.]+) ms +([\d.]+)× +([\d.e+-]+),", printed, re.MULTILINE)
    assert [row[0] for row in rows] == ["forward", "forward and gradients"]
    assert all(float(row[4]) < 1e-4 for row in rows), printed


def test_the_training_benchmark_compares_three_programs():
    tiny = ["--images", "8", "--batch", "4", "--epochs", "1", "--largest", "64"]
    printed = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "training.py", *tiny], capture_output=True, text=True, check=True
    ).stdout
    rows = re.findall(r"^(Keras.*?|PyTorch.*?) {2,}(.*)$", printed, re.MULTILINE)
    assert [name.split(",")[0] for name, _ in rows] == ["Keras as it comes", "Keras as the book trains", "PyTorch"]
    for name, found in rows:
        numbers = re.fullmatch(r"([\d,]+) +([\d,]+) +(\d+) %", found)
        if not (name.startswith("PyTorch") and found == "PyTorch is not installed"):
            assert numbers, printed
            rate, least, share = (float(number.replace(",", "")) for number in numbers.groups())
            assert abs(100 * rate / least - share) < 1 + 100 / least
