"""Agent: a learner with its behavior and its random streams, put together from a recipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.acting import acting_policy, greedy, shared
from rlgrid.assembly import assemble, check_coverage, policies
from rlgrid.batch import Batch, check_batch
from rlgrid.behaviors import Behavior, Stored
from rlgrid.errors import InputError, check_seed, one_of, shown
from rlgrid.features import Features, fitting
from rlgrid.feeds import Feed, Rollout, Sweep
from rlgrid.learner import Learner, NoImprovement, Nowhere, OneStep
from rlgrid.linear import Gradient
from rlgrid.model import TabularModel, check_probabilities, resolve_discount
from rlgrid.model_feeds import Counting, Solution
from rlgrid.randomness import Stream, new_stream
from rlgrid.recipe import Recipe, read_recipe, step_size_keys
from rlgrid.spaces import Spaces, spaces_of
from rlgrid.step_sizes import Constant, Harmonic, Polynomial, as_step_size
from rlgrid.targets import Return
from rlgrid.traces import Trace
from rlgrid.windows import Window

if TYPE_CHECKING:
    import gymnasium

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

        action, _ = choose(self.learner, self.behavior, int(state), self.streams[0])
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

        Raises:
            InputError: where the mask is no [A], or allows no action.
        """
        if mask is None:
            return
        allowed = np.asarray(mask) != 0
        if allowed.shape != (self.n_actions,) or not allowed.any():
            raise InputError(
                f"action_mask: found {shown(np.asarray(mask).tolist())} in state {state}; "
                f"allowed: {self.n_actions} numbers, at least one of them not 0"
            )
        if self.learner.table.shape[1] == self.n_actions:
            self.learner.table[state, ~allowed] = -np.inf
        for policy in self.stored:
            kept = np.where(allowed, policy[state], 0.0)
            policy[state] = kept / kept.sum() if kept.any() else allowed / allowed.sum()

    @property
    def stored(self) -> list[NDArray[np.float64]]:
        """The stored policies, live [S, A]."""
        return [self.behavior.probability] if isinstance(self.behavior, Stored) else []

    def settle(self) -> None:
        """End a batch."""
        from rlgrid.kernels.interaction import settle_batch

        settle_batch(self.learner)

    def make_room(self, window: int = 0, credit: int = 0) -> None:
        """Double what is full of transitions that wait for the end of a long episode.

        Args:
            window, credit: their lengths, where they have to be at least so long.
        """
        learner = self.learner
        if isinstance(learner.window, Window):
            learner = learner._replace(
                window=_longer(learner.window, ("state", "action", "reward", "probability"), window)
            )
        if isinstance(learner.credit, Trace):
            learner = learner._replace(credit=_longer(learner.credit, ("state", "column", "size"), credit))
        self.learner = learner


def _longer(waiting: Any, names: tuple[str, ...], least: int) -> Any:
    """A window or trace with room; as it is where it has some."""
    columns = {name: getattr(waiting, name) for name in names}
    size = len(waiting.state)
    while size < least or size == waiting.span[1] - waiting.span[0]:
        if size >= _LONGEST_EPISODE:
            raise InputError(
                f"an episode has gone on for {size:,} steps, and what is learned waits for its end; "
                f"allowed: an episode_length below {_LONGEST_EPISODE:,}, or a policy that ends"
            )
        columns = {name: np.concatenate([column, np.zeros_like(column)]) for name, column in columns.items()}
        size = 2 * size
    return waiting._replace(**columns)


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
        chosen: the policy that acts, and the one that is learned.
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
        behavior: NDArray[np.float64] | None = None,
        available: NDArray[np.bool_] | None = None,
        features: Features | None = None,
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        env_seed, *streams = np.random.SeedSequence(seed).spawn(3)
        self.env_seed = int(env_seed.generate_state(1)[0])
        self.chosen, tally = policies(recipe, policy, behavior, n_states, n_actions)
        made = [new_stream(child) for child in streams]
        learner = assemble(recipe, self.chosen, n_states, n_actions, discount, available, made[1], features)
        super().__init__(learner._replace(tally=tally), self.chosen.behavior, n_actions, made)

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
    def weights(self) -> NDArray[np.float64]:
        """Weights of the features, a copy [K, A], or [K] for state values: ``features.matrix @ weights`` is the table.

        Raises:
            InputError: for an agent without features.
        """
        credit = self.learner.credit
        if not isinstance(credit, Gradient):
            raise InputError(f"{self.recipe.name}: it has no features, so no weights; allowed: agent.q or agent.v")
        return credit.weights[:, 0].copy() if self.recipe.table == "v" else credit.weights.copy()

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
        if isinstance(self.chosen.target, Stored):
            return self.chosen.target.probability.copy()
        return greedy(self.learner.table)

    @property
    def behavior_policy(self) -> NDArray[np.float64]:
        """The policy that acts now, [S, A]: with these probabilities the next action is drawn."""
        return acting_policy(self.behavior, self.learner.table)

    @property
    def stored(self) -> list[NDArray[np.float64]]:
        """The stored policies, live [S, A]: what acts, and what is learned where that is another."""
        different = self.chosen if self.chosen.target is not self.chosen.behavior else self.chosen[:1]
        return [policy.probability for policy in different if isinstance(policy, Stored)]

    @property
    def keeps_acting(self) -> NDArray[np.float64] | None:
        """The policy that acts [S, A] where it stays the same all along; None: it changes."""
        return self.behavior_policy if isinstance(self.behavior, Stored) and not self.recipe.improves else None

    def feed(self, env: gymnasium.Env[Any, Any] | TabularModel) -> Feed:
        """Where this agent's experience comes from, in an environment."""
        if self.recipe.feed == "sweep":
            return Sweep(env)
        if self.recipe.feed == "replay":
            raise InputError(
                f"{self.recipe.name}: it learns from a recorded batch; allowed: train(..., batch=...), in Python"
            )
        recipe, method = self.recipe, self.recipe.method or "auto"
        if recipe.feed == "solution":
            return Solution(env, method)
        if recipe.feed == "counting":
            return Counting(
                env,
                every=recipe.solve_every,
                method=method,
                prior=recipe.prior,
                prior_reward=recipe.prior_reward,
                sample=recipe.posterior == "sample",
                initial_value=recipe.initial_value,
                episode_length=recipe.episode_length,
                seed=self.env_seed,
            )
        return Rollout(
            env,
            starts=recipe.starts,
            episode_length=recipe.episode_length,
            episodes_per_pair=recipe.episodes_per_pair,
            seed=self.env_seed,
        )


def _taken_apart(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings as keys of a recipe; and the arrays, or features, that were given in the place of some."""
    in_place = {"policy": "uniform", "behavior": "uniform", "features": {"kind": "given"}}
    given = {key: settings[key] for key in in_place if _is_array(settings.get(key))}
    keys = settings | {key: in_place[key] for key in given}
    if isinstance(keys.get("step_size"), Constant | Harmonic | Polynomial):
        keys["step_size"] = step_size_keys(as_step_size(keys["step_size"], most=1.0))
    return keys, given


def _is_array(found: object) -> bool:
    """Whether an array was given in place of a key's own value, or features, which are a tuple."""
    return hasattr(found, "__len__") and not isinstance(found, str | dict)


def _stored(key: str, given: str | float | ArrayLike | None, spaces: Spaces) -> NDArray[np.float64] | None:
    """A policy [S, A] by its name or as an array; always an array of its own."""
    if given is None or isinstance(given, int | float):
        return None
    if not isinstance(given, str):
        return check_probabilities(given, spaces.available, key).copy()
    if given == "uniform":
        return shared(spaces.available)
    if given not in spaces.actions:
        raise InputError(f"{key}: {one_of(given, ['uniform', *spaces.actions])}")
    chosen = np.zeros(spaces.available.shape)
    chosen[:, spaces.actions.index(given)] = 1.0
    return check_probabilities(chosen, spaces.available, key)


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
            and ``behavior`` may be arrays [S, A]; ``features`` an array [S, K] or ``Features``; ``step_size`` a
            ``Constant``, ``Harmonic`` or ``Polynomial``.

    Raises:
        InputError: for an unknown recipe, a setting that is not allowed, or an environment that does not fit.

    >>> import rlgrid
    >>> agent = rlgrid.load_agent("q_learning", rlgrid.GridWorld("cliff"), seed=1, step_size=0.5)
    >>> agent.q.shape
    (48, 4)
    """
    check_seed(seed)
    keys, given = _taken_apart(settings)
    chosen = read_recipe(recipe, keys)
    spaces = spaces_of(env)
    policy = _stored("policy", given.get("policy", chosen.policy), spaces)
    behavior = None if chosen.chooses else _stored("behavior", given.get("behavior", chosen.behavior), spaces)
    if policy is not None and isinstance(chosen.behavior, int | float):
        behavior = (1.0 - chosen.behavior) * policy + chosen.behavior * shared(spaces.available)
    model = spaces.model
    if policy is not None and behavior is not None and chosen.correction not in ("none", "tree_backup"):
        check_coverage(policy, behavior, spaces)
    known = (model.shape, model.terminal) if model is not None else (None, None)
    features = given.get("features", chosen.features)
    try:
        agent = Agent(
            chosen,
            spaces.n_states,
            spaces.n_actions,
            discount=resolve_discount(chosen.discount, spaces.discount),
            seed=seed,
            policy=policy,
            behavior=behavior,
            available=None if spaces.available.all() else spaces.available,
            features=None if features is None else fitting(features, spaces.n_states, *known),
        )
    except MemoryError as error:
        raise InputError(f"{chosen.name}: out of memory: {error}; allowed: a smaller n or model_memory") from None
    waits = chosen.feed == "rollout" and chosen.target == "return"
    if waits and model is not None and not episodes_end(agent, model):
        raise InputError(
            f"{chosen.name}: in {model.name} episodes never end, and a return has to; "
            "allowed with episode_length set, or with max_episode_steps in the world"
        )
    return agent


def episodes_end(agent: Agent, model: TabularModel) -> bool:
    """Whether an episode can end at all: by a time limit, or because a termination can be reached.

    A policy that is kept as it is has to reach it itself; an improving or exploring one may take any action.
    """
    if agent.recipe.episode_length or model.max_episode_steps:
        return True
    acts = agent.keeps_acting
    return model.can_terminate(
        np.ones(model.n_states * model.n_actions, np.bool_) if acts is None else acts.ravel() > 0
    )
