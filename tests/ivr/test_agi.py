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


# --- what is said of a stranger, word by word


@pytest.mark.parametrize(
    ("received", "said"),
    [
        (b"x" * 16_385 + b"\n", "a line of 16385 bytes"),
        (b"x" * 16_385, "a line of more than 16384 bytes"),
        (b"GET / HTTP/1.1\n", "no AGI environment: 'GET / HTTP/1.1'"),
        (b"x" * 41 + b"\n", f"no AGI environment: '{'x' * 40}'"),
        ("agi-ä: 1\n".encode(), r"no AGI environment: 'agi-\xe4: 1'"),
        (b"agi_network\n", "no AGI environment: 'agi_network'"),
        (BEGINNING + b"200 result=0\n", "an answer to nothing: '200 result=0'"),
    ],
)
def test_what_is_said_of_a_stranger(received: bytes, said: str) -> None:
    with pytest.raises(ProtocolError) as error:
        Conversation().receive(received)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"404 not found\n", "no AGI answer: '404 not found'"),
        (b"520-" + b"x\n" * 65_536, "a usage text that does not end"),
    ],
)
def test_what_is_said_of_an_answer_that_is_none(answer: bytes, said: str) -> None:
    with pytest.raises(ProtocolError) as error:
        asking().receive(answer)
    assert str(error.value) == said


def test_what_is_said_of_a_command_that_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match=r"^an AGI argument must not hold CR, LF or NUL$"):
        command("NOOP", "\n")
    with pytest.raises(ValueError, match=r"^an AGI command has at most 2047 bytes, not 2048$"):
        command("NOOP", "a" * (COMMAND_LIMIT - 7))


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_longest_line_is_read(end: bytes) -> None:
    line = b"agi_x: " + b"a" * (LINE_LIMIT - 7)
    conversation = Conversation()
    assert conversation.receive(line + end) == []
    assert conversation.receive((b"" if end else b"\n") + b"\n") == [
        Environment({"agi_x": "a" * (LINE_LIMIT - 7)})
    ]


def test_the_largest_environment_is_read() -> None:
    names = b"".join(b"agi_arg_%d: \n" % n for n in range(NAMES_LIMIT))
    (environment,) = Conversation().receive(names + b"\n")
    assert isinstance(environment, Environment)
    assert len(environment.values) == NAMES_LIMIT
    with pytest.raises(ProtocolError, match=r"^an environment that does not end$"):
        Conversation().receive(names + b"agi_x: \n")
    lines = [b"agi_%d: " % n + b"a" * (16_384 - 7) for n in range(4)]
    whole = b"".join(line + b"\n" for line in lines)
    assert sum(map(len, lines)) == ENVIRONMENT_LIMIT
    conversation = Conversation()
    assert conversation.receive(whole) == []
    with pytest.raises(ProtocolError, match=r"^an environment that does not end$"):
        conversation.receive(b"agi_x: \n")


def test_the_longest_usage_is_read_and_the_next_begins_anew() -> None:
    first, last = "520-usage", "520 End."
    middle = ["x" * 16_000] * 4
    middle.append("y" * (ENVIRONMENT_LIMIT - sum(map(len, [first, last, *middle]))))
    text = "\n".join([first, *middle, last])
    conversation = asking()
    for _ in range(2):
        assert conversation.receive(text.encode() + b"\n") == [AgiReply(520, "", text)]
        conversation.send("NOOP")
    with pytest.raises(ProtocolError, match=r"^a usage text that does not end$"):
        conversation.receive(text.replace(last, "z" + last, 1).encode() + b"\n")


@pytest.mark.parametrize("refusal", [b"510 no\n", b"520-usage\n520 End.\n"])
def test_a_command_that_is_refused_ends_the_sound_all_the_same(refusal: bytes) -> None:
    """After it the next sound is answered with its own end."""
    conversation = asking("STREAM FILE", "long", "")
    conversation.send("NOOP")
    assert len(conversation.receive(refusal)) == 1
    conversation.send("STREAM FILE", "long", "")
    assert conversation.receive(b"200 result=0 endpos=7\n") == [AgiReply(200, "0", "", 7)]


def test_after_one_word_about_the_sound_that_ended_the_next_answer_counts() -> None:
    conversation = asking("STREAM FILE", "long", "")
    conversation.send("RECORD FILE", "x")
    assert conversation.receive(b"200 result=0 endpos=7\n200 result=1 endpos=8\n") == [
        AgiReply(200, "1", "", 8)
    ]
    assert conversation.pending == ""


def test_a_value_keeps_its_blanks_and_colons() -> None:
    (environment,) = Conversation().receive(b"agi_a:  b: c \nagi_b:d\n\n")
    assert environment == Environment({"agi_a": " b: c ", "agi_b": "d"})
