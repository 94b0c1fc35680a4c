"""The feature history and Feast: build, register, join as of a moment, materialise into Redis."""

# Before Feast, whose import sets prometheus_client's switch for several processes: two sets of numbers in one process
# would then add up to one.
import prometheus_client  # noqa: F401
