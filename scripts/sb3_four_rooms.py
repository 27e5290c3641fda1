"""Train Stable-Baselines3's DQN and PPO on four_rooms, seen one-hot; exit with 1 where one succeeds less than 90 %.

    pip install rlgrid stable-baselines3
    python scripts/sb3_four_rooms.py [--steps 100000] [--episodes 200]

Also runs Stable-Baselines3's own environment checker on the observations that fit its stock policies. (For ``image``
and ``window`` it advises 36 x 36 pixels or more, which its CnnPolicy needs; those are one pixel a cell.)
"""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import Any

import numpy as np
from gymnasium.wrappers import TimeLimit

import rlgrid

WORLD = "four_rooms"
LONGEST = 300
SUCCESS = 0.9
OBSERVATIONS = ("index", "coordinates", "one_hot")


def make_env() -> TimeLimit[Any, Any, Any, Any]:
    return TimeLimit(rlgrid.GridWorld(WORLD, observation="one_hot"), LONGEST)


def success_rate(model: Any, episodes: int) -> float:
    """Share of episodes that reach the goal before the time limit."""
    env, reached = make_env(), 0
    for episode in range(episodes):
        seen, _ = env.reset(seed=10_000 + episode)
        over = False
        while not over:
            action, _ = model.predict(seen, deterministic=False)
            seen, _, terminated, truncated, _ = env.step(int(action))
            over = terminated or truncated
        reached += terminated
    return reached / episodes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--episodes", type=int, default=200)
    arguments = parser.parse_args()
    try:
        from stable_baselines3 import DQN, PPO
        from stable_baselines3.common.env_checker import check_env
        from stable_baselines3.common.env_util import make_vec_env
    except ImportError as error:
        print(f"{error}; it comes with: pip install stable-baselines3", file=sys.stderr)
        return 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for observation in OBSERVATIONS:
            check_env(rlgrid.GridWorld(WORLD, observation=observation))
            print(f"checker clean: {observation}")
    learners = {
        "PPO": PPO(
            "MlpPolicy", make_vec_env(make_env, n_envs=8, seed=0), n_steps=256, batch_size=256, seed=0, gamma=0.97,
        ),
        "DQN": DQN(
            "MlpPolicy", make_env(), seed=0, gamma=0.97, learning_rate=1e-3, learning_starts=1000, train_freq=4,
            target_update_interval=500, exploration_fraction=0.5, exploration_final_eps=0.05, batch_size=64,
        ),
    }  # fmt: skip
    rates = {}
    for name, learner in learners.items():
        learner.learn(arguments.steps)
        rates[name] = success_rate(learner, arguments.episodes)
        print(
            f"{name}: {rates[name]:.0%} of {arguments.episodes} episodes reach the goal after {arguments.steps:,} steps"
        )
    return 0 if np.min(list(rates.values())) >= SUCCESS else 1


if __name__ == "__main__":
    sys.exit(main())
