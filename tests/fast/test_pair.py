import threading

import pytest

from rltrain.fast.pair import Pair


@pytest.mark.parametrize("threads", [1, 2])
def test_both_halves_are_done(threads):
    pair, done = Pair(threads), {}
    for _ in range(3):
        done.clear()
        pair(lambda k: done.update({k: threading.get_ident()}))
        assert done.keys() == {0, 1}
        assert len(set(done.values())) == threads


def test_they_run_at_once():
    barrier = threading.Barrier(2, timeout=10)
    Pair(2)(lambda k: barrier.wait())


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_either_is_raised_and_the_next_call_works(threads, bad):
    pair, done = Pair(threads), []

    def work(k):
        if k == bad:
            raise ValueError(f"half {k}")

    with pytest.raises(ValueError, match=f"half {bad}"):
        pair(work)
    pair(done.append)
    assert sorted(done) == [0, 1]


def test_its_thread_ends_with_it():
    before = set(threading.enumerate())
    pair = Pair(2)
    pair(lambda k: None)
    (thread,) = set(threading.enumerate()) - before
    assert thread.is_alive()
    del pair
    thread.join(5)
    assert not thread.is_alive()
