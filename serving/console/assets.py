"""Files that the pages load, all from here: the pages name no other origin."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".woff2": "font/woff2", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file with its digest, which changes its address whenever it changes."""

    payload: bytes
    media_type: str
    digest: str


def load_assets() -> dict[str, Asset]:
    """Every file that may be served, by name."""
    return {path.name: _asset(path) for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA_TYPES}


def _asset(path: Path) -> Asset:
    payload = path.read_bytes()
    return Asset(payload=payload, media_type=MEDIA_TYPES[path.suffix], digest=sha256(payload).hexdigest()[:12])
