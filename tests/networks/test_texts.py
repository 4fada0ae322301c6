"""Texts: what stands behind their end is never seen, words are told by their hash."""

from __future__ import annotations

import pytest
import torch
from gymnasium import spaces
from torch import nn

from rltrain.core.layout import layout_of
from rltrain.envs.packing import Packer
from rltrain.networks.texts import Text, Words, pooled, pooled_where
from tests.networks.settings import encoding

LETTERS = "ABCabcdefghijklmnopqrstuvwxyz ,0123456789"


def codes(*texts: str, length: int = 24) -> torch.Tensor:
    pack = Packer(layout_of(spaces.Text(length, min_length=0, charset=LETTERS)))
    return torch.stack([torch.from_numpy(pack(text).copy()) for text in texts])


def encoder(words: bool, length: int = 24) -> Text:
    torch.manual_seed(0)
    leaf = layout_of(spaces.Text(length, min_length=0, charset=LETTERS)).leaves[0]
    return Text(encoding(), leaf, words)


def test_mean_and_maximum_are_over_the_length() -> None:
    x = torch.tensor([[1.0, 0.0], [-3.0, 5.0], [-1.0, -2.0]], requires_grad=True)
    found = pooled(x, torch.tensor([[1, 1, 0], [0, 0, 0], [1, 0, 0]]).bool())
    assert found.tolist() == [[-1, 2.5, 1, 5], [0, 0, 0, 0], [-1, -2, -1, -2]]
    found.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1.5, 0.5], [0.5, 1.5], [2, 2]]


def test_mean_and_maximum_where_a_mask_is_set() -> None:
    x = torch.tensor([[[1.0, -3.0, 9.0]], [[-1.0, -2.0, 9.0]], [[5.0, 5.0, 5.0]]])  # [N, 1, L]
    mask = torch.tensor([[[1, 1, 0]], [[1, 0, 0]], [[0, 0, 0]]]).bool()
    assert pooled_where(x, mask).tolist() == [[-1, 1], [-1, -1], [0, 0]]


def test_it_can_be_differentiated_twice() -> None:
    text = encoder(words=False).double()
    text.activation = nn.Tanh()
    x = codes("go left", "a", "")

    def output(*parameters: torch.Tensor) -> torch.Tensor:
        names = dict(zip(dict(text.named_parameters()), parameters, strict=True))
        found: torch.Tensor = torch.func.functional_call(text, names, (x,))
        return found[:, ::16]

    torch.manual_seed(1)
    one = text.neighbours.weight.detach().clone().requires_grad_()

    def of_weights(weight: torch.Tensor) -> torch.Tensor:
        rest = [p.detach() for p in text.parameters()]
        return output(rest[0], weight, rest[2])

    assert torch.autograd.gradgradcheck(of_weights, one, fast_mode=True)


@pytest.mark.parametrize("words", [False, True])
def test_compiled_it_is_one_graph_of_torchs_convolution_with_equal_gradients(words: bool) -> None:
    text = encoder(words)
    compiled = torch.compile(text, backend="eager", fullgraph=True)
    x = codes("go left now", "a", "", "abcdefghijklmnopqrstuvwx")
    found, expected = [
        [output.detach(), *torch.autograd.grad((output * weights).sum(), list(text.parameters()))]
        for output in (text(x), compiled(x))
        for weights in [torch.linspace(-1, 1, 64)]
    ]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        assert b.any()


@pytest.mark.parametrize("words", [False, True])
def test_a_text_gives_the_same_bits_whatever_stands_beside_it(words: bool) -> None:
    text = encoder(words)
    x = codes("go left now", "a", "", "abcd efgh ijkl")
    with torch.no_grad():
        together = text(x)
        alone = torch.cat([text(row[None]) for row in x])
        blank = text(x * torch.tensor([[1], [0], [0], [1]], dtype=x.dtype))
    assert torch.equal(together, alone)
    assert torch.equal(together[[0, 3]], blank[[0, 3]])


@pytest.mark.parametrize("words", [False, True])
def test_room_behind_the_end_makes_no_difference(words: bool) -> None:
    short, long = encoder(words, 12), encoder(words, 24)
    long.load_state_dict(short.state_dict())
    x = ("go left", "a", "")
    torch.testing.assert_close(short(codes(*x, length=12)), long(codes(*x, length=24)))
    assert short(codes(*x, length=12)).shape == (3, 64)
    assert not short(codes("", length=12)).any()


@pytest.mark.parametrize("words", [False, True])
def test_texts_are_told_apart_and_their_order_too(words: bool) -> None:
    with torch.no_grad():
        found = encoder(words)(codes("go left now", "go right now", "now left go"))
    assert not torch.allclose(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


def test_a_word_has_one_number_wherever_it_stands_and_whatever_its_case() -> None:
    words = Words("".join(sorted(LETTERS)), 24, 1_000_000)
    one = words(codes("go left, go", " left  go", "ABC abc", "a1 1a"))
    assert one.shape == (4, 12)
    go, left = one[0, 0].item(), one[0, 1].item()
    assert go != left
    assert one[0].tolist() == [go, left, go, *[0] * 9]
    assert one[1].tolist() == [left, go, *[0] * 10]
    assert one[2, 0] == one[2, 1]
    assert one[3, 0] != one[3, 1]
    assert not one[2:, 2:].any()


def test_the_hash_by_hand_and_for_any_alphabet() -> None:
    words = Words("".join(sorted(LETTERS)), 24, 1000)
    # "ab": 97 + 98 · 1,000,003 = 98,000,391; below 2³¹ − 1, so mod 1000 it is 391
    assert words(codes("ab"))[0, 0] == 1 + 391
    other = Words("ab", 24, 1000)
    assert other(torch.tensor([[1, 2, 0]]))[0, 0] == 1 + 391


def test_numbers_are_within_the_buckets() -> None:
    words = Words("".join(sorted(LETTERS)), 24, 3)
    found = words(codes("a b c d e f g h i j k l"))
    assert set(found.unique().tolist()) <= {1, 2, 3}


def test_a_text_of_many_codes_too() -> None:
    alphabet = "".join(map(chr, range(32, 400)))
    layout = layout_of(spaces.Text(6, charset=alphabet))
    row = torch.from_numpy(Packer(layout)("aĀb"))[None]
    assert row.dtype == torch.int32
    assert Text(encoding(), layout.leaves[0], words=False)(row).shape == (1, 64)
