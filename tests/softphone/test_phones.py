"""The ears of the simulated telephones: tones, loudness and prompts told apart. The rest is tested live."""

from collections.abc import Callable

import baresip
import numpy as np
from baresip.events import StackEvent

from softphone.phones import RATE, Phones, Sound, likeness, loudness, tone_share


def _tone(hertz: int, seconds: float = 1.0, loud: float = 6000) -> Sound:
    turns = 2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE
    return np.asarray(np.sin(turns) * loud, dtype=np.int16)


def _noise(seconds: float, seed: int) -> Sound:
    chance = np.random.default_rng(seed)
    return np.asarray(chance.normal(0, 3000, int(RATE * seconds)), dtype=np.int16)


def test_a_tone_is_told_from_its_neighbours() -> None:
    sound = _tone(430, 0.5)
    assert tone_share(sound, 430) > 0.99
    assert tone_share(sound, 400) < 0.01
    assert tone_share(sound, 460) < 0.01


def test_a_tone_is_heard_through_noise_but_not_in_noise_alone() -> None:
    noise = _noise(0.5, 1)
    mixed = np.asarray(_tone(1800, 0.5).astype(np.int32) + noise // 3, dtype=np.int16)
    assert tone_share(mixed, 1800) > 0.8
    assert tone_share(noise, 1800) < 0.05


def test_silence_has_neither_tone_nor_loudness() -> None:
    nothing = np.zeros(0, dtype=np.int16)
    silence = np.zeros(RATE, dtype=np.int16)
    assert tone_share(nothing, 400) == tone_share(silence, 400) == 0
    assert loudness(nothing) == loudness(silence) == 0
    assert 4200 < loudness(_tone(400)) < 4300


def test_a_prompt_is_found_inside_what_was_heard() -> None:
    prompt = _noise(1.0, 2)
    heard = np.concatenate([np.zeros(3000, dtype=np.int16), prompt, _noise(2.0, 3)])
    assert likeness(heard, prompt) > 0.99
    assert likeness(heard, _noise(1.0, 4)) < 0.3
    assert likeness(prompt[:100], prompt) == 0


class _BusyUserAgent:
    """A user agent of the SIP stack on a busy loop: the answer is delivered before `dial` returns."""

    def __init__(self, runtime: baresip.Runtime, deliver: Callable[[StackEvent], None]) -> None:
        self.runtime = runtime
        self.deliver = deliver

    async def dial(self, uri: str) -> baresip.Call:
        self.deliver(StackEvent(event=baresip.Event.CALL_ESTABLISHED, handle=7, call=7))
        return baresip.Call(
            self.runtime, handle=7, ua_handle=1, state=baresip.CallState.OUTGOING, peer=uri
        )


async def test_an_answer_that_comes_before_the_call_is_known_is_not_lost() -> None:
    phones = Phones("127.0.0.1:5060")
    user_agent = _BusyUserAgent(baresip.Runtime(), phones._happened)
    leg = await phones.dial(user_agent, "12345", 400)
    assert leg.talking
    # Else the stack refuses to hold or to transfer a call that it thinks unanswered.
    assert leg._call.state is baresip.CallState.ESTABLISHED
