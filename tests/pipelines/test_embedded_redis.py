import redis


def test_a_real_server_answers(redis_url: str) -> None:
    assert redis.Redis.from_url(redis_url).ping() is True
