"""The guest's file system: this interpreter, the installed packages, kernel modules and the cases.

It is an uncompressed cpio archive in the `newc` format (Documentation/driver-api/early-userspace/
buffer-format.rst of the kernel), which the kernel unpacks into memory.
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

# Of the standard library: what no case imports and takes much room.
_LEFT_OUT = re.compile(
    r"^(test|idlelib|tkinter|turtledemo|lib2to3|ensurepip|distutils|pydoc_data|site-packages"
    r"|dist-packages|config-[^/]*)(/|$)|/test/|\.opt-\d\.pyc$"
)
_PACKAGES = ("ferrule", "serial")
_MODULES = ("uhci_hcd", "ftdi_sio", "cdc_acm", "dummy_hcd", "usb_f_acm", "g_serial")
_CASES = Path(__file__).resolve().parent / "guest"
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


class Image:
    """Files by their names in the guest; the folders above each are made with it."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, int, bytes]] = {}

    def put(self, name: str, data: bytes, mode: int = 0o644, changed: int = 0) -> None:
        """Add a file, changed so many seconds after 1970: compiled modules name the time of their source."""
        self._folders(name)
        self._entries[name.strip("/")] = (stat.S_IFREG | mode, changed, data)

    def folder(self, name: str) -> None:
        """Add an empty folder."""
        self._folders(f"{name}/.")

    def copy(self, source: Path, name: str | None = None) -> None:
        """Add a file of this machine, links followed, under the same name unless another one is given."""
        state = source.stat()
        self.put(name or str(source), source.read_bytes(), stat.S_IMODE(state.st_mode), int(state.st_mtime))

    def _folders(self, name: str) -> None:
        for parent in reversed(Path(name.strip("/")).parents):
            if str(parent) != ".":
                self._entries.setdefault(str(parent), (stat.S_IFDIR | 0o755, 0, b""))

    def write(self, path: Path) -> None:
        """Write the archive."""
        with path.open("wb") as archive:
            for number, (name, (mode, changed, data)) in enumerate(self._entries.items(), 1):
                archive.write(_entry(number, name, mode, changed, data))
            archive.write(_entry(0, "TRAILER!!!", 0, 0, b""))


def _entry(number: int, name: str, mode: int, changed: int, data: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, changed, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def build(path: Path, modules: Path) -> None:
    """Write the guest's file system to `path`, with kernel modules out of the folder `modules`."""
    image = Image()
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    binaries = [interpreter]
    image.copy(interpreter)
    for file in _files(library):
        if not _LEFT_OUT.search(str(file.relative_to(library))):
            image.copy(file)
            binaries += [file] if file.suffix == ".so" else []
    for package in _PACKAGES:
        folder = _installed(package)
        for file in _files(folder):
            image.copy(file, f"/rig/site/{package}/{file.relative_to(folder)}")
            binaries += [file] if file.suffix == ".so" else []
    for shared in _shared(binaries):
        image.copy(shared)
    for case in sorted(_CASES.glob("*.py")):
        image.copy(case, f"/rig/{case.name}")
    image.put("/rig/modules.json", json.dumps(_put_modules(image, modules)).encode())
    start = f"#!{interpreter} -u\nimport sys\nsys.path.insert(0, '/rig')\nimport first\nfirst.main()\n"
    image.put("/init", start.encode(), 0o755)
    image.folder("dev")  # where the kernel makes the console before all else
    image.write(path)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file())


def _installed(package: str) -> Path:
    folder = Path(sysconfig.get_path("purelib"), package)
    if not folder.is_dir():
        sys.exit(f"{package} is not installed beside {sys.executable}: make test-uart installs it")
    return folder


def _shared(binaries: Iterable[Path]) -> set[Path]:
    """The shared libraries of programs, by the names the loader asks for."""
    found: set[Path] = set()
    for binary in binaries:
        done = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False)
        found |= {Path(name) for name in re.findall(r"(/\S+) \(0x", done.stdout)}
    return found


def _put_modules(image: Image, folder: Path) -> dict[str, list[str]]:
    """Put kernel modules into the image; return for each one wanted what is to be loaded, in order."""
    there = {file.name.split(".")[0].replace("-", "_"): file for file in folder.rglob("*.ko*")}
    orders: dict[str, list[str]] = {}
    for wanted in _MODULES:
        order: list[str] = []
        _collect(wanted, there, order)
        for name in order:
            image.copy(there[name], f"/rig/modules/{there[name].name}")
        orders[wanted] = [f"/rig/modules/{there[name].name}" for name in order]
    return orders


def _collect(name: str, there: dict[str, Path], order: list[str]) -> None:
    if name in order:
        return
    if name not in there:
        sys.exit(f"the kernel has no module {name}")
    depends = _DEPENDS.search(there[name].read_bytes())
    for other in depends[1].decode().split(",") if depends else ():
        if other:
            _collect(other.replace("-", "_"), there, order)
    order.append(name)
