"""SheepRL: its command line, on the configuration that it publishes its own timings with.

`exp=ppo_benchmarks` and `exp=sac_benchmarks` switch logging, video, timers, checkpoints and
memory mapping off and have the row's threads; the networks are made those of the others.
"""

import os
import sys
import tempfile

from benchmarks.speed.peers.common import Solved, Unable, run


def train(work, report):
    if work["algo"] == "dqn":
        raise Unable(f"it has no {work['algo'].upper()}")
    import gymnasium as gym
    import torch

    torch.set_num_threads(work["threads"])
    from sheeprl.cli import run as command

    report.watch_optimizers()
    os.chdir(tempfile.mkdtemp())  # it logs to ./logs
    vector_env = gym.vector.AsyncVectorEnv if work.get("workers") else gym.vector.SyncVectorEnv
    report.watch_steps(vector_env, lambda env: env.num_envs)
    if work.get("workers"):
        take_returns(vector_env, report)
    else:
        report.watch_returns(gym.wrappers.RecordEpisodeStatistics)
    figures = {}
    if "stop_at" in work:
        figures["solved"] = False
        report.after_update = evaluation(work, report, gym)
    sys.argv = ["sheeprl", *(sac if work["algo"] == "sac" else ppo)(work)]
    try:
        command()
    except Solved:
        figures["solved"] = True
    return figures


def common(work):
    return [
        f"seed={work['seed']}",
        f"num_threads={work['threads']}",
        f"env.id={work['env']}",
        "~env.wrapper.render_mode",
        f"env.num_envs={work.get('num_envs', 1)}",
        f"env.sync_env={not work.get('workers')}",
        f"algo.total_steps={work['steps']}",
        f"checkpoint.every={10 * work['steps']}",
        f"metric.log_every={10 * work['steps']}",
    ]


def sac(work):
    return [
        "exp=sac_benchmarks",
        *common(work),
        f"algo.per_rank_batch_size={work['batch_size']}",
        f"algo.learning_starts={work['learning_starts']}",
        f"algo.gamma={work['gamma']}",
        f"algo.tau={work['tau']}",
        *(f"algo.{p}.optimizer.lr={work['learning_rate']}" for p in ("actor", "critic", "alpha")),
        f"buffer.size={work['buffer_size']}",
    ]


def ppo(work):
    return [
        "exp=ppo_benchmarks",
        *common(work),
        f"algo.rollout_steps={work['n_steps']}",
        f"algo.per_rank_batch_size={work['batch_size']}",
        f"algo.update_epochs={work['n_epochs']}",
        f"algo.optimizer.lr={work['learning_rate']}",
        f"algo.anneal_lr={work['anneal']}",
        f"algo.clip_coef={work['clip_range']}",
        f"algo.anneal_clip_coef={work['anneal']}",
        f"algo.gamma={work['gamma']}",
        f"algo.gae_lambda={work['gae_lambda']}",
        "algo.encoder.mlp_layers=0",
        "algo.actor.mlp_layers=2",
        "algo.critic.mlp_layers=2",
    ]


def take_returns(vector_env, report):
    """Episodes of worker processes come back in the info dictionaries only."""
    original = vector_env.step

    def step(env, actions):
        result = original(env, actions)
        final = result[4].get("final_info", {})
        if "episode" in final:
            report.returns.extend(final["episode"]["r"][final["_episode"]])
        return result

    vector_env.step = step


def evaluation(work, report, gym):
    """Plays greedy episodes as often as the others do; it tests at the end of a run only."""
    import sheeprl.algos.ppo.ppo as module
    import torch

    per_rollout = work["n_epochs"] * work["num_envs"] * work["n_steps"] // work["batch_size"]
    env, evaluated, made = gym.make(work["env"]), 0, {}
    build_agent = module.build_agent

    def build(*args, **kwargs):
        agent, made["player"] = build_agent(*args, **kwargs)
        return agent, made["player"]

    module.build_agent = build

    def after_update(updates):
        nonlocal evaluated
        if updates % per_rollout or report.steps // work["eval_every"] == evaluated:
            return
        evaluated = report.steps // work["eval_every"]
        returns = []
        with torch.inference_mode():
            for _ in range(work["eval_episodes"]):
                obs, done, total = env.reset()[0], False, 0.0
                while not done:
                    state = {"state": torch.from_numpy(obs)[None]}
                    action = made["player"].get_actions(state, greedy=True)[0]
                    obs, reward, terminated, truncated, _ = env.step(int(action.argmax()))
                    done, total = terminated or truncated, total + reward
                returns.append(total)
        if sum(returns) / len(returns) >= work["stop_at"]:
            import time

            report.ended = time.monotonic()
            raise Solved

    return after_update


if __name__ == "__main__":
    run(train)
