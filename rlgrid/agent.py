"""Agent: a learner with its behavior and its random streams, put together from a recipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.acting import acting_policy, greedy, new_behavior, shared
from rlgrid.batch import Batch, check_batch
from rlgrid.behaviors import Behavior, Stored, action_tuple
from rlgrid.errors import InputError, one_of
from rlgrid.feeds import Feed, Rollout, Sweep
from rlgrid.learner import Entry, Episode, Improvement, Learner, NoImprovement, Nowhere, OneStep, Together
from rlgrid.model import TabularModel, check_probabilities, resolve_discount
from rlgrid.randomness import Stream, new_stream
from rlgrid.recipe import Recipe, read_recipe, step_size_keys, to_step_size
from rlgrid.spaces import spaces_of
from rlgrid.step_sizes import Constant, Harmonic, Polynomial
from rlgrid.targets import Expected, Greedy, NextAction, Return, Target

if TYPE_CHECKING:
    import gymnasium

_NEVER = 2**62

#: A return that waits longer than so many steps would fill the memory.
_LONGEST_EPISODE = 2**24


class Actor:
    """Something that acts and learns, as feeds see it.

    Attributes:
        learner: table, counters and choices, as compiled code reads them.
        behavior: how it acts.
        streams: random streams of the behavior and of the learner.
    """

    def __init__(self, learner: Learner, behavior: Behavior, n_actions: int, streams: list[Stream]) -> None:
        self.learner = learner
        self.behavior = behavior
        self.n_actions = n_actions
        self.streams = streams

    @property
    def shape(self) -> tuple[int, int]:
        """States and actions."""
        return len(self.learner.table), self.n_actions

    def act(self, state: int) -> int:
        """Draw an action for a state.

        Raises:
            InputError: for a state that is not one.
        """
        if not 0 <= int(state) < len(self.learner.table):
            raise InputError(f"state: found {state}; allowed: 0 to {len(self.learner.table) - 1}")
        from rlgrid.kernels.interaction import choose  # Numba loads when it is used

        action, _ = choose(self.behavior, self.learner.table, int(state), self.streams[0])
        return int(action)

    def update(self, batch: Batch) -> None:
        """Learn from a batch: its transitions in order, then what lands at its end."""
        from rlgrid.kernels.interaction import learn_batch

        check_batch(batch, *self.shape)
        done = learn_batch(self.learner, batch, 0)
        while done < batch.size:
            self.make_room()
            done = learn_batch(self.learner, batch, done)
        self.settle()

    def forbid(self, state: int, mask: NDArray[np.int8] | None) -> None:
        """Take actions whose mask [A] is 0 out of a state's choice, as environments ask for in ``info``.

        An action that is not available is worth -inf, here as everywhere.
        """
        if mask is None:
            return
        allowed = np.asarray(mask) != 0
        if self.learner.table.shape[1] == self.n_actions:
            self.learner.table[state, ~allowed] = -np.inf
        if isinstance(self.behavior, Stored):
            kept = np.where(allowed, self.behavior.probability[state], 0.0)
            self.behavior.probability[state] = kept / kept.sum() if kept.any() else allowed / allowed.sum()

    def settle(self) -> None:
        """End a batch."""
        from rlgrid.kernels.interaction import settle_batch

        settle_batch(self.learner)

    def make_room(self) -> None:
        """Double the window, which waits for the end of a long episode."""
        window = self.learner.window
        assert isinstance(window, Episode)
        if len(window.state) >= _LONGEST_EPISODE:
            raise InputError(
                f"an episode has gone on for {len(window.state):,} steps, and a return waits for its end; "
                "allowed: episode_length set, or a policy that ends"
            )
        longer = window._replace(
            state=np.concatenate([window.state, np.zeros_like(window.state)]),
            column=np.concatenate([window.column, np.zeros_like(window.column)]),
            reward=np.concatenate([window.reward, np.zeros_like(window.reward)]),
        )
        self.learner = self.learner._replace(window=longer)


def policy_actor(policy: NDArray[np.float64], seed: np.random.SeedSequence) -> Actor:
    """Acts by a policy [S, A] and learns nothing."""
    learner = Learner(
        table=np.zeros((len(policy), 1)),
        visits=np.zeros((len(policy), 1), np.int64),
        clock=np.zeros(1, np.int64),
        discount=0.0,
        target=Return(),
        window=OneStep(),
        step_size=Constant(0.0),
        credit=Nowhere(),
        improvement=NoImprovement(),
    )
    return Actor(learner, Stored(policy), policy.shape[1], [new_stream(seed)])


class Agent(Actor):
    """Learns from batches, whatever made them: exact sweeps, episodes or single transitions.

    Use :func:`load_agent` to make one.

    Attributes:
        recipe: the choices behind it.
        seed: as given.
        env_seed: seed of the environment that it learns from.
    """

    def __init__(
        self,
        recipe: Recipe,
        n_states: int,
        n_actions: int,
        *,
        discount: float,
        seed: int | None = 0,
        policy: NDArray[np.float64] | None = None,
        available: NDArray[np.bool_] | None = None,
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        env_seed, *streams = np.random.SeedSequence(seed).spawn(3)
        self.env_seed = int(env_seed.generate_state(1)[0])
        shape = (n_states, n_actions if recipe.table == "q" else 1)
        table = np.full(shape, recipe.initial_value)
        if available is not None and recipe.table == "q":
            table[~available] = -np.inf
        behavior, tally = new_behavior(recipe, policy, n_states, n_actions)
        learner = Learner(
            table=table,
            visits=np.zeros(shape, np.int64),
            clock=np.zeros(1, np.int64),
            discount=discount,
            target=_target(recipe, behavior, n_actions),
            window=_window(recipe, shape),
            step_size=to_step_size(recipe.step_size),
            credit=Together(np.zeros(shape), np.zeros(shape)) if recipe.credit == "together" else Entry(),
            improvement=_improvement(recipe, policy),
            tally=tally,
        )
        super().__init__(learner, behavior, n_actions, [new_stream(child) for child in streams])

    @property
    def discount(self) -> float:
        return self.learner.discount

    @property
    def q(self) -> NDArray[np.float64]:
        """Action values, a copy [S, A]; -inf where an action is not available.

        Raises:
            InputError: for an agent that learns state values only.
        """
        if self.recipe.table == "v":
            raise InputError(f"{self.recipe.name}: it learns state values; allowed: agent.v")
        return self.learner.table.copy()

    @property
    def v(self) -> NDArray[np.float64]:
        """State values under :attr:`policy` according to the table, [S]."""
        table = self.learner.table
        if self.recipe.table == "v":
            return table[:, 0].copy()
        if not isinstance(self.behavior, Stored):
            return np.asarray(table.max(axis=1))
        values: NDArray[np.float64] = (self.policy * np.where(table > -np.inf, table, 0.0)).sum(axis=1)
        return values

    @property
    def policy(self) -> NDArray[np.float64]:
        """The policy that is learned, [S, A]: the stored one, or the greedy one with ties shared equally."""
        if isinstance(self.behavior, Stored):
            return self.behavior.probability.copy()
        return greedy(self.learner.table)

    @property
    def behavior_policy(self) -> NDArray[np.float64]:
        """The policy that acts now, [S, A]: with these probabilities the next action is drawn."""
        return acting_policy(self.behavior, self.learner.table)

    def feed(self, env: gymnasium.Env[Any, Any] | TabularModel) -> Feed:
        """Where this agent's experience comes from, in an environment."""
        if self.recipe.feed == "sweep":
            return Sweep(env)
        if self.recipe.feed == "replay":
            raise InputError(
                f"{self.recipe.name}: it learns from a recorded batch; allowed: train(..., batch=...), in Python"
            )
        recipe = self.recipe
        return Rollout(
            env,
            starts=recipe.starts,
            episode_length=recipe.episode_length,
            episodes_per_pair=recipe.episodes_per_pair,
            seed=self.env_seed,
        )


_VISITS = {"start": 0, "first": 1, "every": 2}


def _target(recipe: Recipe, behavior: Behavior, n_actions: int) -> Target:
    if recipe.target == "greedy":
        return Greedy(action_tuple(n_actions))
    if recipe.target == "next_action":
        return NextAction()
    return Return() if recipe.target == "return" else Expected(behavior)


def _window(recipe: Recipe, shape: tuple[int, int]) -> OneStep | Episode:
    if recipe.target != "return":
        return OneStep()
    room = recipe.episode_length or 256
    seen = np.zeros(shape if recipe.visits == "first" else (0, 0), np.int64)
    length = np.zeros(1, np.int64)
    visits = _VISITS[recipe.visits]
    return Episode(np.zeros(room, np.int64), np.zeros(room, np.int64), np.zeros(room), length, seen, visits)


def _improvement(recipe: Recipe, policy: NDArray[np.float64] | None) -> NoImprovement | Improvement:
    if policy is None or not recipe.improves:
        return NoImprovement()
    every, within = recipe.improve_every or _NEVER, recipe.improve_within
    tolerance = -1.0 if within is None else within
    return Improvement(policy, every, tolerance, np.zeros(2, np.int64), np.zeros(1))


def _initial_policy(
    policy: str | ArrayLike | None, model_actions: tuple[str, ...], available: NDArray[np.bool_]
) -> Any:
    """The policy to begin with, [S, A]; always an array of its own."""
    if policy is None:
        return None
    if not isinstance(policy, str):
        return np.array(policy, dtype=np.float64)
    if policy == "uniform":
        return shared(available)
    if policy not in model_actions:
        raise InputError(f"policy: {one_of(policy, ['uniform', *model_actions])}")
    chosen = np.zeros(available.shape)
    chosen[:, model_actions.index(policy)] = 1.0
    return chosen


def load_agent(
    recipe: str | os.PathLike[str],
    env: gymnasium.Env[Any, Any] | TabularModel,
    *,
    seed: int | None = 0,
    **settings: Any,
) -> Agent:
    """Make an agent from a recipe for an environment.

    Args:
        recipe: a catalog name (``rlgrid agents`` lists them) or a path to a .toml file.
        env: an environment with discrete states and actions, or a model.
        seed: of everything random in the agent and in its training; ``None`` takes fresh entropy.
        **settings: keys of the recipe to set anew, such as ``step_size``, ``epsilon`` and ``discount``. ``policy``
            may be an array [S, A]; ``step_size`` may be a ``Constant``, ``Harmonic`` or ``Polynomial``.

    Raises:
        InputError: for an unknown recipe, a setting that is not allowed, or an environment that does not fit.

    >>> import rlgrid
    >>> agent = rlgrid.load_agent("q_learning", rlgrid.GridWorld("cliff"), seed=1, step_size=0.5)
    >>> agent.q.shape
    (48, 4)
    """
    if seed is not None and seed < 0:
        raise InputError(f"seed: found {seed}; allowed: at least 0, or none")
    given_policy = settings.get("policy")
    if given_policy is not None and not isinstance(given_policy, str):
        settings["policy"] = "uniform"
    if isinstance(settings.get("step_size"), Constant | Harmonic | Polynomial):
        settings["step_size"] = step_size_keys(settings["step_size"])
    chosen = read_recipe(recipe, settings)
    spaces = spaces_of(env)
    start_policy = chosen.policy if given_policy is None else given_policy
    policy = _initial_policy(start_policy, spaces.actions, spaces.available)
    if policy is not None:
        policy = check_probabilities(policy, spaces.available)
    rolls_out = chosen.feed == "rollout"
    if (
        rolls_out
        and chosen.target == "return"
        and spaces.model is not None
        and not episodes_end(chosen, spaces.model, policy)
    ):
        raise InputError(
            f"{chosen.name}: in {spaces.model.name} episodes never end, and a return has to; "
            "allowed with episode_length set, or with max_episode_steps in the world"
        )
    return Agent(
        chosen,
        spaces.n_states,
        spaces.n_actions,
        discount=resolve_discount(chosen.discount, spaces.discount),
        seed=seed,
        policy=policy,
        available=None if spaces.available.all() else spaces.available,
    )


def episodes_end(recipe: Recipe, model: TabularModel, policy: NDArray[np.float64] | None) -> bool:
    """Whether an episode can end at all: by a time limit, or because a termination can be reached.

    A policy that is kept as it is has to reach it itself; an improving or exploring one may take any action.
    """
    if recipe.episode_length or model.max_episode_steps:
        return True
    rows = np.ones(model.n_states * model.n_actions, np.bool_)
    if policy is not None and not recipe.improves:
        rows = policy.ravel() > 0
    return model.can_terminate(rows)
