"""The speed benchmark: ratios, what counts as equal work, the table, what light needs."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.speed import light, report
from benchmarks.speed.__main__ import PEERS, SHORT, invoked, measure
from benchmarks.speed.compare import (
    able,
    apart,
    differences,
    interval,
    overlap,
    ratios,
    shortfall,
    summary,
    unequal,
    unsolved,
)
from benchmarks.speed.processes import (
    Done,
    FailedError,
    execute,
    peer_command,
    peer_environment,
    read_report,
)
from benchmarks.speed.rows import ROWS, Row, rows
from rltrain.config import compose


def side(seconds: float, whole: float, **more: Any) -> dict[str, Any]:
    same = {"steps": 1000, "updates": 10, "batch_size": 64, "parameters": 9155}
    return (
        same
        | {"mean_return": 100.0, "peak_mib": 300.0}
        | more
        | {
            "seconds": seconds,
            "whole": whole,
        }
    )


def rounds(**changes: Any) -> list[dict[str, dict[str, Any]]]:
    """Two rounds in which sb3 takes four times as long; cleanrl is slower to start."""
    return [
        {
            "rltrain": side(1.0, 2.0),
            "sb3": side(4.0, 5.0, **changes),
            "cleanrl": side(3.0, 6.0),
            "light": {"T": 0.5, "E": 0.1, "I": 0.1, "U": 0.3, "P": 1},
        },
        {
            "rltrain": side(1.0, 2.0, mean_return=140.0),
            "sb3": side(6.0, 7.0, **changes),
            "cleanrl": side(3.0, 9.0),
            "light": {"T": 0.7, "E": 0.1, "I": 0.1, "U": 0.5, "P": 1},
        },
    ]


def row(name: str) -> Row:
    return next(r for r in ROWS if r.name == name)


def result(found: list[dict[str, Any]], name: str = "C1") -> dict[str, Any]:
    return {
        "date": "2026-01-01",
        "invoked": "python -m benchmarks.speed",
        "command": ["algo=ppo"],
        "work": dict(row(name).work),
        "versions": {
            "rltrain": "0",
            "revision": "abc",
            "torch": "2",
            "numpy": "2",
            "gymnasium": "1",
        },
        "peers": {"sb3": PEERS["sb3"]},
        "cores": 2,
        "cpu": "a processor",
        "rounds": found,
    }


def test_a_ratio_is_over_the_peer_that_is_fastest_in_that_figure():
    assert ratios(rounds(), "seconds", "train") == ("cleanrl", [3.0, 3.0])
    assert ratios(rounds(), "whole", "train") == ("sb3", [2.5, 3.5])


def test_a_peer_that_took_fewer_steps_is_held_to_its_seconds_a_step():
    _, values = ratios(rounds(steps=500), "whole", "train")
    assert values == [3.0, 4.5]  # cleanrl is the faster one now
    peer, values = ratios(rounds(steps=500), "whole", "solve")  # but not where steps are no work
    assert (peer, values) == ("sb3", [2.5, 3.5])


def test_work_is_equal_within_three_percent():
    assert unequal(rounds(steps=980, updates=10)) == []
    assert unequal(rounds(steps=960)) == ["steps: rltrain 1,000, sb3 960"]
    assert unequal(rounds(batch_size=63)) == ["batch_size: rltrain 64, sb3 63"]
    assert unequal(rounds(parameters=9200)) == []
    assert "parameters" in unequal(rounds(parameters=12_000))[0]
    assert unequal(rounds(parameters=None)) == []


def test_returns_overlap_by_their_ranges_or_their_means():
    assert overlap([10, 20], [19, 30])
    assert overlap([100, 101], [110, 112])
    assert overlap([-100], [-90])
    assert not overlap([100, 101], [140, 150])
    assert apart(rounds()) == []
    assert apart(rounds(mean_return=300.0)) == ["return: rltrain 100 … 140, sb3 300 … 300"]
    assert apart(rounds(mean_return=None)) == []


def test_a_side_that_could_not_is_left_out_with_its_reason():
    found = rounds()
    for r in found:
        r["sb3"] = {"reason": "it has no DQN"}
    assert able(found) == ["cleanrl"]
    assert ratios(found, "whole", "train")[0] == "cleanrl"
    text = report.table({"C1": result(found)}, ROWS)
    assert "| sb3 | could not be run: it has no DQN |" in text


def test_a_row_that_rltrain_could_not_do_says_why_and_comes_first():
    bad = [{"rltrain": {"reason": "no such key | x"}, "sb3": side(1, 1)}]
    text = report.table({"C1": result(rounds()), "T": result(bad, "T")}, ROWS)
    lines = [line for line in text.splitlines() if line.startswith(("| T", "| C1"))]
    assert [line[2:4].strip() for line in lines] == ["T", "C1"]
    assert "could not be run: no such key / x" in lines[0]


def test_the_row_furthest_below_its_aim_is_first():
    easy = replace(row("C1"), steady_aim=0.1, whole_aim=0.1, light_aim=None)
    hard = replace(row("C2"), steady_aim=30.0)
    assert shortfall(easy, rounds()) == pytest.approx(30)
    assert shortfall(hard, rounds()) == pytest.approx(0.1)
    assert shortfall(replace(hard, steady_aim=3.0), rounds()) == pytest.approx(0.3 / 0.7)
    ranked = report.known({"C1": result(rounds()), "C2": result(rounds(), "C2")}, (easy, hard))
    assert [r.name for r, _ in ranked] == ["C2", "C1"]


def test_memory_is_that_of_c1():
    text = report.table({"C1": result(rounds(peak_mib=150.0))}, ROWS)
    assert "| R | peak memory in C1 |  |  | 0.5 (0.5 … 0.5) sb3 | 1 |" in text


def test_what_was_not_run_is_listed():
    text = report.table({"C1": result(rounds())}, ROWS)
    assert "- C6, PPO ALE/Breakout-v5, 8 × 128, minibatches of 256, 4 epochs, Nature CNN" in text
    assert "- C2, PPO CartPole-v1" in text


def test_a_side_that_never_evaluated_at_the_return_is_named():
    found = rounds(solved=False)
    assert unsolved(found) == ["sb3 did not get there in every round"]
    assert differences(found, "solve") == "sb3 did not get there in every round"
    assert differences(rounds(), "train") == ""


def test_a_summary_is_the_median_within_its_interval():
    assert summary([2.0, 3.0, 4.0]) == "3 (2 … 4)"
    low, high = interval([1.0, *[3.0] * 20, 9.0])  # one round that went wrong moves nothing
    assert (low, high) == (3.0, 3.0)


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    report.picture({"C1": result(rounds())}, ROWS, tmp_path / "RESULTS.png")
    assert (tmp_path / "RESULTS.png").stat().st_size > 1000


def test_a_ratio_of_light_above_one_is_called_wrong():
    found = rounds()
    for r in found:
        r["light"]["T"] = 9.0
    assert "wrong: above 1" in report.table({"C1": result(found)}, ROWS)


def test_ppo_updates_and_acts_as_often_as_its_rollouts_say():
    work = row("C1").work
    assert work["steps"] % (8 * 128) == 0
    assert light.counts(work) == {
        "steps": work["steps"],
        "acts": work["steps"] / 8,
        "updates": work["steps"] // 1024 * 4 * 4,
    }


def test_dqn_updates_behind_its_warm_up_and_acts_when_greedy():
    often = light.counts(row("C5").work)
    assert often["updates"] == 9000
    steps = np.arange(100_000)
    epsilon = np.maximum(0.05, 1 - 0.95 * steps / 50_000)
    assert often["acts"] == pytest.approx((1 - epsilon).sum(), rel=1e-3)


def test_light_counts_only_the_products_that_are_needed():
    assert light.products((4, 64, 64, 2)) == {"forward": 3, "backward": 5}
    calls = {"n": 0}
    original = np.matmul

    def matmul(*args: Any, **kwargs: Any) -> Any:
        calls["n"] += 1
        return original(*args, **kwargs)

    network = light.Layers((4, 64, 64, 2), 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "matmul", matmul)
        network.forward()
        assert calls["n"] == 3
        network.backward()
    assert calls["n"] == 3 + 5


def test_light_networks_have_the_parameters_of_the_peers():
    assert light.networks(row("C1").work, 4, 2).parameters == 9155
    assert light.networks(row("C5").work, 4, 2).parameters == 10_934
    assert light.networks(row("C5").work, 4, 2).target
    # actor 17-256-256-12 and two critics 23-256-256-1
    assert light.networks(row("C4").work, 17, 6).parameters == 73_484 + 2 * 72_193


def test_the_bound_shares_on_policy_work_only():
    assert light.bound("ppo", 1.0, 2.0, 3.0, 2) == 3.0
    assert light.bound("dqn", 1.0, 2.0, 3.0, 2) == 6.0
    assert light.bound("sac", 1.0, 2.0, 3.0, 2) == 4.5
    assert light.processes(row("C1").work, 2) == 2
    assert light.processes(row("C4").work, 2) == 2
    assert light.processes(row("C1").work, 1) == 1
    assert light.processes(row("C2").work, 2) == 1


def test_lights_cartpoles_fall_as_those_of_gymnasium_do(monkeypatch):
    """From the same start, under the same pushes, for as long as none is reset."""
    import gymnasium as gym

    kept: dict[str, Any] = {}

    class Chance:
        def choice(self, values: Any, shape: Any) -> Any:
            kept["pushes"] = np.where(np.arange(np.prod(shape)).reshape(shape) % 3 == 0, 10, -10)
            return kept["pushes"]

        def uniform(self, low: float, high: float, shape: Any) -> Any:
            kept["starts"] = np.full(shape, 0.02)
            return kept["starts"]

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Chance())
    step = light.cartpoles(2)
    env: Any = gym.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    env.state = np.full(4, 0.02)
    for at in range(1, 6):
        step()
        env.step(int(kept["pushes"][at, 0] > 0))
    state = next(
        c.cell_contents
        for c in step.__closure__ or ()
        if isinstance(c.cell_contents, np.ndarray) and c.cell_contents.shape == (4, 2)
    )
    assert state[:, 0] == pytest.approx(np.asarray(env.state))


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_every_command_is_one_that_rltrain_takes(scale):
    for r in rows(scale):
        words = [w for w in r.command.split() if not w.startswith("eval.stop_at")]
        if "ALE/" in r.command and importlib.util.find_spec("ale_py") is None:
            continue  # its games are an extra
        if words:
            values = compose(words)
            assert values["total_timesteps"] == r.work["steps"]


def test_workers_are_a_peers_second_try():
    plain = json.loads(peer_command(row("C3"), 0, report.Path("home"), "sb3")[-1])
    other = json.loads(peer_command(row("C3"), 0, report.Path("home"), "sb3+workers")[-1])
    assert (plain["workers"], other["workers"]) == (False, True)


def test_each_run_stands_behind_a_short_one_of_the_same_side(monkeypatch, tmp_path):
    seen = []

    def attempt(row, number, side, homes, limit, scale):
        seen.append((side, row.name, row.work["steps"], number))
        return {"whole": 1.0}

    monkeypatch.setattr("benchmarks.speed.__main__.attempt", attempt)
    found = measure(row("C2"), ["sb3"], tmp_path, 2, 1.0, 1.0)
    steps = {s: r.work["steps"] for s in (SHORT, 1.0) for r in rows(s) if r.name == "C2"}
    assert steps[SHORT] < steps[1.0] / 10
    sides = ("rltrain", "sb3", "light")
    assert seen == [
        (side, "C2", steps[scale], number)
        for number in range(2)
        for side in sides
        for scale in (SHORT, 1.0)
    ]
    assert len(found["rounds"]) == 2
    assert found["warmed"]


def test_peers_have_the_rows_threads():
    for r, threads in ((row("C1"), 1), (replace(row("C6"), threads=3), 3)):
        command = peer_command(r, 0, report.Path("home"), "sb3")
        assert json.loads(command[-1])["threads"] == threads
        assert peer_environment(r)["OMP_NUM_THREADS"] == str(threads)


def test_a_report_is_the_last_one_or_the_reason_why_there_is_none():
    done = Done(0, 'noise\nREPORT {"steps": 1}\nREPORT {"steps": 2}\n', "", 0, 0, 1, 1)
    assert read_report(done) == {"steps": 2}
    with pytest.raises(FailedError, match="it has no DQN"):
        read_report(replace(done, output='REPORT {"reason": "it has no DQN"}'))
    with pytest.raises(FailedError, match="the end"):
        read_report(replace(done, status=1, errors="Traceback\nthe end\n"))


def test_a_process_is_timed_and_stopped_at_its_limit():
    done = execute(["sh", "-c", "echo out; echo err >&2; exit 3"], 30)
    assert (done.status, done.output, done.errors) == (3, "out\n", "err\n")
    assert 0 < done.whole < 30
    assert done.peak_mib > 0
    with pytest.raises(FailedError, match="longer than 1 s"):
        execute(["sleep", "20"], 1)


def test_the_command_is_told_without_the_machines_places():
    words = ["--rows", "C1", "--environments", "/somewhere", "--repeats", "3", "--out=/else"]
    assert invoked(words) == "python -m benchmarks.speed --rows C1 --repeats 3"


@pytest.mark.parametrize("scale", [1.0, 0.03])
def test_counts_are_whole_numbers(scale):
    for r in rows(scale):
        numbers = {k: v for k, v in r.work.items() if "steps" in k or "starts" in k}
        assert all(isinstance(v, int) for v in numbers.values()), numbers
