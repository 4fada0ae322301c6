"""TorchRL: collector, loss and advantage modules, put together as its own examples are.

The row's threads. Several environments are stepped by SerialEnv, or by ParallelEnv where the row
asks for `workers`. One Adam moves actor and critic, as in its PPO for Atari.
"""

import time

from benchmarks.speed.peers.common import run


def train(work, report):
    import torch

    torch.set_num_threads(work["threads"])
    torch.manual_seed(work["seed"])
    report.watch_optimizers()
    return {"ppo": ppo, "dqn": dqn, "sac": sac}[work["algo"]](work, report)


def make_env(work, num_envs):
    import gymnasium as gym
    from torchrl.envs import (
        DoubleToFloat,
        GymEnv,
        ParallelEnv,
        RewardSum,
        SerialEnv,
        TransformedEnv,
    )
    from torchrl.envs.libs.gym import GymWrapper

    def one():
        if ":" in work["env"]:  # it asks Gymnasium for its backend's own names only
            return GymWrapper(gym.make(work["env"]), categorical_action_encoding=True)
        return GymEnv(work["env"], categorical_action_encoding=True)

    many = ParallelEnv if work.get("workers") else SerialEnv
    env = TransformedEnv(one() if num_envs == 1 else many(num_envs, one), RewardSum())
    if work["env"].startswith("HalfCheetah"):
        env.append_transform(DoubleToFloat(in_keys=["observation"]))
    env.set_seed(work["seed"])
    return env


def collect(work, report, env, policy, frames, **options):
    """A collector's batches, counted."""
    from torchrl.collectors import Collector

    collector = Collector(
        create_env_fn=env,
        policy=policy,
        frames_per_batch=frames,
        total_frames=work["steps"],
        device="cpu",
        storing_device="cpu",
        max_frames_per_traj=-1,
        **options,
    )
    report.first_step()
    for data in collector:
        report.steps += data.numel()
        done = data["next", "done"]
        report.returns.extend(data["next", "episode_reward"][done].tolist())
        yield data
        collector.update_policy_weights_()
    collector.shutdown()


def actor_critic(env):
    import torch
    from tensordict.nn import AddStateIndependentNormalScale, TensorDictModule
    from torch import nn
    from torchrl.modules import MLP, ProbabilisticActor, TanhNormal, ValueOperator

    size, space = env.observation_spec["observation"].shape[-1], env.action_spec_unbatched
    discrete = not space.dtype.is_floating_point
    outputs = space.space.n if discrete else space.shape[-1]

    def mlp(out):
        return MLP(in_features=size, out_features=out, num_cells=[64, 64], activation_class=nn.Tanh)

    if discrete:
        keys, body, bounds = ["logits"], mlp(outputs), {}
        distribution = torch.distributions.Categorical
    else:
        keys, distribution = ["loc", "scale"], TanhNormal
        bounds = {"low": space.space.low, "high": space.space.high, "tanh_loc": False}
        body = nn.Sequential(mlp(outputs), AddStateIndependentNormalScale(outputs))
    actor = ProbabilisticActor(
        TensorDictModule(body, in_keys=["observation"], out_keys=keys),
        in_keys=keys,
        spec=env.full_action_spec_unbatched,
        distribution_class=distribution,
        distribution_kwargs=bounds,
        return_log_prob=True,
    )
    return actor, ValueOperator(mlp(1), in_keys=["observation"])


def ppo(work, report):
    import torch
    from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
    from torchrl.data.replay_buffers.samplers import SamplerWithoutReplacement
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE

    env = make_env(work, work["num_envs"])
    actor, critic = actor_critic(env)
    rollout = work["num_envs"] * work["n_steps"]
    advantages = GAE(gamma=work["gamma"], lmbda=work["gae_lambda"], value_network=critic)
    loss_module = ClipPPOLoss(
        actor_network=actor,
        critic_network=critic,
        clip_epsilon=work["clip_range"],
        entropy_bonus=False,
        critic_coeff=0.5,
        loss_critic_type="l2",
        normalize_advantage=True,
    )
    buffer = TensorDictReplayBuffer(
        storage=LazyTensorStorage(rollout),
        sampler=SamplerWithoutReplacement(),
        batch_size=work["batch_size"],
    )
    optimizer = torch.optim.Adam(loss_module.parameters(), lr=work["learning_rate"], eps=1e-5)
    evaluate = evaluation(work, actor) if "stop_at" in work else None
    solved = False
    for data in collect(work, report, env, actor, rollout):
        if work["anneal"]:
            left = 1 - (report.steps - rollout) / work["steps"]
            optimizer.param_groups[0]["lr"] = work["learning_rate"] * left
            loss_module.clip_epsilon.copy_(work["clip_range"] * left)
        with torch.no_grad():
            data = advantages(data)
        for _ in range(work["n_epochs"]):
            buffer.extend(data.reshape(-1))
            for batch in buffer:
                losses = loss_module(batch)
                loss = losses["loss_objective"] + losses["loss_critic"]
                loss.backward()
                torch.nn.utils.clip_grad_norm_(loss_module.parameters(), 0.5)
                optimizer.step()
                optimizer.zero_grad()
        if evaluate is not None and evaluate(report):
            solved = True
            break
    return {"solved": solved} if evaluate else {}


def evaluation(work, actor):
    """Rolls greedy episodes out, as often as the others do."""
    import torch
    from torchrl.envs import ExplorationType, set_exploration_type

    env, evaluated = make_env(work, 1), 0

    def evaluate(report):
        nonlocal evaluated
        if report.steps // work["eval_every"] == evaluated:
            return False
        evaluated = report.steps // work["eval_every"]
        returns = []
        with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
            for _ in range(work["eval_episodes"]):
                played = env.rollout(1000, actor)
                returns.append(played["next", "reward"].sum().item())
        report.ended = time.monotonic()
        return sum(returns) / len(returns) >= work["stop_at"]

    return evaluate


def dqn(work, report):
    import torch
    from tensordict.nn import TensorDictSequential
    from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
    from torchrl.modules import MLP, EGreedyModule, QValueActor
    from torchrl.objectives import DQNLoss, HardUpdate

    env = make_env(work, 1)
    spec = env.action_spec_unbatched
    network = MLP(
        in_features=env.observation_spec["observation"].shape[-1],
        out_features=spec.space.n,
        num_cells=[120, 84],
        activation_class=torch.nn.ReLU,
    )
    model = QValueActor(module=network, spec=spec, in_keys=["observation"])
    greedy = EGreedyModule(
        annealing_num_steps=work["steps"] // 2, eps_init=1.0, eps_end=0.05, spec=model.spec
    )
    buffer = TensorDictReplayBuffer(
        storage=LazyTensorStorage(work["buffer_size"]), batch_size=work["batch_size"]
    )
    loss_module = DQNLoss(value_network=model, loss_function="l2", delay_value=True)
    loss_module.make_value_estimator(gamma=0.99)
    # counted in updates
    target = HardUpdate(
        loss_module,
        value_network_update_interval=work["target_update_interval"] // work["train_freq"],
    )
    optimizer = torch.optim.Adam(loss_module.parameters(), lr=work["learning_rate"])
    explorer = TensorDictSequential(model, greedy)
    start = work["learning_starts"]
    for data in collect(work, report, env, explorer, work["train_freq"], init_random_frames=start):
        data = data.reshape(-1)
        buffer.extend(data)
        greedy.step(data.numel())
        if report.steps <= start:
            continue
        loss = loss_module(buffer.sample())["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        target.step()


def sac(work, report):
    import torch
    from tensordict.nn import TensorDictModule
    from torch import nn
    from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
    from torchrl.modules import (
        MLP,
        NormalParamExtractor,
        ProbabilisticActor,
        TanhNormal,
        ValueOperator,
    )
    from torchrl.objectives import SACLoss, SoftUpdate

    env = make_env(work, 1)
    size, space = env.observation_spec["observation"].shape[-1], env.action_spec_unbatched
    actions = space.shape[-1]

    def mlp(inputs, outputs):
        cells = {"num_cells": [256, 256], "activation_class": nn.ReLU}
        return MLP(in_features=inputs, out_features=outputs, **cells)

    body = nn.Sequential(mlp(size, 2 * actions), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(body, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        spec=env.full_action_spec_unbatched,
        distribution_class=TanhNormal,
        distribution_kwargs={
            "low": space.space.low,
            "high": space.space.high,
            "tanh_loc": False,
        },
    )
    critic = ValueOperator(mlp(size + actions, 1), in_keys=["action", "observation"])
    loss_module = SACLoss(actor, critic, num_qvalue_nets=2, loss_function="l2")
    loss_module.make_value_estimator(gamma=work["gamma"])
    target = SoftUpdate(loss_module, eps=1 - work["tau"])
    groups = (
        list(loss_module.qvalue_network_params.flatten_keys().values()),
        list(loss_module.actor_network_params.flatten_keys().values()),
        [loss_module.log_alpha],
    )
    optimizers = [torch.optim.Adam(group, lr=work["learning_rate"]) for group in groups]
    buffer = TensorDictReplayBuffer(
        storage=LazyTensorStorage(work["buffer_size"]), batch_size=work["batch_size"]
    )
    start = work["learning_starts"]
    for data in collect(work, report, env, actor, work["train_freq"], init_random_frames=start):
        data = data.reshape(-1)
        buffer.extend(data)
        if report.steps <= start:
            continue
        losses = loss_module(buffer.sample())
        loss = losses["loss_qvalue"] + losses["loss_actor"] + losses["loss_alpha"]
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        target.step()


if __name__ == "__main__":
    run(train)
