"""Reading one customer from Redis, for people and checks; serving has a reader of its own with a deadline."""

from datetime import datetime

from decisioning.customer import Customer
from decisioning.scoring import FeatureVector
from features.computing.feature_schema import FeatureSchema
from features.online.profiles import decode_profile
from features.online.record import decode_record
from features.online.redis_connection import asking_redis, connect
from features.online.redis_keys import feature_key, profile_key


def read_customer(
    redis_url: str, customer_id: str, schema: FeatureSchema, now: datetime
) -> tuple[FeatureVector | None, Customer | None]:
    """Features and profile as a decision would see them now; None for what was never materialised.

    Raises:
        FeatureUnavailableError: Redis is away, or holds something else than the catalogue's schema.
    """
    with asking_redis("Redis must answer before a customer can be read, got"), connect(redis_url) as redis:
        record, profile = redis.get(feature_key(customer_id)), redis.get(profile_key(customer_id))
    return (
        decode_record(record, schema, now) if isinstance(record, bytes) else None,
        decode_profile(profile) if isinstance(profile, bytes) else None,
    )
