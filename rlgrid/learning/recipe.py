"""Recipe: the choices that make an agent, read from a TOML file in ``agents/``."""

from __future__ import annotations

import os
from typing import Any, Literal

import msgspec

from rlgrid import library
from rlgrid.approximation.features import FeatureKeys
from rlgrid.errors import MOST, whole
from rlgrid.learning.recipe_keys import (
    BehaviorKeys,
    EpsilonKeys,
    HarmonicEpsilon,
    HarmonicSize,
    LinearEpsilon,
    PolynomialEpsilon,
    PolynomialSize,
    SoftmaxBehavior,
    StepSizeKeys,
    UpperConfidenceBehavior,
)
from rlgrid.rules.step_sizes import Constant, Harmonic, Polynomial, StepSize, as_step_size
from rlgrid.toml import Keys, convert, parse_toml, plain, read_text

#: Transitions that a learner keeps for one update, or outcomes of one entry.
_MOST_ROOM = 1_000_000


class Recipe(Keys, frozen=True):
    """Feed, target, step size and credit, with the behavior and the budget that go with them.

    ``docs/agents.md`` explains every key.
    """

    name: str
    source: str
    feed: Literal["sweep", "rollout", "replay", "solution", "counting"]
    target: Literal["greedy", "double", "next_action", "behavior", "policy", "return"]
    step_size: StepSizeKeys
    n: int = 1
    correction: Literal["none", "ordinary", "weighted", "per_decision", "tree_backup"] = "none"
    credit: Literal["entry", "together", "accumulating_trace", "replacing_trace", "dutch_trace", "gradient"] = "entry"
    features: FeatureKeys | None = None
    trace_decay: float = 0.9
    trace_cut: float = 1e-3
    planning_steps: int = 0
    exploration_bonus: float = 0.0
    model_memory: int = 1
    method: str | None = None
    solve_every: int = 1000
    prior: float = 0.0
    prior_reward: float = 0.0
    posterior: Literal["mean", "sample"] = "mean"
    table: Literal["q", "v"] = "q"
    initial_value: float = 0.0
    discount: float | None = None
    epsilon: EpsilonKeys | None = None
    policy: str | None = None
    behavior: BehaviorKeys | str | float | None = None
    improve_every: int | None = None
    improve_within: float | None = None
    visits: Literal["start", "first", "every"] = "every"
    starts: Literal["world", "exploring", "every_pair"] = "world"
    episodes_per_pair: int = 1
    episode_length: int | None = None
    steps: int | None = None
    episodes: int | None = None
    sweeps: int | None = None

    def __post_init__(self) -> None:
        _check_ranges(self)
        _check_choices(self)

    @property
    def predicts(self) -> bool:
        """Whether the value of a given policy is learned, rather than an optimal one."""
        return self.policy is not None and not self.improves

    @property
    def improves(self) -> bool:
        """Whether that policy is improved."""
        return self.improve_every is not None or self.improve_within is not None

    @property
    def chooses(self) -> bool:
        """Whether it acts by a rule of its own that chooses from the table."""
        return isinstance(self.behavior, SoftmaxBehavior | UpperConfidenceBehavior)

    @property
    def traces(self) -> bool:
        """Whether a trace of recent entries gets the credit."""
        return self.credit.endswith("_trace")


def _check_ranges(recipe: Recipe) -> None:
    as_step_size(to_step_size(recipe.step_size), most=1.0)
    for key in ("epsilon", "discount", "trace_decay", "trace_cut", "behavior"):
        value = getattr(recipe, key)
        if isinstance(value, int | float) and not 0 <= value <= 1:
            raise ValueError(f"{key}: found {value:g}; allowed: 0 to 1")
    _check_exploration(recipe)
    counts = ("improve_every", "episodes_per_pair", "episode_length", "steps", "episodes", "sweeps", "solve_every")
    for key in (*counts, "n", "model_memory", "planning_steps"):
        if (value := getattr(recipe, key)) is not None:
            whole(key, value, int(key != "planning_steps"), most=_MOST_ROOM if key in ("n", "model_memory") else MOST)
    for key in ("improve_within", "exploration_bonus", "prior"):
        value = getattr(recipe, key)
        if value is not None and not 0 <= value < float("inf"):
            raise ValueError(f"{key}: found {value:g}; allowed: at least 0")
    for key in ("initial_value", "prior_reward"):
        if not abs(value := getattr(recipe, key)) < float("inf"):
            raise ValueError(f"{key}: found {value}; allowed: a finite number")


def _check_exploration(recipe: Recipe) -> None:
    epsilon, behavior = recipe.epsilon, recipe.behavior
    if isinstance(epsilon, HarmonicEpsilon | PolynomialEpsilon):
        power = epsilon.power if isinstance(epsilon, PolynomialEpsilon) else 1.0
        if not (0 < epsilon.a < float("inf") and -1 < epsilon.b < float("inf") and 0 <= power < float("inf")):
            found = f"a = {epsilon.a:g}, b = {epsilon.b:g}, power = {power:g}"
            raise ValueError(f"epsilon: found {found}; allowed: a above 0, b above -1, power at least 0")
        if not 0 <= epsilon.least <= 1:
            raise ValueError(f"epsilon: found least = {epsilon.least:g}; allowed: 0 to 1")
    if isinstance(epsilon, LinearEpsilon) and not (
        0 <= epsilon.first <= 1 and 0 <= epsilon.last <= 1 and 1 <= epsilon.steps <= MOST
    ):
        found = f"first = {epsilon.first:g}, last = {epsilon.last:g}, steps = {epsilon.steps}"
        raise ValueError(f"epsilon: found {found}; allowed: first and last from 0 to 1, steps 1 to {MOST:,}")
    if isinstance(behavior, SoftmaxBehavior) and not 0 < behavior.temperature < float("inf"):
        raise ValueError(f"behavior: found temperature = {behavior.temperature:g}; allowed: above 0")
    if isinstance(behavior, UpperConfidenceBehavior) and not 0 <= behavior.c < float("inf"):
        raise ValueError(f"behavior: found c = {behavior.c:g}; allowed: at least 0")


def _check_choices(recipe: Recipe) -> None:
    """Choices that do not go together."""
    if recipe.feed == "sweep" and recipe.target in ("next_action", "return"):
        raise ValueError(f'target: a sweep follows no path; found "{recipe.target}", allowed: greedy, policy')
    acts_by = [key for key in ("epsilon", "policy") if getattr(recipe, key) is not None]
    acts_by += ["behavior"] if recipe.chooses else []
    if recipe.feed == "rollout" and len(acts_by) != 1:
        raise ValueError(
            f"a rollout acts by exactly one of epsilon, behavior and policy; found {' and '.join(acts_by) or 'none'}"
        )
    if recipe.feed == "sweep" and not isinstance(recipe.epsilon, int | float | None):
        raise ValueError("epsilon: a schedule counts what is done in an environment; allowed with a sweep: a number")
    if recipe.feed == "replay" and (recipe.starts != "world" or recipe.episode_length is not None):
        raise ValueError("starts, episode_length: a recording is as it is; allowed with a rollout")
    if recipe.target == "policy" and recipe.policy is None and recipe.behavior is None:
        raise ValueError('policy: it is missing; allowed with target = "policy": "uniform" or the name of an action')
    if recipe.table == "v" and (recipe.policy is None or recipe.target not in ("next_action", "return")):
        raise ValueError(
            "table: state values alone choose no action; allowed with a policy and the target next_action or return"
        )
    if recipe.table == "v" and recipe.starts != "world" and recipe.correction == "none":
        raise ValueError(
            f'starts: "{recipe.starts}" begins with any action, not the policy\'s; allowed with table = "v": "world", '
            "or a correction"
        )
    if recipe.improves and (recipe.policy is None or recipe.table == "v"):
        raise ValueError(
            "improve_every, improve_within: there is no policy to improve; allowed with policy and table q"
        )
    if recipe.improves and recipe.feed == "rollout" and recipe.starts != "every_pair":
        raise ValueError(
            'improve_every, improve_within: this rollout has no batches; allowed with a sweep or starts = "every_pair"'
        )
    if recipe.starts == "every_pair" and (recipe.episode_length is None or recipe.credit != "together"):
        raise ValueError('starts: "every_pair" needs an episode_length and credit = "together"')
    if recipe.feed == "sweep" and recipe.credit != "together":
        raise ValueError('credit: outcomes of a model land together; allowed with a sweep: "together"')
    if recipe.credit == "together" and recipe.feed == "rollout" and recipe.starts != "every_pair":
        raise ValueError(
            'credit: "together" lands at the end of a batch; allowed with a sweep or starts = "every_pair"'
        )
    if recipe.feed == "sweep" and (recipe.target == "double" or recipe.behavior is not None or recipe.planning_steps):
        raise ValueError("double, behavior and planning_steps: a sweep does not act; allowed with a rollout")
    if recipe.improves and recipe.behavior is not None:
        raise ValueError("behavior: found with a policy that is improved; allowed with one that stays, or with epsilon")
    _check_features(recipe)
    _check_lookahead(recipe)
    _check_credit(recipe)
    _check_solutions(recipe)


def _check_solutions(recipe: Recipe) -> None:
    """Agents that solve a model rather than update a table."""
    plain = recipe.target == "greedy" and recipe.table == "q" and recipe.credit == "together" and recipe.n == 1
    solves = recipe.feed in ("solution", "counting")
    if solves and not (plain and recipe.step_size == 1 and not recipe.planning_steps):
        raise ValueError(
            f'feed: "{recipe.feed}" solves a model; allowed with target = "greedy", step_size = 1, credit = "together"'
        )
    if recipe.feed == "counting" and (recipe.epsilon is None or recipe.starts != "world"):
        raise ValueError('feed: "counting" acts by the table; allowed with epsilon, and starts = "world"')
    if recipe.method is not None and not solves:
        raise ValueError('method: allowed with feed = "solution" or "counting"')
    if (recipe.prior or recipe.posterior == "sample") and recipe.feed != "counting":
        raise ValueError('prior, posterior: allowed with feed = "counting"')
    if recipe.posterior == "sample" and not recipe.prior:
        raise ValueError('posterior: "sample" needs a prior above 0')


def _check_features(recipe: Recipe) -> None:
    """What the gradient of a linear function can be combined with."""
    if (recipe.credit == "gradient") != (recipe.features is not None):
        found = "without features" if recipe.features is None else f'"{recipe.credit}"'
        raise ValueError(f'credit: found {found}; allowed: "gradient" where features are given, and only there')
    if recipe.features is None:
        return
    if recipe.target == "double" or recipe.correction != "none":
        raise ValueError('features: with target = "double" or a correction they are not allowed; one table, no ratios')
    if recipe.initial_value != 0:
        raise ValueError(
            f"initial_value: found {recipe.initial_value:g}; allowed with features, whose weights begin at 0: 0"
        )


def _check_lookahead(recipe: Recipe) -> None:
    """Windows of several transitions, and what other actions than the target policy's do in them."""
    far = recipe.n > 1 or recipe.target == "return"
    if recipe.n > 1 and recipe.target in ("return", "double"):
        raise ValueError(f'n: found {recipe.n} with target = "{recipe.target}"; allowed: 1')
    if recipe.n > 1 and recipe.feed == "sweep":
        raise ValueError(f"n: found {recipe.n}; allowed with a sweep, which follows no path: 1")
    if recipe.visits != "every" and recipe.target != "return":
        raise ValueError(f'visits: found "{recipe.visits}"; allowed without the target return: "every"')
    if recipe.correction != "none":
        if not far:
            raise ValueError(
                "correction: one step ahead nothing needs one; allowed with n above 1 or the target return"
            )
        if recipe.target == "next_action" and recipe.table == "q":
            raise ValueError('target: "next_action" cannot be corrected; allowed: greedy, policy, behavior, return')
        if recipe.correction == "tree_backup" and recipe.table == "v":
            raise ValueError('correction: "tree_backup" needs action values; allowed with table = "q"')
    elif recipe.target == "greedy" and recipe.n > 1:
        raise ValueError(
            f"n: found {recipe.n}; a greedy target looks that far only with a correction; "
            "allowed: tree_backup, weighted, ordinary, per_decision"
        )
    elif recipe.behavior is not None and not recipe.chooses and (far or recipe.target == "next_action"):
        raise ValueError(
            f'behavior: what it does says nothing of another policy with target = "{recipe.target}"; '
            "allowed: a correction, or the target greedy, double or policy one step ahead"
        )


def _check_credit(recipe: Recipe) -> None:
    """Traces, two tables, and planning."""
    if recipe.traces and (recipe.n > 1 or recipe.target in ("return", "double") or recipe.feed == "sweep"):
        raise ValueError("credit: a trace needs a rollout, n = 1 and a target that bootstraps from one table")
    if recipe.traces and recipe.behavior is not None and not recipe.chooses and recipe.target != "greedy":
        raise ValueError(
            f'credit: a trace of "behavior" needs a target that cuts it; found "{recipe.target}", allowed: greedy'
        )
    if recipe.planning_steps and (recipe.n > 1 or recipe.credit != "entry" or recipe.table == "v"):
        raise ValueError('planning_steps: allowed with n = 1, credit = "entry" and table = "q"')
    if recipe.planning_steps and recipe.target in ("next_action", "return"):
        raise ValueError(
            f'planning_steps: in a model nothing follows for target = "{recipe.target}"; '
            "allowed: greedy, double, behavior, policy"
        )


def read_recipe(name: str | os.PathLike[str], settings: dict[str, Any]) -> Recipe:
    """A recipe by catalog name or path, with some keys set anew.

    Raises:
        InputError: for an unknown name, an invalid file, or settings that are not allowed.
    """
    path = library.find("agents", name)
    where = path.name if os.fspath(name) == path.stem else str(path)
    data = parse_toml(read_text(path), where=where)
    for given, replaced in (("behavior", "epsilon"), ("epsilon", "behavior")):
        if given in settings and replaced not in settings and isinstance((data | settings).get("behavior"), dict):
            data.pop(replaced, None)  # the other way to choose actions from the table
    return convert(data | plain(settings), Recipe, where=where)


def to_step_size(keys: StepSizeKeys) -> StepSize:
    """The step size that a recipe's key names."""
    if isinstance(keys, HarmonicSize):
        return Harmonic(keys.a, keys.b, keys.per == "entry")
    if isinstance(keys, PolynomialSize):
        return Polynomial(keys.a, keys.b, keys.power, keys.per == "entry")
    return Constant(float(keys))


def step_size_keys(step_size: StepSize) -> StepSizeKeys:
    """The recipe's way to write a step size."""
    if isinstance(step_size, Constant):
        return step_size.alpha
    per: Literal["entry", "update"] = "entry" if step_size.per_entry else "update"
    if isinstance(step_size, Harmonic):
        return HarmonicSize(a=step_size.a, b=step_size.b, per=per)
    return PolynomialSize(a=step_size.a, b=step_size.b, power=step_size.power, per=per)


def recipe_to_toml(recipe: Recipe) -> str:
    """The TOML text of a recipe with every key that has a value, those at their default too."""
    keys = msgspec.to_builtins(recipe).items()
    return "".join(f"{key} = {_toml(value)}\n" for key, value in keys if value is not None)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return msgspec.json.encode(value).decode() if isinstance(value, str) else repr(value)
