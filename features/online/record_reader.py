"""Reading records of the schema in force, and those that an earlier catalogue's materialisation left in Redis.

A record keeps its schema until the next materialisation writes it anew. What it says of features that mean the same
today is as good as ever; what it says of others is not said at all, so that no rule over them can be checked.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import numpy as np

from decisioning.arrays import IndexArray
from decisioning.scoring import FeatureVector
from features.computing.feature_schema import FeatureSchema
from features.online.record import decode_record, record_schema


class RecordReader:
    """Decodes records for one schema, whichever of the known ones they were written under."""

    __slots__ = ("_former", "_schema")

    def __init__(self, schema: FeatureSchema, known: Iterable[FeatureSchema] = ()) -> None:
        """Take the schema in force and those that records may still have."""
        self._schema = schema
        self._former = {
            one.fingerprint: (one, *_shared(one, schema)) for one in known if one.fingerprint != schema.fingerprint
        }

    def read(self, payload: bytes, now: datetime) -> FeatureVector:
        """Features of a customer; of a record of another schema those alone that mean the same in this one.

        Raises:
            FeatureUnavailableError: The record was written under a schema that nobody knows.
        """
        former = self._former.get(record_schema(payload)) if self._former else None
        if former is None:
            return decode_record(payload, self._schema, now)
        schema, names, places = former
        vector = decode_record(payload, schema, now)
        return replace(vector, names=names, values=vector.values[places])


def _shared(former: FeatureSchema, schema: FeatureSchema) -> tuple[tuple[str, ...], IndexArray]:
    """Features of an earlier schema that mean the same now, and their places in it."""
    meaning_of = schema.meaning_of
    places = [
        place for place, (name, meaning) in enumerate(former.meaning_of.items()) if meaning_of.get(name) == meaning
    ]
    return tuple(former.names[place] for place in places), np.asarray(places, dtype=np.intp)
