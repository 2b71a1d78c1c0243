"""The ECS handlers, fresh for each test."""

import pytest
from ecs_sample import Ecs


@pytest.fixture
def ecs() -> Ecs:
    return Ecs()


@pytest.fixture
def ready(ecs: Ecs) -> Ecs:
    """With the default cluster and one revision of `web`."""
    ecs("CreateCluster")
    ecs.register()
    return ecs
