"""The server against its own OpenAPI schema, with data that fits it and data that does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, example, given, settings, strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from scipy.spatial.transform import Rotation

from engine.avatar import save

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.ignored_auth,
]
# Whatever is sent there as a file is one, "false" too.
UPLOADS = ("/photos/check", "/jobs", "/performances", "/voices", "/poses", "/import")
OPERATIONS = [
    ("/health", "get"),
    ("/photos/check", "post"),
    ("/jobs", "post"),
    ("/performances", "post"),
    ("/voices", "post"),
    ("/poses", "post"),
    ("/jobs/{job_id}", "get"),
    ("/jobs/{job_id}", "delete"),
    ("/jobs/{job_id}/avatar", "get"),
    ("/jobs/{job_id}/take", "get"),
    ("/heads/{head_id}", "put"),
    ("/heads/{head_id}", "delete"),
    ("/heads/{head_id}/preview", "post"),
    ("/heads/{head_id}/export", "post"),
    ("/heads/{head_id}/bake", "post"),
    ("/heads/{head_id}/linear", "post"),
    ("/heads/{head_id}/bind", "post"),
    ("/import", "post"),
    ("/live", "get"),
    ("/live", "delete"),
    ("/live/settings", "put"),
    ("/live/neutral", "post"),
    ("/live/recording", "post"),
    ("/live/recording/take", "post"),
]
UNTRIED = {("/shutdown", "post"), ("/live", "post")}  # they end the engine, and open ports and cameras


@pytest.fixture(scope="module")
def api(shared):
    token = shared.session.headers["Authorization"]
    return schemathesis.openapi.from_url(shared.ready["url"] + "/openapi.json", headers={"Authorization": token})


@pytest.mark.slow
def test_every_route_is_tried(api):
    described = {(path, method) for path, item in api.raw_schema["paths"].items() for method in item}
    assert described == {*OPERATIONS, *UNTRIED}


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_request_breaks_the_server(path, method, mode, api, shared):
    token = shared.session.headers["Authorization"]

    @settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def requests(case):
        rejected = [] if path in UPLOADS else [checks.negative_data_rejection]
        case.call_and_validate(headers={"Authorization": token}, checks=CHECKS + rejected, timeout=60)

    requests()
    assert shared.process.poll() is None


@pytest.fixture(scope="module")
def dot(shared, avatar, tmp_path_factory):
    path = tmp_path_factory.mktemp("dot") / "dot.npz"
    save(avatar, path)
    assert shared.request("PUT", "/heads/dot", data=path.read_bytes()).status_code == 200


coordinates = st.floats(-1e6, 1e6)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    turn=st.tuples(*[st.floats(-4, 4)] * 3),
    shift=st.one_of(st.tuples(*[st.floats(-2, 2)] * 3), st.tuples(*[coordinates] * 3)),
    focal=st.floats(-6, 6).map(lambda power: math.pow(10, power)),
    centre=st.tuples(coordinates, coordinates),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    weight=st.floats(-10, 10),
    rotation=st.tuples(*[st.floats(-100, 100)] * 3),
)
@example(turn=(0, 0, 0), shift=(0, 0, 1), focal=1e6, centre=(0, 0), size=(4096, 1), weight=0, rotation=(0, 0, 0))
@example(turn=(0, 0, 0), shift=(0, 0, 1.011), focal=1e6, centre=(9, 9), size=(1, 4096), weight=0, rotation=(0, 0, 0))
def test_every_camera_and_pose_gives_a_picture(shared, dot, turn, shift, focal, centre, size, weight, rotation):
    viewmat = np.eye(4)
    viewmat[:3, :3], viewmat[:3, 3] = Rotation.from_rotvec(turn).as_matrix(), shift
    K = [[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]]
    view = {"viewmat": viewmat.tolist(), "K": K, "width": size[0], "height": size[1], "sequence": 0}
    pose = {"expression": {"up": weight}, "joint_rotations": {"head": rotation}}
    answer = shared.request("POST", "/heads/dot/preview", json=view | pose)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) == size[0] * size[1] * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ortho": True}, "perspective"),
        ({"viewmat": np.diag([2.0, 2, 2, 1]).tolist()}, "rigid"),
        ({"viewmat": np.diag([-1.0, 1, 1, 1]).tolist()}, "rigid"),
        ({"K": np.diag([-1.0, 1, 1]).tolist()}, "intrinsics"),
        ({"expression": {"down": 1.0}}, "down"),
        ({"joint_rotations": {"elbow": [0, 0, 1]}}, "elbow"),
        ({"width": 4097}, "width"),
    ],
)
def test_what_cannot_be_drawn_is_said(shared, dot, change, said):
    view = {"viewmat": np.eye(4).tolist(), "K": np.eye(3).tolist(), "width": 8, "height": 8, "sequence": 0}
    answer = shared.request("POST", "/heads/dot/preview", json=view | change)
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]


def test_a_head_has_looks_for_linear_light(shared, dot):
    answer = shared.request("POST", "/heads/dot/linear")
    looks = np.frombuffer(answer.content, "<f4").reshape(-1, 4)
    assert answer.status_code == 200 and len(looks) == 1
    assert looks.min() >= 0 and looks.max() <= 1


def test_a_damaged_avatar_is_refused_and_the_old_one_stays(shared, dot):
    answer = shared.request("PUT", "/heads/dot", data=b"PK no archive")
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "AvatarError")
    rest = shared.request("POST", "/heads/dot/export", json={"format": "splat"})
    assert len(rest.content) == 32
