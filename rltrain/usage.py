"""Help texts of the command line: one for all commands, and one for each."""

HELP = """\
Train reinforcement-learning agents from one line.

  rltrain algo=ppo env=CartPole-v1                  train; the run goes to outputs/
  rltrain algo=dqn env=CartPole-v1 seed=3           with another algorithm and seed
  rltrain algo=ppo env=Pendulum-v1 algo.gamma=0.95 env.kwargs.g=9.81 total_timesteps=1e5
  rltrain -m algo=ppo,dqn env=CartPole-v1 seed=0,1,2    a sweep: every combination is a job
  rltrain -m algo=ppo env=CartPole-v1 seed=0,1,2 jobs=2     two at a time (auto: one per core)

  rltrain resume=latest                             continue an interrupted run
  rltrain resume=outputs/RUN total_timesteps=2e5    train a run for longer
  rltrain eval latest episodes=100                  evaluate the learned policy
  rltrain record latest dataset=cartpole/expert-v0 episodes=100    its episodes as a dataset
  rltrain plot outputs/RUN out=curves.png           learning curves as a picture
  rltrain table outputs/sweeps/SWEEP sort=score     states and scores of runs, the best first

  rltrain list algos|envs|networks|explorations|tuned …     all choices
  rltrain describe ppo                              every key: type, range, default, meaning
  rltrain describe algo=ppo env=CartPole-v1         the network that is built, with its sizes
  rltrain algo=ppo env=CartPole-v1 --cfg job        the composed configuration, not run

  rltrain COMMAND --help                            the options of one command

Any environment that Gymnasium can make is a choice of env: CartPole-v1, ALE/Pong-v5, or
my_package:MyEnv-v0 for one of your own. Values tuned for a pair of algorithm and
environment are applied and announced; tuned=none switches them off. A folder configs/
in the working directory, or --config-dir, adds choices of your own to every group.

Completion: eval "$(rltrain -sc install=bash)"    (or zsh, fish)
Exit codes: 0 done, 1 failed, 2 a mistake in the command, 128+n stopped by signal n.
"""

_RUN = """\
RUN is a folder (outputs/RUN, or a job of a sweep: outputs/sweeps/SWEEP/JOB), one of its
checkpoint files, or latest: the run that was started last.
"""

_PLAYED = """\
  episodes=N               episodes to play (eval.episodes of the run)
  checkpoint=newest        newest, best, or a file: step_000100000.ckpt
  deterministic=true       greedy actions; false samples them
  seed=N                   seed of the environments (the seed of the run)
  device=cpu               where the policy is computed
  env.kwargs.NAME=VALUE    arguments of the environment's constructor
  output_dir=outputs       where latest is looked up
  trust=true               let a folder from elsewhere import the modules that it names
"""

COMMANDS = {
    "eval": f"""\
Evaluate the policy of a run, in raw reward.

  rltrain eval RUN [KEY=VALUE …]
  rltrain eval latest episodes=100 checkpoint=best

{_PLAYED}
{_RUN}""",
    "record": f"""\
Write episodes of a run's policy as a Minari dataset.

  rltrain record RUN dataset=NAMESPACE/NAME-v0 [KEY=VALUE …]
  rltrain record latest dataset=cartpole/expert-v0 episodes=100

  dataset=ID               id of the new dataset
{_PLAYED}
{_RUN}""",
    "resume": f"""\
Continue an interrupted run bit for bit, or train a finished one for longer.

  rltrain resume=RUN [KEY=VALUE …]
  rltrain resume=latest
  rltrain resume=outputs/RUN total_timesteps=2e5

The run keeps its configuration. These keys may change: total_timesteps, device, num_threads,
compile, sampler, num_workers, profile, and all of eval, checkpoint and logger. trust=true lets
a folder from elsewhere import the modules that it names.

{_RUN}""",
    "plot": f"""\
Draw learning curves of runs and sweeps.

  rltrain plot [RUN …] [out=FILE] [column=NAME]
  rltrain plot outputs/RUN outputs/sweeps/SWEEP out=curves.png

  out=curves.png           file to write; its ending chooses the format
  column=NAME              column of progress.csv or evaluations.csv (rollout/ep_rew_mean)

{_RUN}""",
    "table": f"""\
Print states and scores of runs and of a sweep's jobs.

  rltrain table [RUN or SWEEP …] [sort=COLUMN]
  rltrain table outputs/sweeps/SWEEP sort=score

  sort=job                 job, state, score (the highest first), steps, time, or a key

{_RUN}""",
    "list": """\
List all choices of a group.

  rltrain list algos|augments|envs|explorations|intrinsics|networks|optimizers|tuned
  rltrain list envs cart        environments whose id has this text in it
""",
    "describe": """\
Describe a choice or a part of the configuration, or the network that a run builds.

  rltrain describe NAME         every key: type, range, default, meaning
  rltrain describe ppo
  rltrain describe run          (also env, eval, checkpoint, logger)
  rltrain describe algo=ppo env=CartPole-v1 [KEY=VALUE …]       its network, layer by layer
""",
}
