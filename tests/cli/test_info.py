"""`nh2st info` as a contract: what scripts read."""

import json

import pytest


def test_info_as_json(nh2st, slide):
    status, out, _ = nh2st("info", slide, "--json")
    found = json.loads(out)
    assert status == 0
    assert found["levels"][0] == [1600, 1900]
    assert found["mpp"] == pytest.approx(1)
    assert found["mpp_source"] == "tiff resolution"
    assert 0.2 < found["tissue_fraction"] < 0.6
    assert {"path", "format", "fingerprint", "warnings"} <= found.keys()
