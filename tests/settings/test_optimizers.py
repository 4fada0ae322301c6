import dataclasses
import inspect
from typing import Any

import pytest
import torch

from rltrain.core.errors import UserError
from rltrain.settings.registry import entry
from rltrain.settings.schema import build

COMMON = {"warmup": 0.0, "accumulation": 1}  # of every optimiser, and no argument of torch's
VALUES = {
    "adam": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    "adamw": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    "radam": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    "rmsprop": {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0},
    "sgd": {"momentum": 0.9, "weight_decay": 0.0},
}


def build_optimizer(name: str, **changes: Any) -> Any:
    return build(
        entry("optimizer", name).settings,
        {"name": name, **COMMON, **VALUES[name], **changes},
        "optimizer",
    )


@pytest.mark.parametrize("name", VALUES)
def test_the_keys_are_arguments_of_the_class_in_torch(name: str) -> None:
    found = dataclasses.asdict(build_optimizer(name))
    arguments = {k: v for k, v in found.items() if k not in ("name", *COMMON)}
    cls = entry("optimizer", name).load()
    assert arguments.keys() <= inspect.signature(cls).parameters.keys()
    group = cls([torch.zeros(1, requires_grad=True)], lr=0.1, **arguments).param_groups[0]
    assert {key: group[key] for key in arguments} == arguments


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("adam", {"betas": [0.9, 1.0]}, r"optimizer.betas\[1\]=1.0 is out of range"),
        ("adam", {"betas": [-0.1, 0.9]}, r"optimizer.betas\[0\]=-0.1 is out of range"),
        ("adam", {"betas": 0.9}, "optimizer.betas=0.9: expected list of 2 numbers"),
        ("adam", {"eps": 0}, "optimizer.eps=0.0 is out of range"),
        ("adamw", {"weight_decay": -1}, "optimizer.weight_decay=-1.0 is out of range"),
        ("rmsprop", {"alpha": 1}, "optimizer.alpha=1.0 is out of range"),
        ("rmsprop", {"momentum": -1}, "optimizer.momentum=-1.0 is out of range"),
        ("sgd", {"momentum": -1}, "optimizer.momentum=-1.0 is out of range"),
        ("sgd", {"eps": 1e-8}, "Unknown key optimizer.eps"),
        ("sgd", {"warmup": 1.5}, "optimizer.warmup=1.5 is out of range"),
        ("sgd", {"accumulation": 0}, "optimizer.accumulation=0 is out of range"),
        ("sgd", {"lr": 0.1}, "Unknown key optimizer.lr"),
    ],
)
def test_mistakes_are_named(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_optimizer(name, **changes)


@pytest.mark.parametrize("betas", [[], [0.9], [0.9, 0.9, 0.9]])
def test_betas_are_two(betas: list[float]) -> None:
    with pytest.raises(UserError, match=r"optimizer.betas"):
        build_optimizer("adam", betas=betas)
