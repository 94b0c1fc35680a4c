import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from decisioning.errors import InvalidInputError, UnavailableError
from features.settings import Settings
from pipelines.server.embedded_redis import embedded_redis, redis_for
from pipelines.server.redis_binary import find_binary
from tests.waiting import wait_until

SYSTEM_BINARY = shutil.which("redis-server") or shutil.which("valkey-server")


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture(params=["shipped", "system"])
def binary(request: pytest.FixtureRequest) -> Path:
    """Every Redis-compatible server on this machine."""
    if request.param == "shipped":
        return find_binary()
    if SYSTEM_BINARY is None:
        pytest.skip("no redis-server of the system on PATH")
    return Path(SYSTEM_BINARY)


def client_of(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


def pid_of(url: str) -> int:
    with client_of(url) as client:
        return int(client.info("server")["process_id"])


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_real_server_answers_on_a_socket_and_on_no_port(home: Settings, binary: Path) -> None:
    with embedded_redis(home, binary=binary) as url:
        assert url.startswith("unix://")
        client = client_of(url)
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert not psutil.Process(pid_of(url)).net_connections("inet")


def test_flushing_every_second_is_a_setting(tmp_path: Path) -> None:
    with embedded_redis(Settings(home=tmp_path, redis_fsync="everysec")) as url:
        assert client_of(url).config_get("appendfsync") == {"appendfsync": "everysec"}


def test_a_restart_keeps_written_data(home: Settings, binary: Path) -> None:
    with embedded_redis(home, binary=binary) as url:
        client_of(url).xadd("stream", {"a": "1"})
        client_of(url).set("key", "value")
    with embedded_redis(home, binary=binary) as url:
        assert client_of(url).get("key") == b"value"
        assert client_of(url).xlen("stream") == 1


def test_the_server_stops_when_its_last_user_leaves(home: Settings) -> None:
    with embedded_redis(home) as url:
        pid = pid_of(url)
    assert is_gone(pid)


def test_users_of_one_home_share_a_server_until_the_last_one_leaves(home: Settings) -> None:
    with embedded_redis(home) as second_url:
        first = embedded_redis(home)
        url = first.__enter__()
        assert url == second_url
        pid = pid_of(url)
        first.__exit__(None, None, None)
        assert pid_of(second_url) == pid
    assert is_gone(pid)


def test_two_homes_have_two_servers(tmp_path: Path) -> None:
    one, other = Settings(home=tmp_path / "one"), Settings(home=tmp_path / "other")
    with embedded_redis(one) as first, embedded_redis(other) as second:
        assert pid_of(first) != pid_of(second)


USER = """
import sys, time
from pathlib import Path
from features.settings import Settings
from pipelines.server.embedded_redis import embedded_redis
import redis
with embedded_redis(Settings(home=Path(sys.argv[1]))) as url:
    client = redis.Redis.from_url(url)
    client.incr("users")
    print(client.info("server")["process_id"], flush=True)
    time.sleep(60)
"""


@pytest.fixture
def start_user(home: Settings) -> Iterator[Callable[[], tuple[subprocess.Popen, int]]]:
    """Starts processes that use the server of `home`; returns each with the server's process id."""
    users: list[subprocess.Popen] = []

    def start() -> tuple[subprocess.Popen, int]:
        user = subprocess.Popen([sys.executable, "-c", USER, str(home.home)], stdout=subprocess.PIPE, text=True)
        users.append(user)
        assert user.stdout is not None
        return user, int(user.stdout.readline())

    yield start
    for user in users:
        user.kill()
        user.wait()
        assert user.stdout is not None
        user.stdout.close()


def test_the_server_dies_with_the_process_that_started_it_even_by_kill_9(home, start_user) -> None:
    user, server = start_user()
    user.send_signal(signal.SIGKILL)
    wait_until(lambda: is_gone(server))
    with embedded_redis(home) as url:
        assert client_of(url).get("users") == b"1"


def test_a_second_process_keeps_the_server_when_the_first_is_killed(home, start_user) -> None:
    first, server = start_user()
    second, same_server = start_user()
    assert server == same_server
    first.kill()
    first.wait()
    time.sleep(0.2)
    assert not is_gone(server)
    second.kill()
    wait_until(lambda: is_gone(server))


def test_processes_that_start_at_the_same_moment_get_one_server(home, start_user) -> None:
    script = [sys.executable, "-c", USER.replace("time.sleep(60)", "time.sleep(1)"), str(home.home)]
    processes = [subprocess.Popen(script, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    servers = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert len(servers) == 1


def test_the_server_dies_with_its_launcher(home: Settings) -> None:
    with embedded_redis(home) as url:
        server = psutil.Process(pid_of(url))
        launcher = server.parent()
        assert launcher is not None
        assert "redis_launcher.py" in " ".join(launcher.cmdline())
        launcher.kill()
        wait_until(lambda: is_gone(server.pid))


def test_a_killed_server_is_restarted_with_every_acknowledged_write(home: Settings) -> None:
    with embedded_redis(home) as url:
        client = client_of(url)
        for number in range(200):
            client.xadd("stream", {"n": number})
        os.kill(pid_of(url), signal.SIGKILL)
        with embedded_redis(home) as url_again:
            assert client_of(url_again).xlen("stream") == 200


def test_a_server_that_crashes_in_use_is_restarted_for_its_users(home: Settings) -> None:
    with embedded_redis(home) as url:
        client_of(url).set("answered", "yes")
        for _ in range(2):
            time.sleep(1.2)  # a server that ends at once counts as one that cannot start
            first = pid_of(url)
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: answers(url))
            assert pid_of(url) != first
            assert client_of(url).get("answered") == b"yes"
        last = pid_of(url)
    wait_until(lambda: is_gone(last))


def answers(url: str) -> bool:
    try:
        return bool(client_of(url).ping())
    except redis.RedisError:
        return False


def newest_append_only_file(home: Settings) -> Path:
    """The file that the server appends to: the only one up to Redis 6.2, the newest increment from Redis 7 on."""
    return max(home.redis_path.rglob("appendonly.aof*"), key=lambda path: (path.suffix == ".aof", path.stat().st_mtime))


def test_a_torn_last_entry_of_the_file_does_not_stop_the_start(home: Settings) -> None:
    with embedded_redis(home) as url:
        client_of(url).set("key", "value")
    with newest_append_only_file(home).open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$3\r\nke")
    with embedded_redis(home) as url:
        assert client_of(url).get("key") == b"value"


def test_a_damaged_file_is_a_clear_error(home: Settings) -> None:
    with embedded_redis(home) as url:
        client_of(url).set("key", "value")
    path = newest_append_only_file(home)
    path.write_bytes(b"nonsense" * 10 + path.read_bytes())
    with pytest.raises(UnavailableError, match=r"did not start.*Bad file format"), embedded_redis(home):
        pass


def test_leftovers_of_a_crash_are_ignored(home: Settings) -> None:
    with embedded_redis(home) as url:
        client_of(url).set("key", "value")
    (home.redis_path / "redis.sock").write_text("stale")
    (home.redis_path / "socket").write_text("/nowhere/redis.sock")
    with embedded_redis(home) as url:
        assert client_of(url).get("key") == b"value"


@pytest.mark.parametrize("name", ["a" * 100, "with space", 'quo"te', "ümlaut-é", "per% cent"])
def test_any_path_can_be_a_home(tmp_path: Path, name: str) -> None:
    home = Settings(home=tmp_path / name)
    with embedded_redis(home) as url, embedded_redis(home) as same:
        assert url == same
        assert client_of(url).ping()
        client_of(url).set("key", "value")
    with embedded_redis(home) as url:
        assert client_of(url).get("key") == b"value"


def test_a_short_socket_folder_is_private_and_removed(tmp_path: Path) -> None:
    with embedded_redis(Settings(home=tmp_path / ("a" * 100))) as url:
        folder = Path(url.removeprefix("unix://")).parent
        assert len(str(folder)) < 80
        assert folder.stat().st_mode & 0o077 == 0
    wait_until(lambda: not folder.exists())


def test_a_binary_that_does_not_run_is_a_clear_error(home: Settings, tmp_path: Path) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("not a program")
    broken.chmod(0o700)
    with pytest.raises(UnavailableError, match="did not start"), embedded_redis(home, binary=broken):
        pass


def test_an_impossible_home_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InvalidInputError, match="home must be a folder"),
        embedded_redis(Settings(home=tmp_path / "file")),
    ):
        pass


def test_a_redis_given_by_url_is_used_unchanged(redis_url: str, tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home", redis_url=redis_url)
    with redis_for(home) as url:
        assert url == redis_url
    assert not home.redis_path.exists()


@pytest.mark.parametrize("url", ["unix:///nowhere/redis.sock", "redis://:secret@127.0.0.1:1/0", "http://example.org"])
def test_an_unreachable_redis_by_url_is_a_clear_error_without_the_password(url: str, tmp_path: Path) -> None:
    with (
        pytest.raises(UnavailableError, match="NEXTBEST_REDIS_URL") as caught,
        redis_for(Settings(home=tmp_path, redis_url=url)),
    ):
        pass
    assert "secret" not in str(caught.value)


def test_without_a_url_the_embedded_server_is_used(home: Settings) -> None:
    with redis_for(home) as url:
        assert client_of(url).ping()
