"""The cache of machine code: trusts nobody else, survives anything, and stays small."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from steepest.engines.native import cache as module
from steepest.engines.native.cache import CodeCache, cache_key, default_cache
from steepest.engines.native.processor import Processor

KEY = "5eed" * 16
CODE = bytes(range(256)) * 200
PROCESSOR = Processor("x86_64-unknown-linux-gnu", "znver4", "+avx2,+fma", 256, has_masks=False)

posix = pytest.mark.skipif(os.name != "posix", reason="there are no owners and modes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


def path_of(folder: Path, key: str = KEY) -> Path:
    return folder / f"{key}.code"


def test_it_gives_what_was_put(folder: Path) -> None:
    cache = CodeCache(folder)
    assert cache.get(KEY) is None
    cache.put(KEY, CODE)
    assert cache.get(KEY) == CODE
    assert CodeCache(folder).get(KEY) == CODE
    assert cache.get(KEY.replace("5", "6")) is None


def test_the_last_put_counts(folder: Path) -> None:
    cache = CodeCache(folder)
    for code in (CODE, b"", b"other"):
        cache.put(KEY, code)
        assert cache.get(KEY) == code
    assert [each.name for each in folder.iterdir()] == [f"{KEY}.code"]


@pytest.mark.parametrize("key", ["", "../outside", "a/b", "a.code", "é", "a b", "a\0"])
def test_a_key_is_not_a_path(folder: Path, key: str) -> None:
    for use in (CodeCache(folder).get, lambda key: CodeCache(folder).put(key, CODE)):
        with pytest.raises(ValueError, match="letters and digits"):
            use(key)


def test_a_folder_given_relative_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = CodeCache(Path("here"))
    cache.put(KEY, CODE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cache.get(KEY) == CODE


@posix
def test_nobody_else_can_write_to_it(folder: Path) -> None:
    before = os.umask(0)
    try:
        CodeCache(folder).put(KEY, CODE)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert path_of(folder).stat().st_mode & 0o777 == 0o600


DAMAGE: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut inside the header": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "cut short by a byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer by a byte": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a bit of the code flipped": lambda path: flip(path, -5),
    "a bit of the digest flipped": lambda path: flip(path, 17),
    "of another format": lambda path: flip(path, 0),
    "of another key": lambda path: path.write_bytes(entry_of_another_key(path.parent)),
    "zeros, as after a power cut": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a symbolic link": lambda path: path.symlink_to(path.rename(path.with_suffix(".moved"))),
    "a link to nowhere": lambda path: replace_by(path, path.symlink_to, "nowhere"),
    "a pipe": lambda path: replace_by(path, os.mkfifo, path, 0o600),
    "writeable by the group": lambda path: path.chmod(0o620),
    "writeable by all": lambda path: path.chmod(0o602),
}


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def replace_by(path: Path, make: Callable[..., object], *args: object) -> None:
    path.unlink()
    make(*args)


def entry_of_another_key(folder: Path) -> bytes:
    key = KEY.replace("5", "6")
    CodeCache(folder).put(key, CODE)
    return path_of(folder, key).read_bytes()


@posix
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_cannot_be_trusted_is_ignored_and_replaced(
    folder: Path, damage: Callable[[Path], object]
) -> None:
    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    damage(path_of(folder))
    assert cache.get(KEY) is None
    cache.put(KEY, b"new")
    assert cache.get(KEY) == b"new"
    assert path_of(folder).is_file()
    assert not path_of(folder).is_symlink()


def test_a_folder_in_the_place_of_a_file_is_no_code(folder: Path) -> None:
    path_of(folder).mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    assert cache.get(KEY) is None
    assert list(folder.iterdir()) == [path_of(folder)]


@posix
def test_files_of_another_user_are_ignored_and_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    mine, status = os.geteuid(), os.fstat

    def of_another(descriptor: int) -> os.stat_result:
        result = status(descriptor)
        if folder.stat().st_ino == result.st_ino:
            return result
        return os.stat_result([*result[:4], mine + 1, *result[5:]])

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", of_another)
        assert cache.get(KEY) is None
    cache.put(KEY, b"new")
    assert cache.get(KEY) == b"new"


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give away")
def test_files_given_to_another_user_are_ignored_and_replaced(folder: Path) -> None:
    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    os.chown(path_of(folder), 12345, -1)
    assert cache.get(KEY) is None
    cache.put(KEY, b"new")
    assert cache.get(KEY) == b"new"


@posix
def test_a_folder_of_another_user_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    mine = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: mine + 1)
        assert cache.get(KEY) is None
        cache.put("abc", CODE)
    assert cache.get("abc") is None
    assert cache.get(KEY) == CODE


@posix
@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_not_used(folder: Path, mode: int) -> None:
    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    folder.chmod(mode)
    assert cache.get(KEY) is None
    cache.put("abc", CODE)
    assert not path_of(folder, "abc").exists()
    folder.chmod(0o755)
    assert cache.get(KEY) == CODE


def test_without_owners_there_is_nothing_to_check(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HAS_OWNERS", False)
    monkeypatch.setattr(module, "_HAS_DESCRIPTORS", False)
    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    folder.chmod(0o777)
    assert cache.get(KEY) == CODE
    flip(path_of(folder), -1)
    assert cache.get(KEY) is None
    cache.put(KEY, CODE)
    assert cache.get(KEY) == CODE


FAILURES = {
    "disk full": errno.ENOSPC,
    "quota": errno.EDQUOT,
    "read-only": errno.EROFS,
    "forbidden": errno.EACCES,
    "failing disk": errno.EIO,
}


@pytest.mark.parametrize("code", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("call", ["open", "replace", "scandir", "mkdir"])
def test_a_disk_that_fails_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    cache = CodeCache(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        cache.put(KEY, CODE)
        cache.get(KEY)
    left = [each.name for each in folder.iterdir()] if folder.exists() else []
    assert left == ([f"{KEY}.code"] if call == "scandir" else [])
    cache.put(KEY, CODE)
    assert cache.get(KEY) == CODE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk at hand")
def test_a_full_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def full(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = real(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            os.close(descriptor)
            return real("/dev/full", os.O_WRONLY)
        return descriptor

    cache = CodeCache(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        cache.put(KEY, CODE)
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        CodeCache(folder).put(KEY, CODE)
        assert CodeCache(folder).get(KEY) is None
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interruption_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    cache = CodeCache(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            cache.put(KEY, CODE)
    assert list(folder.iterdir()) == []


HAMMER = """
import sys
from pathlib import Path
from steepest.engines.native.cache import CodeCache
cache = CodeCache(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    cache.put(sys.argv[2], bytes(200_000))
"""


@posix
def test_a_process_killed_while_it_writes_does_no_harm(folder: Path) -> None:
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", HAMMER, str(folder), KEY], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while not path_of(folder).exists():
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert CodeCache(folder).get(KEY) == bytes(200_000)


def test_what_killed_processes_left_is_removed(folder: Path) -> None:
    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    old, new, other = (folder / name for name in (".a.partial", ".b.partial", "not-mine"))
    for path in (old, new, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    CodeCache(folder).put("abc", CODE)
    assert [path.exists() for path in (old, new, other)] == [False, True, True]
    assert cache.get(KEY) == CODE


SHARE = """
import os, sys
from pathlib import Path
from steepest.engines.native.cache import CodeCache

def work(seed):
    cache = CodeCache(Path(sys.argv[1]))
    hits = 0
    for turn in range(60):
        number = (seed + turn * 7) % 5
        cache.put(f"key{number}", bytes([number]) * (1 + 997 * ((seed + turn) % 50)))
        other = (number + 1) % 5
        code = cache.get(f"key{other}")
        if code is not None:
            assert code == bytes([other]) * len(code) != b""
            hits += 1
    assert hits > 50

processes = []
for seed in range(12):
    process = os.fork()
    if process == 0:
        work(seed)
        os._exit(23)
    processes.append(process)
for process in processes:
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 23
"""


@posix
def test_many_processes_share_it(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", SHARE, str(folder)], check=True)
    assert sorted(each.name for each in folder.iterdir()) == [f"key{n}.code" for n in range(5)]


def test_what_was_not_used_for_longest_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CodeCache(folder)
    for number in range(10):
        cache.put(f"key{number}", CODE)
        age = time.time() - 86400 * (10 - number)
        os.utime(path_of(folder, f"key{number}"), (age, age))
    assert cache.get("key2") == CODE
    monkeypatch.setattr(module, "_MAXIMUM_ENTRIES", 4)
    CodeCache(folder).put(KEY, CODE)
    left = {each.stem for each in folder.iterdir()}
    assert left == {KEY, "key2", "key9", "key8"}


def test_it_holds_so_many_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAXIMUM_BYTES", 10 * len(CODE))
    monkeypatch.setattr(module, "_PUTS_BETWEEN_SWEEPS", 4)
    cache = CodeCache(folder)
    for number in range(41):
        cache.put(f"key{number}", CODE)
        os.utime(path_of(folder, f"key{number}"), (1e9 + number, 1e9 + number))
        assert sum(each.stat().st_size for each in folder.iterdir()) <= 13.1 * len(CODE)
    assert {each.stem for each in folder.iterdir()} == {f"key{n}" for n in range(32, 41)}


def test_what_is_larger_than_the_cache_is_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAXIMUM_BYTES", len(CODE))
    cache = CodeCache(folder)
    cache.put("small", CODE[:1000])
    cache.put("large", CODE)
    assert cache.get("small") == CODE[:1000]
    assert cache.get("large") is None
    assert not path_of(folder, "large").exists()


def test_use_is_noted_no_more_than_once_an_hour(folder: Path) -> None:
    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    for age, noted in ((1800, False), (7200, True)):
        then = time.time() - age
        os.utime(path_of(folder), (then, then))
        cache.get(KEY)
        assert (path_of(folder).stat().st_mtime > then + 60) == noted


def test_a_file_whose_use_cannot_be_noted_serves(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    cache = CodeCache(folder)
    cache.put(KEY, CODE)
    os.utime(path_of(folder), (0, 0))
    monkeypatch.setattr(os, "utime", fail)
    assert cache.get(KEY) == CODE


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"STEEPEST_CACHE_DIR": "{tmp}/own", "XDG_CACHE_HOME": "{tmp}/xdg"}, "{tmp}/own"),
        ({"STEEPEST_CACHE_DIR": "~/own"}, "{tmp}/home/own"),
        ({"XDG_CACHE_HOME": "{tmp}/xdg"}, "{tmp}/xdg/steepest"),
        ({"STEEPEST_CACHE_DIR": "", "XDG_CACHE_HOME": ""}, "{home}/steepest"),
        ({"XDG_CACHE_HOME": "relative"}, "{home}/steepest"),
        ({"STEEPEST_CACHE": "1"}, "{home}/steepest"),
        ({"STEEPEST_CACHE": "0"}, None),
        ({"STEEPEST_CACHE": "0", "STEEPEST_CACHE_DIR": "{tmp}/own"}, None),
    ],
)
@pytest.mark.parametrize(("system", "home"), [("linux", ".cache"), ("darwin", "Library/Caches")])
@posix
def test_the_environment_says_where_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    expected: str | None,
    system: str,
    home: str,
) -> None:
    for name in ("STEEPEST_CACHE", "STEEPEST_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", system)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(tmp=tmp_path))
    cache = default_cache()
    if expected is None:
        assert cache is None
        return
    assert cache is not None
    cache.put(KEY, CODE)
    assert cache.get(KEY) == CODE
    assert path_of(Path(expected.format(tmp=tmp_path, home=tmp_path / "home" / home))).is_file()


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("STEEPEST_CACHE", "STEEPEST_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert default_cache() is None


def test_the_key_depends_on_all_that_the_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        cache_key("define", PROCESSOR),
        cache_key("define ", PROCESSOR),
        cache_key("define", replace(PROCESSOR, triple="x86_64-unknown-linux-musl")),
        cache_key("define", replace(PROCESSOR, name="znver5")),
        cache_key("define", replace(PROCESSOR, features="+avx2,-fma")),
        # The parts have ends of their own.
        cache_key("define", replace(PROCESSOR, name="znver4+avx2", features=",+fma")),
    ]
    tools = module._tools()
    for other in ((tools[0] + "#", *tools[1:]), (*tools[:-1], tools[-1] + "1"), tools[:-1]):
        with monkeypatch.context() as patch:
            patch.setattr(module, "_tools", lambda other=other: other)
            keys.append(cache_key("define", PROCESSOR))
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in keys)
    assert cache_key("define", PROCESSOR) == keys[0]


def test_the_key_names_the_versions_of_both_tools() -> None:
    import llvmlite

    own, version, *libraries = module._tools()
    assert "machine_code" in own
    assert llvmlite.__version__ in version
    assert len(libraries) == 1


@pytest.mark.parametrize(
    ("missing", "expected"),
    [("object_code.py", "unknown"), ("_version.py", "unknown")],
)
def test_the_key_asks_the_installation_where_files_are_missing(
    monkeypatch: pytest.MonkeyPatch, missing: str, expected: str
) -> None:
    import importlib.metadata

    read = Path.read_text

    def without(path: Path) -> str:
        if path.name == missing:
            raise FileNotFoundError(path)
        return read(path)

    monkeypatch.setattr(Path, "read_text", without)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{expected} {name}")
    found = module._tools.__wrapped__()
    assert any(part.startswith(expected) for part in found)


def test_neither_key_nor_cache_imports_llvm(folder: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from steepest.engines.native.cache import CodeCache, cache_key
from steepest.engines.native.processor import Processor
key = cache_key("define", {PROCESSOR!r})
CodeCache(Path({str(folder)!r})).put(key, b"code")
assert CodeCache(Path({str(folder)!r})).get(key) == b"code"
assert "llvmlite" not in sys.modules
print(key)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == cache_key("define", PROCESSOR)
