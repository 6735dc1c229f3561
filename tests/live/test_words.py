"""A real call in which the agent says one of the 服务禁语: recorded, heard, and hinted at where it is in the sound."""

from collections.abc import AsyncIterator, Iterator

import numpy as np
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base import database
from base.settings import Settings
from facts import RecordingFinished
from facts.times import local
from recorder import copying
from softphone.phones import RATE, Phones, Sound
from tests.live import sounds
from tests.live.centre import NUMBER, Centre
from tests.speech import whisper
from tests.speech.test_whisper import sentence

pytestmark = [pytest.mark.speech, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with Centre(speech_model=whisper.folder()) as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        yield centre


@pytest.fixture
async def engine(centre: Centre) -> AsyncIterator[AsyncEngine]:
    made = database.engine(f"sqlite+aiosqlite:///{centre.home / 'hotline.db'}")
    yield made
    await made.dispose()


async def test_what_an_agent_said_is_a_hint_where_it_is_in_the_recording(
    centre: Centre, phones: Phones, engine: AsyncEngine
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.3)
    spoken = sentence("guiding_1.f")  # 没有为什么，这就是规定。
    leg = await phones.citizen("13900000901").dial(NUMBER)
    talking = await agent.until_rings(within=20)
    talking.repeat(
        np.concatenate(
            [np.zeros(RATE, dtype=np.int16), spoken, np.zeros(30 * RATE, dtype=np.int16)]
        )
    )
    await talking.until_answered()
    await leg.until_hears_something()
    await centre.until(lambda: _loud(leg.heard(), spoken), 15, "the sentence to be heard")
    await leg.hang_up()
    call = await centre.call_id("13900000901")
    await centre.fact(RecordingFinished, 20, call=call)
    entry = await copying.verify(engine, Settings(home=centre.home), call)

    await centre.cli("transcribe", "--day", f"{local(entry.finished_at):%Y-%m-%d}")
    found = orjson.loads(await centre.cli("recordings", "words", call, "--format", "json"))
    assert "no score" in found["note"]
    (hint,) = [one for one in found["hints"] if one["kind"] == "forbidden"]
    assert (hint["phrase"], hint["agent"]) == ("这就是规定", "1001")
    _, right = sounds.recording(centre.home, call)
    began = _where(right, spoken) / RATE
    # The phrase is the second half of the sentence.
    middle = began + spoken.size / RATE / 2
    assert abs(hint["begin"] - middle) < 1
    assert hint["end"] <= began + spoken.size / RATE + 0.5


def _where(sound: Sound, part: Sound) -> int:
    """The sample at which `part` begins in `sound`, by correlation."""
    size = 1 << (sound.size + part.size).bit_length()
    there = np.fft.rfft(sound.astype(float), size)
    likeness = np.fft.irfft(there * np.conj(np.fft.rfft(part.astype(float), size)), size)
    return int(np.argmax(likeness[: sound.size]))


def _loud(sound: Sound, part: Sound) -> bool:
    """Whether all of `part` has been heard."""
    return sound.size > 2 * part.size and _where(sound, part) + part.size < sound.size - RATE // 2
