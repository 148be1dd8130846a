"""One small scene, shared by the tests of the shapes room."""

import pytest

from .scenes import Scene, make_scene


@pytest.fixture(scope="session")
def scene() -> Scene:
    return make_scene()
