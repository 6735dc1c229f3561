"""Why an agent may hang up first (R6: 除特殊情况外，话务人员应在服务对象挂断电话后，再挂机). Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HangUpReason:
    """One reason. `key`: the digit after `*14`, dialled when the talk is over. `name` stands in the diary."""

    key: str
    name: str
    zh: str
    en: str


HANG_UP_REASONS = (
    HangUpReason(
        "1", "caller_away", "服务对象无应答或未挂机", "the caller did not answer or hang up"
    ),
    HangUpReason("2", "no_sound", "听不清或无声", "the line was bad or silent"),
    HangUpReason("3", "abuse", "服务对象辱骂、骚扰", "the caller was abusive"),
    HangUpReason("4", "asked_to", "服务对象要求先挂机", "the caller asked to be hung up"),
    HangUpReason("5", "by_mistake", "误操作", "by mistake"),
    HangUpReason("6", "other", "其他特殊情况", "another special case"),
)


def hang_up_reason(word: str) -> HangUpReason | None:
    """The reason with this key or name; None for any other word."""
    return next((one for one in HANG_UP_REASONS if word in (one.key, one.name)), None)
