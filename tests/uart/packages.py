"""An emulator and a kernel from Debian's packages, unpacked under a folder of ours and never installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_EMULATOR = "qemu-system-x86_64"
_PACKAGE = "qemu-system-x86"
_KERNEL = "linux-image-amd64"
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/pulseaudio")
_FIRMWARE = ("usr/share/qemu", "usr/share/seabios")


class MissingError(Exception):
    """Something the rig is made of cannot be had; the text says what and why."""


@dataclass(frozen=True)
class Emulator:
    """How to start QEMU.

    Args:
        command: Its path, and where it finds its firmware.
        environment: What it needs beside the environment of this process.
    """

    command: tuple[str, ...]
    environment: dict[str, str]


@dataclass(frozen=True)
class Kernel:
    """A kernel as Debian ships it.

    Args:
        image: What is booted.
        modules: The folder that has its modules, in folders of their own.
    """

    image: Path
    modules: Path


def emulator(cache: Path) -> Emulator:
    """Return the QEMU that is installed here, or else Debian's from `cache`."""
    installed = shutil.which(_EMULATOR)
    if installed:
        return Emulator((installed,), {})
    root = cache / "emulator"
    if not root.exists():
        _unpack_all(_with_dependencies(_PACKAGE, cache / "emulator-debs"), root)
    libraries = os.pathsep.join(str(root / folder) for folder in _LIBRARIES)
    firmware = [word for folder in _FIRMWARE for word in ("-L", str(root / folder))]
    return Emulator((str(root / "usr/bin" / _EMULATOR), *firmware), {"LD_LIBRARY_PATH": libraries})


def kernel(cache: Path) -> Kernel:
    """Return Debian's kernel for this release, from `cache`."""
    root = cache / "kernel"
    if not root.exists():
        _unpack_all(
            [_alone(_kernel_package(), cache / "kernel-debs")], root, "./boot/vmlinuz-*", "./lib/modules/*"
        )
    return Kernel(next((root / "boot").glob("vmlinuz-*")), next((root / "lib/modules").iterdir()))


def _kernel_package() -> str:
    """The package with the kernel itself: the one that is always newest only depends on it."""
    _update()
    depends = _apt("apt-cache", "depends", _KERNEL)
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise MissingError(f"{_KERNEL} depends on no kernel: {depends.strip() or 'it is unknown to apt'}")
    return found[1]


def _alone(package: str, into: Path) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    _apt("apt-get", "download", package, folder=into)
    return next(into.glob(f"{package}_*.deb"))


def _with_dependencies(package: str, into: Path) -> list[Path]:
    """Download a package and what it needs that is not installed here."""
    _update()
    (into / "partial").mkdir(parents=True, exist_ok=True)
    options = ("--yes", "--download-only", "--no-install-recommends", "-o", f"Dir::Cache::archives={into}")
    _apt("apt-get", "install", *options, package)
    return sorted(into.glob("*.deb"))


def _update() -> None:
    if os.geteuid() != 0:
        raise MissingError("the first run needs root, for apt-get to download QEMU and a kernel")
    _apt("apt-get", "update")


def _apt(*command: str, folder: Path | None = None) -> str:
    if not shutil.which(command[0]):
        raise MissingError(f"{command[0]} is not here: the rig is made of Debian's packages")
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise MissingError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _unpack_all(packages: Sequence[Path], root: Path, *patterns: str) -> None:
    """Unpack into `root`, which exists only once all of it is there; the packages go."""
    print(f"unpacking {len(packages)} packages into {root}", file=sys.stderr)
    unfinished = root.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as opened:
            tar = ["tar", "-x", "-C", str(unfinished), "--wildcards", *patterns]
            done = subprocess.run(tar, stdin=opened.stdout, check=False)
        if done.returncode != 0 or opened.returncode != 0:
            raise MissingError(f"{package} cannot be unpacked")
    unfinished.rename(root)
    for package in packages:
        package.unlink()
