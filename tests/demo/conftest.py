import pytest

from napari_nh2st.demo.tissue import Section, make_section


@pytest.fixture(scope="session")
def small() -> Section:
    """A section of 1.6 x 1.4 mm: about forty spots."""
    return make_section(3, size_mm=(1.6, 1.4))
