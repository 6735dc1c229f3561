"""Why an agent pauses."""

from agents.pause import REASONS, reason


def test_each_key_has_its_reason() -> None:
    assert [reason(key) for key in "12345"] == ["小休", "用餐", "培训", "会议", "其他"]
    assert len(REASONS) == 5


def test_no_key_is_no_particular_reason() -> None:
    assert reason("") == "其他"


def test_other_keys_mean_nothing() -> None:
    assert [reason(key) for key in ("0", "6", "9", "12", "*", "小休")] == [None] * 6
