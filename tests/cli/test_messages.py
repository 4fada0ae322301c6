"""The likeliest mistakes, and the line that each is answered with."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rltrain import cli

Fails = Callable[[str], str]


@pytest.fixture
def fails(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Fails:
    """Runs a line that is a mistake; returns the one line that answers it."""

    def command(line: str) -> str:
        monkeypatch.setattr(sys, "argv", ["rltrain", *shlex.split(line)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert (end.value.code, out) == (2, ""), (out, err)
        assert err.startswith("rltrain: ")
        assert len(err.splitlines()) == 1, err
        assert not list(in_tmp.iterdir())
        return err.removeprefix("rltrain: ").strip()

    return command


KEYS = [
    ("lr=0.001", "Unknown key lr. Did you mean algo.learning_rate?"),
    ("learning_rate=1e-3 algo=dqn", "Unknown key learning_rate. Did you mean algo.learning_rate?"),
    ("gamma=0.9", "Unknown key gamma. Did you mean algo.gamma?"),
    ("optimizer.lr=1e-3", "Unknown key optimizer.lr. Did you mean algo.learning_rate?"),
    ("num_envs=8", "Unknown key num_envs. Did you mean env.num_envs?"),
    ("+n_envs=8", "Unknown key n_envs. Did you mean env.num_envs?"),
    ("timesteps=1000", "Unknown key timesteps. Did you mean total_timesteps?"),
    ("hidden_sizes=[64,64]", "Unknown key hidden_sizes. Did you mean network.hidden_sizes?"),
    ("env.render_mode=human", "Unknown key env.render_mode. Did you mean env.kwargs.render_mode?"),
    ("eval.freq=100", "Unknown key eval.freq. Did you mean eval.every?"),
    ("algorithm=dqn", "Unknown key algorithm. Did you mean algo?"),
    ("algo/gamma=3", "Unknown key algo/gamma. Did you mean algo.gamma?"),
    ("algo..gamma=3", "Unknown key algo..gamma. Did you mean algo.gamma?"),
    ("algo.gama=3", "Unknown key algo.gama. Did you mean algo.gamma?"),
    (
        "network.hidden_sizes[0]=3",
        "Unknown key network.hidden_sizes[0]. Did you mean network.hidden",
    ),
    (
        "buffer_size=100",
        "Unknown key buffer_size. It exists with algo=dqn, sac, td3, ddpg …: algo.b",
    ),
    (
        "ent_coef=1",
        "Unknown key ent_coef. It exists with algo=sac: algo.ent_coef, or with explorat",
    ),
    ("wandb=true", "Unknown key wandb. `rltrain describe run` shows those that there are."),
    ("hydra.foo=1", "Unknown key hydra.foo. `rltrain --cfg hydra` shows those that there are."),
    ("~algo", "~algo: every run has algo, which cannot be taken away."),
    ("=3", "'=3' has no key before the =."),
]

CHOICES = [
    ("algo=PPO", "algo=PPO is not known. Did you mean ppo?"),
    ("algo=qrdqn", "algo=qrdqn is not known. Did you mean qr_dqn?"),
    ("algo=vpg", "algo=vpg is not known. Did you mean reinforce?"),
    ("algo=3", "algo=3 is not known. Choose from: a2c, bc, "),
    ("algo=", "algo= needs a value. Choose from: a2c, bc, "),
    ("network=cnn", "network=cnn is not known. Did you mean nature_cnn or impala?"),
    ("network=[]", "network=[]: expected one name, as in network=gru."),
    ("-m network=[],mlp", "network=[],mlp: expected one name, as in network=gru."),
    ("-m algo=ppo,null", "algo=null is not known. Choose from: a2c, "),
    ("tuned=null", "tuned=null is not known. Did you mean tuned=none?"),
    ("eval=false", "eval=false: eval has keys rather than choices: eval.every, eval.episodes, "),
    ("logger=wandb", "logger=wandb: logger has keys rather than choices: logger.every, "),
    (
        "hydra/launcher=joblib -m seed=0,1",
        "hydra/launcher=joblib needs a package that is missing: pip install hydra-joblib-launcher",
    ),
    ("--config-name foo", "--config-name foo: there is no foo.yaml in the folders of config"),
]

ENVS = [
    ("env=cart_pole", "Did you mean CartPole-v0 or CartPole-v1?"),
    ("env=Taxi-v2", "Did you mean Taxi-v4?"),
    ("env=Pong-v5", "Did you mean ALE/Pong-v5?"),
    ("env=BreakoutNoFrameskip-v4", "Breakout"),
    ("env=gym:CartPole-v1", "there is no module 'gym' in "),
    ("env=gym:CartPole-v1", "Did you mean env=CartPole-v1?"),
    ("env=my_envs.py:Mine", "Did you mean env=my_envs:Mine?"),
    ("-m env=glob(*)", "env=glob(*) means every environment there is. Name some: "),
    ("-m env=glob(zzz*)", "The sweep has no jobs: no choice matches its glob(…)."),
]

VALUES = [
    ("network.hidden_sizes=64,64", "write a list in brackets: 'network.hidden_sizes=[64,64]'"),
    ("network.hidden_sizes=64", "Did you mean 'network.hidden_sizes=[64]'?"),
    ("'network.hidden_sizes=(64,64)'", "As a list: 'network.hidden_sizes=[64,64]'"),
    ("total_timesteps=10,000", "rltrain -m …. As one value: total_timesteps=10_000"),
    ("algo.gamma=0,9", "As one value: algo.gamma=0.9"),
    ("seed=0,1", "seed=0,1 has several values, which need a sweep: rltrain -m …."),
    ("seed=range(3)", "seed=range(3) has several values, which need a sweep"),
    ("-m seed=rnage(3)", "Did you mean range(…)?"),
    ("-m seed=range(0)", "seed=range(0) has no values."),
    ("-m output_dir=range(0)", "output_dir=range(0) has no values."),
    ("-m seed=range(0,10,0)", "a sweep of more than 10,000 jobs"),
    ("-m seed=range(0,1e9)", "a sweep of more than 10,000 jobs"),
    ("-m seed=range(200) algo.gamma=range(0,1,0.001)", "a sweep of more than 10,000 jobs"),
    ("-m seed=interval(0,1)", "write range(…), or values"),
    ("total_timesteps=10k", "Did you mean total_timesteps=10e3?"),
    ("eval.deterministic=yes", "Did you mean eval.deterministic=true?"),
    ("compile=true", "expected one of auto, on, off. Did you mean on?"),
    ("sampler=Inline", "Did you mean inline?"),
    ("run_name=", "run_name= needs a value, or null for none."),
    ("output_dir=", "output_dir= needs a value."),
    ("seed=1.5", "seed=1.5: expected integer."),
    ("env.kwargs.file=a,b", "As one value: 'env.kwargs.file=\"a,b\"'"),
    ("-m run_name=lr=1,lr=2", "As one text: 'run_name=\"lr=1,lr=2\"'"),
    ("'run_name=${foo}'", "run_name: Interpolation key 'foo' not found"),
    (f"run_name={'x' * 300}", "…: a name of more than 255 bytes."),
    ("'run_name=${foo'", "run_name=${foo: ${ begins an interpolation, which no } ends."),
]

FORMS = [
    ("algo = ppo env=CartPole-v1", "Write: rltrain algo=ppo env=CartPole-v1"),
    ("algo= ppo env =CartPole-v1", "Write: rltrain algo=ppo env=CartPole-v1"),
    ("--algo ppo --env CartPole-v1", "Write: rltrain algo=ppo env=CartPole-v1"),
    ("--algo=ppo --lr 3e-4", "Write: rltrain algo=ppo algo.learning_rate=3e-4"),
    ("env=CartPole-v1 --seed 3 -m", "Write: rltrain -m env=CartPole-v1 seed=3"),
    ("ppo CartPole-v1", "Write: rltrain algo=ppo env=CartPole-v1"),
    ("train algo=ppo env=CartPole-v1", "Write: rltrain algo=ppo env=CartPole-v1"),
    ("train ppo CartPole-v1", "Write: rltrain algo=ppo env=CartPole-v1"),
    ("env:CartPole-v1", "Write: rltrain env=CartPole-v1"),
    ("evla latest", "Unknown command 'evla'. Did you mean eval?"),
    ("env=CartPole-v1 seed", "'seed' is not of the form key=value, as in seed=VALUE."),
    ("env=CartPole-v1 -v", "Unknown option -v."),
    ("env=CartPole-v1 --multi", "Unknown option --multi. Did you mean --multirun?"),
    ("env=CartPole-v1 --cfg foo", "--cfg foo: expected one of job, hydra, all."),
    ("env=CartPole-v1 --cfg", "--cfg: expected one of job, hydra, all."),
    ("eval latest --episodes 100", "Write: rltrain eval latest episodes=100"),
    ("eval episodes=3", "Which run? rltrain eval latest, or a folder: outputs/RUN"),
    ("resume latest device=cpu", "Write: rltrain resume=latest device=cpu"),
    (f"env={'x' * 300}", "…: a name of more than 255 bytes."),
    (f"eval outputs/{'x' * 300}", "…: a name of more than 255 bytes."),
    (f"resume=outputs/{'é' * 150}", "…: a name of more than 255 bytes."),
    ("-m env=CartPole-v1 seed=0,1 --cfg hydra", "of a sweep: --cfg job"),
    ("sweep env=CartPole-v1 seed=0,1", "Write: rltrain -m env=CartPole-v1 seed=0,1"),
    ("play latest", "Unknown command 'play'. Did you mean eval?"),
    ("list environments", "Unknown list 'environments'. Did you mean envs?"),
    ("describe network", "One of its choices: gru, "),
    ("describe algo.clip_range", "It is a key that describe shows for ippo, ppo."),
    ("plot --out x.png", "Unknown option --out. Options are out=VALUE or column=VALUE"),
    ("list algo", "Unknown list 'algo'. Did you mean algos?"),
    ("describe CartPole-v1", "Its network: rltrain describe algo=ppo env=CartPole-v1"),
    ("-sc install=tcsh", "or zsh, or fish."),
]


@pytest.mark.parametrize(("line", "answer"), KEYS + CHOICES)
def test_keys_and_choices(fails: Fails, line: str, answer: str) -> None:
    assert fails(f"env=CartPole-v1 {line}").startswith(answer)


@pytest.mark.parametrize(("line", "part"), ENVS + FORMS)
def test_environments_and_forms(fails: Fails, line: str, part: str) -> None:
    assert part in fails(line)


@pytest.mark.parametrize(("line", "part"), VALUES)
def test_values(fails: Fails, line: str, part: str) -> None:
    answer = fails(f"env=CartPole-v1 {line}")
    assert part in answer
    assert "++" not in answer


@pytest.mark.parametrize("name", ["gpu", "CUDA"])
def test_another_name_of_a_device(name: str) -> None:
    from rltrain.core.errors import UserError
    from rltrain.training.choices import choose_device
    from rltrain.training.performance import Performance

    with pytest.raises(UserError, match=f"device={name} is not there.*Did you mean device=cuda?"):
        choose_device(name, 0, Performance())
