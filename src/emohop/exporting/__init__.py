"""A trained model as an ONNX graph."""

from __future__ import annotations

from emohop.exporting.export_model import Exported, export

__all__ = ["Exported", "export"]
