import dataclasses
from typing import Any

import pytest

from rltrain import config
from rltrain.core.errors import UserError
from rltrain.settings.networks import MLPNetworkSettings
from rltrain.settings.registry import GROUPS
from rltrain.settings.run import PARTS, build_run
from rltrain.settings.schema import keys_of
from tests.settings.test_algos import BASES

MLP = {
    "name": "mlp",
    "hidden_sizes": [8],
    "activation": "tanh",
    "initialization": "orthogonal",
    "layer_norm": False,
    "shared": False,
    "encoders": {},
    "pictures": "auto",
    "channels": "auto",
    "picture_size": 64,
    "checkpointing": False,
    "cnn_width": 1,
    "cnn_depth": 2,
    "cnn_activation": "relu",
    "cnn_initialization": "orthogonal",
    "cnn_layer_norm": False,
    "text": "characters",
    "text_size": 32,
    "word_buckets": 1024,
}
SGD = {"name": "sgd", "warmup": 0.0, "accumulation": 1, "momentum": 0.0, "weight_decay": 0.0}
NONE = {"name": "none"}
EPS = {
    "name": "epsilon_greedy",
    "initial_eps": 1.0,
    "final_eps": 0.0,
    "fraction": 0.5,
    "schedule": "linear",
}
RND = {
    "name": "rnd",
    "coef": 1.0,
    "learning_rate": 1e-4,
    "hidden_sizes": [8],
    "num_features": 4,
    "gamma": 0.99,
    "batch_size": 4,
    "warmup": 2,
}


def values(**changes: Any) -> dict[str, Any]:
    base = {
        "algo": BASES["ppo"],
        "exploration": NONE,
        "augment": NONE,
        "intrinsic": NONE,
        "network": MLP,
        "schedules": "auto",
        "optimizer": SGD,
        "env": {
            "id": "CartPole-v1",
            "kwargs": {},
            "num_envs": 2,
            "max_episode_steps": None,
            "drop_keys": [],
            "batched": True,
            "frame_stack": 1,
            "clip_reward": False,
            "on_error": "fail",
            "max_restarts": 10,
            "step_timeout": None,
            "frame_skip": 1,
            "sticky_actions": None,
            "grey": False,
            "screen_size": None,
            "noop_max": 0,
            "fire_reset": False,
            "episodic_life": False,
        },
        "eval": {
            "every": 0,
            "episodes": 1,
            "stop_at": None,
            "deterministic": True,
            "max_episode_steps": 100,
        },
        "checkpoint": {"every": 0, "keep_last": 1},
        "logger": {"every": 0, "tensorboard": False, "csv": True, "console": "auto"},
        "total_timesteps": 1e6,
        "dataset": None,
        "dataset_share": 0.5,
        "init_from": None,
        "init_freeze": False,
        "seed": 0,
        "device": "cpu",
        "num_threads": "auto",
        "kernels": "auto",
        "precision": "fp32",
        "compile": "auto",
        "ema": None,
        "sampler": "auto",
        "num_workers": "auto",
        "profile": False,
        "output_dir": "outputs",
        "run_name": None,
        "plugins": [],
        "tuned": None,
        "choices": {},
    }
    return base | changes


def within(part: str, **changes: Any) -> dict[str, Any]:
    return values(**{part: values()[part] | changes})


def test_a_whole_configuration_is_built() -> None:
    run = build_run(values())
    assert run.total_timesteps == 1_000_000
    assert run.algo.n_steps == 8
    assert run.network == MLPNetworkSettings(**MLP | {"hidden_sizes": (8,)})
    assert run.env.id == "CartPole-v1"
    assert run.num_threads == "auto"
    assert run.plugins == ()


def test_a_tabular_algorithm_takes_neither_network_nor_optimizer() -> None:
    run = build_run(values(algo=BASES["q_learning"], exploration=EPS, network=NONE, optimizer=NONE))
    assert (run.algo.name, run.network.name, run.optimizer.name) == ("q_learning", "none", "none")


@pytest.mark.parametrize(
    ("algo", "changes", "message"),
    [
        ("ppo", {"network": NONE}, "^network=none: algo=ppo needs one"),
        ("dqn", {"optimizer": NONE}, "^optimizer=none: algo=dqn needs one"),
        ("bc", {}, "^dataset: name one to learn from"),
        ("ppo", {"dataset": "a-v0"}, r"^dataset=a-v0: algo=ppo .* take a dataset: bc"),
        ("iql", {"exploration": EPS, "intrinsic": RND}, "^intrinsic=rnd: it is for one agent"),
        ("q_learning", {"optimizer": NONE}, "^network=mlp: algo=q_learning is tabular"),
        ("q_learning", {"network": NONE}, "^optimizer=sgd: algo=q_learning is tabular"),
    ],
)
def test_parts_that_do_not_go_together(algo: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_run(values(algo=BASES[algo], **changes))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("part", [None, {}, "ppo"])
def test_a_group_without_a_choice_is_named(group: str, part: Any) -> None:
    with pytest.raises(UserError, match=f"^{group}: nothing is chosen"):
        build_run(values(**{group: part}))


def test_an_unknown_choice_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"^algo=pop is not known. Did you mean ppo"):
        build_run(values(algo={"name": "pop"}))


@pytest.mark.parametrize("env_id", [None, ""])
def test_no_environment_is_asked_for(env_id: str | None) -> None:
    with pytest.raises(UserError, match=r"^env: choose an environment"):
        build_run(within("env", id=env_id))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (within("algo", gama=0.9), "^Unknown key algo.gama. Did you mean algo.gamma"),
        (within("network", hidden_sizes=[0]), r"^network.hidden_sizes\[0\]=0 is out of range"),
        (within("env", num_envs=0), "^env.num_envs=0 is out of range"),
        (within("env", max_episode_steps=0), "^env.max_episode_steps=0 is out of range"),
        (within("eval", episodes=0), "^eval.episodes=0 is out of range"),
        (within("eval", every=-1), "^eval.every=-1 is out of range"),
        (within("eval", stop_at=float("inf")), "^eval.stop_at=inf is out of range"),
        (within("eval", stop_at=475), "^eval.stop_at=475: eval.every=0 .*Set eval.every"),
        (within("checkpoint", keep_last=0), "^checkpoint.keep_last=0 is out of range"),
        (within("logger", console="ato"), r"^logger.console=ato: .*mean auto"),
        (within("logger", csv="yes"), "^logger.csv=yes: expected true"),
        (values(total_timesteps=0), "^total_timesteps=0 is out of range"),
        (values(seed=-1), "^seed=-1 is out of range"),
        (values(seed=2**32), "^seed=4294967296 is out of range"),
        (values(dataset_share=0), "^dataset_share=0.0 is out of range"),
        (values(dataset_share=1.1), "^dataset_share=1.1 is out of range"),
        (values(num_threads=0), "^num_threads=0 is out of range"),
        (values(num_threads="atuo"), "^num_threads=atuo: .*mean auto"),
        (values(eval=None), "^eval must be a mapping"),
        (values(total_steps=1), "^Unknown key total_steps. Did you mean total_timesteps"),
    ],
)
def test_mistakes_have_a_dotted_path(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_run(given)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_every_32_bit_seed_is_valid(seed: int) -> None:
    assert build_run(values(seed=seed)).seed == seed


def test_a_missing_part_is_named() -> None:
    given = values()
    del given["checkpoint"]
    with pytest.raises(UserError, match=r"^Missing key checkpoint "):
        build_run(given)


def test_the_mapping_is_left_as_it_was() -> None:
    given = values()
    build_run(given)
    assert given == values()


def test_a_plugin_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"^plugins: there is no module no_such_module"):
        build_run(values(plugins=["no_such_module"]))


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        ("my_plugin", "^plugins=my_plugin: expected list of text"),
        (5, "^plugins=5: expected list of text"),
        ([""], "^plugins"),
        ([".relative"], "^plugins"),
    ],
)
def test_plugins_that_are_no_list_of_modules_are_refused(plugins: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_run(values(plugins=plugins))


@pytest.mark.parametrize("name", PARTS)
def test_parts_have_no_defaults_and_every_key_is_documented(name: str) -> None:
    for field in dataclasses.fields(PARTS[name]):
        assert field.default is dataclasses.MISSING, field.name
        assert field.default_factory is dataclasses.MISSING, field.name
    assert all(len(k.doc) > 5 and k.doc.endswith(".") for k in keys_of(PARTS[name]))


@pytest.mark.parametrize("key", ["optimizer.accumulation=2", "network.checkpointing=true"])
def test_what_passes_noisy_layers_in_parts_is_refused(key: str) -> None:
    values = config.compose(["algo=rainbow", "env=CartPole-v1", key])
    with pytest.raises(UserError, match=f"{key.partition('=')[0]} does not fit exploration=noisy"):
        build_run(values)
