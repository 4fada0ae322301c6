from pathlib import Path

import numpy as np
import pytest

from rltrain.core.errors import UserError
from rltrain.memory.dataset import Dataset
from rltrain.memory.passes import Passes, split


def data(*lengths: int, reward: float = 0.0) -> Dataset:
    """Episodes of these lengths, whose observations count the rows."""
    count = sum(lengths)
    ends = np.zeros(count, np.bool_)
    ends[np.cumsum(lengths) - 1] = True
    obs = np.arange(count, dtype=np.float32)[:, None]
    flags = np.zeros(count, np.bool_)
    rewards = np.full(count, reward, np.float32)
    return Dataset("a/b-v0", obs, np.zeros(count, np.int64), rewards, ends, flags, obs + 1)


def test_a_pass_has_every_row_once_and_the_next_another_order() -> None:
    memory = Passes(data(3, 4), 0.0, seed=0)
    drawn = memory.draw(21).reshape(3, 7)
    assert [sorted(rows) for rows in drawn.tolist()] == [list(range(7))] * 3
    assert len({tuple(rows) for rows in drawn.tolist()}) == 3


def test_minibatches_of_any_size_are_the_same_stream() -> None:
    whole = Passes(data(3, 4), 0.0, seed=0).draw(24)
    parts = Passes(data(3, 4), 0.0, seed=0)
    assert np.concatenate([parts.draw(5) for _ in range(4)] + [parts.draw(4)]).tolist() == (
        whole.tolist()
    )
    assert Passes(data(3, 4), 0.0, seed=1).draw(24).tolist() != whole.tolist()


def test_it_goes_on_where_its_state_was() -> None:
    memory = Passes(data(3, 4), 0.0, seed=0)
    memory.draw(10)
    state = memory.state_dict()
    rest = memory.draw(9)
    other = Passes(data(3, 4), 0.0, seed=0)
    other.load_state_dict(state)
    assert other.draw(9).tolist() == rest.tolist()


def test_its_state_is_small_and_knows_the_data() -> None:
    state = Passes(data(3, 4), 0.0, seed=0).state_dict()
    assert state == {"seen": 0, "dataset": {"id": "a/b-v0", "sha256": data(3, 4).sha256}}
    with pytest.raises(UserError, match="is not what it was"):
        Passes(data(3, 4, reward=1.0), 0.0, seed=0).load_state_dict(state)


@pytest.mark.parametrize(("share", "rows"), [(0.0, 0), (0.01, 2), (0.5, 4), (0.9, 6)])
def test_whole_episodes_are_held_out(share: float, rows: int) -> None:
    kept, out = split(data(2, 2, 2, 2), share, seed=0)
    assert sorted([*kept, *out]) == list(range(8))
    assert len(out) == rows  # one at least, and never all
    episodes = (out // 2).tolist()
    assert all(episodes.count(e) == 2 for e in episodes)
    if rows:
        memory = Passes(data(2, 2, 2, 2), share, seed=0)
        assert not set(memory.draw(50).tolist()) & set(out.tolist())


def test_another_seed_holds_out_others() -> None:
    outs = {tuple(split(data(*[1] * 20), 0.2, seed)[1]) for seed in range(5)}
    assert len(outs) > 1


def test_something_must_be_left(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"algo.validation_share=0.1: .* has one episode"):
        split(data(9), 0.1, seed=0)
    assert len(split(data(9), 0.0, seed=0)[0]) == 9
