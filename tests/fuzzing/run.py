"""Many damaged files, counted by how reading them ended."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.fuzzing.child import Answer, reading
from tests.fuzzing.damage import mutate
from tests.fuzzing.making import MAKERS

MEDIA = ("wav", "flac", "mp4", "avi", "mp3")


@dataclass
class Outcome:
    """What came of the damaged files of one format."""

    kind: str
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, Answer]] = field(default_factory=list)
    peak_mb: float = 0.0
    peak_number: int = 0

    def row(self) -> list[str]:
        """A line of the table."""
        counts = [self.counts[s] for s in ("ok", "refused", "BUG", "HANG", "CRASH")]
        numbers = [self.counts.total(), *counts]
        return [self.kind, *map(str, numbers), f"{self.peak_mb:.0f}", f"{self.seconds:.0f}"]


COLUMNS = ("format", "files", "read well", "refused", "bugs", "hangs", "crashes", "peak MB", "s")


def fuzz(kind: str, numbers: Sequence[int], seed: int, keep: Path | None = None) -> Outcome:
    """Damage files of a format and read them; findings are kept in the folder `keep`."""
    outcome, start = Outcome(kind), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzzing-") as name:
        good, bad = Path(name) / "good", Path(name) / "bad"
        good.mkdir()
        valid = MAKERS[kind](good)
        shutil.copytree(good, bad)
        files = [bad / file.relative_to(good) for file in valid]
        data = [file.read_bytes() for file in files]
        with reading(kind, valid) as reader:
            for number in numbers:
                rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
                which = number % len(files)
                damaged = mutate(data[which], rng)
                files[which].write_bytes(damaged)
                answer = reader.read(files[which])
                files[which].write_bytes(data[which])
                outcome.counts[answer.status] += 1
                if answer.peak_mb > outcome.peak_mb:
                    outcome.peak_mb, outcome.peak_number = answer.peak_mb, number
                if answer.finding:
                    outcome.findings.append((number, answer))
                    if keep is not None:
                        _keep(keep, kind, seed, number, files[which].name, damaged, answer)
    outcome.seconds = time.monotonic() - start
    return outcome


def _keep(
    folder: Path, kind: str, seed: int, number: int, name: str, data: bytes, answer: Answer
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind}-{seed}-{number}-{name}").write_bytes(data)
    text = f"{answer.status} {kind} seed {seed} number {number}\n{answer.text}\n"
    (folder / f"{kind}-{seed}-{number}.txt").write_text(text, "utf-8", "backslashreplace")


def shares(files: int, kinds: Sequence[str]) -> dict[str, int]:
    """How many files of each format: media get two shares, the rest one."""
    weights = {kind: 2 if kind in MEDIA else 1 for kind in kinds}
    return {kind: -(-files * weight // sum(weights.values())) for kind, weight in weights.items()}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown."""
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run from the command line; 1 when there are findings."""
    parser = argparse.ArgumentParser(description="Read damaged files, and tell how it went.")
    parser.add_argument("--files", type=int, default=20_000, help="over all formats [20000]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=MAKERS, action="append", help="only this one")
    parser.add_argument("--only", type=int, help="the number of one file")
    parser.add_argument("--keep", type=Path, default=Path("fuzzing-findings"))
    given = parser.parse_args()
    outcomes = []
    for kind, count in shares(given.files, given.format or list(MAKERS)).items():
        numbers = range(count) if given.only is None else [given.only]
        outcomes.append(fuzz(kind, numbers, given.seed, given.keep))
        most = f"(peak in {outcomes[-1].peak_number})"
        print(" ".join(outcomes[-1].row()), most, file=sys.stderr, flush=True)
        alike: dict[str, list[int]] = {}
        for number, answer in outcomes[-1].findings:
            last = (answer.text.strip().splitlines() or [""])[-1]
            alike.setdefault(f"{answer.status}: {last[:200]}", []).append(number)
        for said, found in sorted(alike.items(), key=lambda item: -len(item[1])):
            print(f"  {len(found)}x {said} {found[:5]}", file=sys.stderr, flush=True)
    total = Outcome("all", sum(o.seconds for o in outcomes))
    for outcome in outcomes:
        total.counts += outcome.counts
        total.peak_mb = max(total.peak_mb, outcome.peak_mb)
    print(table([outcome.row() for outcome in (*outcomes, total)]))
    return int(any(outcome.findings for outcome in outcomes))
