from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from rltrain.core.errors import UserError
from rltrain.networks.recurrent import Sequences
from rltrain.networks.transformer import Block, Transformer
from tests.networks.test_recurrent import ATTENTION


def walk(network: Transformer, x: Tensor) -> Tensor:
    """Features `[L, E]` of one episode `[L, 2]`, step by step from its start."""
    state, features = torch.zeros(1, network.state_size), []
    for t in range(len(x)):
        out, state = network.advance(x[t : t + 1], state)
        features.append(out)
    return torch.cat(features)


def episode(network: Transformer, x: Tensor) -> Tensor:
    """The same in one pass."""
    begins = torch.arange(len(x)) == 0
    return network(Sequences(x, torch.zeros(len(x), 1, network.state_size), begins))


def filled(window: int = 3) -> Transformer:
    torch.manual_seed(0)
    network = Transformer(replace(ATTENTION, window=window), 2)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network


@pytest.mark.parametrize("window", [1, 2, 5, 30])
def test_the_cache_gives_what_a_pass_over_the_episode_gives(window: int) -> None:
    network, x = filled(window), torch.randn(12, 2)
    torch.testing.assert_close(walk(network, x), episode(network, x), rtol=1e-5, atol=1e-5)


def test_attention_by_hand() -> None:
    """With queries of zero all steps that are seen count alike: x + mean of the values."""
    block = Block(width=4, heads=2, window=2)
    with torch.no_grad():
        block.qkv.weight.zero_()
        block.qkv.weight[8:] = torch.eye(4)  # values are the normalised steps
        block.qkv.bias.zero_()
        block.out.weight.copy_(torch.eye(4))
        block.out.bias.zero_()
        block.forward_layers[2].weight.zero_()
        block.forward_layers[2].bias.fill_(0.25)
    x = torch.randn(1, 3, 4)
    apart = torch.tensor([[1, 0, -1, -2], [2, 1, 0, -1], [3, 2, 1, 0]])
    seen = ((apart >= 0) & (apart < 2)).unsqueeze(0)
    seen[:, :, 0] = False  # nothing is in the cache
    out, own = block(x, torch.zeros(1, 1, 8), apart, seen)
    value = nn.functional.layer_norm(x, (4,))[0]
    expected = x[0] + 0.25 + torch.stack([value[0], value[:2].mean(0), value[1:].mean(0)])
    torch.testing.assert_close(out[0], expected)
    torch.testing.assert_close(own[0, :, 4:], value)
    with torch.no_grad():  # a large bias for the step before hides the present one
        block.distance[:, 1] = 50
    out, _ = block(x, torch.zeros(1, 1, 8), apart, seen)
    torch.testing.assert_close(out[0, 2], x[0, 2] + 0.25 + value[1])


def test_a_step_hears_of_its_window_through_every_layer_and_of_no_later_one() -> None:
    network, x = filled(window=3), torch.randn(12, 2)
    before = episode(network, x)
    x[6] += 1
    changed = (episode(network, x) - before).abs().amax(1) > 1e-6
    assert changed.tolist() == [6 <= t <= 6 + 2 * (3 - 1) for t in range(12)]


def test_checkpointing_changes_no_number() -> None:
    plain = filled()
    thrifty = Transformer(replace(ATTENTION, checkpointing=True), 2)
    thrifty.load_state_dict(plain.state_dict())
    x, weights = torch.randn(12, 2), torch.randn(12, 6)
    for network in (plain, thrifty):
        (episode(network, x) * weights).sum().backward()
    for a, b in zip(plain.parameters(), thrifty.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-7)


def test_heads_share_the_width() -> None:
    with pytest.raises(UserError, match=r"^network.width=6 must be .* network.num_heads=4"):
        Transformer(replace(ATTENTION, num_heads=4), 2)
