"""Machine code on disk, so that a program is compiled once and not once for each process.

The folder is ``$STEEPEST_CACHE_DIR``, else ``$XDG_CACHE_HOME/steepest``, else ``~/.cache/steepest``
(on macOS ``~/Library/Caches/steepest``). ``STEEPEST_CACHE=0`` switches the cache off. It may be
deleted at any time.

What is read from it is run. So the folder and each file in it must belong to the user who reads,
and nobody else may be able to write to them; otherwise they are passed over, as if they were not
there. The same happens without a word when the disk is full, read-only or out of reach: a cache
makes a program faster, and must not be able to stop it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import xxhash

from steepest.engines.native.processor import Processor

__all__ = ["CodeCache", "cache_key", "default_cache", "machine_key"]

_MAGIC = b"steepest code 1\n"
_HEADER_SIZE = len(_MAGIC) + 16
_SUFFIX = ".code"
_PARTIAL_SUFFIX = ".partial"

_MAXIMUM_BYTES = 256 * 2**20
_MAXIMUM_ENTRIES = 4096
_PUTS_BETWEEN_SWEEPS = 16
_SECONDS_BETWEEN_TOUCHES = 3600.0
_SECONDS_TO_WRITE = 3600.0
"""After this long, a file that is still being written belongs to a process that was killed."""

_HAS_OWNERS = hasattr(os, "geteuid")
_HAS_DESCRIPTORS = os.open in os.supports_dir_fd
# No symbolic link is followed, and opening a pipe does not wait for its other end.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class CodeCache:
    """Machine code by key, in a folder that many processes may use at once.

    A file is written under another name and renamed, so that it is, at any moment and after any
    kill, either whole or not there. It begins with a digest of its key and content, so that one
    that a power cut or a disk damaged is found out; the next `put` replaces it.

    The folder holds at most 256 MiB in 4096 files, and what processes have added since they last
    looked, which each does with every sixteenth file: those that were not used for longest go.

    Parameters
    ----------
    folder : path, optional
        Made when it is first needed, for this user alone. By default as this module says.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = str((folder or _default_folder()).absolute())
        self._puts = 0

    def get(self, key: str) -> bytes | None:
        """Read the code of a key; None when there is none that can be trusted."""
        name = _file_name(key)
        try:
            with self._opened() as folder:
                content = folder.read(name)
        except OSError:
            return None
        start = content[:_HEADER_SIZE]
        code = content[_HEADER_SIZE:]
        return code if start == _MAGIC + _digest(key, code) else None

    def put(self, key: str, code: bytes) -> None:
        """Keep the code of a key, in place of what the key has; do nothing where that fails."""
        name = _file_name(key)
        content = _MAGIC + _digest(key, code) + code
        if len(content) > _MAXIMUM_BYTES:
            return
        try:
            Path(self._folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._opened() as folder:
                folder.write(name, content)
                if self._puts % _PUTS_BETWEEN_SWEEPS == 0:
                    folder.sweep()
        except OSError:
            return
        self._puts += 1

    @contextmanager
    def _opened(self) -> Iterator[_Folder]:
        """Open the folder; what follows cannot be led elsewhere by renaming it.

        Raises
        ------
        OSError
            When there is none, or others may write to it.
        """
        if not _HAS_DESCRIPTORS:
            _refuse_others(Path(self._folder).stat(), stat.S_IFDIR)
            yield _Folder(self._folder + os.sep, None)
            return
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _refuse_others(os.fstat(descriptor), stat.S_IFDIR)
            yield _Folder("", descriptor)
        finally:
            os.close(descriptor)


def default_cache() -> CodeCache | None:
    """Get the cache that this module describes; None when it is switched off or has no place."""
    if os.environ.get("STEEPEST_CACHE") == "0":
        return None
    try:
        return CodeCache()
    except RuntimeError:  # a user without a home
        return None


def cache_key(description: str, processor: Processor) -> str:
    """Get the key of the machine code of a module: a digest of all that the code depends on.

    Parameters
    ----------
    description : str
        All that the module's assembly depends on besides this package and the processor; or the
        assembly.
    processor : Processor
        As `machine_code` takes it.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = blake2b(digest_size=32)
    tools = _tools()
    for part in (*tools, processor.triple, processor.name, processor.features, description):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def machine_key() -> str | None:
    """Get the key of what LLVM says of this machine; None where the system tells too little."""
    try:
        # Of the first of the processors, which have their descriptions one after another.
        described, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
    except OSError:
        return None
    # The clock changes from one moment to the next.
    fixed = [line for line in described.splitlines() if "MHz" not in line]
    digest = blake2b(digest_size=32)
    for part in (*_tools(), platform.machine(), *fixed):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


@cache
def _tools() -> tuple[str, ...]:
    """Describe what turns assembly into code: this steepest and this LLVM.

    LLVM is not imported, which would take longer than all that the cache saves.
    """
    # The files that decide change with steepest's version, and between versions too.
    try:
        own = "".join(each.read_text() for each in sorted(Path(__file__).parent.glob("*.py")))
        own += "" if own else _version("steepest")
    except OSError:  # installed without sources, or zipped
        own = _version("steepest")
    found = importlib.util.find_spec("llvmlite")
    if found is None or found.origin is None:
        return own, "no llvmlite"
    package = Path(found.origin).parent
    try:
        # The versions of llvmlite and of its sources. The same version built with another LLVM
        # differs in the size of the library.
        return own, (package / "_version.py").read_text(), *_library_sizes(package / "binding")
    except OSError:
        return own, _version("llvmlite")


def _library_sizes(folder: Path) -> list[str]:
    return sorted(
        f"{each.name} {each.stat().st_size}"
        for each in folder.iterdir()
        if each.suffix in (".so", ".dylib", ".dll")
    )


def _version(package: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _default_folder() -> Path:
    """Say where the cache is.

    Raises
    ------
    RuntimeError
        When nothing says it and the user has no home.
    """
    if folder := os.environ.get("STEEPEST_CACHE_DIR"):
        return Path(folder).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # which the XDG specification says to ignore
        base = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return base / "steepest"


def _file_name(key: str) -> str:
    if not (key.isascii() and key.isalnum()):
        raise ValueError(f"a key is made of letters and digits, unlike {key!r}")
    return key + _SUFFIX


def _digest(key: str, code: bytes) -> bytes:
    """Find out damage, at the speed of memory; who may write to the file could fake any digest."""
    digest = xxhash.xxh3_128(f"{key}\n".encode())
    digest.update(code)
    return digest.digest()


def _refuse_others(status: os.stat_result, kind: int) -> None:
    """Raise OSError unless a file or folder is one, and in the hands of the user alone."""
    if stat.S_IFMT(status.st_mode) != kind:
        raise OSError("not what it should be")
    if _HAS_OWNERS and (
        status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise PermissionError("others may write to it")


class _Folder(NamedTuple):
    """The folder while it is open: what precedes a name, and what the name is relative to."""

    prefix: str
    descriptor: int | None

    def read(self, name: str) -> bytes:
        """Read a file, and note that it was used."""
        path = self.prefix + name
        descriptor = os.open(path, _READ | _BINARY, dir_fd=self.descriptor)
        try:
            status = os.fstat(descriptor)
            _refuse_others(status, stat.S_IFREG)
            if status.st_size > _MAXIMUM_BYTES:
                raise OSError("larger than any that is kept")
            if time.time() - status.st_mtime > _SECONDS_BETWEEN_TOUCHES:
                with contextlib.suppress(OSError):  # a read-only folder serves as well
                    os.utime(descriptor if os.utime in os.supports_fd else path)
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def write(self, name: str, content: bytes) -> None:
        """Write a file under another name and rename it."""
        partial = f"{self.prefix}.{secrets.token_hex(8)}{_PARTIAL_SUFFIX}"
        descriptor = os.open(partial, _CREATE | _BINARY, 0o600, dir_fd=self.descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(
                partial,
                self.prefix + name,
                src_dir_fd=self.descriptor,
                dst_dir_fd=self.descriptor,
            )
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial, dir_fd=self.descriptor)
            raise

    def sweep(self) -> None:
        """Remove what was not used for longest, and what killed processes left."""
        files: list[tuple[float, int, str]] = []
        outdated: list[str] = []
        now = time.time()
        with os.scandir(self.prefix if self.descriptor is None else self.descriptor) as entries:
            for entry in entries:
                if not entry.name.endswith((_SUFFIX, _PARTIAL_SUFFIX)):
                    continue
                with contextlib.suppress(FileNotFoundError):  # another process sweeps as well
                    status = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(_SUFFIX):
                        files.append((status.st_mtime, status.st_size, entry.name))
                    elif now - status.st_mtime > _SECONDS_TO_WRITE:
                        outdated.append(entry.name)
        kept = 0
        for count, (_, size, name) in enumerate(sorted(files, reverse=True), start=1):
            kept += size
            if count > _MAXIMUM_ENTRIES or kept > _MAXIMUM_BYTES:
                outdated.append(name)
        for name in outdated:
            with contextlib.suppress(OSError):
                os.unlink(self.prefix + name, dir_fd=self.descriptor)
