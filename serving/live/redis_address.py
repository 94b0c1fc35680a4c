"""Where the Redis of a server is."""

from features.settings import Settings

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


def redis_url_of(settings: Settings) -> str:
    """The address that settings name, else the usual one of this machine."""
    return settings.redis_url or DEFAULT_REDIS_URL
