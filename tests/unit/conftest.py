"""How Hypothesis runs in all of these tests: how long an example takes is the machine's business, not theirs."""

from hypothesis import HealthCheck, settings

settings.register_profile("portside", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("portside")
