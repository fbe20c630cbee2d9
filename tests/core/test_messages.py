"""Frames: whatever the pieces in which a stream arrives, the same messages come out."""

import itertools
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgui.core import messages
from qgui.core.messages import FrameReader
from qgui.core.recipe import DataReference, Mode, ModelReference, Recipe, Rule

COMMANDS = (
    messages.OpenModel(job=1, model=ModelReference("example:digits-cnn"), trust=True),
    messages.OpenData(job=2, data=DataReference("folder:bilder äöü")),
    messages.Calibrate(job=3, path="statistics.npz", threads=2),
    messages.UseStatistics(job=4, path="statistics.npz"),
    messages.Quantize(job=5, recipe=Recipe(rules={"a.b": Rule(Mode.QAT)})),
    messages.Compare(job=6, threads=1, batch_size=4, runs=10),
    messages.MeasureBackends(job=7, recipe=Recipe()),
    messages.Export(job=8, folder="out", formats=("torchscript", "recipe")),
    messages.WeightRanges(job=9, layer="conv", path="w.npz"),
    messages.ShowSamples(job=12, samples=(3, 17), folder="samples"),
    messages.MeasureActivations(job=13, path="m.npz", samples=4),
    messages.Cancel(job=10),
    messages.Shutdown(job=11),
)
EVENTS = (
    messages.Progress(job=1, phase="Calibrating", done=3, total=9, seconds_left=1.5),
    messages.Calibrated(job=2, path="s.npz", samples=100, seconds=2.0),
    messages.Failed(job=3, what="It broke", why="it was old", next_step="Buy a new one", needs_trust=True),
    messages.Stopped(job=4),
    messages.LogLine(level="info", text="line\nbreak \x00 and ☃"),
    messages.Heartbeat(),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
def test_a_command_arrives_as_it_was_sent(command: messages.Command) -> None:
    (body,) = FrameReader().feed(messages.frame(command))
    assert messages.decode_command(body) == command


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_an_event_arrives_as_it_was_sent(event: messages.Event) -> None:
    (body,) = FrameReader().feed(messages.frame(event))
    assert messages.decode_event(body) == event


@given(st.lists(st.integers(0, 600), max_size=30))
def test_the_pieces_of_a_stream_do_not_matter(cuts: list[int]) -> None:
    stream = b"".join(messages.frame(command) for command in COMMANDS)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = FrameReader()
    bodies = [body for start, end in itertools.pairwise(edges) for body in reader.feed(stream[start:end])]
    assert [messages.decode_command(body) for body in bodies] == list(COMMANDS)


def test_an_unfinished_frame_gives_nothing_yet() -> None:
    reader = FrameReader()
    whole = messages.frame(messages.Heartbeat())
    assert list(reader.feed(whole[:-1])) == []
    assert len(list(reader.feed(whole[-1:]))) == 1


@pytest.mark.parametrize("length", [messages.MAX_FRAME + 1, 2**32 - 1])
def test_a_frame_of_absurd_length_is_refused_before_it_is_collected(length: int) -> None:
    with pytest.raises(ValueError, match="is no message"):
        list(FrameReader().feed(struct.pack(">I", length)))


@pytest.mark.parametrize("body", [b"", b"nonsense", b"{}", b'{"type": "Explode"}', b'{"type": "Quantize"}'])
def test_a_body_that_is_no_command_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode_command(body)


def test_commands_and_events_are_not_mistaken_for_each_other() -> None:
    (body,) = FrameReader().feed(messages.frame(messages.Heartbeat()))
    with pytest.raises(msgspec.DecodeError):
        messages.decode_command(body)
