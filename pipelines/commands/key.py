"""`nextbest key`: make, list and revoke API keys."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.options import HomeOption, JsonOption, known_as, print_json, print_result, say, settings_for

if TYPE_CHECKING:
    from serving.http.api_keys import ApiKey

app = typer.Typer(name="key", help="API keys: created here, shown once, stored as hashes.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="What the key is for; one key in force per name.")],
    scope: Annotated[
        list[str], typer.Option(help="decide, outcomes, events, read, privacy or admin; repeat for several.")
    ],
    expires_days: Annotated[float | None, typer.Option(min=0.001, max=36_500, help="Days until it expires.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key and print it once; from then on every server of this home requires keys.

    Example: `nextbest key create --name braze --scope decide --scope outcomes`
    """
    from serving.http.api_keys import Scope, create_key

    scopes = frozenset(known_as("scope", one, {scope.value: scope for scope in Scope}) for one in scope)
    now = datetime.now(UTC)
    expires_at = None if expires_days is None else now + timedelta(days=expires_days)
    made = create_key(settings_for(home).keys_path, name=name, scopes=scopes, now=now, expires_at=expires_at)
    print_result(
        {"key": made.secret} | _described(made.key, now), as_json=as_json, title="keep this key: it is shown once"
    )
    if not as_json:
        say("send it as `Authorization: Bearer <key>`, as `X-API-Key`, or as the password of HTTP Basic")


@app.command("list")
def list_keys(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List keys with their scopes and whether they are in force; never the keys themselves.

    Example: `nextbest key list`
    """
    from serving.http.api_keys import read_keys

    now = datetime.now(UTC)
    found = [_described(key, now) for key in read_keys(settings_for(home).keys_path)]
    if as_json:
        print_json({"keys": found})
    elif found:
        print_result({one["name"]: _line(one) for one in found}, as_json=False, title="API keys")
    else:
        say("no key was made yet; a server on loopback is open until there is one")


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Name of the key.")], home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Revoke a key for good; running servers refuse it within a second.

    Example: `nextbest key revoke braze`
    """
    from serving.http.api_keys import revoke_key

    now = datetime.now(UTC)
    print_result(_described(revoke_key(settings_for(home).keys_path, name=name, now=now), now), as_json=as_json)


def _described(key: "ApiKey", now: datetime) -> dict[str, Any]:
    return {
        "name": key.name,
        "id": key.key_id,
        "scopes": sorted(scope.value for scope in key.scopes),
        "in_force": key.is_active(now),
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "expires_at": key.expires_at.isoformat(timespec="seconds") if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat(timespec="seconds") if key.revoked_at else None,
    }


def _line(one: dict[str, Any]) -> str:
    state = "in force" if one["in_force"] else "revoked" if one["revoked_at"] else "expired"
    return f"{one['id']}...  {', '.join(one['scopes'])}  {state}"
