"""Why an agent pauses, and for how long."""

from agents.pause import USUAL, Pause, minutes, reason

OWN = (Pause("1", "喝水", 5), Pause("7", "培训"))


def test_each_key_has_its_reason() -> None:
    assert [reason(key) for key in "12345"] == ["小休", "用餐", "培训", "会议", "其他"]
    assert len(USUAL) == 5


def test_no_key_is_no_particular_reason() -> None:
    assert reason("") == "其他"
    assert reason("", OWN) == "其他"


def test_other_keys_mean_nothing() -> None:
    assert [reason(key) for key in ("0", "6", "9", "12", "*", "小休")] == [None] * 6


def test_a_centre_has_reasons_of_its_own() -> None:
    assert [reason(key, OWN) for key in "1257"] == ["喝水", None, None, "培训"]


def test_a_reason_has_its_length_and_words_of_ones_own_have_none() -> None:
    assert (minutes("小休"), minutes("培训"), minutes("电话会议")) == (15, 0, 0)
    assert (minutes("喝水", OWN), minutes("小休", OWN)) == (5, 0)
