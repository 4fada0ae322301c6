"""Encoders of texts.

Legend: N texts, L codes of each (0 behind its end), M codes in all that are none of those 0,
V kinds of tokens, E numbers of an embedding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rltrain.core.layout import Leaf
from rltrain.networks.layers import ACTIVATIONS, initialized
from rltrain.settings.networks import EncoderSettings

_BASE, _PRIME = 1_000_003, 2**31 - 1


class Text(nn.Module):
    """Codes of characters `[N, L]` to features `[N, 2E]`, whatever stands behind their end.

    Characters or words are embedded and seen with both neighbours; of what that gives, the
    mean and the maximum over the text's length are taken.
    """

    def __init__(self, settings: EncoderSettings, leaf: Leaf, words: bool) -> None:
        super().__init__()
        self.tokens = Words(leaf.alphabet, leaf.shape[0], settings.word_buckets) if words else None
        count = settings.word_buckets if words else len(leaf.alphabet)
        self.embedding = nn.Embedding(count + 1, settings.text_size, padding_idx=0)
        self.neighbours = Neighbours(settings.text_size, settings.text_size, 3, padding=1)
        initialized(self.neighbours, settings.cnn_initialization)
        self.activation = ACTIVATIONS[settings.cnn_activation]()
        self.out_features = 2 * settings.text_size

    def forward(self, codes: Tensor) -> Tensor:
        tokens = codes.long() if self.tokens is None else self.tokens(codes)
        there = tokens != 0
        if torch.compiler.is_compiling():  # which wants shapes that do not depend on values
            x = self.neighbours(self.embedding(tokens).transpose(1, 2))
            return pooled_where(self.activation(x), there.unsqueeze(1))
        x = self.neighbours.where(there, tokens, self.embedding.weight)
        return pooled(self.activation(x), there)


class Neighbours(nn.Conv1d):
    """A convolution of width 3 that can keep to where texts are: few are as long as they may be."""

    def where(self, there: Tensor, tokens: Tensor, embeddings: Tensor) -> Tensor:
        """`[M, E]`, text after text, of `tokens` `[N, L]` with their `embeddings` `[V, E]`.

        What is multiplied are the embeddings, and the products looked up and summed: so a text
        gives the same bits whatever texts stand beside it.
        """
        known = functional.pad(embeddings[1:], (0, 0, 1, 0))  # nothing is learned of token 0
        products = torch.einsum("ve,oek->kvo", known, self.weight).to(embeddings.dtype)
        around = functional.pad(tokens, (1, 1)).unfold(1, 3, 1)[there]  # [M, 3]
        rows = around + len(embeddings) * torch.arange(3, device=tokens.device)
        summed = functional.embedding(rows, products.flatten(0, 1)).sum(1)
        return summed if self.bias is None else summed + self.bias


def pooled(x: Tensor, there: Tensor) -> Tensor:
    """Mean and maximum `[N, 2E]` over each text of what `x` `[M, E]` has where `there` `[N, L]` is
    set, which is at the beginning; 0 of none."""
    lengths = there.sum(1, keepdim=True)
    longest = max(1, int(lengths.max()))
    sums: Tensor = _Sums.apply(x, lengths.squeeze(1))  # type: ignore[no-untyped-call]
    spread = x.new_full((len(there), longest, x.shape[1]), -torch.inf)
    spread[there[:, :longest]] = x
    highest = spread.amax(1).masked_fill(lengths == 0, 0)
    return torch.cat([sums / lengths.clamp(min=1), highest], -1)


class _Sums(torch.autograd.Function):
    """Sums `[N, E]` of as many rows of `[M, E]` as `[N]` lengths say, each in its own order.

    Torch's own cannot be differentiated twice, as TRPO does.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor) -> Tensor:
        ctx.save_for_backward(lengths)
        return torch.segment_reduce(x, "sum", lengths=lengths, initial=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (lengths,) = ctx.saved_tensors
        return gradient.repeat_interleave(lengths, 0), None


def pooled_where(x: Tensor, there: Tensor) -> Tensor:
    """The same of `x` `[N, E, L]` where `there` `[N, 1, L]` is set."""
    mean = (x * there).sum(-1) / there.sum(-1).clamp(min=1)
    highest = x.masked_fill(~there, -torch.inf).amax(-1)
    return torch.cat([mean, highest.masked_fill(~there.any(-1), 0)], -1)


class Words(nn.Module):
    """Codes of characters `[N, L]` to numbers of words `[N, (L + 1) / 2]`, 0 behind the last.

    A word is a run of letters and digits, whatever their case; its number is its hash in
    1 … `buckets`, the same in every process and for every alphabet.
    """

    value: Tensor
    power: Tensor

    def __init__(self, alphabet: str, length: int, buckets: int) -> None:
        super().__init__()
        self.buckets = buckets
        values = [0, *(ord(c.lower()[0]) if c.isalnum() else 0 for c in alphabet)]
        powers = [1]
        for _ in range(length):
            powers.append(powers[-1] * _BASE % _PRIME)
        self.register_buffer("value", torch.tensor(values), persistent=False)
        self.register_buffer("power", torch.tensor(powers), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        value = self.value[codes.long()]
        inside = value > 0
        before = torch.zeros_like(inside)
        before[:, 1:] = inside[:, :-1]
        start = inside & ~before
        at = torch.arange(codes.shape[1], device=codes.device)
        began = torch.where(start, at, 0).cummax(1).values
        word = (start.cumsum(1) - 1).clamp(min=0)
        part = torch.where(inside, value * self.power[at - began], 0)  # below 2⁵²
        slots = (codes.shape[1] + 1) // 2
        sums = part.new_zeros(len(codes), slots).scatter_add_(1, word, part)
        present = torch.arange(slots, device=codes.device) < start.sum(1, keepdim=True)
        return torch.where(present, 1 + sums % _PRIME % self.buckets, 0)
