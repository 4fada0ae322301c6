"""Names that others give to keys and choices, and what they are called here."""

from __future__ import annotations


def _named(table: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Names here by each of the words that stand for them, the likeliest name first."""
    found: dict[str, tuple[str, ...]] = {}
    for names, words in table.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), *names.split())
    return found


# A name here (or several, the first that exists counts): words that others use for it.
KEYS = _named(
    {
        "algo": "agent algorithm alg method",
        "env": "environment env_id env_name task game id gym",
        "network": "model policy net body arch architecture policy_network",
        "optimizer": "optim optimiser opt",
        "total_timesteps": "timesteps steps total_steps max_steps num_steps train_steps "
        "num_timesteps total_env_steps n_timesteps env_steps frames total_frames max_timesteps "
        "iterations",
        "seed": "random_seed rng random_state",
        "device": "gpu cuda gpus use_gpu accelerator",
        "num_threads": "threads n_threads torch_threads",
        "num_workers": "workers n_workers n_procs processes num_processes n_jobs",
        "output_dir": "out outdir out_dir log_dir logdir save_dir save_path output outputs dir "
        "log_path results_dir folder",
        "run_name": "name exp_name experiment experiment_name run job_name",
        "plugins": "plugin modules",
        "dataset": "data data_path dataset_path dataset_id",
        "init_from": "pretrained load load_from weights load_model init warm_start",
        "precision": "amp fp16 bf16 dtype mixed_precision",
        "compile": "torch_compile jit",
        "env.num_envs": "n_envs num_env nenvs envs n_env num_vec_envs num_parallel_envs parallel",
        "env.max_episode_steps": "time_limit max_episode_length max_ep_len episode_length "
        "max_steps_per_episode horizon_limit",
        "env.frame_stack": "n_stack stack framestack frames_stack num_stack",
        "env.frame_skip": "frameskip action_repeat skip",
        "env.kwargs.render_mode": "render render_mode human",
        "env.kwargs": "env_kwargs env_args",
        "eval.every": "eval_freq eval_every eval_interval evaluate_every",
        "eval.episodes": "episodes n_episodes num_episodes n_eval_episodes "
        "eval_episodes num_eval_episodes",
        "eval.stop_at": "target_return target_reward goal_reward reward_threshold solved_at",
        "checkpoint.every": "save_freq save_every checkpoint_every checkpoint_freq save_interval "
        "checkpoint_interval",
        "checkpoint.keep_last": "keep max_to_keep keep_checkpoints",
        "logger.every": "log_every log_interval log_freq log_frequency",
        "logger.console": "verbose progress progress_bar quiet verbosity",
        "every": "freq interval frequency period",
        "learning_rate": "lr step_size alpha learningrate learn_rate lr_rate actor_lr critic_lr "
        "policy_lr q_lr rate",
        "learning_rate_schedule": "lr_schedule anneal_lr lr_scheduler scheduler lr_decay",
        "gamma": "discount discount_factor discounting",
        "gae_lambda q_lambda": "lambda lam gae gae_lam lambda_ td_lambda lmbda",
        "batch_size": "bs batch minibatch minibatch_size mini_batch_size batchsize num_minibatches",
        "n_epochs": "epochs n_epoch num_epochs update_epochs epoch ppo_epochs",
        "n_steps": "rollout rollout_length unroll unroll_length horizon n_step nstep num_steps "
        "rollout_steps multi_step steps_per_epoch",
        "clip_range": "clip clip_eps clip_coef eps_clip cliprange clip_ratio clip_param",
        "clip_range_vf": "clip_vloss vf_clip",
        "ent_coef": "entropy_coef ent entropy entropy_coeff entropy_cost entropy_weight",
        "vf_coef": "value_coef vf_coeff value_loss_coef critic_coef",
        "max_grad_norm": "grad_clip clip_grad max_grad gradient_clip grad_norm clip_grad_norm",
        "buffer_size": "replay_size memory_size replay_buffer_size buffer capacity replay_capacity",
        "learning_starts": "learning_start start_steps warmup_steps min_replay_size",
        "train_freq": "train_frequency train_every update_every update_freq",
        "gradient_steps": "updates_per_step utd utd_ratio replay_ratio num_updates",
        "tau": "polyak soft_tau target_tau",
        "target_update_interval": "target_update target_freq target_network_frequency "
        "target_update_freq target_update_every",
        "double": "double_q double_dqn",
        "prioritized": "per prioritised prioritized_replay",
        "policy_delay": "policy_frequency actor_delay",
        "hidden_sizes": "hidden hidden_size layers net_arch units hidden_dim hidden_dims "
        "hidden_units hidden_layers layer_sizes mlp_sizes",
        "state_size": "lstm_size gru_size rnn_size hidden_state_size",
        "sequence_length": "seq_len sequence_len bptt",
        "initial_eps final_eps": "eps epsilon eps_start epsilon_start exploration_initial_eps",
        "final_eps": "eps_end epsilon_end exploration_final_eps min_epsilon end_e",
        "fraction": "exploration_fraction eps_decay epsilon_decay",
        "initial_temperature": "temp",
        "std": "noise_std action_noise sigma_noise exploration_noise",
        "weight_decay": "l2 wd decay",
        "normalize_obs": "norm_obs obs_norm normalise_obs normalize normalize_observations",
        "normalize_reward": "norm_reward reward_norm normalise_reward normalize_rewards",
        "normalize_advantage": "norm_adv normalise_advantage normalize_advantages",
    }
)


# The same for choices, by group; words without - and _.
CHOICES = {
    "algo": _named(
        {
            "reinforce": "vpg pg policygradient mcpg",
            "d3qn": "ddqn doubledqn duelingdqn per",
            "a2c": "a3c ac actorcritic",
            "q_learning": "q qlearning tabular sarsa",
            "ippo": "mappo",
            "bc": "imitation clone cloning behaviorcloning",
            "rlpd redq": "droq",
            "td3": "td3bc",
        }
    ),
    "network": _named(
        {
            "nature_cnn impala": "cnn conv convnet resnet cnnpolicy natureconv pixels",
            "lstm gru": "rnn recurrent",
            "mlp": "ff dense fc linear feedforward mlppolicy",
            "transformer": "attention gpt gtrxl",
        }
    ),
    "optimizer": _named({"sgd": "momentum nesterov"}),
    "exploration": _named(
        {
            "epsilon_greedy": "eps egreedy epsilon greedy",
            "ornstein_uhlenbeck": "ou ounoise",
            "boltzmann": "softmax temperature",
            "noisy": "noisynet noisynets",
            "gaussian": "normal noise",
        }
    ),
    "intrinsic": _named({"rnd": "icm curiosity ngu"}),
    "augment": _named({"shift": "drq randomshift pad", "crop": "rad randomcrop"}),
}
