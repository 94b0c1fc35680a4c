import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from decisioning.errors import InvalidInputError, UnknownNameError
from serving.http.api_keys import KeyRing, Scope, create_key, read_keys, revoke_key

NOW = datetime(2026, 11, 2, tzinfo=UTC)


class Ticker:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def ring(path: Path, ticker: Ticker | None = None, now: datetime = NOW) -> KeyRing:
    return KeyRing(path, monotonic=ticker or Ticker(), now=lambda: now)


def test_a_key_is_found_with_its_scopes_and_its_secret_is_stored_nowhere(path: Path) -> None:
    made = create_key(path, name="braze", scopes=frozenset({Scope.DECIDE}), now=NOW)

    found = ring(path).find(made.secret)

    assert found is not None
    assert found.name == "braze"
    assert found.allows(Scope.DECIDE)
    assert not found.allows(Scope.OUTCOMES)
    assert made.secret.removeprefix(made.key.key_id) not in path.read_text()
    assert len(made.secret) >= 3 + 43  # 256 bits in base 64


def test_only_the_owner_can_read_the_key_file(path: Path) -> None:
    create_key(path, name="a", scopes=frozenset({Scope.READ}), now=NOW)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_admin_has_every_scope(path: Path) -> None:
    made = create_key(path, name="root", scopes=frozenset({Scope.ADMIN}), now=NOW)

    assert all(made.key.allows(scope) for scope in Scope)


def test_a_revoked_key_is_refused_within_a_second_even_if_it_was_cached(path: Path) -> None:
    made = create_key(path, name="a", scopes=frozenset({Scope.READ}), now=NOW)
    ticker = Ticker()
    keys = ring(path, ticker)
    assert keys.find(made.secret) is not None

    revoke_key(path, name="a", now=NOW)
    ticker.at = 1.0

    assert keys.find(made.secret) is None


def test_an_expired_key_is_refused(path: Path) -> None:
    made = create_key(path, name="a", scopes=frozenset({Scope.READ}), now=NOW, expires_at=NOW + timedelta(days=1))

    assert ring(path, now=NOW + timedelta(hours=23)).find(made.secret) is not None
    assert ring(path, now=NOW + timedelta(days=1)).find(made.secret) is None


def test_a_key_ring_is_open_only_until_the_first_key_is_made(path: Path) -> None:
    ticker = Ticker()
    keys = ring(path, ticker)
    assert keys.is_open

    create_key(path, name="a", scopes=frozenset({Scope.READ}), now=NOW)
    ticker.at = 1.0
    assert not keys.is_open

    revoke_key(path, name="a", now=NOW)
    ticker.at = 2.0
    assert not keys.is_open
    path.unlink()
    ticker.at = 3.0
    assert not keys.is_open


def test_a_damaged_key_file_closes_the_ring(path: Path) -> None:
    made = create_key(path, name="a", scopes=frozenset({Scope.READ}), now=NOW)
    path.write_text('{"keys": [')

    keys = ring(path)

    assert not keys.is_open
    assert keys.find(made.secret) is None
    with pytest.raises(InvalidInputError, match="nextbest key"):
        read_keys(path)


@pytest.mark.parametrize("secret", ["", "nb_", "nb_wrong", "\udcff", "x" * 10_000])
def test_any_other_text_is_not_a_key(path: Path, secret: str) -> None:
    create_key(path, name="a", scopes=frozenset({Scope.READ}), now=NOW)

    assert ring(path).find(secret) is None


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at"),
    [
        ("", frozenset({Scope.READ}), None),
        ("a\nb", frozenset({Scope.READ}), None),
        ("new", frozenset(), None),
        ("new", frozenset({Scope.READ}), NOW),
        ("taken", frozenset({Scope.READ}), None),
    ],
)
def test_a_key_with_invalid_settings_is_refused(
    path: Path, name: str, scopes: frozenset[Scope], expires_at: datetime | None
) -> None:
    create_key(path, name="taken", scopes=frozenset({Scope.READ}), now=NOW)

    with pytest.raises(InvalidInputError):
        create_key(path, name=name, scopes=scopes, now=NOW, expires_at=expires_at)


def test_revoking_an_unknown_key_suggests_the_nearest_name(path: Path) -> None:
    create_key(path, name="braze", scopes=frozenset({Scope.READ}), now=NOW)

    with pytest.raises(UnknownNameError, match="braze"):
        revoke_key(path, name="brace", now=NOW)


def test_a_name_is_free_again_once_its_key_is_revoked(path: Path) -> None:
    create_key(path, name="a", scopes=frozenset({Scope.READ}), now=NOW)
    revoke_key(path, name="a", now=NOW)

    create_key(path, name="a", scopes=frozenset({Scope.READ}), now=NOW)

    assert len(read_keys(path)) == 2


def test_keys_made_at_the_same_time_are_all_kept(path: Path) -> None:
    makers = [
        threading.Thread(
            target=create_key, args=(path,), kwargs={"name": f"k{i}", "scopes": frozenset({Scope.READ}), "now": NOW}
        )
        for i in range(12)
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()

    assert {key.name for key in read_keys(path)} == {f"k{i}" for i in range(12)}
