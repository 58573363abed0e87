from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emohop import corpora
from emohop.clips import Clip, Vote
from emohop.corpora.iemocap import CLASS_SETS, half_of
from emohop.corpora.iemocap_text import parse_evaluation, parse_transcription
from emohop.errors import CorpusError
from tests.corpora.tree import FIRST, Line, write_dialog, write_tree

HERE = Path("Ses01F_impro01.txt")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("iemocap"), media=False)


@pytest.fixture(scope="module")
def clips(release: Path) -> dict[str, Clip]:
    return {clip.id: clip for clip in corpora.read("iemocap", release)}


def test_every_labelled_turn_is_a_clip_in_order(clips: dict[str, Clip]) -> None:
    assert len(clips) == 16
    assert list(clips)[:4] == [
        "Ses01F_impro01_F000",
        "Ses01F_impro01_M000",
        "Ses01F_impro01_F001",
        "Ses01F_impro01_M001",
    ]
    assert [clip.dialog for clip in clips.values()] == sorted(
        str(clip.dialog) for clip in clips.values()
    )


def test_a_clip_says_what_the_files_say(clips: dict[str, Clip], release: Path) -> None:
    clip = clips["Ses01F_impro01_M000"]
    assert (clip.label, clip.speaker, clip.gender) == ("xxx", "Ses01M", "M")
    assert (clip.session, clip.dialog, clip.scripted) == ("Ses01", "Ses01F_impro01", False)
    assert (clip.start, clip.end) == (1.1, 2.2)
    assert clip.transcript == "Do you have your forms? I said: your forms."
    assert (clip.valence, clip.activation, clip.dominance) == (2.5, 2.75, 2.0)
    assert clip.votes == (
        Vote("E2", ("Neutral",)),
        Vote("E3", ("Neutral", "Frustration"), 3, 2, 2),
        Vote("E4", ("Other",), 2, 3.5, None),
        Vote("M1", ("Neutral state",), 3, 2, None),
    )
    assert clip.audio is not None
    assert clip.video is not None
    session = release / "Session1"
    audio = session / "sentences" / "wav" / "Ses01F_impro01" / "Ses01F_impro01_M000.wav"
    assert (clip.audio.path, clip.audio.start, clip.audio.end) == (audio, 0.0, None)
    assert clip.video.path == session / "dialog" / "avi" / "DivX" / "Ses01F_impro01.avi"
    assert (clip.video.start, clip.video.end, clip.video.half) == (1.1, 2.2, "right")


@pytest.mark.parametrize(
    ("utterance", "dialog", "speaker", "scripted"),
    [
        ("Ses01F_impro01_M000", "Ses01F_impro01", "Ses01M", False),
        ("Ses01M_script01_1_F000", "Ses01M_script01_1", "Ses01F", True),
        ("Ses03M_impro05a_F012", "Ses03M_impro05a", "Ses03F", False),
        ("Ses03M_impro05b_M007", "Ses03M_impro05b", "Ses03M", False),
        ("Ses03M_impro08a_F012", "Ses03M_impro08a", "Ses03F", False),
        ("Ses03M_impro08b_F012", "Ses03M_impro08b", "Ses03F", False),
        ("Ses05M_script01_1b_F012", "Ses05M_script01_1b", "Ses05F", True),
        ("Ses05M_script01_1b_M007", "Ses05M_script01_1b", "Ses05M", True),
    ],
)
def test_the_speaker_is_who_speaks_not_who_wears_the_markers(
    clips: dict[str, Clip], utterance: str, dialog: str, speaker: str, scripted: bool
) -> None:
    clip = clips[utterance]
    assert (clip.speaker, clip.gender, clip.dialog) == (speaker, speaker[-1], dialog)
    assert clip.scripted is scripted


def test_no_speaker_is_in_two_sessions(clips: dict[str, Clip]) -> None:
    pairs = {(clip.speaker, clip.session) for clip in clips.values()}
    assert len(pairs) == len({speaker for speaker, _ in pairs}) == 6


def test_transcripts_keep_tags_and_say_what_is_missing(clips: dict[str, Clip]) -> None:
    assert clips["Ses01F_impro01_F001"].transcript == "[LAUGHTER] Yeah. [BREATHING]"
    assert clips["Ses01F_impro01_M001"].transcript is None
    assert clips["Ses01M_script01_1_F000"].transcript == ""


def test_latin_1_is_read_and_its_bytes_end_no_line(clips: dict[str, Clip]) -> None:
    # The dots of a Windows text are U+0085 in Latin-1, where str.splitlines would cut.
    assert clips["Ses01M_script01_1_M000"].transcript == "A café, at last\x85"


def test_utf8_with_a_mark_and_windows_line_ends(tmp_path: Path) -> None:
    write_dialog(tmp_path / "Session1", "Ses01F_impro01", FIRST)
    labels = tmp_path / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    text = labels.read_text("utf-8").replace("\n", "\r\n")
    labels.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(corpora.read("iemocap", tmp_path)) == 4


@pytest.mark.parametrize(
    ("speaker", "wearer", "marker", "woman"),
    [
        ("F", "F", "left", "left"),
        ("M", "F", "right", "right"),
        ("F", "M", "right", "left"),
        ("M", "M", "left", "right"),
    ],
)
def test_seating(speaker: str, wearer: str, marker: str, woman: str) -> None:
    assert half_of(speaker, wearer, "marker-left") == marker  # type: ignore[arg-type]
    assert half_of(speaker, wearer, "woman-left") == woman  # type: ignore[arg-type]


def test_seating_reaches_the_clips(release: Path) -> None:
    halves = {c.id: c.video for c in corpora.read("iemocap", release, seating="woman-left")}
    woman, man = halves["Ses03M_impro05a_F012"], halves["Ses03M_impro05a_M007"]
    assert woman is not None
    assert man is not None
    assert (woman.half, man.half) == ("left", "right")


def test_the_folder_above_and_some_sessions_will_do(release: Path, tmp_path: Path) -> None:
    above = corpora.read("iemocap", str(release.parent))
    assert above == corpora.read("iemocap", release)
    write_dialog(
        tmp_path / "Session4", "Ses04F_script03_2", [Line("Ses04F_script03_2_M045", 1, 2, "sad")]
    )
    (clip,) = corpora.read("iemocap", tmp_path)
    assert (clip.session, clip.speaker) == ("Ses04", "Ses04M")


def test_a_dialog_without_transcription_has_no_words(tmp_path: Path) -> None:
    write_dialog(tmp_path / "Session1", "Ses01F_impro01", FIRST)
    (tmp_path / "Session1" / "dialog" / "transcriptions" / "Ses01F_impro01.txt").unlink()
    assert {clip.transcript for clip in corpora.read("iemocap", tmp_path)} == {None}


def test_class_sets(clips: dict[str, Clip]) -> None:
    counts = {
        labels.name: Counter(
            name for clip in clips.values() if (name := labels.class_of(clip.label))
        )
        for labels in CLASS_SETS
    }
    assert counts["iemocap-7"] == {"neu": 1, "hap": 1, "exc": 1, "ang": 1, "sad": 5, "fru": 5}
    assert counts["iemocap-4"] == {"neu": 1, "hap": 2, "ang": 1, "sad": 5}
    assert counts["iemocap-4-noexc"] == {"neu": 1, "hap": 1, "ang": 1, "sad": 5}
    assert "sur" not in corpora.class_set("iemocap", "iemocap-6").labels
    assert corpora.class_set("iemocap").name == "iemocap-7"
    assert corpora.class_set("iemocap").labels == (
        *("ang", "exc", "hap", "sad", "fru", "sur", "neu"),
    )


# Errors: one line that says what came, what is accepted and what to do.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: corpora.read("iemocp", "."), "unknown corpus 'iemocp' (did you mean iemocap?)"),
        (lambda: corpora.read("zzz", "."), "unknown corpus 'zzz': give one of iemocap"),
        (lambda: corpora.check("zzz", "."), "unknown corpus 'zzz'"),
        (
            lambda: corpora.class_set("iemocap", "iemocap-5"),
            "unknown class set of iemocap: 'iemocap-5' (did you mean iemocap-",
        ),
        (
            lambda: corpora.read("iemocap", ".", seat="left"),
            "unknown option of iemocap: 'seat' (did you mean seating?): give one of seating",
        ),
    ],
)
def test_unknown_names(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(CorpusError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_seating(release: Path) -> None:
    with pytest.raises(CorpusError, match="'middle': give marker-left or woman-left"):
        corpora.read("iemocap", release, seating="middle")


def test_a_folder_that_is_no_iemocap(tmp_path: Path) -> None:
    for name in ("a.txt", ".hidden", "Session1"):
        (tmp_path / name).mkdir()
    with pytest.raises(
        CorpusError, match=r"is not IEMOCAP: expected Session1 \.\.\. Session5"
    ) as e:
        corpora.read("iemocap", tmp_path)
    assert str(e.value).endswith("found Session1, a.txt")
    with pytest.raises(CorpusError, match="found nothing"):
        corpora.read("iemocap", tmp_path / "a.txt")
    with pytest.raises(CorpusError, match="does not exist: give the folder IEMOCAP_full_release"):
        corpora.read("iemocap", tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="is not a folder"):
        corpora.read("iemocap", tmp_path / "file")


def test_one_session_alone_is_answered_with_the_way_out(release: Path) -> None:
    with pytest.raises(CorpusError, match="is one session: give the folder above it"):
        corpora.read("iemocap", release / "Session1")


def test_no_labelled_utterance(tmp_path: Path) -> None:
    write_dialog(tmp_path / "Session1", "Ses01F_impro01", [])
    with pytest.raises(CorpusError, match="1 EmoEvaluation files hold no labelled utterance"):
        corpora.read("iemocap", tmp_path)


def test_a_dialog_in_the_wrong_session(tmp_path: Path) -> None:
    write_dialog(tmp_path / "Session2", "Ses01F_impro01", FIRST)
    with pytest.raises(CorpusError, match=r"impro01\.txt: a dialog of Ses01 does not belong"):
        corpora.read("iemocap", tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Ses01F_impro02_F000", "is not an utterance of this dialog"),
        ("Ses01F_impro01_FXX0", "is not an utterance of this dialog"),
        ("Ses01F_impro01_F000", "was there before, on line 3"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, name: str, reason: str) -> None:
    turns = [Line("Ses01F_impro01_F000", 1, 2, "neu"), Line(name, 2, 3, "neu")]
    write_dialog(tmp_path / "Session1", "Ses01F_impro01", turns)
    with pytest.raises(CorpusError, match=rf"Ses01F_impro01\.txt:7: {name} {reason}"):
        corpora.read("iemocap", tmp_path)


def test_a_label_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt").mkdir(parents=True)
    with pytest.raises(CorpusError, match=r"impro01\.txt: cannot be read: Is a directory"):
        corpora.read("iemocap", tmp_path)


HEAD = "[1.0 - 2.0]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[1.0 - 2.0]\tSes01F_impro01_F000\tneu\n", 1),
        ("[-1.0 - 2.0]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]\n", 1),
        ("\n[1.0 - two]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]\n", 2),
        ("[1.0 - 2.0]\tSes01F_impro01_F000\tneu\t[2.5, 2.5]\n", 1),
        ("[1.0 - 2.0]\tSes01F_impro01_F000\tneu\t[2.5, nan, 2.5]\n", 1),
        ("% remark\nC-E2:\tNeutral;\t()\n", 2),
        (HEAD + "A-E3:\tval 3; act high;\t()\n", 2),
        (HEAD + "A-E3:\tval 3; val 4;\t()\n", 2),
        (HEAD + "C-E2:\tNeutral;\t()\nwhat is this\n", 3),
        (HEAD + "C-E2 Neutral;\t()\n", 2),
    ],
)
def test_malformed_label_lines_are_named(text: str, line: int) -> None:
    with pytest.raises(CorpusError, match=rf"^Ses01F_impro01\.txt:{line}: .* form: ") as caught:
        parse_evaluation(text, HERE)
    assert "\n" not in str(caught.value)


def test_comments_can_hold_anything() -> None:
    text = HEAD + "C-E2:\tNeutral;\t(a (b); val 3\nsecond line\nthe end)\nC-E3:\tAnger;\n"
    (turn,) = parse_evaluation(text, HERE)
    assert turn.votes == (Vote("E2", ("Neutral",)), Vote("E3", ("Anger",)))


def test_a_second_line_of_a_rater_is_a_second_vote() -> None:
    text = HEAD + "C-E2:\t;\t()\nC-E2:\tAnger;\t()\nA-E2:\tval 1; act ; dom 2;\t()\n"
    (turn,) = parse_evaluation(text, HERE)
    assert turn.votes == (Vote("E2", (), 1, None, 2), Vote("E2", ("Anger",)))


def test_transcription_lines() -> None:
    text = (
        "Ses01F_impro01_F000 [006.2901-008.2357]: At [noon]: twelve.\n"
        "M: sorry\n"
        "Ses01F_impro01_FXX0 [1-2]: first\n"
        "Ses01F_impro01_FXX0 [3-4]: second\n"
        "Ses01F_impro01_M000 [1-2]:\n"
    )
    assert parse_transcription(text) == {
        "Ses01F_impro01_F000": "At [noon]: twelve.",
        "Ses01F_impro01_FXX0": "first",
        "Ses01F_impro01_M000": "",
    }


# What is written by the rules of the format comes back, whatever the values are.

_words = st.sampled_from(["Neutral", "Happiness", "Neutral state", "Frustration", "Other"])
_value = st.none() | st.integers(1, 5) | st.sampled_from([2.5, 3.75])
_comment = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20)
_time = st.integers(0, 6_000_000).map(lambda n: n / 10_000)
_mean = st.integers(10_000, 50_000).map(lambda n: n / 10_000)


@st.composite
def _blocks(draw: st.DrawFn) -> list[tuple[str, float, float, str, list[float], list[Vote]]]:
    blocks = []
    for number in range(draw(st.integers(0, 4))):
        raters = draw(st.lists(st.sampled_from(["E1", "E2", "E6", "F1", "M1"]), unique=True))
        votes = [
            Vote(r, tuple(draw(st.lists(_words, max_size=3))), *draw(st.tuples(*[_value] * 3)))
            for r in raters
        ]
        label = draw(st.sampled_from(["neu", "xxx", "oth"]))
        means = draw(st.lists(_mean, min_size=3, max_size=3))
        name = f"Ses01F_impro01_F{number:03d}"
        blocks.append((name, draw(_time), draw(_time), label, means, votes))
    return blocks


@given(blocks=_blocks(), data=st.data())
def test_parsing_returns_what_was_written(
    blocks: list[tuple[str, float, float, str, list[float], list[Vote]]], data: st.DataObject
) -> None:
    text = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    for name, start, end, label, means, votes in blocks:
        mean = ", ".join(f"{m:.4f}" for m in means)
        text += f"[{start:.4f} - {end:.4f}]\t{name}\t{label}\t[{mean}]\n"
        for vote in votes:
            categories = "".join(f"{c}; " for c in vote.categories)
            text += f"C-{vote.rater}:\t{categories}\t({data.draw(_comment)})\n"
        for vote in votes:
            named = (("val", vote.valence), ("act", vote.activation), ("dom", vote.dominance))
            present = [f"{n} {'' if v is None else v};" for n, v in named]
            text += f"A-{vote.rater}:\t{' '.join(present)}\t({data.draw(_comment)})\n"
        text += "\n"
    turns = parse_evaluation(text, HERE)
    got = [
        (t.name, t.start, t.end, t.label, [t.valence, t.activation, t.dominance], list(t.votes))
        for t in turns
    ]
    assert got == blocks
