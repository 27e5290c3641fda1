"""What is valid in a world but probably unintended: cells out of reach, traps, endless episodes, surprising rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlgrid.arrays import Bools
from rlgrid.models.model import TabularModel
from rlgrid.models.reachability import reached_from
from rlgrid.models.tables import blocks
from rlgrid.worlds.numbers import number_to_toml
from rlgrid.worlds.outcomes import ways
from rlgrid.worlds.world import Cell, World

if TYPE_CHECKING:
    from scipy.sparse import csr_array


#: Regions of one kind that are reported one by one; what is left is summed up.
MOST_REGIONS = 5


class Finding(NamedTuple):
    """Something to look at. Rows and columns count from 1; both are ``None`` where it is about the whole world."""

    kind: str
    row: int | None
    column: int | None
    sentence: str

    def __str__(self) -> str:
        place = f"row {self.row}, column {self.column}: " if self.row is not None else ""
        return f"{place}{self.sentence} ({self.kind})"


def lint_world(world: World) -> list[Finding]:
    """Look for what is valid in a world but probably unintended.

    The kinds: ``unreachable`` and ``unreachable goal`` (from every start), ``trap`` (no end of the episode can be
    reached from there, or no action leads away), ``endless`` (discount 1, and no episode ends), ``improper``
    (discount 1, and a policy can avoid every end), ``bump``, ``start`` and ``target`` (rules that may surprise).

    >>> world = World.from_toml('actions = ["left", "right"]\\nmap = "S..#.G"\\n[cells]\\nG = { terminal = true }')
    >>> for finding in lint_world(world):
    ...     print(finding)
    row 1, column 5: this cell cannot be reached from any start (unreachable)
    row 1, column 6: this terminal cell cannot be reached from any start (unreachable goal)
    row 1, column 1: no end of the episode can be reached from this cell and 2 beside it (trap)
    """
    subject = _Subject(world)
    return [finding for check in CHECKS for finding in check(subject)]


class _Subject:
    """A world and the graph of its moves: what several checks need, computed once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.model = TabularModel.from_world(world)

    @cached_property
    def graph(self) -> csr_array[Any]:
        """An edge from each state to each next state, [S, S]; its value is the row ``state * n_actions + action``."""
        from scipy.sparse import csr_array

        model, t = self.model, self.model.tables
        row = np.empty(len(t.next_state))
        for rows, outcomes, here in blocks(t):
            row[outcomes] = rows.start + here
        begin = t.first[:: model.n_actions].astype(np.int32)
        return csr_array((row, t.next_state, begin), shape=(model.n_states, model.n_states))

    @cached_property
    def backwards(self) -> csr_array[Any]:
        """The same edges, from next states to states."""
        return self.graph.tocsc().T

    @cached_property
    def stood_on(self) -> Bools:
        """Cells in which an agent can be at the end of a step or at the start, bool [S]."""
        stood_on = ~(self.world.mask("wall") | self.world.mask("enter_to"))
        stood_on[self.world.starts] = True
        return stood_on

    @cached_property
    def reachable(self) -> Bools:
        """Cells that some policy reaches from a start, bool [S]."""
        return reached_from(self.graph, self.world.starts)

    @cached_property
    def closed(self) -> Bools:
        """Rows of which no outcome ends the episode, bool [S, A].

        :func:`rlgrid.planning.graph.closed_rows` finds the same in a model's rows, and loads Numba for that.
        """
        model, t = self.model, self.model.tables
        closed = np.ones(model.n_states * model.n_actions, dtype=np.bool_)
        for rows, outcomes, here in blocks(t):
            closed[rows.start + here[t.terminated[t.code[outcomes]]]] = False
        return closed.reshape(model.n_states, model.n_actions)

    @cached_property
    def ending(self) -> Bools:
        """Cells in which the episode ends, or in which some action may end it, bool [S]."""
        return ~self.closed.all(axis=1) & self.stood_on

    def place(self, state: int) -> tuple[int, int]:
        """Row and column of a state, from 1."""
        row, col = divmod(int(state), self.world.shape[1])
        return row + 1, col + 1

    def regions(self, kind: str, cells: Bools, sentence: str, noun: str = "cell") -> Iterator[Finding]:
        """One finding for each connected region of cells, the largest first; ``{}`` in the sentence names the cells."""
        if not cells.any():
            return
        from scipy.ndimage import label

        region, count = label(cells.reshape(self.world.shape), structure=np.ones((3, 3)))
        states = np.flatnonzero(cells)
        of_state = region.ravel()[states]
        size = np.bincount(of_state, minlength=count + 1)
        first = np.zeros(count + 1, dtype=np.int64)
        first[of_state[::-1]] = states[::-1]
        order = 1 + np.argsort(-size[1:], kind="stable")
        for number in order[:MOST_REGIONS]:
            others = f" and {size[number] - 1:,} beside it" if size[number] > 1 else ""
            yield Finding(kind, *self.place(first[number]), sentence.format(f"this {noun}{others}"))
        if len(rest := order[MOST_REGIONS:]):
            more = f"and so on: the same holds for {size[rest].sum():,} more cells in {len(rest):,} other places"
            yield Finding(kind, *self.place(first[rest[0]]), more)


# -- where one can go ------------------------------------------------------------------------------------------------


def _unreachable(subject: _Subject) -> Iterator[Finding]:
    world, sentence = subject.world, "{} cannot be reached from any start"
    lost = ~subject.reachable & subject.stood_on
    paying = np.array([ord(symbol) for symbol, cell in world.legend.items() if _pays(cell)], dtype=np.uint32)
    goals = {"terminal cell": world.mask("terminal"), "exit cell": world.mask("exit")}
    goals["rewarding cell"] = np.isin(world.symbols, paying) & ~goals["terminal cell"]
    plain = lost & ~np.logical_or.reduce(list(goals.values()))
    yield from subject.regions("unreachable", plain, sentence)
    for noun, cells in goals.items():
        yield from subject.regions("unreachable goal", lost & cells, sentence, noun)


def _pays(cell: Cell) -> bool:
    paid = (cell.enter, cell.leave.reward if cell.leave else None)
    return any(reward is not None and reward.mean > 0 for reward in paid)


def _traps(subject: _Subject) -> Iterator[Finding]:
    there = subject.reachable & subject.stood_on
    if subject.ending.any():
        can_end = reached_from(subject.backwards, np.flatnonzero(subject.ending))
        yield from subject.regions("trap", there & ~can_end, "no end of the episode can be reached from {}")
        return
    leads_away = np.zeros(len(there), dtype=np.bool_)
    source = np.repeat(np.arange(len(there)), np.diff(subject.graph.indptr))
    leads_away[source[subject.graph.indices != source]] = True
    yield from subject.regions("trap", there & ~leads_away, "no action leads away from {}")


def _endless(subject: _Subject) -> Iterator[Finding]:
    if subject.world.discount != 1:
        return
    if not (subject.reachable & subject.ending).any():
        yield Finding("endless", None, None, "discount 1, but no episode ever ends: values are infinite or undefined")
        return
    kept = _closed_under_a_policy(subject)
    staying = subject.closed & (subject.reachable & subject.stood_on)[:, None] & kept
    if not staying.any():
        return
    best = subject.model.expected_reward[staying].max()
    states = np.flatnonzero(staying.any(axis=1))
    worth = (
        "collecting rewards on the way: the optimal value may be infinite"
        if best > 0
        else "at no cost: nothing drives it to an end"
        if best == 0
        else "at a cost in every step: such a policy is worth minus infinity"
    )
    cells = f"{len(states):,} cell{'s' * (len(states) > 1)}, this one among them"
    sentence = f"at discount 1 a policy can go on for ever in {cells}, {worth}"
    yield Finding("improper", *subject.place(states[0]), sentence)


def _closed_under_a_policy(subject: _Subject) -> Bools:
    """Rows that keep to the largest set of states which some policy never leaves and never ends in; bool [S, A]."""
    n_actions = subject.model.n_actions
    kept = subject.closed.copy()
    count = kept.sum(axis=1)
    dropped = np.flatnonzero(count == 0)
    backwards = subject.backwards
    while len(dropped):
        begin = backwards.indptr[dropped].astype(np.int64)
        length = backwards.indptr[dropped + 1] - begin
        offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        row = backwards.data[np.repeat(begin, length) + offset].astype(np.int64)
        row = np.unique(row[kept.ravel()[row]])
        kept.ravel()[row] = False
        state, fewer = np.unique(row // n_actions, return_counts=True)
        count[state] -= fewer
        dropped = state[count[state] == 0]
    return kept


# -- rules that may surprise -----------------------------------------------------------------------------------------


def _bumps(subject: _Subject) -> Iterator[Finding]:
    world, rules = subject.world, subject.world.reward
    own_bump = [symbol for symbol, cell in world.cells.items() if cell.bump is not None]
    paid_again = [s for s, c in world.cells.items() if c.enter is not None and _goes_on(c)]
    if rules.bump_adds_cell and not (paid_again and (own_bump or rules.bump is not None)):
        missing = "no bump is set" if paid_again else "no cell that moves start from has an enter reward"
        yield Finding("bump", None, None, f"reward.bump_adds_cell changes nothing, because {missing}")
    elif rules.bump_adds_cell and own_bump:
        walls = ", ".join(own_bump)
        sentence = f"reward.bump_adds_cell adds the own cell's enter reward to the bumps of the walls {walls}, too"
        yield Finding("bump", None, None, sentence)
    slides = world.wind is not None or any(all(way.move) for action in world.actions for way in ways(world, action))
    if rules.bump is not None and world.edge == "clip" and slides:
        sentence = 'with edge = "clip" a move that slides along the edge is not blocked, so it does not pay reward.bump'
        yield Finding("bump", None, None, sentence)
    if rules.bump is None and not own_bump and world.wind is None:
        for symbol in paid_again:
            yield from _paid_for_standing(subject, symbol)


def _goes_on(cell: Cell) -> bool:
    return not (cell.terminal or cell.exit is not None or cell.leave or cell.enter_to)


def _paid_for_standing(subject: _Subject, symbol: str) -> Iterator[Finding]:
    """Cells in which a blocked move pays the enter reward once more."""
    world, enter = subject.world, subject.world.cells[symbol].enter
    assert enter is not None
    moving = [action != "stay" for action in world.actions]
    graph, cells = subject.graph, np.zeros(world.n_states, dtype=np.bool_)
    state = np.repeat(np.arange(world.n_states), np.diff(graph.indptr))
    back = np.flatnonzero(graph.indices == state)
    moved = np.array(moving)[graph.data[back].astype(np.int64) % world.n_actions]
    cells[state[back[moved]]] = True
    cells &= (world.symbols == ord(symbol)) & subject.reachable
    amount = number_to_toml(enter.mean).strip('"')
    sentence = f"reward.bump is not set, so that a blocked move pays the enter reward {amount} again in {{}}"
    yield from subject.regions("bump", cells, sentence)


def _targets(subject: _Subject) -> Iterator[Finding]:
    world = subject.world
    for symbol, cell in world.cells.items():
        here = subject.place(world.where(symbol)[0])
        if cell.start and cell.enter_to:
            sentence = f'an episode that starts in "{symbol}" stays there; only who enters it goes to "{cell.enter_to}"'
            yield Finding("start", *here, sentence)
        to = cell.leave.to if cell.leave else cell.enter_to
        if to is not None and (further := world.legend[to].enter_to):
            yield Finding("target", *here, f'"{symbol}" leads to "{to}" and not on to "{further}"')


CHECKS: tuple[Callable[[_Subject], Iterator[Finding]], ...] = (_unreachable, _traps, _endless, _bumps, _targets)
