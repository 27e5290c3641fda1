"""From a world's rules to its outcome table: what every action in every cell leads to.

Cells are compiled in blocks of some ten thousand, in one pass over arrays for each action and each way in which its
move can turn out (slip x wind), so that a map of a million cells takes about half a second and little room besides the
result. What happens in a pass is one number for each cell, an event (:class:`_Events`), and what an event pays is
looked up once. Probabilities and rewards stay fractions; they become floats in the model.
"""

from __future__ import annotations

from enum import Enum
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools
from rlgrid.errors import InputError
from rlgrid.worlds.numbers import Reward
from rlgrid.worlds.world import HEADINGS, MOVES, World

Ints = NDArray[np.int32]

#: Cells times actions times ways to compile at a time, so that the arrays of a block stay small.
BLOCK = 2**20

#: Outcomes of a block above which a world is refused: a thousand ways into cells that lead to 16,000 others.
MOST_OUTCOMES = 2**24


class Outcome(NamedTuple):
    """One thing that can happen, without where it leads."""

    probability: Fraction
    reward: Reward
    terminated: bool


class OutcomeTable(NamedTuple):
    """Outcomes of all rows ``state * n_actions + action``, one after the other: N in all."""

    first: NDArray[np.int64]  # [S A + 1] where each row begins
    next_state: Ints  # [N]
    code: NDArray[np.integer]  # [N] index into ``outcomes``
    outcomes: tuple[Outcome, ...]


def compile_world(world: World) -> OutcomeTable:
    """Apply the rules in their order: terminal, exit, leave, slip, wind, edge, block, reward, enter_to."""
    return _Compiler(world).table()


class _Way(NamedTuple):
    """One way a move can turn out: its probability, the move made, and the change of the wind."""

    probability: Fraction
    move: tuple[int, int]
    gust: int


def ways(world: World, action: str) -> list[_Way]:
    """What slip and wind can make of an action; equal ways are one."""
    merged: dict[tuple[tuple[int, int], int], Fraction] = {}
    varies = (world.wind and world.wind.varies) or {"0": Fraction(1)}
    for move, p in _slips(world, action):
        for gust, q in varies.items():
            key = (move, int(gust))
            merged[key] = merged.get(key, Fraction(0)) + p * q
    return [_Way(p, move, gust) for (move, gust), p in merged.items() if p]


def _slips(world: World, action: str) -> list[tuple[tuple[int, int], Fraction]]:
    slip = world.slip
    if slip is None or (slip.turn is not None and action == "stay"):
        return [(MOVES[action], Fraction(1))]
    if slip.turn is not None:
        names = list(HEADINGS)
        heading = names.index(action)
        turned = [names[(heading + int(degrees) // 45) % 8] for degrees in slip.turn]
        return [(MOVES[name], p) for name, p in zip(turned, slip.turn.values(), strict=True)]
    assert slip.random is not None
    others = [name for name in world.actions if name != action]
    share = slip.random / len(others)
    return [(MOVES[action], 1 - slip.random), *((MOVES[name], share) for name in others)]


# -- what can happen to a move ---------------------------------------------------------------------------------------


class _What(Enum):
    """What can happen to a move."""

    ENTERED = "it leads into a cell"
    BLOCKED = "it stays where it began, in front of a wall or the edge"
    LEFT = "its cell sends it elsewhere, whatever the action"
    EXITED = "its cell is an exit"
    RESTED = "it began in a wall or a terminal cell, where nothing happens"


class _Event(NamedTuple):
    """What happened, and the kind of the cell that was entered, stayed in, left or exited."""

    what: _What
    kind: int = -1
    blocker: int = -1  # the kind of the wall in the way; as many as there are kinds: the edge


class _Events(NamedTuple):
    """Numbers for events, so that an array [n] says what happens in n cells.

    The symbols of the map are the kinds of cells, numbered from 0 to K - 1. The numbers are, in this order,

    - K for entering a cell of each kind: the event is the kind;
    - (K + 1) K for being blocked, by each kind of wall or the edge (K), in a cell of each kind;
    - K for leaving a cell of each kind;
    - K for exiting in a cell of each kind;
    - 1 for resting.
    """

    n_kinds: int  # K

    def blocked(self, blocker: Ints, kind: Ints) -> Ints:
        """The events [n] of being blocked in cells of a kind [n] by a kind of wall [n]."""
        return self.n_kinds + blocker * np.int32(self.n_kinds) + kind

    def left(self, kind: int) -> int:
        """The event of leaving a cell of a kind."""
        return self.n_kinds + (self.n_kinds + 1) * self.n_kinds + kind

    def exited(self, kind: int) -> int:
        """The event of exiting in a cell of a kind."""
        return self.left(self.n_kinds) + kind

    @property
    def rested(self) -> int:
        """The event of resting, the last one."""
        return self.exited(self.n_kinds)

    def meaning(self, event: int) -> _Event:
        """What a number stands for."""
        if event < self.n_kinds:
            return _Event(_What.ENTERED, event)
        if event < self.left(0):
            blocker, kind = divmod(event - self.n_kinds, self.n_kinds)
            return _Event(_What.BLOCKED, kind, blocker)
        if event < self.exited(0):
            return _Event(_What.LEFT, event - self.left(0))
        if event < self.rested:
            return _Event(_What.EXITED, event - self.exited(0))
        return _Event(_What.RESTED)


# -- the passes over a world -----------------------------------------------------------------------------------------


class _Special(NamedTuple):
    """Cells of one kind in which every action does the same: m of the n in a block."""

    where: NDArray[np.int64]  # [m] their places in the block
    next_state: Ints  # [m]
    event: int


class _Block(NamedTuple):
    """Cells compiled together, n of them."""

    own: Ints  # [n] the cells, in order
    row: Ints  # [n]
    col: Ints  # [n]
    kind: Ints  # [n]
    special: list[_Special]
    landed: dict[tuple[tuple[int, int], int], tuple[Ints, Ints]]  # next state and event [n] of a move in a gust


class _Turnouts(NamedTuple):
    """One way in which an action can turn out, in each cell of a block."""

    next_state: Ints  # [n]
    payment: Ints  # [n] number of what it pays
    chance: Ints  # [n] number of its probability
    counts: Bools  # [n] False where there is no such way, or an equal one counts for it


class _BlockRows(NamedTuple):
    """The rows of a block, with M outcomes in all."""

    length: NDArray[np.integer]  # [n A] number of outcomes
    next_state: Ints  # [M]
    code: NDArray[np.uint32]  # [M]


class _Compiler:
    """Arrays and tables shared by the passes over one world.

    Distinct payments (a reward, and whether the episode ends with it) are numbered as they come up, and so are distinct
    probabilities, the chances. An outcome's code is the number of a pair of a chance and a payment.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.n_rows, self.n_cols = world.shape
        self.n_states = world.n_states
        self.symbols = list(world.legend)
        self.cells = list(world.legend.values())
        self.events = _Events(len(self.cells))
        symbols = np.array([ord(symbol) for symbol in self.symbols], dtype=np.uint32)
        kind_of_symbol = np.zeros(int(symbols.max()) + 1, dtype=np.min_scalar_type(len(self.cells)))
        kind_of_symbol[symbols] = np.arange(len(self.cells))
        self.kind = kind_of_symbol[world.symbols]  # [S]
        self.wall = np.array([cell.wall for cell in self.cells])  # [K]
        led_to = dict.fromkeys(cell.leave.to if cell.leave else cell.enter_to for cell in self.cells)
        self.targets = {symbol: world.where(symbol).astype(np.int32) for symbol in led_to if symbol is not None}
        self.ways = [ways(world, action) for action in world.actions]
        self.pushes = {way.gust: self._push(way.gust) for action_ways in self.ways for way in action_ways}
        costs = [world.reward.action.get(action) for action in world.actions]
        self.costs = list(dict.fromkeys(costs))  # what an action pays on top; None: nothing
        self.cost_of_action = [self.costs.index(cost) for cost in costs]
        self.payments: dict[tuple[Reward, bool], int] = {}
        self.payment_of = np.full(
            (len(self.costs), self.events.rested + 1), -1, dtype=np.int32
        )  # -1: not looked up yet
        self.chances: dict[Fraction, int] = {}
        self.codes: dict[tuple[int, int], int] = {}

    # -- what an event pays ------------------------------------------------------------------------------------------

    def _enter_reward(self, kind: int) -> Reward:
        rules, enter = self.world.reward, self.cells[kind].enter
        if enter is None:
            return rules.step
        return rules.step + enter if rules.enter_adds_step else enter

    def _bump_reward(self, blocker: int, kind: int) -> Reward:
        rules = self.world.reward
        bump = self.cells[blocker].bump if blocker < len(self.cells) else None
        bump = rules.bump if bump is None else bump
        if bump is None:
            return self._enter_reward(kind)
        enter = self.cells[kind].enter
        return bump + enter if rules.bump_adds_cell and enter is not None else bump

    def _payment(self, event: _Event) -> tuple[Reward, bool]:
        """The reward of an event, without what the action costs, and whether it ends the episode."""
        if event.what == _What.RESTED:
            return Reward((Fraction(0),)), True
        cell = self.cells[event.kind]
        if event.what == _What.EXITED:
            assert cell.exit is not None
            return cell.exit, True
        if event.what == _What.LEFT:
            assert cell.leave is not None
            to = self.symbols.index(cell.leave.to)
            return self._enter_reward(to) if cell.leave.reward is None else cell.leave.reward, self.cells[to].terminal
        if event.what == _What.BLOCKED:
            return self._bump_reward(event.blocker, event.kind), False
        rests_in = cell if cell.enter_to is None else self.world.legend[cell.enter_to]
        return self._enter_reward(event.kind), rests_in.terminal

    def _payments(self, events: Ints, cost_class: int) -> Ints:
        """The payment of each event [n], so that outcomes that pay alike can be merged."""
        payment_of, cost = self.payment_of[cost_class], self.costs[cost_class]
        payments: Ints = payment_of[events]
        if not (payments < 0).any():
            return payments
        for number in np.unique(events[payments < 0]).tolist():
            event = self.events.meaning(number)
            reward, terminated = self._payment(event)
            reward = reward + cost if cost is not None and event.what != _What.RESTED else reward
            payment_of[number] = self.payments.setdefault((reward, terminated), len(self.payments))
        payments = payment_of[events]
        return payments

    def _chance(self, probability: Fraction) -> int:
        return self.chances.setdefault(probability, len(self.chances))

    # -- where a move leads ------------------------------------------------------------------------------------------

    def _push(self, gust: int) -> tuple[Ints, Ints]:
        """The wind's row step by column and column step by row; a gust is felt only where there is wind."""
        wind = self.world.wind

        def strength(key: str, length: int) -> Ints:
            base = np.array(getattr(wind, key, None) or np.zeros(length), dtype=np.int32)
            return np.where(base != 0, base + gust, 0).astype(np.int32)

        row_step = strength("down", self.n_cols) - strength("up", self.n_cols)
        col_step = strength("right", self.n_rows) - strength("left", self.n_rows)
        return row_step, col_step

    def _land(self, block: _Block, way: _Way) -> tuple[Ints, Ints]:
        """Next state and event of one way for every cell of a block, each [n]."""
        if (way.move, way.gust) in block.landed:
            return block.landed[way.move, way.gust]
        row, col = block.row + np.int32(way.move[0]), block.col + np.int32(way.move[1])
        if self.world.wind is not None:
            push_row, push_col = self.pushes[way.gust]
            row, col = row + push_row[block.col], col + push_col[block.row]
        outside = (row < 0) | (row >= self.n_rows) | (col < 0) | (col >= self.n_cols)
        np.clip(row, 0, self.n_rows - 1, out=row)
        np.clip(col, 0, self.n_cols - 1, out=col)
        landing: Ints = row * np.int32(self.n_cols) + col
        if self.world.edge == "clip":
            outside &= landing == block.own
        event = self.kind[landing].astype(np.int32)  # as if the cell were entered
        stays = np.flatnonzero(self.wall[event] | outside)
        blocker = np.where(outside[stays], np.int32(len(self.cells)), event[stays])
        event[stays] = self.events.blocked(blocker, block.kind[stays])
        landing[stays] = block.own[stays]
        self._teleport(landing, event)
        for special in block.special:
            landing[special.where], event[special.where] = special.next_state, special.event
        block.landed[way.move, way.gust] = landing, event
        return landing, event

    def _teleport(self, landing: Ints, event: Ints) -> None:
        """Send on what has entered an ``enter_to`` cell."""
        for kind, cell in enumerate(self.cells):
            if cell.enter_to:
                landing[event == kind] = self._target(cell.enter_to)

    def _target(self, symbol: str) -> int:
        """The state that carries a symbol; for several states S + kind, until :meth:`_split_targets` puts these in."""
        states = self.targets[symbol]
        return int(states[0]) if len(states) == 1 else self.n_states + self.symbols.index(symbol)

    def _block(self, begin: int, end: int) -> _Block:
        """The cells from ``begin`` to ``end``."""
        own = np.arange(begin, end, dtype=np.int32)
        row, col = np.divmod(own, np.int32(self.n_cols))
        kinds = self.kind[begin:end].astype(np.int32)
        special = []
        for kind, cell in enumerate(self.cells):
            if (event := self._special_event(kind)) is None:
                continue
            where = np.flatnonzero(kinds == kind)
            target = own[where] if cell.leave is None else np.full_like(own[where], self._target(cell.leave.to))
            special.append(_Special(where, target, event))
        return _Block(own, row, col, kinds, special, {})

    def _special_event(self, kind: int) -> int | None:
        """What every action does in a cell of a kind; ``None`` where moves lead away."""
        cell = self.cells[kind]
        if cell.wall or cell.terminal:
            return self.events.rested
        if cell.exit is not None:
            return self.events.exited(kind)
        return self.events.left(kind) if cell.leave is not None else None

    # -- putting rows together ---------------------------------------------------------------------------------------

    def _turnouts(self, block: _Block, action: int) -> list[_Turnouts]:
        """The ways of one action, equal ones in a cell merged into the first of them."""
        found: list[_Turnouts] = []
        for number, way in enumerate(self.ways[action]):
            landing, event = self._land(block, way)
            counts = np.ones(len(block.own), dtype=np.bool_)
            chance = np.full(len(block.own), self._chance(way.probability), dtype=np.int32)
            for special in block.special:
                chance[special.where], counts[special.where] = self._chance(Fraction(1)), number == 0
            found.append(_Turnouts(landing, self._payments(event, self.cost_of_action[action]), chance, counts))
        for k, way in enumerate(self.ways[action]):
            for first in found[:k]:
                same = first.counts & found[k].counts
                same &= (first.next_state == found[k].next_state) & (first.payment == found[k].payment)
                if same.any():
                    first.chance[same] = self._raised(first.chance[same], way.probability)
                    found[k].counts[same] = False
        return found

    def _raised(self, chances: Ints, probability: Fraction) -> Ints:
        """The chances after a probability is added to each."""
        known = list(self.chances)
        raised = np.zeros(len(known), dtype=np.int32)
        for chance in np.flatnonzero(np.bincount(chances)):
            raised[chance] = self._chance(known[chance] + probability)
        return raised[chances]

    def _block_rows(self, block: _Block) -> _BlockRows:
        """All rows of a block; codes are numbered as they come up."""
        shape = (len(block.own), self.world.n_actions, max(len(action_ways) for action_ways in self.ways))
        next_state, payment, chance = (np.empty(shape, dtype=np.int32) for _ in range(3))
        counts = np.zeros(shape, dtype=np.bool_)
        length = np.zeros(shape[:2], dtype=np.int32)
        for a in range(self.world.n_actions):
            for k, turnouts in enumerate(self._turnouts(block, a)):
                next_state[:, a, k], payment[:, a, k], chance[:, a, k], counts[:, a, k] = turnouts
                length[:, a] += turnouts.counts
        return self._with_codes(length.ravel(), next_state[counts], payment[counts], chance[counts])

    def _with_codes(self, length: NDArray[np.integer], next_state: Ints, payment: Ints, chance: Ints) -> _BlockRows:
        """Rows from the outcomes [M] of a block; pairs of a chance and a payment become codes."""
        if (next_state >= self.n_states).any():
            length, next_state, payment, chance = self._split_targets(length, next_state, payment, chance)
        n_payments = len(self.payments)
        pair = chance * n_payments + payment
        code_of = np.zeros(len(self.chances) * n_payments, dtype=np.uint32)
        for present in np.flatnonzero(np.bincount(pair)).tolist():
            code_of[present] = self.codes.setdefault(divmod(present, n_payments), len(self.codes))
        return _BlockRows(length, next_state, code_of[pair])

    def _split_targets(
        self, length: NDArray[np.integer], next_state: Ints, payment: Ints, chance: Ints
    ) -> tuple[NDArray[np.integer], Ints, Ints, Ints]:
        """Turn each outcome with many targets into one outcome for each target, drawn uniformly."""
        copies = np.ones(len(next_state), dtype=np.int64)
        for symbol, states in self.targets.items():
            copies[next_state == self.n_states + self.symbols.index(symbol)] = len(states)
        if (total := int(copies.sum())) > MOST_OUTCOMES:
            raise InputError(
                f"{self.world.name}: cells: enter_to and leave with very many targets make {total:,} outcomes; "
                f"allowed: {MOST_OUTCOMES:,} in a block of cells"
            )
        row = np.repeat(np.arange(len(length)), length)
        source = np.repeat(np.arange(len(next_state)), copies)
        offset = np.arange(len(source)) - np.repeat(np.cumsum(copies) - copies, copies)
        split_next, split_chance = next_state[source], chance[source]
        known = list(self.chances)
        for symbol, states in self.targets.items():
            here = split_next == self.n_states + self.symbols.index(symbol)
            shares = np.zeros(len(known), dtype=np.int32)
            for one in np.unique(split_chance[here]).tolist():
                shares[one] = self._chance(known[one] / len(states))
            split_next[here] = states[offset[here]]
            split_chance[here] = shares[split_chance[here]]
        length = np.bincount(row[source], minlength=len(length))
        return length, split_next, payment[source], split_chance

    def table(self) -> OutcomeTable:
        """All blocks, one after the other; codes are numbered anew, ordered by chance and payment."""
        n_actions = self.world.n_actions
        size = max(1, BLOCK // sum(len(action_ways) for action_ways in self.ways))
        first = np.zeros(self.n_states * n_actions + 1, dtype=np.int64)
        next_states, codes = [], []
        for begin in range(0, self.n_states, size):
            end = min(begin + size, self.n_states)
            rows = self._block_rows(self._block(begin, end))
            here = first[begin * n_actions + 1 : end * n_actions + 1]
            np.cumsum(rows.length, out=here)
            here += first[begin * n_actions]
            next_states.append(rows.next_state)
            codes.append(rows.code.astype(np.min_scalar_type(len(self.codes))))
        order = sorted(self.codes)
        number = np.zeros(len(order), dtype=np.uint16 if len(order) <= 2**16 else np.uint32)
        number[[self.codes[pair] for pair in order]] = np.arange(len(order))
        chances, payments = list(self.chances), list(self.payments)
        outcomes = tuple(Outcome(chances[chance], *payments[payment]) for chance, payment in order)
        return OutcomeTable(
            first, np.concatenate(next_states), np.concatenate([number[code] for code in codes]), outcomes
        )
