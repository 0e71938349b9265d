"""The engine preview: what a viewport shows while an engine is quick, slow, away, or changes its mind."""

import math
import threading
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from ..waiting import wait_for


class FakeClient:
    """An engine whose frames are filled with the request's width; each waits for ``gate``."""

    def __init__(self, frame, refusal):
        self.frame, self.refusal = frame, refusal
        self.heads, self.drawn = {}, []
        self.gate = threading.Event()
        self.gate.set()
        self.error = None

    def put_head(self, head_id, avatar):
        self.heads[head_id] = avatar

    def preview(self, head_id, request):
        self.drawn.append(request)
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        if head_id not in self.heads:
            raise self.refusal("Unknown head.", "Send it.", "UnknownHead", 404)
        pixels = np.full((request.height, request.width, 4), request.width % 256, np.uint8)
        pixels[0] = 255  # the top row
        return self.frame(pixels, request.sequence, 1.0)


@pytest.fixture
def engine(part):
    messages = part("engine_client.messages")
    fake = FakeClient(messages.PreviewFrame, messages.EngineRefusal)
    status = SimpleNamespace(client=fake, message="The engine is not running.", state="ready")
    return SimpleNamespace(client=fake, status=status, state="ready", explain=lambda error, client: error)


@pytest.fixture
def worker(part, engine):
    worker = part("viewport.preview_worker").PreviewWorker(engine)
    yield worker
    worker.stop()
    engine.client = None
    assert worker.join(5.0)


def request(part, viewport=1, width=64, head_id="ada", state=()):
    camera = part("viewport.camera").EngineCamera(np.eye(4).tolist(), np.eye(3).tolist(), False)
    make = part("viewport.preview_worker").FrameRequest
    return make(viewport, head_id, camera, (width, 48), {}, {}, state, 0.0)


def test_of_many_requests_only_the_newest_is_drawn_and_every_viewport_has_its_turn(part, engine, worker):
    fake = engine.client
    worker.give_head("ada", b"avatar")
    fake.gate.clear()
    worker.ask(request(part, 1, 100))
    assert wait_for(lambda: fake.drawn)
    for width in range(101, 120):
        worker.ask(request(part, 1, width))
    worker.ask(request(part, 2, 50))
    fake.gate.set()
    assert wait_for(lambda: not worker.is_waiting(1) and not worker.is_waiting(2))
    assert [request.width for request in fake.drawn] == [100, 119, 50]
    answers = worker.take()
    assert {key: answer.request.size[0] for key, answer in answers.items()} == {1: 119, 2: 50}
    pixels = answers[1].pixels
    assert (pixels[-1] == 1.0).all()  # bottom row first
    assert np.allclose(pixels[:-1], 119 / 255)
    assert worker.take() == {}


def test_a_head_that_the_engine_forgot_is_sent_again(part, engine, worker):
    worker.give_head("ada", b"avatar")
    worker.ask(request(part))
    assert wait_for(worker.take)
    engine.client.heads.clear()
    worker.ask(request(part))
    assert wait_for(worker.take)
    assert engine.client.heads == {"ada": b"avatar"}
    assert worker.problem(1) is None


def test_a_lost_engine_is_said_and_another_one_serves(part, engine, worker):
    messages = part("engine_client.messages")
    worker.give_head("ada", b"avatar")
    engine.client.error = messages.EngineLost("The engine died.", "Wait.")
    worker.ask(request(part))
    assert wait_for(lambda: worker.problem(1))
    assert worker.problem(1).text == "The engine died. Wait."
    assert not worker.problem(1).refused

    engine.client = FakeClient(messages.PreviewFrame, messages.EngineRefusal)
    worker.ask(request(part))
    assert wait_for(worker.take)
    assert worker.problem(1) is None
    assert "ada" in engine.client.heads

    engine.client.error = messages.EngineRefusal("No orthographic views.", "Turn.", "ViewError", 422)
    worker.ask(request(part, state=("ortho",)))
    assert wait_for(lambda: worker.problem(1))
    assert worker.problem(1).refused
    assert worker.problem(1).state == ("ortho",)


@pytest.fixture
def preview(part, engine, monkeypatch):
    module = part("viewport.preview")
    monkeypatch.setattr(module, "ENGINE", engine)
    monkeypatch.setattr(module, "start_engine", lambda: None)
    preview = module.Preview()
    yield preview
    preview.stop()


@pytest.fixture
def viewport(part, make_head):
    """A viewport of 200 × 120 pixels that looks at a head, and its drawing."""
    head = make_head()
    turned = Matrix.Rotation(math.radians(90), 4, "X")
    window = Matrix(((2.0, 0, 0, 0), (0, 3.3, 0, 0), (0, 0, -1.002, -0.2), (0, 0, -1, 0)))
    screen = bpy.context.window_manager.windows[0].screen
    area = next(area for area in screen.areas if area.type == "VIEW_3D")
    context = SimpleNamespace(
        scene=bpy.context.scene,
        view_layer=bpy.context.view_layer,
        region=next(region for region in area.regions if region.type == "WINDOW"),
        evaluated_depsgraph_get=bpy.context.evaluated_depsgraph_get,
    )

    def draw(preview, distance):
        view = (Matrix.Translation((0, -distance, 0)) @ turned).inverted()
        seen = part("viewport.camera").View(view, window, (200, 120))
        return preview.texture(context, seen, [head.splats])

    bpy.context.scene.gaussian_heads.viewport.engine_preview = True
    return SimpleNamespace(head=head, draw=draw)


def test_half_the_resolution_while_moving_then_the_full_one(engine, preview, viewport):
    """Blender's timer, by hand."""

    def settled():
        preview.tick()
        shown = viewport.draw(preview, 1.0)
        return shown is not None and shown.texture.width == 200

    assert viewport.draw(preview, 1.0) is None
    assert wait_for(settled)
    assert [request.width for request in engine.client.drawn] == [100, 200]
    half, full = (np.array(request.K) for request in engine.client.drawn)
    assert np.allclose(half[:2] * 2, full[:2])
    assert list(engine.client.heads) == [preview._contents[viewport.head.splats.session_uid].head_id]
    texture = viewport.draw(preview, 1.0).texture
    preview.tick()
    assert viewport.draw(preview, 1.0).texture is texture
    assert len(engine.client.drawn) == 2

    viewport.head.keys["jawOpen"].value = 0.5
    viewport.draw(preview, 1.0)
    assert wait_for(lambda: len(engine.client.drawn) == 3)
    assert engine.client.drawn[2].expression == {"jawOpen": 0.5}
    assert engine.client.drawn[2].width == 100


def test_without_an_engine_the_built_in_drawing_stays_and_the_panel_says_why(engine, preview, viewport):
    client, engine.client, engine.status.client = engine.client, None, None
    assert viewport.draw(preview, 1.0) is None
    preview.tick()
    assert preview.problem == "The engine is not running. The built-in drawing is shown."
    engine.client = engine.status.client = client

    def shown():
        preview.tick()
        return viewport.draw(preview, 1.0)

    assert wait_for(shown)
    assert preview.problem == ""

    bpy.data.objects.remove(viewport.head.splats)
    for _ in range(2):
        preview.tick()
    assert preview.problem == ""


def test_a_stretched_head_is_not_sent(engine, preview, viewport):
    viewport.head.root.scale = (1.0, 2.0, 1.0)
    bpy.context.view_layer.update()
    viewport.draw(preview, 1.0)
    preview.tick()
    assert viewport.draw(preview, 1.0) is None
    preview.tick()
    assert "stretched" in preview.problem
    viewport.head.root.scale = (2.0, 2.0, 2.0)
    bpy.context.view_layer.update()
    viewport.draw(preview, 1.0)
    preview.tick()
    assert preview.problem == ""


def test_turning_it_off_ends_the_thread(engine, preview, viewport):
    viewport.draw(preview, 1.0)
    assert any(thread.name == "gaussian-heads-preview" for thread in threading.enumerate())
    bpy.context.scene.gaussian_heads.viewport.engine_preview = False
    assert preview.tick() is None
    assert not any(thread.name == "gaussian-heads-preview" for thread in threading.enumerate())


def test_heads_take_turns_and_one_that_was_pushed_out_is_given_again(part, engine, worker):
    names = ["ada", "ben", "cleo", "dan", "eve"]
    for name in names:
        worker.give_head(name, name.encode())
    assert [worker.has_head(name) for name in names] == [False, True, True, True, True]
    engine.client = FakeClient(engine.client.frame, engine.client.refusal)  # a restarted engine knows none of them
    worker.ask(request(part, head_id="ben"))
    assert wait_for(worker.take)
    worker.ask(request(part, head_id="ada"))
    assert wait_for(lambda: worker.problem(1))
    worker.give_head("ada", b"ada")
    worker.ask(request(part, head_id="ada"))
    assert wait_for(worker.take)
    assert set(engine.client.heads) == {"ben", "ada"}


def test_a_changed_rig_is_said_and_undoing_it_brings_the_preview_back(engine, preview, viewport):
    mesh = viewport.head.mesh
    mesh.vertex_groups["jaw"].name = "chin"
    viewport.draw(preview, 1.0)
    for _ in range(2):
        preview.tick()
        assert "no longer built as a head" in preview.problem
    mesh.vertex_groups["chin"].name = "jaw"
    preview.tick()
    assert preview.problem == ""


def test_the_timer_is_registered_once_and_comes_back(preview, viewport):
    viewport.draw(preview, 1.0)
    assert bpy.app.timers.is_registered(preview._timer)
    bpy.app.timers.unregister(preview._timer)  # as Blender does after an error in it
    viewport.draw(preview, 1.0)
    assert bpy.app.timers.is_registered(preview._timer)
    preview.stop()
    assert not bpy.app.timers.is_registered(preview._timer)


def test_a_head_that_is_deleted_in_the_middle_leaves_nothing_behind(engine, preview, viewport):
    engine.client.gate.clear()
    viewport.draw(preview, 1.0)
    preview.tick()
    viewport.draw(preview, 1.0)
    assert wait_for(lambda: engine.client.drawn)  # a frame of it is on its way
    assert bpy.ops.gaussian_heads.delete_head() == {"FINISHED"}
    preview.tick()
    engine.client.gate.set()
    assert wait_for(lambda: not any(preview._worker.is_waiting(key) for key in (0, *preview._viewports)))
    preview.tick()
    assert (preview.problem, preview._viewports) == ("", {})
