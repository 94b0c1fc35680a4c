"""Readable names, made from catalogue names, since a record holds no others."""


def spoken(name: str) -> str:
    """A name with its hyphens and underscores as spaces.

    Example:
        >>> spoken("free-coffee")
        'free coffee'
    """
    return name.replace("-", " ").replace("_", " ")
