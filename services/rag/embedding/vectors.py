"""Vectors of texts and the model that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vectors:
    """One vector of unit length per text, in order. Only vectors of the same `model` are comparable."""

    model: str
    values: Sequence[Sequence[float]]
