"""A transformer over the steps of an episode (Vaswani et al. 2017; Parisotto et al. 2020).

Legend: L steps, M sequences, W steps of the window, E numbers of a step, H heads, C layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from rltrain.core.errors import UserError
from rltrain.networks.layers import passed
from rltrain.networks.mlp import linear
from rltrain.networks.recurrent import Recurrent
from rltrain.settings.networks import TransformerSettings


class Block(nn.Module):
    """Attention and a feed-forward layer, each with normalisation before it and a way around."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.distance = nn.Parameter(torch.zeros(heads, window))  # bias by the steps in between
        self.forward_norm = nn.LayerNorm(width)
        self.forward_layers = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, cache: Tensor, apart: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
        """Steps `[M, L, E]` after this block, and their keys and values `[M, L, 2 E]`.

        `cache` `[M, W − 1, 2 E]` are those of the steps before; `apart` `[L, W − 1 + L]` says
        how far back each is, and `seen` `[M, L, W − 1 + L]` whether attention may see it.
        """
        query, own = self.qkv(self.attention_norm(x)).split((x.shape[-1], 2 * x.shape[-1]), -1)
        key, value = torch.cat([cache.to(own.dtype), own], 1).chunk(2, -1)
        window = self.distance.shape[1]
        bias = self.distance[:, apart.clamp(0, window - 1)]  # [H, L, W − 1 + L]
        mask = bias.masked_fill(~seen.unsqueeze(1), -torch.inf).to(query.dtype)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value)
        )
        attended = scaled_dot_product_attention(q, k, v, mask)  # [M, H, L, E / H]
        x = x + self.out(attended.transpose(1, 2).flatten(-2))
        return x + self.forward_layers(self.forward_norm(x)), own


class Transformer(Recurrent):
    """Blocks whose attention sees the last W steps of the episode, and nothing that follows.

    The state is a cache: of every block the keys and values of W − 1 steps, and how many of
    them there are. With C blocks a step hears of C (W − 1) steps before it, through others.

    Raises:
        UserError: the width cannot be dealt out to the heads.
    """

    def __init__(self, settings: TransformerSettings, in_features: int) -> None:
        super().__init__(settings)
        s = settings
        if s.width % s.num_heads:
            raise UserError(
                f"network.width={s.width} must be a multiple of network.num_heads={s.num_heads}."
            )
        self.window, self.width, self.checkpointing = s.window, s.width, s.checkpointing
        self.out_features = s.width
        self.embed = linear(in_features, s.width, None)
        self.blocks = nn.ModuleList(
            Block(s.width, s.num_heads, s.window) for _ in range(s.num_layers)
        )
        self.norm = nn.LayerNorm(s.width)
        self._cached = (s.num_layers, s.window - 1, 2 * s.width)
        self.state_size = s.num_layers * (s.window - 1) * 2 * s.width + 1

    def before(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.embed(x)
        return embedded

    def unroll(self, z: Tensor, state: Tensor, length: Tensor | None) -> tuple[Tensor, Tensor]:
        steps, past = len(z), self.window - 1
        cache, count = state[:, :-1].reshape(len(state), *self._cached), state[:, -1].long()
        # Keys are the cached steps, the newest last, and then those of z.
        at = torch.arange(past + steps, device=z.device)
        apart = past + torch.arange(steps, device=z.device).unsqueeze(1) - at  # [L, W − 1 + L]
        near = (apart >= 0) & (apart < self.window)
        there = (at >= past - count.unsqueeze(1)) | (at >= past)  # [M, W − 1 + L]
        seen = near & there.unsqueeze(1)
        x, kept = z.transpose(0, 1), []
        for c, block in enumerate(self.blocks):
            x, own = passed(block, self.checkpointing, x, cache[:, c], apart, seen)
            kept.append(own)
        features: Tensor = self.norm(x).transpose(0, 1)
        if length is None:
            return features, state
        return features, self._state_after(cache, count, torch.stack(kept, 1), length)

    def _state_after(self, cache: Tensor, count: Tensor, kept: Tensor, length: Tensor) -> Tensor:
        """The cache and count `[M, S]` after `length` `[M]` of the steps in `kept`."""
        past = self.window - 1
        every = torch.cat([cache, kept.to(cache.dtype)], 2)  # [M, C, W − 1 + L, 2 E]
        rows = length.unsqueeze(1) + torch.arange(past, device=kept.device)  # [M, W − 1]
        index = rows[:, None, :, None].expand(-1, every.shape[1], -1, every.shape[3])
        after = every.gather(2, index).flatten(1)
        number = (count + length).clamp(max=past).to(after.dtype)
        return torch.cat([after, number.unsqueeze(1)], 1)
