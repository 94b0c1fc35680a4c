"""Random numbers from hashes, so that a retry draws the same number and the order of requests does not matter."""

import hashlib

_DIGEST_BYTES = 16
_MANTISSA_BITS = 53


def unit_hash(*parts: str) -> float:
    """Map texts to a number in [0, 1) that looks random and never changes.

    The top 53 bits of a 128-bit BLAKE2b digest are used, all that a float can hold. Parts carry their length, so
    that ("ab", "c") and ("a", "bc") are different questions.

    Example:
        >>> unit_hash("salt", "C-1") == unit_hash("salt", "C-1") != unit_hash("sal", "tC-1")
        True
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        # A lone surrogate is not valid UTF-8, but must not make the hash fail.
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return (int.from_bytes(digest.digest(), "big") >> (_DIGEST_BYTES * 8 - _MANTISSA_BITS)) * 2.0**-_MANTISSA_BITS
