"""What is found out about an environment is found out once."""

from __future__ import annotations

import gymnasium as gym
import pytest

import rlgrid
from rlgrid import TabularModel
from rlgrid.planning import solve as planner


@pytest.mark.parametrize("recipe", ["q_learning", "value_iteration", "certainty_equivalence", "linear_programming"])
def test_training_makes_and_solves_a_foreign_model_once(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[TabularModel] = []
    solved: list[str] = []
    make, solve = TabularModel.from_env.__func__, planner.solve  # type: ignore[attr-defined]

    def counted_make(cls: type[TabularModel], env: object) -> TabularModel:
        made.append(make(cls, env))
        return made[-1]

    def counted_solve(source: TabularModel, *args: object, **options: object) -> object:
        solved.append(source.name)
        return solve(source, *args, **options)

    monkeypatch.setattr(TabularModel, "from_env", classmethod(counted_make))
    monkeypatch.setattr(planner, "solve", counted_solve)
    env = gym.make("FrozenLake-v1", is_slippery=True)
    agent = rlgrid.load_agent(recipe, env, discount=0.9)
    amount = {"sweeps": 20} if "sweeps" in agent.recipe.feed.units else {"steps": 500}
    run = rlgrid.train(agent, env, **amount)
    assert len(made) == 1 and len(run.curve)
    its_own = {"linear_programming": 20}.get(recipe, 0)  # its sweep is a solution
    assert len([name for name in solved if name == made[0].name]) == 1 + its_own


def test_another_environment_is_looked_at_anew() -> None:
    one, other = gym.make("FrozenLake-v1", is_slippery=True), gym.make("FrozenLake-v1", is_slippery=False)
    agent = rlgrid.load_agent("q_learning", one, discount=0.9)
    assert agent.spaces_for(one) is agent.spaces_for(one)
    assert rlgrid.train(agent, other, steps=100).spaces.model is not agent.spaces_for(one).model
