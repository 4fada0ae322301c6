"""CleanRL: its single-file scripts, run as they are, with their own command line.

The release on the package index still names Gym's CartPole for PPO and Gymnasium 0.29 for
everything else. Its TensorBoard file cannot be switched off.
"""

import os
import sys
import tempfile

from benchmarks.speed.peers.common import Solved, Unable, run


def train(work, report):
    import runpy

    import torch

    torch.set_num_threads(1)
    if work.get("workers"):
        raise Unable("its scripts step environments one after another only")
    report.watch_optimizers()
    os.chdir(tempfile.mkdtemp())  # it logs to ./runs
    module, words = (ppo if work["algo"] == "ppo" else dqn)(work)
    if module == "cleanrl.ppo":
        import gym

        if ":" in work["env"]:
            register_for_gym(gym, work["env"])
    else:
        import gymnasium as gym
    report.watch_steps(gym.vector.SyncVectorEnv, lambda env: env.num_envs)
    report.watch_returns(gym.wrappers.RecordEpisodeStatistics)
    figures = {}
    if "stop_at" in work:
        figures["solved"] = False
        report.after_update = evaluation(work, report, gym)
    sys.argv = [module, *words, f"--seed={work['seed']}", "--cuda=False"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Solved:
        figures["solved"] = True
    return figures


def ppo(work):
    continuous = work["env"].startswith("HalfCheetah")
    # Gymnasium 0.29 has the fourth version, whose physics is the same
    env = "HalfCheetah-v4" if continuous else work["env"].split(":")[-1]
    batch = work["num_envs"] * work["n_steps"]
    words = [
        f"--env-id={env}",
        f"--total-timesteps={work['steps']}",
        f"--num-envs={work['num_envs']}",
        f"--num-steps={work['n_steps']}",
        f"--num-minibatches={batch // work['batch_size']}",
        f"--update-epochs={work['n_epochs']}",
        f"--learning-rate={work['learning_rate']}",
        f"--anneal-lr={work['anneal']}",
        f"--clip-coef={work['clip_range']}",
        f"--gamma={work['gamma']}",
        f"--gae-lambda={work['gae_lambda']}",
        "--ent-coef=0",
        "--clip-vloss=False",
    ]
    return ("cleanrl.ppo_continuous_action" if continuous else "cleanrl.ppo"), words


def dqn(work):
    return "cleanrl.dqn", [
        f"--env-id={work['env']}",
        f"--total-timesteps={work['steps']}",
        f"--learning-rate={work['learning_rate']}",
        f"--buffer-size={work['buffer_size']}",
        f"--batch-size={work['batch_size']}",
        f"--learning-starts={work['learning_starts']}",
        f"--train-frequency={work['train_freq']}",
        f"--target-network-frequency={work['target_update_interval']}",
    ]


def register_for_gym(gym, name):
    """Gym's older interface around an environment of Gymnasium."""
    import gymnasium

    class Older(gym.Env):
        def __init__(self):
            self.inner = gymnasium.make(name)
            low, high = self.inner.observation_space.low, self.inner.observation_space.high
            self.observation_space = gym.spaces.Box(low, high, dtype=low.dtype)
            self.action_space = gym.spaces.Discrete(int(self.inner.action_space.n))

        def seed(self, seed=None):
            self.inner.reset(seed=seed)

        def reset(self, **kwargs):
            return self.inner.reset()[0]

        def step(self, action):
            obs, reward, terminated, truncated, info = self.inner.step(action)
            return obs, reward, terminated or truncated, info

    gym.register(name.split(":")[-1], entry_point=Older)


def evaluation(work, report, gym):
    """Plays greedy episodes as often as the others do: the script has no place for it."""
    import torch

    per_rollout = work["n_epochs"] * work["num_envs"] * work["n_steps"] // work["batch_size"]
    env = gym.make(work["env"])
    evaluated = 0

    def after_update(updates):
        nonlocal evaluated
        if updates % per_rollout or report.steps // work["eval_every"] == evaluated:
            return
        evaluated = report.steps // work["eval_every"]
        actor, returns = sys.modules["__main__"].agent.actor, []
        with torch.no_grad():
            for _ in range(work["eval_episodes"]):
                obs, done, total = env.reset(), False, 0.0
                while not done:
                    action = int(actor(torch.from_numpy(obs)).argmax())
                    obs, reward, done, _ = env.step(action)
                    total += reward
                returns.append(total)
        if sum(returns) / len(returns) >= work["stop_at"]:
            import time

            report.ended = time.monotonic()
            raise Solved

    return after_update


if __name__ == "__main__":
    run(train)
