"""Hypothesis measures time per example; on a loaded machine that would fail at random."""

from hypothesis import HealthCheck, settings

settings.register_profile("netlab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("netlab")
