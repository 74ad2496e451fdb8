"""JSON lines over a pipe."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfport.measure.runner.channel import LineBuffer, receive, send


@given(st.lists(st.dictionaries(st.text(), st.floats(allow_nan=False) | st.text(), max_size=3), max_size=5), st.data())
def test_messages_survive_however_the_bytes_are_cut(messages: list[dict[str, object]], data: st.DataObject) -> None:
    read_fd, write_fd = os.pipe()
    try:
        for message in messages:
            send(write_fd, message)
    finally:
        os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        sent = pipe.read()
    buffer = LineBuffer()
    found = []
    while sent:
        n = data.draw(st.integers(1, len(sent)))
        buffer.feed(sent[:n])
        sent = sent[n:]
        while (message_found := buffer.next_message()) is not None:
            found.append(message_found)
    assert found == messages


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b"\xff\xfe\n", b"{\n"])
def test_what_is_no_message_is_told(line: bytes) -> None:
    buffer = LineBuffer()
    buffer.feed(line)
    with pytest.raises(ValueError, match="where a message was expected"):
        buffer.next_message()


def test_a_closed_pipe_ends_the_conversation() -> None:
    read_fd, write_fd = os.pipe()
    os.close(write_fd)
    assert receive(read_fd, LineBuffer()) is None
    os.close(read_fd)
