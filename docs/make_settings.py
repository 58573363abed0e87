"""Print docs/settings.md: every setting, its default, its meaning, from emohop/config/."""

from __future__ import annotations

import json

from pydantic import BaseModel

from emohop.config import FeatureSettings, FinetuningSettings, Recipe, ServingSettings

INTRODUCTION = """# Settings

Made from `src/emohop/config/` by `python docs/make_settings.py > docs/settings.md`.

A recipe is a YAML file with any of these left out; `--recipe` takes its path, or the name of one
that ships with emohop ([training.md](training.md) lists them). `--set key=value` changes one
setting, as in `--set model.audio.hidden=100`. What was used is written to `recipe.yaml` in the run
folder.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## Features: options of `emohop prepare`\n", table(FeatureSettings)]
    parts += ["\n## Recipe: settings of `emohop train`\n", table(Recipe)]
    parts += ["\n## Finetuning: settings of `emohop finetune`\n", table(FinetuningSettings)]
    parts += ["\n## Serving: limits of `emohop serve`\n", table(ServingSettings)]
    return "\n".join(parts) + "\n"


def table(kind: type[BaseModel]) -> str:
    """A Markdown table of a group of settings, groups within it included."""
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows(kind(), "")])


def rows(settings: BaseModel, prefix: str) -> list[str]:
    """One line a setting."""
    lines = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            lines += rows(value, f"{prefix}{name}.")
        else:
            shown = settings.model_dump(mode="json")[name]
            text = ", ".join(map(str, shown)) if isinstance(shown, list) else json.dumps(shown)
            meaning = " ".join(str(field.description).split())  # a line break ends a table
            lines.append(f"| `{prefix}{name}` | `{text}` | {meaning} |")
    return lines


if __name__ == "__main__":
    print(page(), end="")
