"""The run directory: what was trained is what is read back; broken off runs, resumed runs, damaged files."""

from __future__ import annotations

import io
import json
import pickle
import signal
import sqlite3
import zipfile
from pathlib import Path
from typing import Any, SupportsInt

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TransformReward
from plain_run import NOISY, learned

import rlgrid
from rlgrid import EpisodeLog, GridWorld, InputError, SavedRun, World, load_agent
from rlgrid.batch import Batch, joined
from rlgrid.feeds.feed import Chunk
from rlgrid.runs.observer import Observer
from rlgrid.runs.run import Run
from rlgrid.runs.train import run_to_budget

FILES = {"world.toml", "agent.toml", "run.json", "episodes.sqlite", "checkpoint.npz"}
STEPS = 4000


def noisy() -> GridWorld:
    return GridWorld(World.from_toml(NOISY))


class Recorder(Observer):
    """Keeps every batch; after so many steps it interrupts, as a person would."""

    records = True

    def __init__(self, interrupt_at: float = float("inf"), every: int = 100) -> None:
        self.batches: list[Batch] = []
        self.interrupt_at = interrupt_at
        self.every = every

    def see(self, run: Run, chunk: Chunk) -> None:
        assert chunk.batch is not None
        self.batches.append(chunk.batch)
        if run.steps >= self.interrupt_at:
            raise KeyboardInterrupt

    def next_look(self, run: Run) -> int:
        return (run.done // self.every + 1) * self.every


def trained(folder: Path, recipe: str = "q_learning", steps: int = STEPS, **settings: object) -> tuple[Run, Recorder]:
    env, recorder = noisy(), Recorder(every=61)
    agent = load_agent(recipe, env, seed=5, **settings)
    return rlgrid.train(agent, env, steps=steps, log=folder, observers=[recorder]), recorder


def episodes_of(batch: Batch) -> list[Batch]:
    ends = np.flatnonzero(batch.terminated | batch.truncated) + 1
    return [batch.part(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


# There and back


@pytest.mark.parametrize("recipe", ["q_learning", "mc_epsilon_greedy", "mc_basic"])
def test_what_was_trained_is_read_back(recipe: str, tmp_path: Path) -> None:
    run, recorder = trained(tmp_path / "run", recipe)
    saved = SavedRun(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert saved.returns.tobytes() == run.returns.tobytes()
    assert saved.lengths.tobytes() == run.lengths.tobytes()
    assert saved.errors.tobytes() == run.errors.tobytes() and len(saved.errors) > 5
    episodes = episodes_of(joined(recorder.batches))
    assert saved.terminated.tolist() == [bool(episode.terminated[-1]) for episode in episodes]
    assert saved.recorded == [2**k for k in range(20) if 2**k <= len(episodes)]
    for number in saved.recorded:
        kept, seen = saved.trajectory(number), episodes[number - 1]
        assert kept.state.tolist() == [*seen.state, seen.next_state[-1]]
        assert kept.action.tolist() == seen.action.tolist() and kept.reward.tolist() == seen.reward.tolist()
        assert kept.terminated == seen.terminated[-1]
    assert saved.world.to_toml() == noisy().world.to_toml()
    assert learned(saved.agent(GridWorld(saved.world))) == learned(run.agent)


def test_the_trajectories_that_are_asked_for_are_kept(tmp_path: Path) -> None:
    env = noisy()
    log = EpisodeLog(tmp_path / "run", every=10)
    run = rlgrid.train(load_agent("sarsa", env), env, episodes=95, observers=[log])
    saved = SavedRun(tmp_path / "run")
    assert saved.recorded == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    for number in saved.recorded:
        assert saved.trajectory(number).reward.sum() == pytest.approx(run.returns[number - 1], abs=1e-12)
        assert len(saved.trajectory(number).action) == run.lengths[number - 1]
    with pytest.raises(InputError, match="the trajectory of episode 11 was not kept; kept were: 10, 20"):
        saved.trajectory(11)
    with pytest.raises(InputError, match="every: found 0; allowed: a whole number of at least 1"):
        EpisodeLog(tmp_path / "other", every=0)


def test_a_trajectory_that_is_too_long_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlgrid.runs.log._LONGEST_TRAJECTORY", 12)
    env, recorder = noisy(), Recorder(every=5)
    log = EpisodeLog(tmp_path / "run", every=1)
    run = rlgrid.train(load_agent("td0", env), env, steps=STEPS, observers=[log, recorder])
    saved = SavedRun(tmp_path / "run")
    assert saved.recorded == (np.flatnonzero(run.lengths <= 12) + 1).tolist()
    assert 0 < len(saved.recorded) < run.episodes
    for number in saved.recorded:
        assert len(saved.trajectory(number).action) == run.lengths[number - 1]


def test_planners_are_logged_too(tmp_path: Path) -> None:
    env = noisy()
    run = rlgrid.train(load_agent("value_iteration", env), env, sweeps=50, log=tmp_path / "run")
    saved = SavedRun(tmp_path / "run")
    assert len(saved.returns) == 0 and saved.recorded == [] and saved.errors.tobytes() == run.errors.tobytes()
    assert learned(saved.agent(env)) == learned(run.agent)
    with pytest.raises(InputError, match="kept were: none, no episode ended"):
        saved.trajectory(1)


def test_the_same_run_writes_the_same_arrays(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trained(tmp_path / name)
    with np.load(tmp_path / "a" / "checkpoint.npz") as a, np.load(tmp_path / "b" / "checkpoint.npz") as b:
        assert a.files == b.files
        assert all(a[name].tobytes() == b[name].tobytes() for name in a.files if name != "run.seconds")


def test_a_policy_given_as_an_array_comes_back(tmp_path: Path) -> None:
    env = noisy()
    policy = np.tile([0.1, 0.2, 0.3, 0.4], (9, 1))
    rlgrid.train(load_agent("td0", env, policy=policy), env, steps=100, log=tmp_path / "run")
    assert SavedRun(tmp_path / "run").agent(env).policy.tolist() == policy.tolist()


@pytest.mark.parametrize("kind", ["array", "list", "object"])
@pytest.mark.parametrize("recipe", ["td_linear", "sarsa_linear"])
def test_features_that_were_given_come_back_and_learning_goes_on(recipe: str, kind: str, tmp_path: Path) -> None:
    phi = np.random.default_rng(3).normal(size=(9, 4))
    given = {"array": phi, "list": phi.tolist(), "object": rlgrid.Features.of(phi)}[kind]
    whole, _ = trained(tmp_path / "whole", recipe, features=given)
    trained(tmp_path / "part", recipe, steps=1234, features=given)
    assert SavedRun(tmp_path / "part").agent(noisy()).weights.shape == whole.agent.weights.shape
    assert learned(resumed(tmp_path / "part", STEPS).agent) == learned(whole.agent)
    SavedRun(tmp_path / "part").folder.joinpath("checkpoint.npz").unlink()
    with pytest.raises(InputError, match="there is no checkpoint"):
        SavedRun(tmp_path / "part").agent(noisy())


# Never overwritten


@pytest.mark.parametrize("what", ["folder", "full folder", "file", "run"])
def test_what_exists_is_left_alone(what: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    if what == "file":
        path.write_text("precious")
    elif what == "run":
        trained(path, steps=50)
    else:
        path.mkdir()
        if what == "full folder":
            (path / "thesis.txt").write_text("precious")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    agent = load_agent("q_learning", noisy())
    with pytest.raises(InputError, match=r"run: it exists already; allowed: a new folder$"):
        rlgrid.train(agent, noisy(), steps=50, log=path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert (agent.q == 0).all()


def test_logs_that_cannot_be_written_are_refused_before_training(tmp_path: Path) -> None:
    lake = gym.make("FrozenLake-v1")
    with pytest.raises(InputError, match=r"log: found an environment .*; allowed: a GridWorld"):
        rlgrid.train(load_agent("q_learning", lake), lake, steps=50, log=tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made: Not a directory"):
        rlgrid.train(load_agent("q_learning", noisy()), noisy(), steps=50, log=tmp_path / "file" / "b")
    changed = TransformReward(noisy(), lambda reward: 2 * reward)
    agent = load_agent("q_learning", changed)
    with pytest.raises(InputError, match="its own state cannot be kept; allowed: "):
        rlgrid.train(agent, changed, steps=50, log=tmp_path / "c")
    assert not (tmp_path / "a").exists() and not (tmp_path / "c").exists() and (agent.q == 0).all()


# Broken off, and resumed


def resumed(folder: Path, steps: int) -> Run:
    run = SavedRun(folder).run(noisy())
    run.budget = run.budget._replace(amount=steps)
    log = EpisodeLog(folder)
    run_to_budget(run, [log])
    return run


@pytest.mark.parametrize("recipe", ["q_learning", "mc_epsilon_greedy", "td0", "mc_basic"])
def test_a_run_that_was_broken_off_goes_on_as_if_nothing_had_been(recipe: str, tmp_path: Path) -> None:
    whole, _ = trained(tmp_path / "whole", recipe)
    env, recorder = noisy(), Recorder(interrupt_at=STEPS / 2)
    agent = load_agent(recipe, env, seed=5)
    with pytest.raises(KeyboardInterrupt):
        rlgrid.train(agent, env, steps=STEPS, log=tmp_path / "cut", observers=[recorder])
    cut = SavedRun(tmp_path / "cut")
    episodes = len(episodes_of(joined(recorder.batches)))
    assert 0 < episodes == len(cut.returns) < len(whole.returns)
    assert cut.returns.tobytes() == whole.returns[:episodes].tobytes()
    assert learned(cut.agent(noisy())) == learned(agent)

    again = resumed(tmp_path / "cut", STEPS)
    assert learned(again.agent) == learned(whole.agent)
    assert (again.steps, again.episodes) == (whole.steps, whole.episodes)
    assert cut.returns.tobytes() == whole.returns.tobytes()
    assert cut.lengths.tobytes() == whole.lengths.tobytes()
    kept, all_of_it = SavedRun(tmp_path / "cut"), SavedRun(tmp_path / "whole")
    assert set(kept.recorded) <= set(all_of_it.recorded) and len(kept.recorded) >= len(all_of_it.recorded) - 1
    for number in kept.recorded:
        mine, theirs = kept.trajectory(number), all_of_it.trajectory(number)
        assert mine.state.tolist() == theirs.state.tolist() and mine.reward.tolist() == theirs.reward.tolist()


def test_ctrl_c_waits_for_the_end_of_a_chunk(tmp_path: Path) -> None:
    """The signal comes while a chunk is being learned from; what was learned, counted and logged still agree."""

    class Rushed(GridWorld):
        def step(self, action: SupportsInt) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 700:
                signal.raise_signal(signal.SIGINT)
            return super().step(action)

    class Counts(Observer):
        def see(self, run: Run, chunk: Chunk) -> None:
            self.steps, self.episodes = run.steps, run.episodes

    env = TransformReward(Rushed(World.from_toml(NOISY)), lambda reward: reward)
    agent, counts = load_agent("q_learning", env, seed=5), Counts()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins without it
    try:
        with pytest.raises(KeyboardInterrupt):
            rlgrid.train(agent, env, steps=STEPS, observers=[counts])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert env.unwrapped.steps == counts.steps >= 700
    same = load_agent("q_learning", noisy(), seed=5)
    rlgrid.train(same, noisy(), steps=counts.steps)
    assert learned(same) == learned(agent)


def test_a_finished_run_can_be_made_longer_many_times(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path / "whole", steps=1000)
    trained(tmp_path / "run", steps=100)
    for steps in (101, 150, 777, 1000):
        last = resumed(tmp_path / "run", steps)
    assert learned(last.agent) == learned(whole.agent)
    saved = SavedRun(tmp_path / "run")
    assert saved.settings.amount == 1000, "the latest budget is the one to go on towards"
    assert saved.returns.tobytes() == whole.returns.tobytes()
    for number in saved.recorded:
        assert len(saved.trajectory(number).action) == whole.lengths[number - 1]


def test_an_observer_that_fails_leaves_a_whole_log(tmp_path: Path) -> None:
    class Clumsy(Observer):
        def see(self, run: Run, chunk: Chunk) -> None:
            if run.steps > 1000:
                raise ZeroDivisionError

    env = noisy()
    with pytest.raises(ZeroDivisionError):
        rlgrid.train(load_agent("sarsa", env), env, steps=STEPS, log=tmp_path / "run", observers=[Clumsy()])
    saved = SavedRun(tmp_path / "run")
    assert len(saved.returns) == saved.run(env).episodes > 0


# Damaged


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs") / "run"
    trained(folder, steps=300)
    return folder


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def read_everything(folder: Path) -> None:
    saved = SavedRun(folder)
    _ = saved.returns, saved.lengths, saved.terminated, saved.errors
    for number in saved.recorded:
        saved.trajectory(number)
    saved.run(GridWorld(saved.world))


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("damage", ["missing", "empty", "cut short", "rubbish"])
def test_damaged_files_are_told_in_one_sentence(name: str, damage: str, good: Path, tmp_path: Path) -> None:
    folder = copy(good, tmp_path / "run")
    path = folder / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "cut short": content[: len(content) // 2], "rubbish": b"\x93\x00\xff" * 99}[damage]
        )
    with pytest.raises(InputError) as error:
        read_everything(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_flipped_bytes_in_a_checkpoint_never_crash(good: Path, tmp_path: Path) -> None:
    folder = copy(good, tmp_path / "run")
    content = (good / "checkpoint.npz").read_bytes()
    refused = 0
    for position in np.random.default_rng(0).integers(0, len(content), size=200).tolist():
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        (folder / "checkpoint.npz").write_bytes(bytes(damaged))
        try:
            SavedRun(folder).run(noisy())
        except InputError as error:
            refused += 1
            assert "checkpoint.npz" in str(error)
    assert refused > 100


@pytest.mark.parametrize("blob", [b"123", "text", None, 5], ids=repr)
def test_blocks_that_hold_no_numbers(blob: object, good: Path, tmp_path: Path) -> None:
    folder = copy(good, tmp_path / "run")
    database = sqlite3.connect(folder / "episodes.sqlite")
    database.execute("UPDATE block SET total = ?", (blob,))
    database.execute("UPDATE trajectory SET state = ?", (blob,))
    database.commit()
    database.close()
    saved = SavedRun(folder)
    for read in (lambda: saved.returns, lambda: saved.trajectory(1)):
        with pytest.raises(InputError, match=r"episodes.sqlite: .*damaged"):
            read()


def test_a_checkpoint_of_another_world_or_recipe_is_refused(good: Path, tmp_path: Path) -> None:
    folder = copy(good, tmp_path / "run")
    with pytest.raises(InputError, match="it does not fit this world and recipe"):
        SavedRun(folder).run(GridWorld("cliff"))
    (folder / "agent.toml").write_bytes(rlgrid.library.find("agents", "td0").read_bytes())
    with pytest.raises(InputError, match="it does not fit this world and recipe"):
        SavedRun(folder).run(noisy())


def test_run_json_is_checked(good: Path, tmp_path: Path) -> None:
    folder = copy(good, tmp_path / "run")
    settings = json.loads((good / "run.json").read_text())
    for change in ({"seed": "x"}, {"seed": -1}, {"unit": "years"}, {"amount": -5}, {"discount": 7}, {"extra": 1}):
        (folder / "run.json").write_text(json.dumps(settings | change))
        with pytest.raises(InputError):
            SavedRun(folder).run(noisy())


def test_nothing_is_unpickled(good: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path / "exploded"),)  # type: ignore[return-value]

    folder = copy(good, tmp_path / "run")
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(folder / "checkpoint.npz", "w") as archive:
        archive.writestr("learner.table.npy", buffer.getvalue())
    with pytest.raises(InputError, match="not a checkpoint, or damaged"):
        SavedRun(folder).run(noisy())
    (folder / "checkpoint.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="not a checkpoint, or damaged"):
        SavedRun(folder).run(noisy())
    assert not (tmp_path / "exploded").exists()
