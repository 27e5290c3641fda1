"""The limit of time for tests without a marker: what counts, what does not, and that it is set for every test here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from own_time import OwnTime, Reading, delay

PLUGIN = """
from own_time import OwnTime

def pytest_configure(config):
    config.pluginmanager.register(OwnTime(limit=0.15))
"""

PLANTED = """
import subprocess, sys, time
import pytest

def work(seconds=0.3):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def test_quick(): pass
def test_long_work(): work()
def test_long_sleep(): time.sleep(0.3)
def test_long_work_of_a_child(): subprocess.run([sys.executable, "-c", "sum(range(30_000_000))"])

@pytest.mark.slow
def test_marked_slow(): work()

@pytest.mark.grid
def test_marked_grid(): work()

@pytest.fixture(scope="module")
def shared(): work()
def test_long_first_with_the_fixture(shared): pass
def test_second_with_the_fixture(shared): pass

def test_first_to_load_numba():
    import numba

def compile(number):
    import numba
    begin = time.process_time()
    numba.njit(lambda x: x + number)(1.0)
    return time.process_time() - begin
def test_compiles(): assert compile(1) > 0.15  # the first time takes longest
def test_long_besides_compiling(): compile(2); work()

def test_wrong_and_long():
    work()
    assert 6 * 7 == 43
"""


def test_a_limit_is_set_for_every_test(request: pytest.FixtureRequest) -> None:
    plugin = request.config.pluginmanager.get_plugin("own-time")
    assert isinstance(plugin, OwnTime) and plugin.limit == 1


@pytest.mark.slow
def test_without_a_marker_a_test_that_takes_too_long_fails(tmp_path: Path) -> None:
    """With a shorter limit, so that it is shown sooner."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow\n    grid\n")
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "test_planted.py").write_text(PLANTED)
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider"]
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, check=False, timeout=300
    )
    outcomes = {name: word for word, name in re.findall(r"^(PASSED|FAILED) \S+::(\w+)", done.stdout, re.MULTILINE)}
    assert outcomes == {
        name: "FAILED" if "long" in name else "PASSED" for name in re.findall(r"^def (test_\w+)", PLANTED, re.MULTILINE)
    }, done.stdout
    told = re.findall(
        r"^took 0\.\d\d s; allowed without a marker: 0\.15 s, .* mark it: @pytest", done.stdout, re.MULTILINE
    )
    assert len(told) == sum("long" in name for name in outcomes) - 1
    assert "assert (6 * 7) == 43" in done.stdout  # what is wrong comes before what is long


@pytest.mark.skipif(delay() is None or not hasattr(os, "sched_setaffinity"), reason="asks Linux")
def test_waiting_for_a_processor_does_not_count() -> None:
    """Two programs on one processor: each gets half of the time."""
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    other = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()  # it runs now
        begin, before = time.perf_counter(), Reading.now()
        while time.perf_counter() < begin + 0.3:
            pass
        own = Reading.now().since(before)
        assert own < 0.8 * (time.perf_counter() - begin)
    finally:
        os.sched_setaffinity(0, processors)
        other.kill()
        other.communicate()
