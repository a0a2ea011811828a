"""The packages as strangers get them: built, installed without any extra into an empty environment, and used there.

python3 dev.py package [--demo]

Everything happens under build/package. With --demo the wheel is installed once more, with its `demo` extra, and the
demonstration runs: some minutes, and Ray. Exit code 1 at the first thing that is not as it should be.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "package"
IN_WHEEL = ("embertrace/py.typed", "aggregator/static/index.html", "embertrace/interop/otlp.py")
IN_SDIST = ("LICENSE", "CHANGELOG.md", "README.md", "pyproject.toml", "tests/unit/test_house.py", "docs/interop.md",
            "deploy/compose.yaml", "dev.py", "constraints.txt")  # fmt: skip
METADATA = (
    "Name: embertrace",
    "License-Expression: Apache-2.0",
    "Classifier: Typing :: Typed",
    "License-File: LICENSE",
)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

DOORS = {
    "embertrace version": ("the command line", "cli"),
    "python -m aggregator rec --otlp http://127.0.0.1:1": ("OTLP export", "otlp"),
    "python -c 'import embertrace.ray'": ("tracing on Ray", "ray"),
    "python -c 'import embertrace.interop.otlp'": ("OTLP export", "otlp"),
    "python -c 'import embertrace.interop.arrow'": ("Arrow and Parquet", "frames"),
    "python -c 'import embertrace as et; et.OperatorAnalysis([]).calls.to_pandas()'": ("pandas frames", "frames"),
    "python -c 'import embertrace as et; et.OperatorAnalysis([]).calls.to_polars()'": ("polars frames", "frames"),
    "python -c 'import pathlib; from embertrace.demo.show import show_demo; show_demo(pathlib.Path(\"x\"), 1, None)'": (
        "the demo",
        "demo",
    ),
}
"""What needs an extra, what it is called, and which."""


class Wrong(Exception):
    """Something is not as it should be."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py package", description=__doc__)
    parser.add_argument("--demo", action="store_true", help="install the demo extra too, and run the demonstration")
    options = parser.parse_args(arguments)
    try:
        wheel, sdist = built()
        check_contents(wheel, sdist)
        programs = installed(wheel, "plain")
        check_readme(programs)
        check_doors(programs)
        if options.demo:
            check_demo(installed(wheel, "demo", "[demo]"))
    except Wrong as error:
        print(f"package: {error}", file=sys.stderr)
        return 1
    return 0


def said(text: str) -> None:
    print(f"package: {text}", flush=True)


def done(command: list[str], directory: pathlib.Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=900
    )


def must(command: list[str], directory: pathlib.Path = ROOT) -> str:
    """What a command prints. Raises Wrong where it fails."""
    told = done(command, directory)
    if told.returncode:
        raise Wrong(f"{' '.join(command)} ended with {told.returncode}: {(told.stderr or told.stdout)[-2000:]}")
    return told.stdout


def built() -> tuple[pathlib.Path, pathlib.Path]:
    """The wheel and the source distribution, made anew."""
    place = BUILD / "dist"
    for old in place.glob("*"):
        old.unlink()
    must([sys.executable, "-m", "hatchling", "build", "-d", str(place)])
    (wheel,), (sdist,) = place.glob("*.whl"), place.glob("*.tar.gz")
    return wheel, sdist


def check_contents(wheel: pathlib.Path, sdist: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as held:
        names = held.namelist()
        (metadata,) = (held.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    missing = [name for name in IN_WHEEL if name not in names] + [line for line in METADATA if line not in metadata]
    strangers = {name.partition("/")[0] for name in names if ".dist-info/" not in name} - {"embertrace", "aggregator"}
    if missing or strangers:
        raise Wrong(f"{wheel.name} lacks {missing} and has {sorted(strangers)} besides")
    with tarfile.open(sdist) as held:
        inside = {name.partition("/")[2] for name in held.getnames()}
    missing = [name for name in IN_SDIST if name not in inside]
    sources = {name for name in names if name.endswith((".py", ".html", ".js", ".css")) and name not in inside}
    if missing or sources:
        raise Wrong(f"{sdist.name} lacks {missing} and {sorted(sources)}")
    said(f"{wheel.name} holds {len(names)} files, {sdist.name} {len(inside)}")


def installed(wheel: pathlib.Path, name: str, extras: str = "") -> pathlib.Path:
    """The programs of an empty environment with the wheel in it, in the versions of constraints.txt."""
    place = BUILD / name
    must([sys.executable, "-m", "venv", "--clear", str(place)])
    python = str(place / "bin" / "python")
    must(
        [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "-c",
            str(ROOT / "constraints.txt"),
            f"{wheel}{extras}",
        ]
    )
    there = must([python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]).split()
    said(f"installed{extras}: {', '.join(there[:12])}{' …' if len(there) > 12 else ''}")
    must([python, "-m", "pip", "check", "--disable-pip-version-check"])
    return place / "bin"


def check_readme(programs: pathlib.Path) -> None:
    """The examples of the README run without any extra: an ensemble, a recording, and an aggregator of its own."""
    place = BUILD / "readme"
    place.mkdir(exist_ok=True)
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    program = "\n".join(blocks) + "\nprint(et.__file__)\n"
    (place / "example.py").write_text(f"import shutil\nshutil.rmtree('runs', ignore_errors=True)\n{program}", "utf-8")
    *_, where = must([str(programs / "python"), "example.py"], place).split()
    if not where.startswith(str(programs.parent)):
        raise Wrong(f"that was not the wheel, but {where}")
    said(f"{len(blocks)} examples of the README run")


def check_doors(programs: pathlib.Path) -> None:
    """What needs an extra says which."""
    place = BUILD / "doors"
    place.mkdir(exist_ok=True)
    for door, (feature, extra) in DOORS.items():
        told = done(["sh", "-c", f"PATH={programs}:$PATH {door}"], place)
        wanted = f"{feature} needs the '{extra}' extra: pip install 'embertrace[{extra}]'"
        if told.returncode == 0 or wanted not in told.stderr:
            raise Wrong(f"{door} ended with {told.returncode} and {told.stderr[-500:]!r}, not with {wanted!r}")
    said(f"{len(DOORS)} doors say which extra opens them")


def check_demo(programs: pathlib.Path) -> None:
    place = BUILD / "shown"
    place.mkdir(exist_ok=True)
    must(["rm", "-rf", str(place / "run")])
    told = must([str(programs / "embertrace"), "demo", "run", "--items", "50"], place)
    if "═══ digits ═══" not in told or "═══ raters ═══" not in told:
        raise Wrong(f"the demo said {told[-2000:]}")
    said("the demo runs")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
