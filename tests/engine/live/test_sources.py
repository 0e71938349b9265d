"""What phones and programs send arrives as ARKit's weights and our turns; what is none is refused with a way out."""

import socket
import struct

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.spatial.transform import Rotation

from engine.arkit import ARKIT_NAMES
from engine.errors import EngineError
from engine.live.listening import BURST, MOST_BYTES, Listener
from engine.live.sample import PacketError
from engine.live.sources import facecap, ifacialmocap, livelinkface, sources, vmc
from engine.live.spec import Wish
from tests.engine.live import senders
from tests.engine.live.senders import Sender, free_port, live_link

TURNS = np.array([[0.1, -0.2, 0.05], [0.02, 0.1, 0.0], [-0.03, 0.12, 0.0]])
WEIGHTS = {name: place / 64 for place, name in enumerate(ARKIT_NAMES)}  # floats of 32 bits, every one another
EXPECTED = np.array(list(WEIGHTS.values()))


def decoded(decode, *packets: bytes):
    (sample,) = [found for packet in packets if (found := decode(packet, 40.0)) is not None]
    return sample


def test_live_link_face_with_its_time_code_and_name():
    decode = livelinkface.Decoder()
    sample = decoded(decode, live_link(WEIGHTS, TURNS, frame=3_600_000, name="José"))
    assert sample.weights == pytest.approx(EXPECTED, abs=1e-7) and sample.turns == pytest.approx(TURNS, abs=1e-7)
    assert (sample.time, sample.name) == (pytest.approx(60_000 + 0.25 / 60, abs=1e-9), "José")
    assert decoded(decode, live_link(WEIGHTS, frame=3_600_004)).missed == 3
    wide = struct.pack(">i", -2) + "Ö2".encode("utf-16-be")
    wide = live_link(WEIGHTS, name="").replace(struct.pack(">i", 0), wide, 1)
    assert decoded(decode, wide).name == "Ö2"


@pytest.mark.parametrize("separator", ["-", "&"])
def test_ifacialmocap(separator):
    sample = decoded(ifacialmocap.decode, senders.ifacialmocap(WEIGHTS, TURNS, separator))
    assert sample.weights == pytest.approx(EXPECTED, abs=1e-5) and sample.turns == pytest.approx(TURNS, abs=1e-6)


def test_vmc_turns_from_unitys_axes():
    nod = Rotation.from_euler("x", 0.3).as_quat()  # Unity's x, too, tips a face down, its y turns to the right
    right = Rotation.from_euler("y", 0.2).as_quat()
    packet = senders.vmc(WEIGHTS, {"Neck": tuple(nod), "Head": tuple(nod), "RightEye": tuple(right)})
    sample = decoded(vmc.Decoder(), packet)
    assert sample.weights == pytest.approx(EXPECTED, abs=1e-7)
    assert sample.turns == pytest.approx(np.array([[0.6, 0, 0], [0, 0, 0], [0, -0.2, 0]]), abs=1e-6)
    with pytest.raises(PacketError, match="Perfect Sync"):
        vmc.Decoder()(senders.vmc({"Joy": 1.0, "A": 0.5}), 0.0)


def test_face_cap_in_a_bundle_or_message_by_message():
    messages = senders.face_cap(WEIGHTS, TURNS)
    for packets in ([senders.bundle(*messages)], [message.dgram for message in messages]):
        sample = decoded(facecap.Decoder(), *packets)
        assert sample.weights == pytest.approx(EXPECTED, abs=1e-6) and sample.turns[:, :2] == pytest.approx(
            TURNS[:, :2], abs=1e-6
        )
    lossy = facecap.Decoder()
    several = [lossy(message.dgram, 0.0) for message in [*messages[:20], *messages[30:], *messages]]
    assert sum(found is not None for found in several) == 2  # a lost message costs no frame


BAD = {
    "version 5": (livelinkface.Decoder(), live_link(WEIGHTS, version=5), "version 5.*Update the app"),
    "version 7": (livelinkface.Decoder(), live_link(WEIGHTS, version=7), "but 7.*MetaHuman Animator"),
    "cut": (livelinkface.Decoder(), live_link(WEIGHTS)[:-1], "damaged"),
    "no number": (livelinkface.Decoder(), live_link(WEIGHTS | {"jawOpen": float("nan")}), "no number"),
    "a name of 2 GB": (livelinkface.Decoder(), b"\x06\x7f\xff\xff\xff", "damaged"),
    "another app's": (ifacialmocap.decode, live_link(WEIGHTS), "not of iFacialMocap"),
    "an angle": (ifacialmocap.decode, b"jawOpen-4|=head#1,2|", "no number"),
    "a size below 0": (vmc.Decoder(), b"#bundle\0" + bytes(8) + struct.pack(">i", -4), "damaged"),
    "bundles in bundles": (vmc.Decoder(), b"", "damaged"),
    "other types": (facecap.Decoder(), senders.message("/W", "jaw", 1.0).dgram, "damaged"),
    "endless": (facecap.Decoder(), senders.message("/W", 3, float("inf")).dgram, "damaged"),
}
_nested = senders.message("/VMC/Ext/Blend/Apply").dgram
for _ in range(200):
    _nested = b"#bundle\0" + bytes(8) + struct.pack(">i", len(_nested)) + _nested
BAD["bundles in bundles"] = (vmc.Decoder(), _nested, "damaged")


@pytest.mark.parametrize(("decode", "packet", "said"), BAD.values(), ids=BAD)
def test_a_packet_that_is_none_is_refused_with_a_way_out(decode, packet, said):
    with pytest.raises(PacketError, match=said):
        decode(packet, 0.0)


@given(st.binary(max_size=400), st.sampled_from([livelinkface.Decoder, vmc.Decoder, facecap.Decoder]), st.data())
def test_no_bytes_do_more_than_be_refused(tail, decoder, data):
    """The fuzz test changes sound packets; these are of no app at all."""
    begin = data.draw(st.sampled_from([b"", b"\x06", b"#bundle\0" + bytes(8), b"/W\0\0,if\0"]))
    for decode in (decoder(), ifacialmocap.decode):
        try:
            sample = decode(begin + tail, 0.0)
        except PacketError:
            continue
        assert sample is None or ((sample.weights >= 0) & (sample.weights <= 1)).all()


def test_a_port_that_is_taken_and_an_address_of_somebody_else_are_told():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(EngineError, match=f"Port {port} of 127.0.0.1 is taken. Close the other program"):
            sources()["livelinkface"].open(Wish("livelinkface", port=port))
    with pytest.raises(EngineError, match="cannot be listened on.*0.0.0.0 for the network"):
        sources()["vmc"].open(Wish("vmc", address="192.0.2.1"))
    with pytest.raises(EngineError, match="cannot be listened on"):
        sources()["vmc"].open(Wish("vmc", port=70_000))


@pytest.fixture
def heard():
    """A listener for Live Link Face, its phone, and another one."""
    listener = Listener(Wish("livelinkface", port=free_port()), 0, livelinkface.Decoder())
    phone, other = Sender(listener.port), Sender(listener.port)
    yield listener, phone, other
    for each in (listener, phone, other):
        each.close()


def test_the_first_sender_is_kept_until_it_goes_away_and_comes_back(heard, monkeypatch):
    listener, phone, other = heard
    other.send(b"not a face")  # whoever sends none is no sender
    phone.send(live_link(WEIGHTS))
    assert len(listener.read(1.0)) == 1 and listener.counts.dropped == 1
    other.send(live_link({}))
    assert listener.read(0.2) == [] and listener.counts.refused == 1
    monkeypatch.setattr("engine.live.listening.SILENT", -1.0)  # as if it had been silent for long
    other.send(live_link({}))  # the phone, after a restart, from another port
    assert len(listener.read(1.0)) == 1 and listener.counts.refused == 1
    monkeypatch.setattr("engine.live.listening.SILENT", 2.0)
    phone.send(live_link({}))
    assert listener.read(0.2) == [] and listener.counts.refused == 2


def test_a_packet_beyond_all_bounds_and_a_flood_cost_little(heard):
    listener, phone, _ = heard
    phone.send(bytes(60_000))
    assert listener.read(1.0) == [] and "too long" in listener.counts.problem and MOST_BYTES < 60_000
    for _ in range(100):
        phone.send(live_link(WEIGHTS))
    assert len(listener.read(1.0)) <= BURST and listener.counts.problem == ""


def test_the_phone_is_asked_for_its_data_until_it_sends():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(5)
        wish = Wish("ifacialmocap", port=free_port(), target="127.0.0.1")
        listener = Listener(wish, phone.getsockname()[1], ifacialmocap.decode, ifacialmocap.GREETING)
        assert listener.read(0.01) == []
        asked, sender = phone.recvfrom(100)
        assert asked == b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719"
        phone.sendto(senders.ifacialmocap(WEIGHTS), sender)
        assert listener.read(1.0)[0].weights == pytest.approx(EXPECTED, abs=1e-5)
        listener.close()
    everybody = Wish("ifacialmocap", port=free_port(), target="255.255.255.255")
    unreachable = Listener(everybody, 1, ifacialmocap.decode, b"a")
    unreachable.read(0.01)
    unreachable.close()
    assert "cannot be reached" in unreachable.counts.problem and "address" in unreachable.counts.problem
    with pytest.raises(EngineError, match="phone is no address"):
        sources()["ifacialmocap"].open(Wish("ifacialmocap", port=free_port(), target="phone"))
