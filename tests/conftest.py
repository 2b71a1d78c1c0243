"""For all tests: none fails for taking long, on a machine that is busy or slow."""

import hypothesis

hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")
