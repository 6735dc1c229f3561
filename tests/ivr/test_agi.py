"""The protocol without I/O: bytes in, events out."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ivr.agi import (
    COMMAND_LIMIT,
    ENVIRONMENT_LIMIT,
    LINE_LIMIT,
    NAMES_LIMIT,
    AgiReply,
    Conversation,
    Environment,
    Event,
    Hangup,
    ProtocolError,
    command,
)
from tests.fakes.asterisk_agi import words

BEGINNING = (
    b"agi_network: yes\nagi_uniqueid: hotline-1763731200.17\nagi_arg_1: 12345\nagi_arg_2: \n\n"
)


def connected() -> Conversation:
    connection = Conversation()
    connection.receive(BEGINNING)
    return connection


def asking(verb: str = "EXEC Dial", *arguments: str) -> Conversation:
    connection = connected()
    connection.send(verb, *arguments)
    return connection


def test_the_environment() -> None:
    [environment] = Conversation().receive(BEGINNING)
    assert environment == Environment(
        {
            "agi_network": "yes",
            "agi_uniqueid": "hotline-1763731200.17",
            "agi_arg_1": "12345",
            "agi_arg_2": "",
        }
    )


def test_a_name_that_is_not_utf_8_is_kept_readable() -> None:
    [environment] = Conversation().receive("agi_calleridname: 张".encode()[:-1] + b"\xff\n\n")
    assert isinstance(environment, Environment)
    assert "\ufffd" in environment.values["agi_calleridname"]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"200 result=0\n", AgiReply(200, "0")),
        (b"200 result=-1\r\n", AgiReply(200, "-1")),
        (b"200 result=1 (NOANSWER)\n", AgiReply(200, "1", "NOANSWER")),
        (b"200 result=0 endpos=8160\n", AgiReply(200, "0", "", 8160)),
        (b"200 result=007 (timeout)\n", AgiReply(200, "007", "timeout")),
        (b"200 result=1 (a) endpos=3) b)\n", AgiReply(200, "1", "a) endpos=3) b")),
        (b"200 result=1 (a) endpos=3\n", AgiReply(200, "1", "a", 3)),
        (
            b"510 Invalid or unknown command\n",
            AgiReply(510, "", "Invalid or unknown command"),
        ),
        (
            b"511 Command Not Permitted on a dead channel or intercept routine\n",
            AgiReply(511, "", "Command Not Permitted on a dead channel or intercept routine"),
        ),
        (
            b"520-Invalid command syntax.  Proper usage follows:\nUsage: X\nHANGUP\n520 End of proper usage.\n",
            AgiReply(
                520,
                "",
                "520-Invalid command syntax.  Proper usage follows:\nUsage: X\nHANGUP\n520 End of proper usage.",
            ),
        ),
    ],
)
def test_replies(line: bytes, reply: AgiReply) -> None:
    connection = asking()
    assert connection.receive(line) == [reply]
    assert connection.pending == ""


def test_a_hangup_is_never_taken_for_an_answer() -> None:
    connection = asking()
    assert connection.receive(b"HANGUP\n200 result=-1\n") == [Hangup(), AgiReply(200, "-1")]
    assert connection.receive(b"HANGUP\n") == [Hangup()]
    assert Conversation().receive(b"agi_network: yes\nHANGUP\n\n") == [
        Hangup(),
        Environment({"agi_network": "yes"}),
    ]


class TestOvertaking:
    """A command that is sent during STREAM FILE ends it, and Asterisk answers the command alone."""

    def test_the_answer_belongs_to_the_newer_command(self) -> None:
        connection = asking("STREAM FILE", "long", "")
        connection.send("EXEC Dial", "PJSIP/1001,15")
        assert connection.pending == "EXEC Dial"
        assert connection.receive(b"200 result=0\n") == [AgiReply(200, "0")]

    def test_unless_the_sound_had_just_ended(self) -> None:
        connection = asking("STREAM FILE", "long", "")
        connection.send("EXEC Dial", "PJSIP/1001,15")
        assert connection.receive(b"200 result=0 endpos=99\n") == []
        assert connection.pending == "EXEC Dial"
        assert connection.receive(b"200 result=0\n") == [AgiReply(200, "0")]

    def test_the_next_sound_is_answered_again(self) -> None:
        connection = asking("STREAM FILE", "long", "")
        connection.send("NOOP")
        connection.receive(b"200 result=0\n")
        connection.send("STREAM FILE", "long", "")
        assert connection.receive(b"200 result=0 endpos=5\n") == [AgiReply(200, "0", "", 5)]

    def test_one_sound_cannot_overtake_another(self) -> None:
        with pytest.raises(ValueError, match="while STREAM FILE runs"):
            asking("STREAM FILE", "long", "").send("STREAM FILE", "longer", "")

    def test_nothing_else_can_be_overtaken(self) -> None:
        with pytest.raises(ValueError, match="while EXEC Dial runs"):
            asking("EXEC Dial", "PJSIP/1001").send("NOOP")


def test_nothing_is_sent_before_the_environment() -> None:
    with pytest.raises(ValueError, match="environment"):
        Conversation().send("NOOP")


@pytest.mark.parametrize(
    "received",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\n",
        b"agi network: yes\n",
        b"Agi_network: yes\n",
        b"a" * (LINE_LIMIT + 1),
        b"agi_x: " + b"a" * (1 << 20),
        b"agi_x: " + b"a" * (1 << 20) + b"\n\n",
        b"".join(
            b"agi_arg_%d: %s\n" % (n, b"a" * 9_000) for n in range(ENVIRONMENT_LIMIT // 9_000 + 1)
        ),
        b"".join(b"agi_arg_%d: \n" % n for n in range(NAMES_LIMIT + 1)),
        BEGINNING + b"200 result=0\n",
    ],
)
def test_what_is_not_agi_is_refused(received: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        Conversation().receive(received)
    assert len(str(error.value)) < 200
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        b"\n",
        b"200\n",
        b"200 result=\x001 extra words\n",
        b"20 result=0\n",
        b"404 not found\n",
        b"hangup\n",
        b"200 result=0" + b"0" * (1 << 20) + b"\n",
        b"520-usage\n" + b"Usage: for ever\n" * 10_000,
        b"200 result=0\n200 result=0\n",
    ],
)
def test_answers_that_are_none(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        asking().receive(answer)


class TestCommands:
    def test_arguments_are_quoted(self) -> None:
        assert command("EXEC MSet", "A=1,B=2") == b'EXEC MSet "A=1,B=2"\n'
        assert command("STREAM FILE", "hotline/x", "") == b'STREAM FILE "hotline/x" ""\n'

    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")), max_size=4))
    @example(['a "quoted" word', "back\\slash\\", '\\"', " ", "\t", "张三 ☎"])
    def test_asterisk_reads_what_was_meant(self, arguments: list[str]) -> None:
        assert words(command("GET VARIABLE", *arguments)) == ["GET", "VARIABLE", *arguments]

    @pytest.mark.parametrize("bad", ["\r", "\n", "\0", "1001\nEXEC System reboot", "x\r\n"])
    def test_a_line_end_is_refused_before_anything_is_sent(self, bad: str) -> None:
        connection = connected()
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            connection.send("EXEC Dial", f"PJSIP/{bad}")
        assert connection.pending == ""

    def test_what_is_not_unicode_is_refused(self) -> None:
        with pytest.raises(ValueError, match="surrogates"):
            command("NOOP", "\ud800")

    def test_a_command_fits_asterisks_buffer(self) -> None:
        assert len(command("NOOP", "a" * (COMMAND_LIMIT - 8))) == COMMAND_LIMIT
        with pytest.raises(ValueError, match="2047"):
            command("NOOP", "a" * (COMMAND_LIMIT - 7))


CONVERSATION = st.lists(
    st.sampled_from(
        [
            b"200 result=0\n",
            b"200 result=1 (a b)\r\n",
            b"200 result=-1 endpos=80\n",
            b"510 Invalid or unknown command\n",
            b"520-Usage\nHANGUP\nwords\n520 End of proper usage.\n",
            b"HANGUP\n",
        ]
    ),
    max_size=6,
)


def told(pieces: Sequence[bytes]) -> list[Event]:
    """The events of a conversation in which every answer has its question."""
    connection = Conversation()
    events: list[Event] = []
    for piece in pieces:
        for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", piece):
            events += connection.receive(line)
            if (
                events
                and not connection.pending
                and any(isinstance(e, Environment) for e in events)
            ):
                connection.send("NOOP")
    return events


@given(CONVERSATION, st.data())
def test_it_does_not_matter_how_the_bytes_were_cut(
    answers: list[bytes], data: st.DataObject
) -> None:
    whole = BEGINNING + b"".join(answers)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    edges = zip([0, *cuts], [*cuts, len(whole)], strict=True)
    assert told([whole[a:b] for a, b in edges]) == told([whole])


@given(
    st.lists(
        st.binary(max_size=200)
        | st.sampled_from([BEGINNING, b"\n", b"HANGUP\n", b"200 result=0\n"])
    )
)
def test_garbage_raises_the_protocol_error_and_nothing_else(pieces: list[bytes]) -> None:
    connection = Conversation()
    try:
        for piece in pieces:
            for event in connection.receive(piece):
                if isinstance(event, Environment | AgiReply):
                    connection.send("NOOP")
    except ProtocolError:
        pass


def test_what_is_sent_too_early_or_at_the_wrong_moment_is_said_in_full() -> None:
    with pytest.raises(ValueError, match=r"^no AGI command before the environment is complete$"):
        Conversation().send("ANSWER")
    with pytest.raises(ValueError, match=r"^AGI command ANSWER while EXEC Dial runs$"):
        asking("EXEC Dial").send("ANSWER")
    playing = asking("STREAM FILE", "hotline/x", "")
    with pytest.raises(ValueError, match=r"^AGI command STREAM FILE while STREAM FILE runs$"):
        playing.send("STREAM FILE", "hotline/y", "")
