from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, Literal

import pytest

from rltrain.core.errors import UserError
from rltrain.settings.schema import build, convert, key, keys_of, show, type_name


@dataclass(frozen=True)
class Leaf:
    rate: float = key("Rate.", above=0, below=1)
    sizes: tuple[int, ...] = key("Sizes.", min=1)


@dataclass(frozen=True)
class Root:
    count: int = key("Count.", min=1, max=2**32 - 1)
    free: float = key("Any number.")
    mode: Literal["fast", "slow", 3] = key("Mode.")
    limit: float | None = key("Limit.", min=0)
    threads: int | Literal["auto"] = key("Threads.", min=1)
    flag: bool = key("Flag.")
    text: str = key("Text.")
    extra: dict[str, Any] = key("Anything by name.")
    leaf: Leaf = key("Leaf.")


def values(**changes: Any) -> dict[str, Any]:
    base = {
        "count": 2,
        "free": 0.5,
        "mode": "fast",
        "limit": None,
        "threads": "auto",
        "flag": True,
        "text": "a",
        "extra": {},
        "leaf": {"rate": 0.5, "sizes": [4, 8]},
    }
    return base | changes


def leaf(**changes: Any) -> dict[str, Any]:
    return values(leaf={"rate": 0.5, "sizes": [4, 8]} | changes)


def error_of(mapping: Any, path: str = "") -> str:
    with pytest.raises(UserError) as caught:
        build(Root, mapping, path)
    return str(caught.value)


def test_a_valid_mapping_becomes_a_frozen_instance() -> None:
    root = build(Root, values())
    assert root == Root(2, 0.5, "fast", None, "auto", True, "a", {}, Leaf(0.5, (4, 8)))
    with pytest.raises(FrozenInstanceError):
        root.count = 3  # type: ignore[misc] # that is the point


@pytest.mark.parametrize("given", [[], "count", None, 3])
def test_what_is_no_mapping_is_refused(given: Any) -> None:
    assert error_of(given).startswith("the configuration must be a mapping of keys")
    assert error_of(given, "env").startswith("env must be a mapping of keys")


@pytest.mark.parametrize(
    ("changes", "unknown", "near"),
    [
        ({"cuont": 1}, "cuont", "count"),
        ({"leaf": {"rate": 0.5, "sizes": [], "size": 1}}, "leaf.size", "leaf.sizes"),
    ],
)
def test_an_unknown_key_names_the_nearest(changes: dict[str, Any], unknown: str, near: str) -> None:
    assert error_of(values(**changes)).startswith(f"Unknown key {unknown}. Did you mean {near}")


def test_an_unknown_key_carries_the_path_it_was_built_under() -> None:
    assert error_of(values(cuont=1), "algo").startswith(
        "Unknown key algo.cuont. Did you mean algo.count"
    )


@pytest.mark.parametrize("name", list(values()))
def test_a_missing_key_is_named(name: str) -> None:
    given = values()
    del given[name]
    assert error_of(given).startswith(f"Missing key {name} (")


def test_a_missing_key_of_a_nested_class_has_a_dotted_path_and_its_type() -> None:
    assert error_of(values(leaf={"rate": 0.5})) == "Missing key leaf.sizes (list of integer)."


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"count": "2"}, "count=2: expected integer."),
        ({"count": 2.5}, "count=2.5: expected integer."),
        ({"count": True}, "count=true: expected integer."),
        ({"count": None}, "count=null: expected integer."),
        ({"count": math.nan}, "count=nan: expected integer."),
        ({"count": math.inf}, "count=inf: expected integer."),
        ({"free": "fast"}, "free=fast: expected number."),
        ({"free": False}, "free=false: expected number."),
        ({"limit": "low"}, "limit=low: expected number | null."),
        ({"threads": None}, "threads=null: expected integer | auto."),
        ({"threads": 1.5}, "threads=1.5: expected integer | auto."),
        ({"flag": 1}, "flag=1: expected true | false. Did you mean flag=true?"),
        ({"flag": "yes"}, "flag=yes: expected true | false. Did you mean flag=true?"),
        ({"flag": 0}, "flag=0: expected true | false. Did you mean flag=false?"),
        ({"count": "10k"}, "count=10k: expected integer. Did you mean count=10e3?"),
        ({"count": "1.5M"}, "count=1.5M: expected integer. Did you mean count=1.5e6?"),
        ({"count": "10 000"}, "count=10 000: expected integer. Did you mean count=10_000?"),
        ({"text": True}, "text=true: expected text."),
        ({"text": [3]}, "text=[3]: expected text."),
        ({"extra": [1]}, "extra=[1]: expected mapping."),
        ({"leaf": 3}, "leaf must be a mapping of keys, not 3."),
    ],
)
def test_a_wrong_type_is_refused(changes: dict[str, Any], expected: str) -> None:
    assert error_of(values(**changes)) == expected


def test_a_number_is_taken_for_a_text_where_one_belongs() -> None:
    assert (convert(str, 2024, "name"), convert(str | None, 7, "name")) == ("2024", "7")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rate": "x"}, "leaf.rate=x: expected number."),
        ({"sizes": 4}, "leaf.sizes=4: expected list of integer. Did you mean 'leaf.sizes=[4]'?"),
        (
            {"sizes": "4x4"},
            "leaf.sizes=4x4: expected list of integer. Did you mean 'leaf.sizes=[4,4]'?",
        ),
        ({"sizes": None}, "leaf.sizes=null: expected list of integer."),
        ({"sizes": [4, "8"]}, "leaf.sizes[1]=8: expected integer."),
        ({"sizes": [4, [8]]}, "leaf.sizes[1]=[8]: expected integer."),
    ],
)
def test_a_wrong_type_in_a_nested_class_has_a_dotted_path(
    changes: dict[str, Any], expected: str
) -> None:
    assert error_of(leaf(**changes)) == expected


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (values(count=0), "count=0 is out of range: it must be ≥ 1 and ≤ 4294967295."),
        (values(count=2**32), "count=4294967296 is out of range"),
        (values(limit=-0.5), "limit=-0.5 is out of range: it must be ≥ 0."),
        (values(limit=math.nan), "limit=nan is out of range"),
        (values(limit=math.inf), "limit=inf is out of range"),
        (values(threads=0), "threads=0 is out of range: it must be ≥ 1."),
        (leaf(rate=0), "leaf.rate=0.0 is out of range: it must be > 0 and < 1."),
        (leaf(rate=1.0), "leaf.rate=1.0 is out of range: it must be > 0 and < 1."),
        (leaf(rate=math.nan), "leaf.rate=nan is out of range"),
        (leaf(sizes=[4, 0, 8]), "leaf.sizes[1]=0 is out of range: it must be ≥ 1."),
    ],
)
def test_out_of_range_is_refused(given: dict[str, Any], wanted: str) -> None:
    assert error_of(given).startswith(wanted)


@pytest.mark.parametrize("count", [1, 2**32 - 1])
def test_inclusive_bounds_are_inside(count: int) -> None:
    assert build(Root, values(count=count)).count == count


@pytest.mark.parametrize("free", [math.nan, math.inf])
def test_what_is_no_number_is_refused_without_bounds_too(free: float) -> None:
    assert error_of(values(free=free)).startswith(f"free={free}")


@pytest.mark.parametrize(("given", "expected"), [(1e6, 1_000_000), (3.0, 3), (7, 7)])
def test_an_integer_may_be_written_as_a_float(given: float, expected: int) -> None:
    count = build(Root, values(count=given)).count
    assert count == expected
    assert type(count) is int


def test_a_number_may_be_written_as_an_integer() -> None:
    free = build(Root, values(free=2)).free
    assert free == 2.0
    assert type(free) is float


@pytest.mark.parametrize("name", ["count", "free"])
def test_an_integer_past_every_float_is_a_user_error(name: str) -> None:
    assert error_of(values(**{name: 10**400})) == f"{name}: this number is too large."


@pytest.mark.parametrize("mode", ["fast", "slow", 3])
def test_a_literal_takes_its_words(mode: Any) -> None:
    assert build(Root, values(mode=mode)).mode == mode


@pytest.mark.parametrize("mode", ["3", 3.0, True, None, ["fast"], "FAST"])
def test_a_literal_takes_nothing_else(mode: Any) -> None:
    assert "expected one of fast, slow, 3." in error_of(values(mode=mode))


def test_a_literal_names_the_nearest_word() -> None:
    assert error_of(values(mode="fats")).endswith(
        "expected one of fast, slow, 3. Did you mean fast?"
    )


@pytest.mark.parametrize(("given", "expected"), [(None, None), (1, 1.0), (0.25, 0.25)])
def test_an_optional_takes_null_and_its_type(given: Any, expected: float | None) -> None:
    assert build(Root, values(limit=given)).limit == expected


@pytest.mark.parametrize(("given", "expected"), [("auto", "auto"), (4, 4), (1e1, 10)])
def test_a_union_takes_each_of_its_types(given: Any, expected: Any) -> None:
    assert build(Root, values(threads=given)).threads == expected


def test_a_union_names_the_nearest_word() -> None:
    said = error_of(values(threads="atuo"))
    assert said == "threads=atuo: expected integer | auto. Did you mean auto?"


@pytest.mark.parametrize(("sizes", "expected"), [([], ()), ((3,), (3,)), ([1e3, 2], (1000, 2))])
def test_a_list_becomes_a_tuple_of_converted_elements(sizes: Any, expected: tuple) -> None:
    assert build(Root, leaf(sizes=sizes)).leaf.sizes == expected


def test_a_mapping_is_copied() -> None:
    extra = {"a": [1]}
    built = build(Root, values(extra=extra)).extra
    assert built == extra
    assert built is not extra


def test_any_is_taken_as_it_is() -> None:
    given = object()
    assert convert(Any, given, "x") is given


def test_key_refuses_an_unknown_bound() -> None:
    with pytest.raises(TypeError, match="least"):
        key("Doc.", least=1)


def test_keys_of_lists_documented_keys_in_order_without_nested_classes() -> None:
    found = list(keys_of(Root, "root."))
    names = ["count", "free", "mode", "limit", "threads", "flag", "text", "extra"]
    assert [k.path for k in found] == [f"root.{name}" for name in names]
    assert found[0].doc == "Count."
    assert found[0].range_name == "≥ 1, ≤ 4294967295"
    assert found[1].range_name == ""
    assert [k.range_name for k in keys_of(Leaf)] == ["> 0, < 1", "≥ 1"]
    assert found[3].type_name == "number | null"


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (int, "integer"),
        (float, "number"),
        (str, "text"),
        (bool, "true | false"),
        (float | None, "number | null"),
        (Literal["a", 3], "a | 3"),
        (int | Literal["auto"], "integer | auto"),
        (tuple[float, ...], "list of number"),
        (dict[str, Any], "mapping"),
        (Leaf, "Leaf"),
    ],
)
def test_type_name(hint: Any, name: str) -> None:
    assert type_name(hint) == name


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1, "1"),
        ("a", "a"),
        ([1], "[1]"),
    ],
)
def test_show_writes_as_yaml_does(value: Any, shown: str) -> None:
    assert show(value) == shown
