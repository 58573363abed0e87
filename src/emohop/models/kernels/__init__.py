"""What is written by hand for speed: ragged rows, the GRU's recurrence, attention, dropout.

This is the one door: no other module knows their files or torch's private operators. The tests
hold each to torch's own parts: `torch.nn.GRU`, a padded softmax, `torch.nn.functional.dropout`.
"""

from __future__ import annotations

from emohop.models.kernels.attention import RaggedAttention
from emohop.models.kernels.dropout import dropout
from emohop.models.kernels.ragged import Ragged, step_mask
from emohop.models.kernels.recurrence import Recurrence, continued

__all__ = ["Ragged", "RaggedAttention", "Recurrence", "continued", "dropout", "step_mask"]
