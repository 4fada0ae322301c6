"""Stable-Baselines3 at its best documented setting: one thread, DummyVecEnv, CPU."""

from common import Report, arguments

work, report = arguments(), Report()

import gymnasium as gym  # noqa: E402
import torch  # noqa: E402
from stable_baselines3 import DQN, PPO  # noqa: E402
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.env_util import make_vec_env  # noqa: E402

torch.set_num_threads(1)


class Watch(BaseCallback):
    def _on_training_start(self):
        report.first_step()

    def _on_step(self):
        return True


env = make_vec_env(lambda: gym.make(work["env"]), n_envs=work.get("num_envs", 1), seed=1)
if work["algo"] == "ppo":
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=work["n_steps"],
        batch_size=work["batch_size"],
        n_epochs=work["n_epochs"],
        device="cpu",
        seed=1,
    )
    trained = model.policy
else:
    model = DQN(
        "MlpPolicy",
        env,
        learning_rate=2.5e-4,
        batch_size=work["batch_size"],
        train_freq=work["train_freq"],
        learning_starts=work["learning_starts"],
        buffer_size=work["buffer_size"],
        target_update_interval=work["target_update_interval"],
        exploration_fraction=0.5,
        policy_kwargs={"net_arch": [120, 84]},
        device="cpu",
        seed=1,
    )
    trained = model.q_net
report.count_updates(model.policy.optimizer)
model.learn(work["steps"], callback=Watch())
returns = [e["r"] for e in model.ep_info_buffer]
report.write(
    steps=model.num_timesteps,
    parameters=sum(p.numel() for p in trained.parameters()),
    batch_size=model.batch_size,
    mean_return=sum(returns) / max(len(returns), 1),
)
