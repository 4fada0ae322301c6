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

    torch.set_num_threads(work["threads"])
    if work.get("workers"):
        raise Unable("its scripts step environments one after another only")
    report.watch_optimizers()
    os.chdir(tempfile.mkdtemp())  # it logs to ./runs
    module, words = {"ppo": ppo, "dqn": dqn, "sac": sac}[work["algo"]](work)
    if module in ("cleanrl.ppo", "cleanrl.sac_continuous_action"):
        import gym

        if work["algo"] == "sac":
            register_for_gym(gym, "HalfCheetah-v4")
            take_gyms_spaces()

        if ":" in work["env"]:
            register_for_gym(gym, work["env"])
    else:
        import gymnasium as gym

        if module == "cleanrl.ppo_atari":
            take_gymnasium_for_gym(gym, work["seed"])
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
    if env.startswith("ALE/"):
        name = env.removeprefix("ALE/").removesuffix("-v5")
        words[0] = f"--env-id={name}NoFrameskip-v4"
        return "cleanrl.ppo_atari", words
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


def sac(work):
    # Gymnasium 0.29 has the fourth version, whose physics is the same
    return "cleanrl.sac_continuous_action", [
        "--env-id=HalfCheetah-v4",
        f"--total-timesteps={work['steps']}",
        f"--buffer-size={work['buffer_size']}",
        f"--gamma={work['gamma']}",
        f"--tau={work['tau']}",
        f"--batch-size={work['batch_size']}",
        f"--learning-starts={work['learning_starts']}",
        f"--policy-lr={work['learning_rate']}",
        f"--q-lr={work['learning_rate']}",
    ]


def take_gyms_spaces():
    """Lets the replay buffer that it borrows, which asks for Gymnasium's spaces, take Gym's."""
    import gymnasium
    from stable_baselines3.common import buffers

    def box(space):
        return gymnasium.spaces.Box(space.low, space.high, dtype=space.dtype)

    class Buffer(buffers.ReplayBuffer):
        def __init__(self, size, observations, actions, *args, **kwargs):
            super().__init__(size, box(observations), box(actions), *args, **kwargs)

    buffers.ReplayBuffer = Buffer


def take_gymnasium_for_gym(gym, seed):
    """Lets the Atari script, whose borrowed wrappers are Gymnasium's by now, find it as Gym."""
    import ale_py  # noqa: F401 # registers the games

    class Older(gym.vector.SyncVectorEnv):
        def reset(self):
            return super().reset(seed=seed)[0]

        def step(self, actions):
            obs, reward, terminated, truncated, _ = super().step(actions)
            return obs, reward, terminated | truncated, []

    gym.vector.SyncVectorEnv = Older
    gym.Wrapper.seed = lambda env, seed: None
    sys.modules["gym"] = gym


def register_for_gym(gym, name):
    """Gym's older interface around an environment of Gymnasium."""
    import gymnasium

    def older(space):
        if hasattr(space, "n"):
            return gym.spaces.Discrete(int(space.n))
        return gym.spaces.Box(space.low, space.high, dtype=space.dtype)

    class Older(gym.Env):
        def __init__(self):
            self.inner = gymnasium.make(name)
            self.observation_space = older(self.inner.observation_space)
            self.action_space = older(self.inner.action_space)

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
