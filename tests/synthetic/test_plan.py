from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from emohop.clips import MODALITIES, Modality
from emohop.synthetic.annotations import votes
from emohop.synthetic.faces import EXPRESSIONS, LEVELS, Pose, draw, person
from emohop.synthetic.plan import (
    CONFUSED,
    PROPORTIONS,
    Cue,
    class_counts,
    generator,
    make_plan,
)
from emohop.synthetic.sentences import PHRASES
from emohop.synthetic.speech import (
    DELIVERIES,
    NEUTRAL,
    SAMPLE_RATE,
    VOICES,
    Synthesiser,
    utterance,
)

CLIPS = 25
UTTERANCE = re.compile(r"Ses0[1-5][FM]_(impro0[1-8][ab]?|script0[1-3]_[1-3]b?)_[FM]\d{3}")


def test_another_seed_gives_another_plan() -> None:
    first, same, other = make_plan(CLIPS, 0), make_plan(CLIPS, 0), make_plan(CLIPS, 1)
    assert first == same
    assert [plan.name for plan in first] == [plan.name for plan in other]
    texts = [[turn.transcript for plan in plans for turn in plan.turns] for plans in (first, other)]
    assert texts[0] != texts[1]


@pytest.mark.parametrize("clips", [100, 400, 1000])
def test_classes_have_iemocaps_proportions_in_every_session(clips: int) -> None:
    plans = make_plan(clips, 3)
    turns = [(plan.session, turn) for plan in plans for turn in plan.turns]
    counts = Counter(turn.label for _, turn in turns)
    whole = sum(PROPORTIONS.values())
    for label, count in PROPORTIONS.items():
        if label != "sur":
            assert counts[label] == pytest.approx(clips * count / whole, abs=5)
    assert sum(counts[label] for label in PROPORTIONS) == clips
    assert {"xxx", "fea", "dis", "oth"} <= set(counts)
    assert len(turns) - clips == pytest.approx(0.05 * clips, abs=1)
    assert {(session, turn.label) for session, turn in turns} >= {
        (session, label) for session in range(1, 6) for label in PROPORTIONS
    }
    speakers = Counter((session, turn.gender) for session, turn in turns)
    assert len(speakers) == 10
    assert max(speakers.values()) - min(speakers.values()) <= 2
    assert {plan.wearer for plan in plans} == {"F", "M"}
    assert {plan.scripted for plan in plans} == {True, False}
    assert all(UTTERANCE.fullmatch(turn.name) for _, turn in turns)
    assert len({turn.name for _, turn in turns}) == len(turns)


def test_the_counts_of_a_plan_add_up() -> None:
    for clips in range(20, 140):
        counts = class_counts(clips)
        assert sum(counts.values()) == clips
        assert min(counts.values()) >= (5 if clips >= 100 else 1)


def test_each_modality_shows_the_class_six_times_in_ten_and_on_its_own() -> None:
    turns = [turn for plan in make_plan(4000, 0) for turn in plan.turns]
    turns = [turn for turn in turns if turn.label in PROPORTIONS]
    right = {m: np.array([t.shown[m].label == t.label for t in turns]) for m in MODALITIES}
    for modality in MODALITIES:
        assert right[modality].mean() == pytest.approx(0.6, abs=0.04)
        for turn in turns:
            cue = turn.shown[modality]
            assert cue.label in (turn.label, *CONFUSED[modality][turn.label])
            assert 0 <= cue.start < cue.end <= 1
    for one, other in ((0, 1), (0, 2), (1, 2)):
        pair = right[MODALITIES[one]], right[MODALITIES[other]]
        assert abs(np.corrcoef(*pair)[0, 1]) < 0.05
    centres = {
        m: np.array([(t.shown[m].start + t.shown[m].end) / 2 for t in turns]) for m in MODALITIES
    }
    widths = [turn.shown[Modality.VIDEO].end - turn.shown[Modality.VIDEO].start for turn in turns]
    assert 0.4 <= min(widths) < max(widths) <= 0.7 + 1e-9
    assert np.abs(centres[Modality.AUDIO] - centres[Modality.VIDEO]).mean() < 0.1
    assert np.corrcoef(centres[Modality.AUDIO], centres[Modality.TEXT])[0, 1] > 0.3


def test_the_words_of_a_clip_hold_a_phrase_of_what_they_show() -> None:
    plans = make_plan(400, 0)
    for plan in plans:
        for turn in plan.turns:
            cue = turn.shown[Modality.TEXT]
            first, last = (round(x * len(turn.words)) for x in (cue.start, cue.end))
            assert " ".join(turn.words[first:last]) in PHRASES[cue.label]


def test_scripted_sentences_recur_in_other_sessions_and_improvised_ones_hardly() -> None:
    sessions: dict[bool, dict[tuple[str, ...], list[int]]] = {True: {}, False: {}}
    for plan in make_plan(400, 0):
        for turn in plan.turns:
            sessions[plan.scripted].setdefault(turn.words, []).append(plan.session)
    recurring = {
        scripted: sum(len(where) for where in said.values() if len(set(where)) > 1)
        / sum(len(where) for where in said.values())
        for scripted, said in sessions.items()
    }
    assert 0.2 < recurring[True] < 0.5  # in IEMOCAP 0.27
    assert recurring[False] < 0.15


def winner(given: Sequence[Sequence[str]]) -> str:
    """The one label with the most votes, or `xxx`."""
    counts = Counter(label for labels in given for label in labels).most_common()
    return "xxx" if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]


@pytest.mark.parametrize("label", ["ang", "sad", "xxx", "fea", "oth"])
def test_votes_have_the_labels_winner(label: str) -> None:
    for seed in range(50):
        assert winner(votes(label, np.random.default_rng(seed))) == label


def test_an_angry_voice_is_louder_and_a_sad_one_slower() -> None:
    turn = make_plan(CLIPS, 0)[0].turns[0]
    spoken: dict[str, tuple[float, float]] = {}
    for label in ("neu", "ang", "sad"):
        cue = Cue(label, 0.0, 1.0)
        with Synthesiser() as synthesiser:
            wave = utterance(synthesiser, turn.words, cue, VOICES[1, "F"], generator(0))
        spoken[label] = len(wave) / SAMPLE_RATE, 20 * math.log10(np.sqrt(np.mean(wave**2)))
    assert spoken["ang"][1] > spoken["neu"][1] + 4
    assert spoken["sad"][1] < spoken["neu"][1] - 4
    assert spoken["sad"][0] > spoken["neu"][0] * 1.1


def test_speech_depends_on_neither_the_time_nor_what_was_said_before() -> None:
    breathy = VOICES[2, "F"]  # its breath is noise, which eSpeak starts from the second of the day
    said = []
    for before in (0, 3):
        with Synthesiser() as other:
            for _ in range(before):
                other.say("something else", VOICES[1, "M"], DELIVERIES["ang"])
                time.sleep(0.35)
        with Synthesiser() as synthesiser:
            said.append(synthesiser.say("the number is on page two", breathy, NEUTRAL))
    assert np.array_equal(said[0], said[1])


def test_every_class_and_speaker_has_a_face_of_its_own() -> None:
    people = [person(session, gender, 0) for session in range(1, 6) for gender in ("F", "M")]
    lumas = [draw(who, Pose(label, LEVELS)).luma for who in people[:2] for label in EXPRESSIONS]
    lumas += [draw(who, Pose()).luma for who in people[2:]]
    for place, one in enumerate(lumas):
        for other in lumas[place + 1 :]:
            assert (one != other).any()
    assert all(luma.min() >= 16 and luma.max() <= 235 for luma in lumas)


def test_the_seed_decides_the_order_of_a_session_and_the_lines_of_a_script() -> None:
    one, other = make_plan(1000, 3), make_plan(1000, 4)
    dealt = [
        [Counter(turn.label for turn in plan.turns) for plan in plans] for plans in (one, other)
    ]
    assert dealt[0] != dealt[1]
    lines, others = (
        {turn.words for plan in plans if plan.scripted for turn in plan.turns}
        for plans in (one, other)
    )
    assert len(lines & others) < 0.2 * len(lines)
