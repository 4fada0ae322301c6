"""Stable-Baselines3 at its best documented setting: on the CPU, with the row's threads.

DummyVecEnv, as its documentation says for light environments, or SubprocVecEnv where the
row asks for `workers`.
"""

import time

from benchmarks.speed.peers.common import run


def train(work, report):
    import gymnasium as gym
    import torch
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    torch.set_num_threads(work["threads"])
    report.watch_optimizers()

    class Watch(BaseCallback):
        def _on_training_start(self):
            report.first_step()

        def _on_step(self):
            return True

    atari = work["env"].startswith("ALE/")
    env = (
        games(work)
        if atari
        else make_vec_env(
            lambda: gym.make(work["env"]),
            n_envs=work.get("num_envs", 1),
            seed=work["seed"],
            vec_env_cls=SubprocVecEnv if work.get("workers") else DummyVecEnv,
            # its quickest to start: the others import torch in every worker
            vec_env_kwargs={"start_method": "fork"} if work.get("workers") else None,
        )
    )
    model = {"ppo": ppo, "dqn": dqn, "sac": sac}[work["algo"]](work, env)
    callbacks = [Watch()]
    if "stop_at" in work:
        callbacks.append(until(work))
    model.learn(work["steps"], callback=callbacks)
    report.returns.extend(e["r"] for e in model.ep_info_buffer)
    env.close()
    figures = {"steps": model.num_timesteps}
    if "stop_at" in work:
        report.ended = time.monotonic()  # behind the last evaluation
        figures["solved"] = bool(callbacks[1].best_mean_reward >= work["stop_at"])
    return figures


def games(work):
    """Its own preprocessing; the older ids are those without sticky actions and frame skip."""
    import ale_py
    import gymnasium as gym
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

    gym.register_envs(ale_py)
    name = work["env"].removeprefix("ALE/").removesuffix("-v5")
    envs = make_atari_env(
        f"{name}NoFrameskip-v4",
        n_envs=work["num_envs"],
        seed=work["seed"],
        vec_env_cls=SubprocVecEnv if work.get("workers") else DummyVecEnv,
        vec_env_kwargs={"start_method": "fork"} if work.get("workers") else None,
    )
    return VecFrameStack(envs, 4)


def ppo(work, env):
    from stable_baselines3 import PPO

    rate, clip = work["learning_rate"], work["clip_range"]
    return PPO(
        "CnnPolicy" if work["env"].startswith("ALE/") else "MlpPolicy",
        env,
        learning_rate=(lambda left: left * rate) if work["anneal"] else rate,
        clip_range=(lambda left: left * clip) if work["anneal"] else clip,
        n_steps=work["n_steps"],
        batch_size=work["batch_size"],
        n_epochs=work["n_epochs"],
        gamma=work["gamma"],
        gae_lambda=work["gae_lambda"],
        ent_coef=0.0,
        device="cpu",
        seed=work["seed"],
    )


def dqn(work, env):
    from stable_baselines3 import DQN

    return DQN(
        "MlpPolicy",
        env,
        learning_rate=work["learning_rate"],
        batch_size=work["batch_size"],
        train_freq=work["train_freq"],
        learning_starts=work["learning_starts"],
        buffer_size=work["buffer_size"],
        target_update_interval=work["target_update_interval"],
        exploration_fraction=0.5,
        policy_kwargs={"net_arch": [120, 84]},
        device="cpu",
        seed=work["seed"],
    )


def sac(work, env):
    from stable_baselines3 import SAC

    return SAC(
        "MlpPolicy",  # 256-256
        env,
        learning_rate=work["learning_rate"],
        buffer_size=work["buffer_size"],
        learning_starts=work["learning_starts"],
        batch_size=work["batch_size"],
        tau=work["tau"],
        gamma=work["gamma"],
        train_freq=work["train_freq"],
        gradient_steps=1,
        device="cpu",
        seed=work["seed"],
    )


def until(work):
    """Its own evaluation, which ends training at a mean return."""
    import gymnasium as gym
    from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
    from stable_baselines3.common.monitor import Monitor

    return EvalCallback(
        Monitor(gym.make(work["env"])),
        callback_on_new_best=StopTrainingOnRewardThreshold(work["stop_at"]),
        eval_freq=work["eval_every"] // work["num_envs"],
        n_eval_episodes=work["eval_episodes"],
        deterministic=True,
        verbose=0,
    )


if __name__ == "__main__":
    run(train)
