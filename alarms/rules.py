"""Alarms: what is measured, when it is too much, and the life of one alarm: raised → acknowledged → cleared. Pure.

A rule is data. A value is *bad* beyond `raise_at` and *good* again from `clear_at` on; between the two nothing changes
(hysteresis). The alarm is raised when its value has been bad for `hold` seconds, and cleared when it has been good for
`rest` seconds. So a value at the limit makes one alarm and not fifty. A notice goes out twice, when it is raised and
when it is cleared. It can be raised again only after it was cleared.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from agents.model import Presence
from facts.live import AlarmNow, LiveState
from facts.terms import Severity
from facts.times import SECOND
from metrics.window import SMALLEST_SAMPLE


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of alarm. `over`: values above `raise_at` are bad, else values below it. `hold` and `rest` in seconds.

    `zh` and `en` are the sentences for people; they may name `{value}`, `{limit}` and `{subject}`.
    """

    name: str
    severity: Severity
    over: bool
    raise_at: float
    clear_at: float
    hold: float
    rest: float
    zh: str
    en: str
    on: bool = True

    def bad(self, value: float) -> bool:
        """Whether an alarm of this rule begins to be due at this value."""
        return value > self.raise_at if self.over else value < self.raise_at

    def good(self, value: float) -> bool:
        """Whether an alarm of this rule is over at this value."""
        return value <= self.clear_at if self.over else value >= self.clear_at


_HIGH, _LOW = True, False
_C, _W = Severity.CRITICAL, Severity.WARNING

RULES: tuple[Rule, ...] = (
    Rule(
        *("m1r", _C, _LOW, 95, 95.5, 60, 60),
        "24 小时接通率 {value:.1f}%，低于 {limit:g}%",
        "connection rate of 24 hours is {value:.1f} %, below {limit:g} %",
    ),
    Rule(
        *("longest_wait", _W, _HIGH, 120, 60, 5, 10),
        "有来电人已等待 {value:.0f} 秒",
        "a caller has waited for {value:.0f} seconds",
    ),
    Rule(
        *("satisfaction", _W, _LOW, 95, 95.5, 60, 60),
        "今日满意率 {value:.1f}%，低于 {limit:g}%",
        "today's satisfaction is {value:.1f} %, below {limit:g} %",
    ),
    Rule(
        *("nobody_ready", _C, _HIGH, 0, 0, 30, 10),
        "{value:.0f} 位来电人在等待，没有话务员在岗",
        "{value:.0f} callers wait, and no agent is on duty",
    ),
    Rule(
        *("red_button", _W, _HIGH, 0, 0, 0, 0),
        "话务员 {subject} 按下紧急按钮，请在班长席确认",
        "agent {subject} has pressed the red button: acknowledge it on the supervisor's page",
    ),
    Rule(
        *("red_button_unseen", _C, _HIGH, 0, 0, 0, 0),
        "紧急按钮 {subject} 未在时限内确认，已升级 {value:.0f} 次",
        "nobody has acknowledged the red button of {subject} in time: escalated {value:.0f} times",
    ),
    Rule(
        *("link_lost", _C, _HIGH, 5, 0, 0, 5),
        "与 Asterisk 的连接已中断 {value:.0f} 秒",
        "the link to Asterisk has been gone for {value:.0f} seconds",
    ),
    Rule(
        *("trunk_gone", _C, _HIGH, 0, 0, 10, 30),
        "外呼中继无应答",
        "the outbound trunk does not answer",
    ),
    Rule(
        *("certificate_expires", _W, _LOW, 30, 30, 0, 0),
        "SIP 证书还有 {value:.0f} 天到期，请更换",
        "the certificate of SIP over TLS expires in {value:.0f} days: renew it",
    ),
    Rule(
        *("certificate_unusable", _C, _HIGH, 0, 0, 60, 10),
        "SIP 证书已过期，或证书文件无法使用（hotline check 说明原因）",
        "the certificate of SIP over TLS has expired, or its files cannot be used: `hotline check` says why",
    ),
    Rule(
        *("trunk_away", _C, _HIGH, 0, 0, 30, 10),
        "中继 {subject} 无应答或未注册",
        "the trunk {subject} does not answer or is not registered",
    ),
    Rule(
        *("trunk_refused", _C, _HIGH, 0, 0, 10, 10),
        "中继 {subject} 的运营商拒绝注册：请核对 trunks.toml 中的用户名和密码",
        "the operator refuses the registration of the trunk {subject}: check its user and password in trunks.toml",
    ),
    Rule(
        *("event_lag", _W, _HIGH, 2, 1, 30, 30),
        "Asterisk 的事件迟到 {value:.1f} 秒",
        "events of Asterisk come {value:.1f} seconds late",
    ),
    Rule(
        *("agi_refused", _W, _HIGH, 0, 0, 0, 60),
        "最近一分钟有 {value:.0f} 个自称 Asterisk 的连接被拒绝",
        "{value:.0f} connections of the last minute claimed to be Asterisk and were refused",
    ),
    Rule(
        *("sip_guesses", _W, _HIGH, 30, 10, 0, 60),
        "最近一分钟有 {value:.0f} 次话机登录被拒绝，可能有人在猜密码",
        "{value:.0f} sign-ins of phones were refused in the last minute: somebody may be guessing passwords",
    ),
    Rule(
        *("calls_refused", _C, _HIGH, 0, 0, 0, 0),
        "最近一小时有 {value:.0f} 个来电未接入即被拒绝（编解码或信令不被接受），计入接通率",
        "{value:.0f} calls of the last hour were refused before they were taken (codecs, or what the trunk asks for)",
    ),
    Rule(
        *("unknown_number", _W, _HIGH, 0, 0, 0, 0),
        "中继呼叫了 {subject}，该号码不属于本热线，最近一小时 {value:.0f} 次",
        "the trunk has called {subject}, which is no number of this hotline, {value:.0f} times in the last hour",
    ),
    Rule(
        *("recording_gap", _C, _HIGH, 0, 0, 0, 0),
        "最近一小时有 {value:.0f} 通电话没有完整录音",
        "{value:.0f} calls of the last hour have no complete recording",
    ),
    Rule(
        *("recording_blocked", _C, _HIGH, 0, 0, 2, 5),
        "录音目录无法写入（磁盘已满、不可写或无响应），新的通话录不了音，请查看 serve.log 中的 recording.blocked",
        "the recordings' folder cannot be written, so new calls are not recorded: see recording.blocked in serve.log",
    ),
    Rule(
        *("recording_late", _W, _HIGH, 600, 60, 0, 10),
        "录音已有 {value:.0f} 秒未处理，请检查 hotline recorder",
        "a recording has waited for {value:.0f} seconds: does `hotline recorder` run?",
    ),
    Rule(
        *("recording_backlog", _W, _HIGH, 500, 50, 30, 10),
        "{value:.0f} 个录音等待处理，请运行 hotline recordings backlog",
        "{value:.0f} raw files wait for `hotline recorder`: see `hotline recordings backlog`",
    ),
    Rule(
        *("recording_no_ffmpeg", _C, _HIGH, 0, 0, 5, 5),
        "未安装 ffmpeg，{value:.0f} 个录音暂存、未能压缩入库，请运行 hotline check",
        "ffmpeg is not installed: {value:.0f} raw files wait for it: run `hotline check`",
    ),
    Rule(
        *("recording_held_up", _C, _HIGH, 0, 0, 5, 5),
        "录音存放目录无法写入（磁盘已满或没有权限），{value:.0f} 个录音暂存，"
        "请查看 recorder.log 中的 recording.held_up",
        "the folder of finished recordings cannot be written: {value:.0f} raw files wait: see recording.held_up in "
        "recorder.log",
    ),
    Rule(
        *("recording_ffmpeg_hangs", _C, _HIGH, 0, 0, 0, 5),
        "ffmpeg 卡住，已被终止，{value:.0f} 个录音暂存、稍后重试，请查看 recorder.log 中的 recording.ffmpeg_hangs",
        "ffmpeg hangs and was killed: {value:.0f} raw files wait and are tried again: see recording.ffmpeg_hangs in "
        "recorder.log",
    ),
    Rule(
        *("recording_key", _C, _HIGH, 0, 0, 30, 5),
        "录音主密钥不可用，{value:.0f} 个录音暂存、未能加密入库，请运行 hotline check",
        "the recordings' master key is away: {value:.0f} raw files wait for it: run `hotline check`",
    ),
    Rule(
        *("recording_paused", _W, _HIGH, 0, 0, 0, 0),
        "最近 10 分钟有 {value:.0f} 次录音暂停到达时限，录音已自动恢复，或尚未能恢复",
        "{value:.0f} pauses of recordings reached their limit in the last 10 minutes: the recording went on, or cannot",
    ),
    Rule(
        *("store_late", _W, _HIGH, 900, 60, 0, 10),
        "有录音处理完毕 {value:.0f} 秒后仍未存入录音存储，请运行 hotline check，并查看 recorder.log 中的 store.away",
        "a recording has waited for its store for {value:.0f} s: see `hotline check`, and store.away in recorder.log",
    ),
    Rule(
        *("store_backlog", _W, _HIGH, 2000, 200, 30, 10),
        "{value:.0f} 个录音等待存入录音存储，请运行 hotline recordings backlog",
        "{value:.0f} recordings wait for their store: see `hotline recordings backlog`",
    ),
    Rule(
        *("seal_late", _W, _HIGH, 26, 25, 0, 0),
        "录音已入账 {value:.0f} 小时仍未封存，请查看 recorder.log 中的 seal.not_made",
        "a recording was entered {value:.0f} hours ago and has no seal: see seal.not_made in recorder.log",
    ),
    Rule(
        *("stamp_late", _W, _HIGH, 26, 25, 0, 0),
        "录音封存已 {value:.0f} 小时没有可信时间戳，请查看 recorder.log 中的 seal.not_stamped",
        "a seal of the recordings has had no time stamp for {value:.0f} hours: see seal.not_stamped in recorder.log",
    ),
    Rule(
        *("seal_broken", _C, _HIGH, 0, 0, 0, 0),
        "有 {value:.0f} 天的录音封存核对不符，请运行 hotline recordings seals --check",
        "{value:.0f} days of recordings do not agree with their seals: hotline recordings seals --check",
    ),
    Rule(
        *("listening_late", _W, _HIGH, 24, 20, 0, 0),
        "有录音入账 {value:.0f} 小时仍未做语音检测，复听提示不全：请调大 HOTLINE_LISTEN_WORKERS，"
        "或查看 recorder.log 中的 voice",
        "a recording was finished {value:.0f} hours ago and not listened to, so hints are missing: raise "
        "HOTLINE_LISTEN_WORKERS, or see voice in recorder.log",
    ),
    Rule(
        *("export_late", _W, _HIGH, 1, 1, 0, 0),
        "有录音导出申请已等待审批 {value:.0f} 小时，请在班长席“录音导出”中处理",
        "a request to export a recording has waited for {value:.0f} hours: see Exports on the supervisor's page",
    ),
    Rule(
        *("retention_stopped", _W, _HIGH, 0, 0, 0, 0),
        "有 {value:.0f} 个到期录音未删除，请查看 recorder.log 中的 retention，并运行 hotline recordings retention",
        "{value:.0f} recordings that are due were not deleted: see retention in recorder.log, then hotline recordings "
        "retention",
    ),
    Rule(
        *("retention_unconfirmed", Severity.INFO, _HIGH, 0, 0, 0, 0),
        "录音保存规则尚未确认，不会删除任何录音：hotline recordings retention",
        "the rules of retention are not confirmed, so no recording is deleted: hotline recordings retention",
    ),
    Rule(
        *("words_late", _W, _HIGH, 48, 24, 0, 0),
        "有录音已 {value:.0f} 小时未转写，夜间时间不够，或 hotline transcribe 未运行（见 transcribe.log）",
        "a recording has waited {value:.0f} hours for its transcript: the nights are too short, or `hotline "
        "transcribe` does not run: see transcribe.log",
    ),
    Rule(
        *("words_failed", _W, _HIGH, 0, 0, 0, 0),
        "录音转写有 {value:.0f} 处失败，请查看 transcribe.log 中的 words.stopped 和 words.not_heard",
        "transcripts: {value:.0f} failures: see words.stopped and words.not_heard in transcribe.log",
    ),
    Rule(
        *("disk_low", _C, _LOW, 500, 550, 5, 30),
        "录音磁盘只剩 {value:.0f} MB",
        "only {value:.0f} MB are free on the recordings' disk",
    ),
    Rule(
        *("clock_jumped", _C, _HIGH, 2, 0, 0, 0),
        "系统时钟突然变动了 {value:.0f} 秒，时间戳与时限可能不准，请检查 NTP",
        "the clock of this machine has jumped by {value:.0f} seconds: times and deadlines may be wrong, so check NTP",
    ),
    Rule(
        *("database_away", _C, _HIGH, 0, 0, 10, 10),
        "数据库无法写入，{value:.0f} 条事实暂存本地",
        "the database cannot be written; {value:.0f} facts wait in the journal",
    ),
    Rule(
        *("screens_stale", _W, _HIGH, 10, 0, 0, 5),
        "Redis 已断开 {value:.0f} 秒，屏幕数据停止更新",
        "Redis has been gone for {value:.0f} seconds: the screens stand still",
    ),
    Rule(
        *("stale_figures", _C, _HIGH, 10, 5, 0, 5),
        "控制程序已 {value:.0f} 秒没有更新数据",
        "the controller has shown nothing for {value:.0f} seconds",
    ),
    Rule(
        *("callbacks_due", _W, _HIGH, 0, 0, 60, 10),
        "{value:.0f} 个回访在 10 分钟内到期",
        "{value:.0f} callbacks have to be made within 10 minutes",
    ),
    Rule(
        *("callbacks_missed", _W, _HIGH, 0, 0, 0, 0),
        "最近一小时有 {value:.0f} 个回访超期未办",
        "{value:.0f} callbacks missed their deadline in the last hour",
    ),
    Rule(
        *("dial_refused", _W, _HIGH, 0, 0, 0, 0),
        "最近一小时有 {value:.0f} 个号码不允许外呼，没有自动拨打",
        "{value:.0f} numbers were not dialled in the last hour, because they may not be",
    ),
    Rule(
        *("emergency", _C, _HIGH, 0, 0, 0, 0),
        "最近 10 分钟有 {value:.0f} 次通话接入了紧急服务（110、119、120、122）",
        "{value:.0f} emergency services (110, 119, 120, 122) were called into talks in the last 10 minutes",
    ),
    Rule(
        *("emergency_failed", _C, _HIGH, 0, 0, 0, 0),
        "最近 10 分钟有 {value:.0f} 次紧急呼叫未接通（紧急服务，或掉线的市民），请立即人工处理",
        "{value:.0f} emergency calls of the last 10 minutes failed (a service, or a citizen who was dropped): act now",
    ),
    Rule(
        *("dial_budget", _W, _HIGH, 0, 0, 0, 60),
        "外呼次数已到上限，{value:.0f} 个回访在等待，或号码未能加入通话",
        "a cap on dialling is reached: {value:.0f} callbacks wait, or numbers were kept out of a talk",
    ),
    Rule(
        *("phones_failing", _C, _HIGH, 0, 0, 0, 30),
        "{value:.0f} 部已注册的话机连续呼叫失败",
        "{value:.0f} registered phones cannot be rung",
    ),
    Rule(
        *("pause_too_long", _W, _HIGH, 60, 0, 0, 0),
        "话务员 {subject} 示忙超时 {value:.0f} 秒",
        "agent {subject} has exceeded the pause by {value:.0f} seconds",
    ),
    Rule(
        *("quality_not_drawn", _W, _HIGH, 0, 0, 0, 0),
        "上周的质检样本尚未抽取，请运行 hotline quality draw，或查看 recorder.log 中的 quality.not_drawn",
        "last week's sample of talks was not drawn: hotline quality draw, or see quality.not_drawn in recorder.log",
    ),
    Rule(
        *("quality_late", _W, _HIGH, 14, 13, 0, 0),
        "有质检任务已 {value:.0f} 天未评分，请运行 hotline quality tasks",
        "a talk has waited for its score for {value:.0f} days: hotline quality tasks",
    ),
    Rule(
        *("appeal_late", _W, _HIGH, 7, 6, 0, 0),
        "有质检申诉已 {value:.0f} 天未处理，请运行 hotline quality appeals",
        "an appeal against a score has waited for {value:.0f} days: hotline quality appeals",
    ),
    Rule(
        *("calendar_missing", _W, _HIGH, 0, 0, 0, 0),
        "{value:.0f} 年的工作日历尚未导入（hotline queue calendar 文件）",
        "the working calendar of {value:.0f} is missing: hotline queue calendar FILE",
    ),
)
"""Every rule with its defaults.

Values: m1r and satisfaction in percent; the waits, lags and delays in seconds; certificate_expires, quality_late and
appeal_late in days; seal_late, stamp_late, export_late and words_late in hours; the others counts.
"""


Key: TypeAlias = tuple[str, str]
"""A rule's name and its subject: an agent's number, a trunk's name, or empty for the whole centre."""

Readings: TypeAlias = Mapping[Key, float | None]
"""What was measured. None says nothing (too few calls, not known). An absent subject counts as good."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm that was raised. Times in microseconds UTC, 0: not yet. `value`: the worst since it was raised."""

    id: str
    rule: str
    subject: str
    severity: Severity
    value: float
    limit: float
    raised_at: int
    acknowledged_at: int = 0
    acknowledged_by: str = ""
    cleared_at: int = 0

    def text(self, lang: str = "zh") -> str:
        """The sentence for people. `lang`: zh or en."""
        rule = _BY_NAME.get(self.rule)
        if rule is None:
            return self.rule  # another version of the program raised it
        sentence = rule.zh if lang == "zh" else rule.en
        return sentence.format(value=self.value, limit=self.limit, subject=self.subject)

    def as_json(self) -> AlarmNow:
        """As screens show it: `id`, `rule`, `severity`, `since`, `text_zh`, `text_en`, `value`, who saw it."""
        return {
            "id": self.id,
            "rule": self.rule,
            "subject": self.subject,
            "severity": self.severity.value,
            "since": self.raised_at,
            "text_zh": self.text("zh"),
            "text_en": self.text("en"),
            "value": round(self.value, 1),
            "acknowledged_by": self.acknowledged_by,
            "acknowledged_at": self.acknowledged_at,
        }


class UnknownAlarm(LookupError):  # noqa: N818 - reads as a sentence where it is raised
    """There is no open alarm of this name. The message lists the open ones."""


class Alarms:
    """The alarms of one process. `look` takes readings and gives what is new."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = {rule.name: rule for rule in rules if rule.on}
        self._open: dict[Key, Alarm] = {}
        self._since: dict[Key, int] = {}

    def restore(self, alarm: Alarm) -> bool:
        """After a start: take up an open alarm, so that it is not raised again.

        False when there is no such rule, or its alarm is raised already.
        """
        key = (alarm.rule, alarm.subject)
        if alarm.rule not in self._rules or key in self._open:
            return False
        self._open[key] = alarm
        return True

    def look(self, readings: Readings, now: int) -> list[Alarm]:
        """Take readings of `now` (microseconds). Gives the alarms that were raised or cleared just now."""
        news = []
        for key in [*readings, *(key for key in self._open if key not in readings)]:
            rule = self._rules.get(key[0])
            if rule is None:
                continue
            if key in readings:
                value = readings[key]
            elif key[1]:
                value = rule.clear_at  # this agent is no longer measured, so the alarm must end
            else:
                value = None
            if value is None:
                self._since.pop(key, None)
                continue
            changed = self._step(key, rule, value, now)
            if changed is not None:
                news.append(changed)
        for key in [key for key in self._since if key not in readings and key not in self._open]:
            del self._since[key]
        return news

    def acknowledge(self, name: str, by: str, now: int) -> Alarm:
        """Acknowledge an alarm. `name`: an id, or a rule with one open alarm. Raises `UnknownAlarm`.

        A second acknowledgement does not replace the first.
        """
        named = [alarm for alarm in self._open.values() if name in (alarm.id, alarm.rule)]
        if len(named) != 1:
            there = ", ".join(f"{alarm.id} ({alarm.rule})" for alarm in self.open()) or "none"
            raise UnknownAlarm(f"there is no open alarm {name!r}; open: {there}")
        alarm = named[0]
        if not alarm.acknowledged_at:
            alarm = replace(alarm, acknowledged_at=now, acknowledged_by=by)
            self._open[alarm.rule, alarm.subject] = alarm
        return alarm

    def open(self) -> list[Alarm]:
        """The raised alarms, the gravest first, then the oldest."""
        grave = list(Severity)
        return sorted(
            self._open.values(), key=lambda one: (grave.index(one.severity), one.raised_at)
        )

    def _step(self, key: Key, rule: Rule, value: float, now: int) -> Alarm | None:
        alarm = self._open.get(key)
        if alarm is None:
            if not self._lasts(key, rule.bad(value), rule.hold, now):
                return None
            alarm = Alarm(_id(key, now), *key, rule.severity, value, rule.raise_at, raised_at=now)
            self._open[key] = alarm
        else:
            if not self._lasts(key, rule.good(value), rule.rest, now):
                worse = max(alarm.value, value) if rule.over else min(alarm.value, value)
                self._open[key] = replace(alarm, value=worse)
                return None
            alarm = replace(self._open.pop(key), cleared_at=now)
        self._since.pop(key, None)
        return alarm

    def _lasts(self, key: Key, so: bool, seconds: float, now: int) -> bool:
        """Whether something has been so for that long."""
        if not so:
            self._since.pop(key, None)
            return False
        return now - self._since.setdefault(key, now) >= seconds * SECOND


def _id(key: Key, at: int) -> str:
    """An id that is short enough to type, and the same for the same alarm in every process."""
    return hashlib.blake2s(f"{key[0]} {key[1]} {at}".encode(), digest_size=3).hexdigest()


_BY_NAME = {rule.name: rule for rule in RULES}

CHANGEABLE = {
    "on": "true or false",
    "raise_at": "a number",
    "clear_at": "a number",
    "hold": "seconds",
    "rest": "seconds",
    "severity": ", ".join(Severity),
}
"""What the settings may change about a rule."""


def changed(
    changes: Mapping[str, Mapping[str, object]], rules: Iterable[Rule] = RULES
) -> tuple[Rule, ...]:
    """The rules with an operator's changes: rule → `CHANGEABLE` → value. Raises `ValueError` for the operator.

    A new `raise_at` without a `clear_at` keeps the distance between the two.
    """
    made = {rule.name: rule for rule in rules}
    for name, change in changes.items():
        if name not in made:
            raise ValueError(f"alarms.{name}: there is no such alarm: there is {', '.join(made)}")
        made[name] = _changed(made[name], change)
    return tuple(made.values())


def _changed(rule: Rule, change: Mapping[str, object]) -> Rule:
    values: dict[str, Any] = dict(change)
    for name, value in values.items():
        fine = name in CHANGEABLE and (
            isinstance(value, bool)
            if name == "on"
            else value in set(Severity)
            if name == "severity"
            else isinstance(value, int | float) and not isinstance(value, bool)
        )
        if name not in CHANGEABLE:
            raise ValueError(
                f"alarms.{rule.name}.{name}: there is no such setting: "
                f"there is {', '.join(CHANGEABLE)}"
            )
        if not fine or (name in {"hold", "rest"} and value < 0):
            raise ValueError(f"alarms.{rule.name}.{name}: {value!r} is not {CHANGEABLE[name]}")
    if "severity" in values:
        values["severity"] = Severity(values["severity"])
    if "raise_at" in values and "clear_at" not in values:
        values["clear_at"] = rule.clear_at - rule.raise_at + values["raise_at"]
    made = replace(rule, **values)
    if made.bad(made.clear_at):
        side = "more" if rule.over else "less"
        raise ValueError(
            f"alarms.{rule.name}: clear_at {made.clear_at:g} must not be {side} than raise_at "
            f"{made.raise_at:g}, or the alarm would come and go"
        )
    return made


ON_DUTY = frozenset(
    {
        *(Presence.READY, Presence.RINGING, Presence.TALKING),
        *(Presence.WRAP_UP, Presence.ON_OWN_CALL),
    }
)
"""Presences in which an agent will take another call without doing anything."""


def of_live_state(state: LiveState, now: int) -> dict[Key, float | None]:
    """The readings in a live state, as the controller shows it."""
    m1r = state["figures"]["M1r"]
    value = m1r["value"]
    since = state["waiting_since"]
    waiting = state["stages"]["waiting"] + state["stages"]["ringing"]
    m12 = state["figures"].get("M12")
    satisfied = m12["value"] if m12 and m12["denominator"] >= SMALLEST_SAMPLE else None
    on_duty = any(agent["presence"] in ON_DUTY for agent in state["agents"])
    found: dict[Key, float | None] = {
        ("m1r", ""): value * 100 if m1r["enough"] and value is not None else None,
        ("satisfaction", ""): None if satisfied is None else satisfied * 100,
        ("longest_wait", ""): 0.0 if since is None else max(0, now - since) / SECOND,
        ("nobody_ready", ""): 0 if on_duty or since is None else max(waiting, 1),
    }
    for agent in state["agents"]:
        if agent["until"]:
            found["pause_too_long", agent["number"]] = (now - agent["until"]) / SECOND
    return found
