"""Divergences of predictions from raters' votes, by their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emohop.evaluation.metrics import vote_divergences


def test_by_hand() -> None:
    said, found = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.25, 0.5]])
    middle = np.array([0.375, 0.375, 0.25])
    kl = math.log(2)
    js = (2 * 0.5 * math.log(0.5 / 0.375) + sum(found[0] * np.log(found[0] / middle))) / 2
    assert vote_divergences(said, found) == pytest.approx({"votes_kl": kl, "votes_js": js})


def test_alike_is_0_and_apart_is_bounded() -> None:
    table = np.random.default_rng(0).dirichlet(np.ones(4), 20)
    assert vote_divergences(table, table) == pytest.approx({"votes_kl": 0, "votes_js": 0}, abs=1e-9)
    apart = vote_divergences([[1.0, 0.0]], [[0.0, 1.0]])
    assert apart["votes_js"] == pytest.approx(math.log(2))
    assert math.isfinite(apart["votes_kl"])


def test_clips_without_votes_do_not_count() -> None:
    said = np.array([[1.0, 0.0], [0.0, 0.0]])
    found = np.array([[0.5, 0.5], [0.9, 0.1]])
    assert vote_divergences(said, found)["votes_kl"] == pytest.approx(math.log(2))
    assert vote_divergences(said[1:], found[1:]) == {}
