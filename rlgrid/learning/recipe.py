"""Recipe: the choices that make an agent, read from a TOML file in ``agents/``."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from operator import or_
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from rlgrid import library, rules
from rlgrid.approximation.features import FeatureKeys
from rlgrid.choices import NAMED
from rlgrid.errors import MOST, whole
from rlgrid.learning.feed_keys import CountingKeys, FeedKeys, ReplayKeys, RolloutKeys, SolutionKeys, SweepKeys, gather
from rlgrid.rules.step_sizes import as_step_size, to_step_size
from rlgrid.toml import Keys, convert, parse_toml, plain, read_text

for _file in iter_modules(rules.__path__):
    import_module(f"rlgrid.rules.{_file.name}")  # each names its choices

if TYPE_CHECKING:
    TargetName: TypeAlias = str
    CorrectionName: TypeAlias = str
    CreditName: TypeAlias = str
    StepSizeKeys: TypeAlias = float | Keys
    EpsilonKeys: TypeAlias = float | Keys
    BehaviorKeys: TypeAlias = Keys
else:  # the names and tables that there are, for the check and its sentences

    def _names(family: str) -> Any:
        return Literal[tuple(NAMED[family])]

    def _tables(family: str) -> Any:
        return reduce(or_, (choice.keys for choice in NAMED[family].values()))

    TargetName, CorrectionName, CreditName = _names("target"), _names("correction"), _names("credit")
    StepSizeKeys, EpsilonKeys = float | _tables("step_size"), float | _tables("epsilon")
    BehaviorKeys = _tables("behavior")

#: Transitions that a learner keeps for one update, or outcomes of one entry.
_MOST_ROOM = 1_000_000


class Recipe(Keys, frozen=True):
    """Feed, target, step size and credit, with the behavior and the budget that go with them.

    ``docs/agents.md`` explains every key.
    """

    name: str
    source: str
    feed: FeedKeys
    target: TargetName
    step_size: StepSizeKeys
    n: int = 1
    correction: CorrectionName = "none"
    credit: CreditName = "entry"
    features: FeatureKeys | None = None
    trace_decay: float = 0.9
    trace_cut: float = 1e-3
    planning_steps: int = 0
    exploration_bonus: float = 0.0
    model_memory: int = 1
    table: Literal["q", "v"] = "q"
    initial_value: float = 0.0
    discount: float | None = None
    epsilon: EpsilonKeys | None = None
    policy: str | None = None
    behavior: BehaviorKeys | str | float | None = None
    improve_every: int | None = None
    improve_within: float | None = None
    visits: Literal["start", "first", "every"] = "every"
    steps: int | None = None
    episodes: int | None = None
    sweeps: int | None = None

    def __post_init__(self) -> None:
        _check_ranges(self)
        _check_choices(self)

    def is_a(self, family: Literal["target", "correction", "credit"], trait: str) -> bool:
        """Whether a choice has a trait, as its file says where it names it.

        - A target: ``follows_path`` (it needs what is done after a transition), ``whole_episode`` (all of it),
          ``needs_policy``, ``greedy_policy`` (it learns about the greedy policy, whoever acts), ``two_tables``.
        - A credit: ``trace``, ``features``, ``at_end`` (of a batch or sweep).
        - A correction: ``ratios`` (it divides by the behavior's probabilities), ``action_values``.
        """
        return trait in NAMED[family][getattr(self, family)].traits

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
        return isinstance(self.behavior, Keys)

    @property
    def starts(self) -> str:
        """Where episodes begin: as the world says, unless a rollout says otherwise."""
        return self.feed.starts if isinstance(self.feed, RolloutKeys) else "world"

    @property
    def episode_length(self) -> int | None:
        """Steps after which episodes are cut off."""
        return self.feed.episode_length if isinstance(self.feed, RolloutKeys | CountingKeys) else None


def _fitting(family: str, fit: Callable[[frozenset[str]], bool]) -> str:
    """The choices of a family whose traits fit, for a sentence."""
    return ", ".join(name for name, choice in NAMED[family].items() if fit(choice.traits))


def _off_path(traits: frozenset[str]) -> bool:
    return "follows_path" not in traits


def _check_ranges(recipe: Recipe) -> None:
    as_step_size(to_step_size(recipe.step_size), most=1.0)
    for key in ("epsilon", "discount", "trace_decay", "trace_cut", "behavior"):
        value = getattr(recipe, key)
        if isinstance(value, int | float) and not 0 <= value <= 1:
            raise ValueError(f"{key}: found {value:g}; allowed: 0 to 1")
    for key in ("improve_every", "steps", "episodes", "sweeps", "n", "model_memory", "planning_steps"):
        if (value := getattr(recipe, key)) is not None:
            whole(key, value, int(key != "planning_steps"), most=_MOST_ROOM if key in ("n", "model_memory") else MOST)
    for key in ("improve_within", "exploration_bonus"):
        value = getattr(recipe, key)
        if value is not None and not 0 <= value < float("inf"):
            raise ValueError(f"{key}: found {value:g}; allowed: at least 0")
    if not abs(recipe.initial_value) < float("inf"):
        raise ValueError(f"initial_value: found {recipe.initial_value}; allowed: a finite number")


def _check_choices(recipe: Recipe) -> None:
    """Refuse choices that do not go together."""
    if recipe.is_a("target", "needs_policy") and recipe.policy is None and recipe.behavior is None:
        raise ValueError(
            f'policy: it is missing; allowed with target = "{recipe.target}": "uniform" or the name of an action'
        )
    if recipe.table == "v" and (recipe.policy is None or not recipe.is_a("target", "follows_path")):
        raise ValueError(
            "table: state values alone choose no action; allowed with a policy and the target "
            + _fitting("target", lambda traits: not _off_path(traits))
        )
    if recipe.improves and (recipe.policy is None or recipe.table == "v"):
        raise ValueError(
            "improve_every, improve_within: there is no policy to improve; allowed with policy and table q"
        )
    if recipe.improves and recipe.behavior is not None:
        raise ValueError("behavior: found with a policy that is improved; allowed with one that stays, or with epsilon")
    if isinstance(recipe.feed, SweepKeys):
        _check_sweep(recipe)
    elif isinstance(recipe.feed, RolloutKeys):
        _check_rollout(recipe, recipe.feed)
    elif not isinstance(recipe.feed, ReplayKeys):
        _check_solutions(recipe, recipe.feed)
    _check_features(recipe)
    _check_lookahead(recipe)
    _check_credit(recipe)


def _check_sweep(recipe: Recipe) -> None:
    """Refuse what does not go with a sweep over the exact model, whose updates land together."""
    if recipe.is_a("target", "follows_path"):
        allowed = _fitting("target", lambda traits: not traits & {"follows_path", "two_tables"})
        raise ValueError(f'target: a sweep follows no path; found "{recipe.target}", allowed: {allowed}')
    if not isinstance(recipe.epsilon, int | float | None):
        raise ValueError("epsilon: a schedule counts what is done in an environment; allowed with a sweep: a number")
    if not recipe.is_a("credit", "at_end"):
        raise ValueError('credit: outcomes of a model land together; allowed with a sweep: "together"')
    if recipe.is_a("target", "two_tables") or recipe.behavior is not None or recipe.planning_steps:
        raise ValueError("double, behavior and planning_steps: a sweep does not act; allowed with a rollout")


def _check_rollout(recipe: Recipe, feed: RolloutKeys) -> None:
    """Refuse what does not go with a rollout: who acts, where episodes begin, and when updates land."""
    acts_by = [key for key in ("epsilon", "policy") if getattr(recipe, key) is not None]
    acts_by += ["behavior"] if recipe.chooses else []
    if len(acts_by) != 1:
        raise ValueError(
            f"a rollout acts by exactly one of epsilon, behavior and policy; found {' and '.join(acts_by) or 'none'}"
        )
    if recipe.table == "v" and feed.starts != "world" and recipe.correction == "none":
        raise ValueError(
            f'starts: "{feed.starts}" begins with any action, not the policy\'s; allowed with table = "v": "world", '
            "or a correction"
        )
    if feed.starts == "every_pair":
        if feed.episode_length is None or not recipe.is_a("credit", "at_end"):
            raise ValueError('starts: "every_pair" needs an episode_length and credit = "together"')
    elif recipe.improves:
        raise ValueError(
            'improve_every, improve_within: this rollout has no batches; allowed with a sweep or starts = "every_pair"'
        )
    elif recipe.is_a("credit", "at_end"):
        raise ValueError(
            f'credit: "{recipe.credit}" lands at the end of a batch; allowed with a sweep or starts = "every_pair"'
        )


def _check_solutions(recipe: Recipe, feed: SolutionKeys | CountingKeys) -> None:
    """Refuse what an agent has no use for that solves a model rather than updates a table."""
    replaces_table = recipe.target == "greedy" and recipe.table == "q" and recipe.credit == "together" and recipe.n == 1
    if not (replaces_table and recipe.step_size == 1 and not recipe.planning_steps):
        raise ValueError(
            f'feed: "{feed.kind}" solves a model; allowed with target = "greedy", step_size = 1, credit = "together"'
        )
    if isinstance(feed, CountingKeys) and recipe.epsilon is None:
        raise ValueError('feed: "counting" acts by the table; allowed with epsilon')


def _check_features(recipe: Recipe) -> None:
    """Refuse what the gradient of a linear function cannot be combined with."""
    if (recipe.is_a("credit", "features")) != (recipe.features is not None):
        found = "without features" if recipe.features is None else f'"{recipe.credit}"'
        raise ValueError(f'credit: found {found}; allowed: "gradient" where features are given, and only there')
    if recipe.features is None:
        return
    if recipe.is_a("target", "two_tables") or recipe.correction != "none":
        raise ValueError('features: with target = "double" or a correction they are not allowed; one table, no ratios')
    if recipe.initial_value != 0:
        raise ValueError(
            f"initial_value: found {recipe.initial_value:g}; allowed with features, whose weights begin at 0: 0"
        )


def _check_lookahead(recipe: Recipe) -> None:
    """Refuse windows of several transitions where other actions than the target policy's would make targets wrong."""
    far = recipe.n > 1 or recipe.is_a("target", "whole_episode")
    if recipe.n > 1 and (recipe.is_a("target", "whole_episode") or recipe.is_a("target", "two_tables")):
        raise ValueError(f'n: found {recipe.n} with target = "{recipe.target}"; allowed: 1')
    if recipe.n > 1 and isinstance(recipe.feed, SweepKeys):
        raise ValueError(f"n: found {recipe.n}; allowed with a sweep, which follows no path: 1")
    if recipe.visits != "every" and not recipe.is_a("target", "whole_episode"):
        raise ValueError(f'visits: found "{recipe.visits}"; allowed without the target return: "every"')
    if recipe.correction != "none":
        if not far:
            raise ValueError(
                "correction: one step ahead nothing needs one; allowed with n above 1 or the target return"
            )
        if recipe.is_a("target", "follows_path") and not recipe.is_a("target", "whole_episode") and recipe.table == "q":
            allowed = _fitting(
                "target", lambda traits: not traits & {"follows_path", "two_tables"} or "whole_episode" in traits
            )
            raise ValueError(f'target: "{recipe.target}" cannot be corrected; allowed: {allowed}')
        if recipe.is_a("correction", "action_values") and recipe.table == "v":
            raise ValueError(f'correction: "{recipe.correction}" needs action values; allowed with table = "q"')
    elif recipe.is_a("target", "greedy_policy") and recipe.n > 1:
        raise ValueError(
            f"n: found {recipe.n}; a greedy target looks that far only with a correction; "
            f"allowed: {', '.join(sorted(NAMED['correction'].keys() - {'none'}))}"
        )
    elif recipe.behavior is not None and not recipe.chooses and (far or recipe.is_a("target", "follows_path")):
        raise ValueError(
            f'behavior: what it does says nothing of another policy with target = "{recipe.target}"; '
            f"allowed: a correction, or one step ahead the target {_fitting('target', _off_path)}"
        )


def _check_credit(recipe: Recipe) -> None:
    """Refuse traces and planning where their targets, windows or tables do not allow them."""
    trace = recipe.is_a("credit", "trace")
    one_table = not recipe.is_a("target", "two_tables") and not recipe.is_a("target", "whole_episode")
    if trace and (recipe.n > 1 or not one_table or isinstance(recipe.feed, SweepKeys)):
        raise ValueError("credit: a trace needs a rollout, n = 1 and a target that bootstraps from one table")
    if trace and recipe.behavior is not None and not recipe.chooses and not recipe.is_a("target", "greedy_policy"):
        raise ValueError(
            f'credit: a trace of "behavior" needs a target that cuts it; found "{recipe.target}", allowed: '
            + _fitting("target", lambda traits: "greedy_policy" in traits)
        )
    if recipe.planning_steps and (recipe.n > 1 or recipe.credit != "entry" or recipe.table == "v"):
        raise ValueError('planning_steps: allowed with n = 1, credit = "entry" and table = "q"')
    if recipe.planning_steps and recipe.is_a("target", "follows_path"):
        raise ValueError(
            f'planning_steps: in a model nothing follows for target = "{recipe.target}"; '
            f"allowed: {_fitting('target', _off_path)}"
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
    return convert(gather(data, plain(settings), where), Recipe, where=where)


def recipe_to_toml(recipe: Recipe) -> str:
    """The TOML text of a recipe with every key that has a value, those at their default too."""
    keys = msgspec.to_builtins(recipe).items()
    return "".join(f"{key} = {_toml(value)}\n" for key, value in keys if value is not None)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        items = (f"{key} = {_toml(item)}" for key, item in value.items() if item is not None)
        return "{ " + ", ".join(items) + " }"
    return msgspec.json.encode(value).decode() if isinstance(value, str) else repr(value)
