"""What holds for every suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The Kubernetes API server (bed, namespace); it starts when the first test asks for it.
pytest_plugins = ["kit.kube.fixtures"]

# A busy machine must not fail a property: time is measured in bench/, not here. A failure prints how to repeat it.
settings.register_profile("lingua", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lingua")
