"""What is seen of a run while it trains."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console as Terminal

from rltrain.core.types import Progress
from rltrain.envs.vector import Episode
from rltrain.training import console
from rltrain.training.console import (
    LiveConsole,
    PlainConsole,
    SilentConsole,
    duration,
    evaluation_text,
    losses,
    make_console,
    shares,
)
from rltrain.training.evaluation import Evaluation
from rltrain.training.log import Clock

ROW = {
    "time/fps": 1234.5,
    "rollout/ep_rew_mean": 21.26,
    "rollout/ep_len_mean": 17.0,
    "train/loss": 9.0,
    "train/value_loss": 0.12345,
    "train/learning_rate": 0.1,
    "train/approx_kl": 0.0125,
}
EVALUATION = Evaluation([Episode(0, 1.0, 5), Episode(1, 3.0, 7)])


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that consoles see, to be set by the test."""
    shown = [1000.0]
    monkeypatch.setattr(console, "time", SimpleNamespace(perf_counter=lambda: shown[0]))
    return shown


def at(steps: int, total: int = 10_000) -> Progress:
    progress = Progress(total)
    progress.steps = steps
    return progress


def clock(**seconds: float) -> Clock:
    made = Clock()
    made.seconds |= seconds
    return made


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["train/loss", "train/value_loss"], ["train/value_loss"]),
        (["train/loss"], ["train/loss"]),
        (["train/td_error", "train/learning_rate"], ["train/td_error"]),
        (
            ["rollout/exploration_rate", "train/approx_kl", "train/loss"],
            ["train/loss", "train/approx_kl", "rollout/exploration_rate"],
        ),
        (["eval/loss", "time/fps", "train/n_updates"], []),
    ],
)
def test_which_columns_tell_how_learning_goes(columns: list[str], expected: list[str]) -> None:
    assert losses(dict.fromkeys(columns, 1.0)) == expected


def test_shares_of_the_time_add_up_to_the_whole() -> None:
    text = shares(clock(env=5.0, act=2.0, learn=1.0, eval=1.0, other=1.0))
    assert text == "environment 50%, acting 20%, learning 10%, evaluation 10%, other 10%"


def test_shares_of_no_time_are_nothing() -> None:
    assert shares(clock()).count(" 0%") == 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (123, "2:03"),
        (3599.7, "1:00:00"),
        (3723, "1:02:03"),
        (90_000, "25:00:00"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_evaluations_in_words() -> None:
    assert evaluation_text(EVALUATION, best=False) == "evaluation 2.0 ± 1.0"
    assert evaluation_text(EVALUATION, best=True).endswith(", best so far")
    cut = Evaluation(EVALUATION.episodes, cut=1)
    assert "(1 of 2 episodes cut at the limit)" in evaluation_text(cut, best=False)


def test_a_plain_line_holds_steps_speed_return_and_losses(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    PlainConsole().row(at(1500), ROW)
    assert capsys.readouterr().out == (
        "    1,500 / 10,000 steps  1,234 steps/s  return 21.3  value_loss 0.123  approx_kl 0.0125\n"
    )


def test_a_plain_line_needs_no_finished_episode(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    PlainConsole().row(at(1500), {"time/fps": 10.0})
    assert capsys.readouterr().out == "    1,500 / 10,000 steps  10 steps/s\n"


def test_plain_lines_are_few_but_the_last_is_always_there(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    plain = PlainConsole()
    for seconds, steps in ((0.0, 100), (1.0, 200), (4.9, 300), (5.1, 400), (5.2, 10_000)):
        now[0] = 1000.0 + seconds
        plain.row(at(steps), ROW)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["100", "400", "10,000"]


def test_an_evaluation_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    PlainConsole().evaluation(at(2000), EVALUATION, best=True)
    assert capsys.readouterr().out == "    2,000   evaluation 2.0 ± 1.0, best so far\n"


def test_a_silent_console_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silent = make_console("off", "title")
    silent.tick(at(10_000), clock())
    silent.row(at(10_000), ROW)
    silent.evaluation(at(10_000), EVALUATION, best=True)
    silent.close()
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def seen(screen: io.StringIO) -> str:
    """What was drawn, without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.getvalue())


def pretend(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> io.StringIO:
    screen = io.StringIO()
    monkeypatch.setattr(
        console,
        "Terminal",
        lambda: Terminal(file=screen, force_terminal=is_terminal, width=160, height=30),
    )
    return screen


@pytest.mark.parametrize(
    ("mode", "is_terminal", "expected"),
    [
        ("auto", False, PlainConsole),
        ("auto", True, LiveConsole),
        ("live", False, LiveConsole),
        ("live", True, LiveConsole),
        ("plain", False, PlainConsole),
        ("plain", True, PlainConsole),
        ("off", False, SilentConsole),
        ("off", True, SilentConsole),
    ],
)
def test_which_console_is_made(
    mode: str, is_terminal: bool, expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, is_terminal)
    made = make_console(mode, "title")  # type: ignore[arg-type] # one of them
    made.close()
    assert type(made) is expected


def test_output_that_is_captured_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    assert type(make_console("auto", "title")) is PlainConsole


def test_the_live_display_shows_where_the_run_is(
    now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = pretend(monkeypatch, True)
    live = make_console("live", "ppo on CartPole-v1, seed 7")
    times = clock(env=6.0, learn=2.0, eval=2.0)
    live.tick(at(1000), times)
    live.row(at(1000), ROW)
    live.evaluation(at(1000), EVALUATION, best=False)
    now[0] += 10.0
    live.tick(at(2000), times)
    live.close()
    text = seen(screen)
    for part in (
        "ppo on CartPole-v1, seed 7",
        "2,000 / 10,000 steps",
        "1:20 left",  # 10 s for 1000 steps, 8000 to go
        " 250",  # 2000 steps in the 8 s beside evaluation
        "21.3",
        "0.123",
        "environment 60%",
        "evaluation 2.0 ± 1.0 at step 1,000",
    ):
        assert part in text, part


def test_the_live_display_is_drawn_a_few_times_a_second_and_at_the_end(
    now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = pretend(monkeypatch, True)
    live = make_console("live", "title")
    for seconds, steps in ((0.0, 111), (0.1, 222), (0.3, 333), (0.31, 10_000)):
        now[0] = 1000.0 + seconds
        live.tick(at(steps), clock())
    live.close()
    text = seen(screen)
    shown = [n for n in ("111", "222", "333", "10,000") if f"{n} / 10,000 steps" in text]
    assert shown == ["111", "333", "10,000"]
    assert "done" in text


def test_the_live_display_of_a_run_that_ends_early_is_drawn_to_its_end(
    now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = pretend(monkeypatch, True)
    live = make_console("live", "title")
    live.tick(at(111), clock())
    now[0] += 0.1
    live.tick(at(222), clock(), ended=True)
    live.close()
    assert "222 / 10,000 steps" in seen(screen)
    assert "done" in seen(screen)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("title", ["ppo on CartPole-v1, seed 7", f"ppo on {'x' * 50}-v0, seed 7"])
def test_no_name_is_cut(
    now: list[float], monkeypatch: pytest.MonkeyPatch, width: int, title: str
) -> None:
    screen = io.StringIO()
    terminal = Terminal(file=screen, force_terminal=True, width=width, height=30)
    monkeypatch.setattr(console, "Terminal", lambda: terminal)
    live = make_console("live", title)
    live.row(at(1000), ROW | {"train/policy_gradient_loss": -0.000512, "train/entropy_loss": 0.1})
    live.tick(at(1000, 10_000_000), clock(env=6.0))
    live.close()
    drawn = seen(screen)
    assert "…" not in drawn
    names = ["policy_gradient_loss -0.000512", "entropy_loss 0.1", "approx_kl 0.0125"]
    for name in (*names, *([title] if len(title) <= width else []), "1,000 / 10,000,000 steps"):
        assert name in drawn
