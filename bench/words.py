"""How well phrases are found by machine: sentences and prompts of known text, at three levels of noise.

Only clean synthetic voices are at hand, at telephone quality. So the table says what the best case is.
"""

import json
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from base.settings import Settings
from bench.figures import TableRow
from recorder.policy import RATE
from speech import hints, model, night
from speech.hearing import Sound, Transcriber
from speech.phrases import PhraseList
from speech.syllables import sounds, spell
from speech.transcript import Word

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS: Final = (None, 20, 10)
"""Decibels by which the speech is above the noise; None: no noise."""
_FOLDER: Final = Path(__file__).parent / "sentences"
_PROMPTS: Final = Path(__file__).parents[1] / "asterisk-conf/prompts"


@dataclass(frozen=True, slots=True)
class Sample:
    """A sound of known text, and the listed phrases in it."""

    name: str
    text: str
    phrases: tuple[str, ...]
    sound: Sound


@dataclass(slots=True)
class PhraseScore:
    """What came of one level of noise. `missed` and `wrong`: which phrase, in which sample."""

    characters: int = 0
    character_errors: int = 0
    sound_errors: int = 0
    said: int = 0
    found: int = 0
    found_by_characters: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def samples(quick: bool = False) -> "Iterator[Sample]":
    """All sentences in both voices, and the project's Chinese prompts; `quick`: each sentence in one voice."""
    book = tomllib.loads((_FOLDER / "sentences.toml").read_text(encoding="utf-8"))
    for name, sentence in book.items():
        phrases = tuple(sentence.get("phrases", ()))
        voice = "m" if phrases and name.endswith("_2") else "f"
        for file in sorted(_FOLDER.glob(f"{name}.{voice if quick else '*'}.alaw")):
            yield Sample(file.name, sentence["text"], phrases, decode_alaw(file.read_bytes()))
    known = json.loads((_PROMPTS / "manifest.json").read_text(encoding="utf-8"))
    for name, prompt in known.items():
        # Of the counted ones a few: they differ by a number.
        if name.startswith("zh/") and not quick and not _is_counted(name):
            coded = (_PROMPTS / prompt["file"]).read_bytes()
            yield Sample(name, prompt["text"], (), decode_alaw(coded))


def _is_counted(name: str) -> bool:
    stem, _, number = name.rpartition("_")
    return stem.endswith("queue_ahead") and number.isdigit() and int(number) % 20 != 1


def measure(settings: Settings, quick: bool = False) -> list[TableRow]:
    """Hear everything at each level; the rows of the table. Raises `SpeechError`."""
    listener, book = Transcriber(model.load(settings)), night.read_list(settings)
    rows = []
    for level in LEVELS:
        made = score(listener, book, list(samples(quick)), level)
        name = "no noise" if level is None else f"noise at {level} dB"
        print(f"{name}: missed {made.missed}, wrong {made.wrong}", flush=True)
        rows += _rows(name, made)
    return rows


def score(
    listener: Transcriber, book: PhraseList, heard: list[Sample], level: int | None
) -> PhraseScore:
    """Hear these samples at one level of noise."""
    made = PhraseScore()
    for number, sample in enumerate(heard):
        sound = sample.sound if level is None else noisy(sample.sound, level, number)
        began = time.process_time()
        words, _ = listener.hear(sound, last=True)
        made.cpu += time.process_time() - began
        made.seconds += sound.size / RATE
        _count(made, book, sample, words)
    return made


def _count(made: PhraseScore, book: PhraseList, sample: Sample, words: list[Word]) -> None:
    wanted, got = sounds(sample.text), [(one.sound, one.text) for one in spell(words)]
    made.characters += len(wanted)
    made.character_errors += distance([one for _, one in wanted], [one for _, one in got])
    made.sound_errors += distance([one for one, _ in wanted], [one for one, _ in got])
    text = "".join(one for _, one in got)
    syllables = spell(words)
    found = [one.text for one in book.forbidden for _ in hints.places(syllables, one)]
    made.said += len(sample.phrases)
    for phrase in sample.phrases:
        made.found_by_characters += phrase in text
        if phrase in found:
            found.remove(phrase)
            made.found += 1
        else:
            made.missed.append(f"{sample.name} {phrase} ({text})")
    made.wrong += [f"{sample.name} {phrase} ({text})" for phrase in found]


def _rows(name: str, made: PhraseScore) -> list[TableRow]:
    def percent(part: int, whole: int) -> str:
        return f"{100 * part / max(1, whole):.1f} %"

    return [
        TableRow(
            f"words, {name}: phrases found by sound, by characters",
            "",
            f"{made.found} and {made.found_by_characters} of {made.said}",
        ),
        TableRow(f"words, {name}: false alarms in {made.seconds:.0f} s", "", str(len(made.wrong))),
        TableRow(
            f"words, {name}: errors in characters, in sounds",
            "",
            f"{percent(made.character_errors, made.characters)}, {percent(made.sound_errors, made.characters)}",
        ),
        TableRow(f"words, {name}: CPU", "", f"{made.cpu / made.seconds:.2f} s a second"),
    ]


def noisy(sound: Sound, level: int, seed: int) -> Sound:
    """The sound with white noise `level` dB below its speech, through A-law again as a telephone has it."""
    loud = sound.astype(np.float64)
    frames = loud[: loud.size // 80 * 80].reshape(-1, 80)
    power = (frames**2).mean(axis=1)
    speech = power[power > power.max() / 1000].mean()
    noise = np.random.default_rng(seed).normal(0, np.sqrt(speech / 10 ** (level / 10)), loud.size)
    return decode_alaw(encode_alaw(np.clip(loud + noise, -32768, 32767).astype(np.int16)))


def decode_alaw(coded: bytes) -> Sound:
    """Decode A-law (ITU-T G.711)."""
    return _ALAW[np.frombuffer(coded, dtype=np.uint8)]


def encode_alaw(sound: Sound) -> bytes:
    """Encode as A-law: each sample as the nearest value that there is."""
    order = np.argsort(_ALAW)
    values = _ALAW[order].astype(np.int32)
    middles = (values[1:] + values[:-1]) // 2
    return order[np.searchsorted(middles, sound, side="left")].astype(np.uint8).tobytes()


def _alaw_values() -> npt.NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    step, part = (code >> 4) & 7, code & 15
    size = np.where(step == 0, (part << 4) + 8, ((part << 4) + 0x108) << np.maximum(step - 1, 0))
    return np.where(code & 0x80, size, -size).astype(np.int16)


_ALAW: Final = _alaw_values()


def distance(wanted: list[str], got: list[str]) -> int:
    """Insertions, deletions and replacements that make one of the other (Levenshtein)."""
    row = list(range(len(got) + 1))
    for number, one in enumerate(wanted, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(got, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (one != other))
    return row[-1]
