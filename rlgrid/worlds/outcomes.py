"""From a world's rules to its outcome table: what every action in every cell leads to.

Some ten thousand cells at a time, one pass over arrays for each action and each way in which its move can turn out
(slip x wind), so that a map of a million cells takes about half a second and little room besides the result.
Probabilities and rewards stay fractions; they become floats in the model.
"""

from __future__ import annotations

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
    """One thing that can happen, but for where it leads."""

    probability: Fraction
    reward: Reward
    terminated: bool


class OutcomeTable(NamedTuple):
    """Outcomes of all rows ``state * n_actions + action``, one after the other.

    first [S A + 1]: where each row begins; next_state [N]; code [N]: index into ``outcomes``.
    """

    first: NDArray[np.int64]
    next_state: Ints
    code: NDArray[np.integer]
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


class _Block(NamedTuple):
    """Cells compiled at a time, and where each move led from them: next state and event of (move, gust), [n]."""

    own: Ints  # [n] the cells, in order
    row: Ints  # [n]
    col: Ints  # [n]
    kind: Ints  # [n]
    special: list[tuple[NDArray[np.int64], Ints, int]]  # where in the block; where every action leads; the event
    landed: dict[tuple[tuple[int, int], int], tuple[Ints, Ints]]


class _Rows(NamedTuple):
    """The rows of a block: how many outcomes each has, and next state and code of all of these."""

    counts: NDArray[np.integer]  # [n A]
    next_state: Ints
    code: NDArray[np.uint32]


class _Compiler:
    """Arrays and tables shared by the passes over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.n_rows, self.n_cols = world.shape
        self.n_states = world.n_states
        self.symbols = list(world.legend)
        self.cells = list(world.legend.values())
        n = len(self.cells)
        codes = np.array([ord(s) for s in self.symbols], dtype=np.uint32)
        number = np.zeros(int(codes.max()) + 1, dtype=np.min_scalar_type(n))
        number[codes] = np.arange(n)
        self.kind = number[world.symbols]
        self.wall = np.array([cell.wall for cell in self.cells])
        led_to = dict.fromkeys(cell.leave.to if cell.leave else cell.enter_to for cell in self.cells)
        self.targets = {symbol: world.where(symbol).astype(np.int32) for symbol in led_to if symbol is not None}
        self.ways = [ways(world, action) for action in world.actions]
        self.pushes = {way.gust: self._push(way.gust) for action_ways in self.ways for way in action_ways}
        prices = [world.reward.action.get(action) for action in world.actions]
        self.prices = list(dict.fromkeys(prices))
        self.price_of = [self.prices.index(price) for price in prices]
        # An event says what is paid: landing on a kind; blocker x own kind; leaving; exiting; rest.
        self.blocked_at, self.leave_at = n, n + (n + 1) * n
        self.exit_at, self.rest = self.leave_at + n, self.leave_at + 2 * n
        self.n_events = self.rest + 1
        self.payments: dict[tuple[Reward, bool], int] = {}
        self.payment_of = np.full(self.n_events * len(self.prices), -1, dtype=np.int32)
        self.levels: dict[Fraction, int] = {}
        self.codes: dict[tuple[int, int], int] = {}

    # -- what an event pays ------------------------------------------------------------------------------------------

    def _enter_reward(self, kind: int) -> Reward:
        rules, enter = self.world.reward, self.cells[kind].enter
        if enter is None:
            return rules.step
        return rules.step + enter if rules.enter_adds_step else enter

    def _bump_reward(self, blocker: int, own: int) -> Reward:
        rules = self.world.reward
        bump = self.cells[blocker].bump if blocker < len(self.cells) else None
        bump = rules.bump if bump is None else bump
        if bump is None:
            return self._enter_reward(own)
        enter = self.cells[own].enter
        return bump + enter if rules.bump_adds_cell and enter is not None else bump

    def _event(self, event: int) -> tuple[Reward, bool]:
        """The reward of an event and whether it ends the episode."""
        n = len(self.cells)
        if event == self.rest:
            return Reward((Fraction(0),)), True
        if event >= self.exit_at:
            reward = self.cells[event - self.exit_at].exit
            assert reward is not None
            return reward, True
        if event >= self.leave_at:
            leave = self.cells[event - self.leave_at].leave
            assert leave is not None
            to = self.symbols.index(leave.to)
            return self._enter_reward(to) if leave.reward is None else leave.reward, self.cells[to].terminal
        if event >= self.blocked_at:
            return self._bump_reward(*divmod(event - self.blocked_at, n)), False
        enter_to = self.cells[event].enter_to
        rests_in = self.cells[event] if enter_to is None else self.world.legend[enter_to]
        return self._enter_reward(event), rests_in.terminal

    def _payments(self, events: Ints, price_class: int) -> Ints:
        """Replace events by what they pay, so that outcomes that pay alike can be merged."""
        offset = price_class * self.n_events
        payments: Ints = self.payment_of[offset + events]
        new = payments < 0
        if not new.any():
            return payments
        for event in np.unique(events[new]).tolist():
            reward, terminated = self._event(event)
            price = self.prices[price_class]
            reward = reward + price if price is not None and event != self.rest else reward
            payment = self.payments.setdefault((reward, terminated), len(self.payments))
            self.payment_of[offset + event] = payment
        return self.payment_of[offset + events]

    def _level(self, probability: Fraction) -> int:
        return self.levels.setdefault(probability, len(self.levels))

    # -- where a move leads ------------------------------------------------------------------------------------------

    def _push(self, gust: int) -> tuple[Ints, Ints]:
        """The wind's row step by column and column step by row; a gust is felt only where there is wind."""
        wind = self.world.wind

        def strength(key: str, length: int) -> Ints:
            base = np.array(getattr(wind, key, None) or np.zeros(length), dtype=np.int32)
            return np.where(base != 0, base + gust, 0).astype(np.int32)

        return strength("down", self.n_cols) - strength("up", self.n_cols), strength("right", self.n_rows) - strength(
            "left", self.n_rows
        )

    def _land(self, block: _Block, way: _Way) -> tuple[Ints, Ints]:
        """Next state and event of one way for every cell of a block, each [n]."""
        if (way.move, way.gust) in block.landed:
            return block.landed[way.move, way.gust]
        row, col = block.row + np.int32(way.move[0]), block.col + np.int32(way.move[1])
        if self.world.wind is not None:
            push_row, push_col = self.pushes[way.gust]
            row, col = row + push_row[block.col], col + push_col[block.row]
        blocked = (row < 0) | (row >= self.n_rows) | (col < 0) | (col >= self.n_cols)
        np.clip(row, 0, self.n_rows - 1, out=row)
        np.clip(col, 0, self.n_cols - 1, out=col)
        landing: Ints = row * np.int32(self.n_cols) + col
        if self.world.edge == "clip":
            blocked &= landing == block.own
        n_kinds = np.int32(len(self.cells))
        event = self.kind[landing].astype(np.int32)
        walled = np.flatnonzero(self.wall[event] | blocked)
        blocker = np.where(blocked[walled], n_kinds, event[walled])
        event[walled] = self.blocked_at + blocker * n_kinds + block.kind[walled]
        landing[walled] = block.own[walled]
        self._teleport(landing, event)
        for where, there, special_event in block.special:
            landing[where], event[where] = there, special_event
        block.landed[way.move, way.gust] = landing, event
        return landing, event

    def _teleport(self, landing: Ints, event: Ints) -> None:
        """Send on who entered an ``enter_to`` cell; many targets are one number >= S until rows are put together."""
        for kind, cell in enumerate(self.cells):
            if cell.enter_to:
                landing[event == kind] = self._target(cell.enter_to)

    def _target(self, symbol: str) -> int:
        states = self.targets[symbol]
        return int(states[0]) if len(states) == 1 else self.n_states + self.symbols.index(symbol)

    def _block(self, begin: int, end: int) -> _Block:
        own = np.arange(begin, end, dtype=np.int32)
        row, col = np.divmod(own, np.int32(self.n_cols))
        kind = self.kind[begin:end].astype(np.int32)
        special = []
        for number, cell in enumerate(self.cells):
            if not (cell.wall or cell.terminal or cell.exit is not None or cell.leave):
                continue
            where = np.flatnonzero(kind == number)
            there = own[where]
            if cell.wall or cell.terminal:
                special.append((where, there, self.rest))
            elif cell.exit is not None:
                special.append((where, there, self.exit_at + number))
            elif cell.leave is not None:
                special.append((where, np.full_like(there, self._target(cell.leave.to)), self.leave_at + number))
        return _Block(own, row, col, kind, special, {})

    # -- putting rows together ---------------------------------------------------------------------------------------

    def _action_rows(self, block: _Block, action: int) -> tuple[list[Ints], list[Ints], list[Ints], list[Bools]]:
        """For each way of one action: next state, payment, probability level and whether it still stands, each [n]."""
        nexts, payments, levels, alive = [], [], [], []
        for number, way in enumerate(self.ways[action]):
            landing, event = self._land(block, way)
            stands = np.ones(len(block.own), dtype=np.bool_)
            level = np.full(len(block.own), self._level(way.probability), dtype=np.int32)
            for where, _, _ in block.special:
                level[where], stands[where] = self._level(Fraction(1)), number == 0
            nexts.append(landing)
            payments.append(self._payments(event, self.price_of[action]))
            levels.append(level)
            alive.append(stands)
        for k, way in enumerate(self.ways[action]):
            for j in range(k):
                same = alive[j] & alive[k] & (nexts[j] == nexts[k]) & (payments[j] == payments[k])
                if same.any():
                    levels[j][same] = self._raise_levels(levels[j][same], way.probability)
                    alive[k] &= ~same
        return nexts, payments, levels, alive

    def _raise_levels(self, levels: Ints, probability: Fraction) -> Ints:
        """Levels after adding a probability to each."""
        known = list(self.levels)
        raised = np.zeros(len(known), dtype=np.int32)
        for level in np.flatnonzero(np.bincount(levels)):
            raised[level] = self._level(known[level] + probability)
        return raised[levels]

    def _block_rows(self, block: _Block) -> _Rows:
        """All rows of a block; codes are numbered as they appear."""
        shape = (len(block.own), self.world.n_actions, max(len(action_ways) for action_ways in self.ways))
        next_state, payment, level = (np.empty(shape, dtype=np.int32) for _ in range(3))
        stands = np.zeros(shape, dtype=np.bool_)
        counts = np.zeros(shape[:2], dtype=np.int32)
        for a in range(self.world.n_actions):
            for k, arrays in enumerate(zip(*self._action_rows(block, a), strict=True)):
                next_state[:, a, k], payment[:, a, k], level[:, a, k], stands[:, a, k] = arrays
                counts[:, a] += arrays[-1]
        return self._with_codes(counts.ravel(), next_state[stands], payment[stands], level[stands])

    def _with_codes(self, counts: NDArray[np.integer], next_state: Ints, payment: Ints, level: Ints) -> _Rows:
        if (next_state >= self.n_states).any():
            counts, next_state, payment, level = self._spread(counts, next_state, payment, level)
        n_payments = len(self.payments)
        key = level * n_payments + payment
        code_of = np.zeros(len(self.levels) * n_payments, dtype=np.uint32)
        for present in np.flatnonzero(np.bincount(key)).tolist():
            code_of[present] = self.codes.setdefault(divmod(present, n_payments), len(self.codes))
        return _Rows(counts, next_state, code_of[key])

    def _spread(
        self, counts: NDArray[np.integer], next_state: Ints, payment: Ints, level: Ints
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
        row = np.repeat(np.arange(len(counts)), counts)
        source = np.repeat(np.arange(len(next_state)), copies)
        offset = np.arange(len(source)) - np.repeat(np.cumsum(copies) - copies, copies)
        spread_next, spread_level = next_state[source], level[source]
        known = list(self.levels)
        for symbol, states in self.targets.items():
            here = spread_next == self.n_states + self.symbols.index(symbol)
            shares = np.zeros(len(known), dtype=np.int32)
            for one in np.unique(spread_level[here]).tolist():
                shares[one] = self._level(known[one] / len(states))
            spread_next[here] = states[offset[here]]
            spread_level[here] = shares[spread_level[here]]
        counts = np.bincount(row[source], minlength=len(counts))
        return counts, spread_next, payment[source], spread_level

    def table(self) -> OutcomeTable:
        n_actions = self.world.n_actions
        length = max(1, BLOCK // sum(len(action_ways) for action_ways in self.ways))
        first = np.zeros(self.n_states * n_actions + 1, dtype=np.int64)
        next_states, codes = [], []
        for begin in range(0, self.n_states, length):
            end = min(begin + length, self.n_states)
            rows = self._block_rows(self._block(begin, end))
            here = first[begin * n_actions + 1 : end * n_actions + 1]
            np.cumsum(rows.counts, out=here)
            here += first[begin * n_actions]
            next_states.append(rows.next_state)
            codes.append(rows.code.astype(np.min_scalar_type(len(self.codes))))
        order = sorted(self.codes)
        number = np.zeros(len(order), dtype=np.uint16 if len(order) <= 2**16 else np.uint32)
        number[[self.codes[pair] for pair in order]] = np.arange(len(order))
        levels, payments = list(self.levels), list(self.payments)
        outcomes = tuple(Outcome(levels[level], *payments[payment]) for level, payment in order)
        return OutcomeTable(
            first, np.concatenate(next_states), np.concatenate([number[code] for code in codes]), outcomes
        )
