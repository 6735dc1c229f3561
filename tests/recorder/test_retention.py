"""Which rule decides how long a recording is kept."""

import pytest

from facts.times import DAY, SECOND
from recorder import retention
from recorder.retention import RetentionError, RetentionPolicy, RetentionRule

AT = 1_763_731_300 * SECOND
"""2025-11-21 21:21:40 in China."""
MIDNIGHT = 1_763_654_400 * SECOND

RULES = """
[[rule]]
name = "complaints"
queues = ["complaints"]
days = 1826

[[rule]]
name = "given-up"
outcomes = ["abandoned_queue", "abandoned_ringing"]
days = 184
"""


def rule_of(text: str, queue: str, outcome: str) -> tuple[str, int]:
    found = retention.decide(retention.read(1096, text), AT, (queue, outcome))
    return found.rule, (found.until - MIDNIGHT) // DAY - 1


def test_without_rules_the_setting_decides() -> None:
    assert rule_of("", "tax", "human") == ("default", 1096)
    assert rule_of(RULES, "tax", "human") == ("default", 1096)


def test_a_rule_may_be_shorter_than_the_setting_and_the_longest_of_those_that_fit_wins() -> None:
    assert rule_of(RULES, "tax", "abandoned_queue") == ("given-up", 184)
    assert rule_of(RULES, "complaints", "abandoned_queue") == ("complaints", 1826)
    assert rule_of(RULES, "complaints", "human") == ("complaints", 1826)


def test_of_a_call_that_the_diary_does_not_know_the_longest_rule_decides() -> None:
    found = retention.decide(retention.read(1096, RULES), AT, None)
    assert found.rule == "complaints"
    assert retention.decide(retention.read(3000, RULES), AT, None).rule == "default"


def test_a_recording_is_kept_until_the_end_of_its_last_day() -> None:
    policy = RetentionPolicy(184)
    for at in (MIDNIGHT, AT, MIDNIGHT + DAY - 1):
        assert retention.decide(policy, at, ("", "")).until == MIDNIGHT + 185 * DAY
    assert retention.decide(policy, MIDNIGHT + DAY, ("", "")).until == MIDNIGHT + 186 * DAY


def test_the_digest_is_that_of_the_rules_and_not_of_their_order() -> None:
    one, two = RetentionRule("a", 200, ("x", "y")), RetentionRule("b", 300, (), ("human",))
    digest = RetentionPolicy(1096, (one, two)).digest
    assert RetentionPolicy(1096, (two, RetentionRule("a", 200, ("y", "x")))).digest == digest
    others = [
        RetentionPolicy(1097, (one, two)),
        RetentionPolicy(1096, (one,)),
        RetentionPolicy(1096, (RetentionRule("a", 201, ("x", "y")), two)),
        RetentionPolicy(1096, (RetentionRule("a", 200, ("x",)), two)),
        RetentionPolicy(1096, (one, RetentionRule("b", 300, (), ()))),
        RetentionPolicy(1096, (one, RetentionRule("c", 300, (), ("human",)))),
    ]
    assert digest not in {other.digest for other in others}
    assert len({other.digest for other in others}) == len(others)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rule]]\nname = "a"\ndays = 183', "rule 1: 183 days are too few: .* 184 days"),
        ('[[rule]]\nname = "a"\ndays = 99999', "99999 days are too many"),
        ('[[rule]]\nname = "a"\ndays = "x"', "days 'x': write a number"),
        ('[[rule]]\nname = "a"\ndays = true', "days True: write a number"),
        ('[[rule]]\nname = "a"', "days None: write a number"),
        ("[[rule]]\ndays = 200", "name None: write small letters"),
        ('[[rule]]\nname = "default"\ndays = 200', "name 'default': .* not default"),
        ('[[rule]]\nname = "a"\ndays = 200\nqueue = "x"', "queue: there is days, name, outcomes, queues"),
        ('[[rule]]\nname = "a"\ndays = 200\nqueues = "x"', "queues: write a list of names"),
        ('[[rule]]\nname = "a"\ndays = 200\nqueues = []', "queues: an empty list fits no call"),
        ('[[rule]]\nname = "a"\ndays = 200\noutcomes = ["humn"]', "outcomes: there is no humn: .*human"),
        ('[[rule]]\nname = "a"\ndays = 200\n[[rule]]\nname = "a"\ndays = 300', "two rules are called a"),
        ("rule = 3", "write each rule as a table"),
        ("[rules]", r"retention.toml: rules: there is \[\[rule\]\] only"),
        ("[[rule", "retention.toml: "),
        ('[[rule]]\nname = "a"\ndays = 200\n' * 101, "101 rules are too many"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_used_are_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(RetentionError, match=said):
        retention.read(1096, text)


def test_the_setting_has_the_same_least() -> None:
    with pytest.raises(RetentionError, match="HOTLINE_RETENTION_DAYS: 100 days are too few"):
        retention.read(100, "")
