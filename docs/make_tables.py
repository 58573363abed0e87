"""Write what follows from the code in docs/: tables of what there is, JSON Schemas of files.

    python docs/make_tables.py            # writes them
    python docs/make_tables.py --check    # exits with 1 where a page is out of date

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel

import emohop
from emohop.evaluation.run_files import FoldRunMetrics, RunInfo, RunResults
from emohop.explanation.results import ExplanationResults
from emohop.model_config import ModelConfig
from emohop.prediction import Prediction
from emohop.registry.corpora import CORPORA
from emohop.registry.features import FEATURES
from emohop.registry.models import MODELS
from emohop.robustness import RobustnessResults
from emohop.storage.manifest import Manifest

DOCS = Path(__file__).parent


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def models() -> str:
    """The models, as docs/models.md shows them."""
    rows = (
        (f"`{one.name}`", one.inputs, one.summary, "yes" if one.attends else "", one.paper)
        for one in MODELS.shipped.values()
    )
    return table(("`model.name`", "takes", "computes", "attends", "paper"), rows)


def features() -> str:
    """The feature encoders, as docs/encoders.md shows them."""
    rows = (
        (
            f"`--{one.modality}`",
            f"any {one.name}" if one.family else f"`{one.name}`",
            one.summary,
            ", ".join(f"`{option}`" for option in one.options),
        )
        for one in FEATURES.shipped.values()
    )
    return table(("option", "name", "computes", "options"), rows)


def corpora() -> str:
    """The corpora, as docs/preparing.md shows them."""
    rows = (
        (
            f"[`{one.name}`]({(one.page or '').removeprefix('docs/')})",
            one.title,
            ", ".join(m.value for m in one.modalities),
            "" if one.clips is None else f"{one.clips:,}",
            one.language,
        )
        for one in CORPORA.shipped.values()
    )
    return table(("name", "corpus", "modalities", "clips", "language"), rows)


def names() -> str:
    """What users import, as docs/api.md shows it."""
    rows = []
    for name in emohop.__all__:
        found = getattr(emohop, name)
        if name in ("MODELS", "FEATURES", "CORPORA"):
            said = f"The registry: every {found.kind} by name."
        elif name == "__version__":
            said = "The version."
        else:
            said = (inspect.getdoc(found) or "").split("\n\n")[0].replace("\n", " ")
        rows.append((f"`emohop.{name}`", said.replace("|", "\\|")))
    return table(("name", "what it is"), rows)


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "models": ("models.md", models),
    "features": ("encoders.md", features),
    "corpora": ("preparing.md", corpora),
    "names": ("api.md", names),
}


FILES: dict[str, type[BaseModel]] = {
    "manifest.json": Manifest,
    "run.json": RunInfo,
    "metrics.json": FoldRunMetrics,
    "results.json": RunResults,
    "robustness.json": RobustnessResults,
    "explanation.json": ExplanationResults,
    "model.json": ModelConfig,
    "prediction.json": Prediction,
}
"""The files that users read, and what `emohop predict --json` prints."""


def schema(name: str) -> tuple[Path, str]:
    """The page of a file's JSON Schema, and what it should say."""
    values = FILES[name].model_json_schema(mode="serialization")
    text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    return DOCS / "schemas" / name.replace(".json", ".schema.json"), text


def filled(name: str) -> tuple[Path, str]:
    """A page and what it should say."""
    page, make = TABLES[name]
    path = DOCS / page
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
    text, count = pattern.subn(lambda m: f"{m[1]}{make()}\n{m[2]}", path.read_text("utf-8"))
    if count != 1:
        raise SystemExit(f"{path} has {count} places for the table {name!r}: one is needed")
    return path, text


def main() -> None:
    """Write or check every table."""
    stale = []
    for path, text in (*map(filled, TABLES), *map(schema, FILES)):
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, "utf-8")
    if stale and "--check" in sys.argv:
        raise SystemExit(f"out of date: {', '.join(stale)}: run python docs/make_tables.py")


if __name__ == "__main__":
    main()
