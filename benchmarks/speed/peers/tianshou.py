"""Tianshou: its procedural interface, as its own examples put PPO, DQN and SAC together.

The row's threads and DummyVectorEnv, or SubprocVectorEnv where the row asks for `workers`; no
logger, no progress bar, no test episodes but those that a row asks for.
"""

from benchmarks.speed.peers.common import run


def train(work, report):
    import gymnasium as gym
    import torch
    from tianshou.env import DummyVectorEnv, SubprocVectorEnv

    torch.set_num_threads(work["threads"])
    torch.manual_seed(work["seed"])
    report.watch_optimizers()
    # Only the training environments are watched: tests are not work.
    base = SubprocVectorEnv if work.get("workers") else DummyVectorEnv
    watched = type("Watched", (base,), {})
    watched.step = base.step
    report.watch_steps(watched, len)
    envs = watched([lambda: gym.make(work["env"])] * work.get("num_envs", 1))
    envs.seed(work["seed"])
    tests = DummyVectorEnv([lambda: gym.make(work["env"])] * work.get("eval_episodes", 1))
    space = gym.make(work["env"])
    build = {"ppo": ppo, "dqn": dqn, "sac": sac}[work["algo"]]
    result = build(work, report, envs, tests, space.observation_space, space.action_space)
    envs.close()
    return {"solved": result.best_score >= work["stop_at"]} if "stop_at" in work else {}


def take_returns(collector, report):
    """Keeps the returns of a collector's episodes as they come in."""
    original = collector.collect

    def collect(*args, **kwargs):
        stats = original(*args, **kwargs)
        report.returns.extend(stats.returns)
        return stats

    collector.collect = collect


def net(observations, sizes, activation, outputs=0):
    from tianshou.utils.net.common import Net

    return Net(
        state_shape=observations.shape,
        action_shape=outputs,
        hidden_sizes=sizes,
        activation=activation,
    )


def ppo(work, report, envs, tests, observations, actions):
    from tianshou.algorithm import PPO
    from tianshou.algorithm.optim import AdamOptimizerFactory, LRSchedulerFactoryLinear
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.trainer import OnPolicyTrainerParams

    policy, critic = actor_critic(observations, actions)
    rollout = work["num_envs"] * work["n_steps"]
    solving = "stop_at" in work
    # An epoch is what lies between two evaluations.
    epoch = -(-work["eval_every"] // rollout) * rollout if solving else work["steps"]
    epochs = -(-work["steps"] // epoch)
    optimizer = AdamOptimizerFactory(lr=work["learning_rate"])
    if work["anneal"]:
        optimizer.with_lr_scheduler_factory(LRSchedulerFactoryLinear(epochs, epoch, rollout))
    algorithm = PPO(
        policy=policy,
        critic=critic,
        optim=optimizer,
        eps_clip=work["clip_range"],
        advantage_normalization=True,
        vf_coef=0.5,
        ent_coef=0.0,
        max_grad_norm=0.5,
        gae_lambda=work["gae_lambda"],
        gamma=work["gamma"],
        max_batchsize=rollout,
    )
    collector = Collector(algorithm, envs, VectorReplayBuffer(rollout, len(envs)))
    collector.reset()
    take_returns(collector, report)
    return algorithm.run_training(
        OnPolicyTrainerParams(
            training_collector=collector,
            max_epochs=epochs,
            epoch_num_steps=epoch,
            collection_step_num_env_steps=rollout,
            batch_size=work["batch_size"],
            update_step_num_repetitions=work["n_epochs"],
            verbose=False,
            show_progress=False,
            **testing(work, algorithm, tests, report),
        )
    )


def actor_critic(observations, actions):
    import gymnasium as gym
    from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy, ProbabilisticActorPolicy
    from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic
    from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
    from torch import nn
    from torch.distributions import Independent, Normal

    first, second = (net(observations, (64, 64), nn.Tanh) for _ in range(2))
    if isinstance(actions, gym.spaces.Discrete):
        actor = DiscreteActor(preprocess_net=first, action_shape=actions.n, softmax_output=False)
        policy = DiscreteActorPolicy(actor=actor, action_space=actions, deterministic_eval=True)
        return policy, DiscreteCritic(preprocess_net=second)
    actor = ContinuousActorProbabilistic(
        preprocess_net=first, action_shape=actions.shape, unbounded=True
    )
    policy = ProbabilisticActorPolicy(
        actor=actor,
        dist_fn=lambda loc_scale: Independent(Normal(*loc_scale), 1),
        action_space=actions,
        deterministic_eval=True,
        action_scaling=True,
        action_bound_method="clip",
    )
    critic = ContinuousCritic(preprocess_net=second)
    start_small(actor, critic)
    return policy, critic


def start_small(actor, critic):
    """The first parameters that its example for MuJoCo has."""
    import torch

    torch.nn.init.constant_(actor.sigma_param, -0.5)
    for layer in [*actor.modules(), *critic.modules()]:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.orthogonal_(layer.weight, 2**0.5)
            torch.nn.init.zeros_(layer.bias)
    for layer in actor.mu.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.zeros_(layer.bias)
            layer.weight.data.mul_(0.01)


def testing(work, algorithm, tests, report):
    """An epoch's test step that ends training at a mean return, where the row wants one."""
    from tianshou.data import Collector

    if "stop_at" not in work:
        return {}
    import time

    collector = Collector(algorithm, tests)
    collector.reset()

    def stop(score):
        report.ended = time.monotonic()
        return score >= work["stop_at"]

    return {
        "test_collector": collector,
        "test_step_num_episodes": work["eval_episodes"],
        "stop_fn": stop,
    }


def dqn(work, report, envs, tests, observations, actions):
    from tianshou.algorithm import DQN
    from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.trainer import OffPolicyTrainerParams
    from torch import nn

    model = net(observations, (120, 84), nn.ReLU, actions.n)
    policy = DiscreteQLearningPolicy(model=model, action_space=actions, eps_training=1.0)
    algorithm = DQN(
        policy=policy,
        optim=AdamOptimizerFactory(lr=work["learning_rate"]),
        gamma=0.99,
        # counted in updates
        target_update_freq=work["target_update_interval"] // work["train_freq"],
        is_double=False,
    )
    collector = Collector(
        algorithm,
        envs,
        VectorReplayBuffer(work["buffer_size"], len(envs)),
        exploration_noise=True,
    )
    collector.reset()
    take_returns(collector, report)
    collector.collect(n_step=work["learning_starts"], random=True)

    def anneal(epoch, step):
        done = (work["learning_starts"] + step) / work["steps"]
        policy.set_eps_training(max(0.05, 1 - 0.95 * done / 0.5))

    return algorithm.run_training(
        OffPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=work["steps"] - work["learning_starts"],
            collection_step_num_env_steps=work["train_freq"],
            batch_size=work["batch_size"],
            update_step_num_gradient_steps_per_sample=1 / work["train_freq"],
            training_fn=anneal,
            verbose=False,
            show_progress=False,
        )
    )


def sac(work, report, envs, tests, observations, actions):
    from tianshou.algorithm import SAC
    from tianshou.algorithm.modelfree.sac import AutoAlpha, SACPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.trainer import OffPolicyTrainerParams
    from tianshou.utils.net.common import Net
    from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic
    from torch import nn

    def critic():
        both = {"state_shape": observations.shape, "action_shape": actions.shape, "concat": True}
        return ContinuousCritic(preprocess_net=Net(hidden_sizes=(256, 256), **both))

    actor = ContinuousActorProbabilistic(
        preprocess_net=net(observations, (256, 256), nn.ReLU),
        action_shape=actions.shape,
        unbounded=True,
        conditioned_sigma=True,
    )
    rate = work["learning_rate"]
    algorithm = SAC(
        policy=SACPolicy(actor=actor, action_space=actions),
        policy_optim=AdamOptimizerFactory(lr=rate),
        critic=critic(),
        critic_optim=AdamOptimizerFactory(lr=rate),
        critic2=critic(),
        critic2_optim=AdamOptimizerFactory(lr=rate),
        tau=work["tau"],
        gamma=work["gamma"],
        alpha=AutoAlpha(-float(actions.shape[0]), 0.0, AdamOptimizerFactory(lr=rate)),
    )
    collector = Collector(algorithm, envs, VectorReplayBuffer(work["buffer_size"], len(envs)))
    collector.reset()
    take_returns(collector, report)
    collector.collect(n_step=work["learning_starts"], random=True)
    return algorithm.run_training(
        OffPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=work["steps"] - work["learning_starts"],
            collection_step_num_env_steps=work["train_freq"],
            batch_size=work["batch_size"],
            update_step_num_gradient_steps_per_sample=1 / work["train_freq"],
            verbose=False,
            show_progress=False,
        )
    )


if __name__ == "__main__":
    run(train)
