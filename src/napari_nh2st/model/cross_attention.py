"""Cross-attention of NH2ST: one query looks at a few keys.

Qu et al., MICCAI 2025, arXiv 2506.23827.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class CrossAttention(nn.Module):
    """X(kv, q): a pre-norm cross-attention block and a final norm.

    One LayerNorm is shared by q and kv; projections of q and kv have no bias, the output projection has one;
    residual; LayerNorm and an MLP of ratio 1 with GELU, residual; a final LayerNorm.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, dim), nn.Dropout(dropout)
        )
        self.norm = nn.LayerNorm(dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, kv: Tensor, q: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, L, d) keys and values, (B, d) query, (B, L) bool -> (B, d)."""
        batch, length, dim = kv.shape
        each = (self.heads, dim // self.heads)
        query = self.to_q(self.norm1(q)).view(batch, 1, *each).transpose(1, 2)  # (B, heads, 1, d / heads)
        key, value = self.to_kv(self.norm1(kv)).view(batch, length, 2, dim).unbind(2)  # (B, L, d) each
        key, value = (t.reshape(batch, length, *each).transpose(1, 2) for t in (key, value))
        mask = None if present is None else present[:, None, None, :]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)  # (B, heads, 1, d / heads)
        q = q + self.drop(self.to_out(seen.transpose(1, 2).reshape(batch, dim)))
        q = q + self.mlp(self.norm2(q))
        out: Tensor = self.norm(q)
        return out
