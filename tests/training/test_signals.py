"""A request to stop is noted, and whoever listened before still hears it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from rltrain.core.errors import FAILED, USAGE, RltrainError
from rltrain.training.signals import Interrupted, StopSignals

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def _handlers_are_put_back() -> Iterator[None]:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@BOTH
def test_a_signal_is_noted(number: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with StopSignals() as signals:
        assert not signals.requested()
        assert signals.received is None
        send(number)
        assert signals.requested()
        assert signals.received == number


@BOTH
def test_a_second_signal_changes_nothing(number: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with StopSignals() as signals:
        send(number)
        send(number)
        with signals.shielded():
            send(signal.SIGINT)
            send(signal.SIGTERM)
        assert signals.received == number


@BOTH
def test_a_third_signal_ends_what_does_not_come_to_a_safe_point(number: int) -> None:
    with StopSignals():
        send(number)
        send(number)
        with pytest.raises(KeyboardInterrupt):
            send(number)


@BOTH
def test_who_listened_before_is_told_once_and_listens_again_afterwards(number: int) -> None:
    heard: list[int] = []

    def scheduler(received: int, frame: object) -> None:
        heard.append(received)

    signal.signal(number, scheduler)
    with StopSignals() as signals:
        send(number)
        send(number)
        assert heard == [number]
        assert signals.received == number
    assert signal.getsignal(number) is scheduler
    send(number)
    assert heard == [number, number]


@BOTH
@pytest.mark.parametrize("previous", [signal.SIG_DFL, signal.SIG_IGN])
def test_the_systems_own_handlers_come_back(number: int, previous: signal.Handlers) -> None:
    signal.signal(number, previous)
    with StopSignals() as signals:
        send(number)
        assert signals.received == number
    assert signal.getsignal(number) is previous


def test_pythons_keyboard_interrupt_comes_back() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with StopSignals() as signals:
        send(signal.SIGINT)
        assert signals.requested()
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


def test_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    during = []

    def fail() -> None:
        with StopSignals():
            during.append(signal.getsignal(signal.SIGTERM))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert during != [before]
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with StopSignals():
        assert signal.getsignal(signal.SIGHUP) == before


def test_in_another_thread_nothing_is_handled_and_nothing_fails() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with StopSignals() as signals:
            seen.append(signal.getsignal(signal.SIGTERM))
            seen.append(signals.requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_exit_code_is_128_plus_the_signals_number() -> None:
    error = Interrupted(signal.SIGTERM, "stopped")
    assert error.exit_code == 143
    assert str(error) == "stopped"
    assert isinstance(error, RltrainError)
    assert error.exit_code not in (FAILED, USAGE)
    assert Interrupted(signal.SIGINT, "").exit_code == 130
