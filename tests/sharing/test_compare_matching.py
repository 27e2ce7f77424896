"""Matching against a rule written with sets, and the ties that it must resolve."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimcache.sharing.matching import Match, Status, match
from trimcache.sharing.model_tensors import StoredTensor
from trimcache.sharing.prefixes import prefixes


def tensor(
    *names: str, digest: str = "d", file: str = "model.safetensors", shape: tuple[int, ...] = (4,), constant: bool = False
) -> StoredTensor:
    nbytes = 4 * len(digest)  # equal digests are equal bytes
    return StoredTensor(0, file, names, "parameter", "float32", shape, 0, nbytes, digest.encode(), constant)


def statuses(rows: list[Match]) -> dict[tuple[str | None, str | None], Status]:
    return {(row.a and row.a.name, row.b and row.b.name): row.status for row in rows}


@st.composite
def models(draw: st.DrawFn) -> list[StoredTensor]:
    """One file: every name once, some tied, few digests so that they repeat. "0" is a constant."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8))
    groups: dict[int, list[str]] = {}
    for name in names:
        groups.setdefault(draw(st.integers(0, 5)), []).append(name)
    digests = [draw(st.sampled_from(["0", "11", "222", "3333", ""])) for _ in groups]
    return [tensor(*group, digest=digest, constant=digest == "0") for group, digest in zip(groups.values(), digests, strict=True)]


def is_same(one: StoredTensor, others: list[StoredTensor]) -> bool:
    return any(set(one.names) & set(other.names) and one.digest == other.digest for other in others)


def is_found_by_bytes(one: StoredTensor, others: list[StoredTensor]) -> bool:
    held = one.nbytes > 0 and one.digest in {other.digest for other in others}
    return held and not one.constant and not is_same(one, others)


def expected(one: StoredTensor, mine: list[StoredTensor], others: list[StoredTensor], only: Status) -> Status:
    if is_same(one, others):
        return Status.SAME
    if is_found_by_bytes(one, others):
        return Status.RENAMED
    # What answers to another tensor by its bytes is no changed form of the one whose name it took.
    if any(set(one.names) & set(other.names) and not is_found_by_bytes(other, mine) for other in others):
        return Status.CHANGED
    return Status.RENAMED if one.nbytes > 0 and one.digest in {other.digest for other in others} else only


@given(models(), models())
def test_every_tensor_counts_once_under_the_status_that_sets_give(a: list[StoredTensor], b: list[StoredTensor]) -> None:
    rows = match(a, b)
    assert rows == match(a, b)
    counted_a = [(row.a, row.status) for row in rows if row.a is not None and row.counts_a]
    counted_b = [(row.b, row.status) for row in rows if row.b is not None and row.counts_b]
    assert Counter(counted_a) == Counter((one, expected(one, a, b, Status.ONLY_A)) for one in a)
    assert Counter(counted_b) == Counter((one, expected(one, b, a, Status.ONLY_B)) for one in b)
    assert sum(row.a_bytes for row in rows) == sum(one.nbytes for one in a)
    assert sum(row.b_bytes for row in rows) == sum(one.nbytes for one in b)
    for row in rows:
        if row.status in (Status.SAME, Status.RENAMED):
            assert row.a is not None
            assert row.b is not None
            assert row.a.digest == row.b.digest


@given(models())
def test_a_model_with_itself_is_the_same(a: list[StoredTensor]) -> None:
    assert {row.status for row in match(a, a)} <= {Status.SAME}
    assert all(row.a is row.b for row in match(a, a))


def test_moved_layers_are_renamed_not_changed() -> None:
    a = [tensor(f"layers.{i}.weight", digest="x" * (i + 1)) for i in range(4)]
    b = [tensor("layers.0.weight", digest="x"), tensor("layers.1.weight", digest="xxx"), tensor("layers.2.weight", digest="xxxx")]
    assert statuses(match(a, b)) == {
        ("layers.0.weight", "layers.0.weight"): Status.SAME,
        ("layers.2.weight", "layers.1.weight"): Status.RENAMED,
        ("layers.3.weight", "layers.2.weight"): Status.RENAMED,
        ("layers.1.weight", None): Status.ONLY_A,
    }


def test_tied_names_count_once() -> None:
    tied, apart = [tensor("embed", "head")], [tensor("embed"), tensor("head")]
    rows = match(tied, apart)
    assert {row.status for row in rows} == {Status.SAME}
    assert (sum(row.a_bytes for row in rows), sum(row.b_bytes for row in rows)) == (4, 8)


def test_a_fresh_constant_is_a_changed_tensor_and_not_any_other_constant() -> None:
    a = [tensor("x.bias", digest="0", constant=True), tensor("y.bias", digest="11")]
    b = [tensor("x.bias", digest="22"), tensor("y.bias", digest="0", constant=True)]
    assert set(statuses(match(a, b)).values()) == {Status.CHANGED}


def test_components_of_a_pipeline_answer_to_their_own_folder() -> None:
    def encoder(folder: str, digest: str) -> StoredTensor:
        return tensor("embed", digest=digest, file=f"{folder}/model.safetensors")

    a = [encoder("text_encoder", "1"), encoder("text_encoder_2", "22")]
    b = [encoder("text_encoder_2", "333"), encoder("text_encoder", "4444")]
    for row in match(a, b):
        assert row.status == Status.CHANGED
        assert row.a is not None
        assert row.b is not None
        assert row.a.folder == row.b.folder
    lone = match(a, b[1:])
    assert [(row.status, row.a and row.a.folder) for row in lone] == [
        (Status.CHANGED, "text_encoder"),
        (Status.ONLY_A, "text_encoder_2"),
    ]


@pytest.mark.parametrize(
    ("of_a", "of_b"), [(("", "bert."), ("", "bert.")), (("base_model.model.", ""),) * 2, (("bert.", "roberta."),) * 2, (("", ""), ("", ""))]
)
def test_a_module_around_the_network_is_taken_off(of_a: tuple[str, str], of_b: tuple[str, str]) -> None:
    assert of_a == of_b
    inner = [f"encoder.layer.{i}.{part}" for i in range(3) for part in ("query.weight", "key.weight")]
    a = [tensor(of_a[0] + name, digest=str(i)) for i, name in enumerate(inner)]
    b = [tensor(of_a[1] + name, digest=str(i) if i < 3 else f"new{i}") for i, name in enumerate(inner)] + [
        tensor("classifier.weight", digest="c")
    ]
    found = prefixes(a, b)
    assert found == of_a
    rows = match(a, b, found)
    equal = Status.RENAMED if any(of_a) else Status.SAME
    assert Counter(row.status for row in rows) == {equal: 3, Status.CHANGED: 3, Status.ONLY_B: 1}
    for row in rows:
        if row.a is not None and row.b is not None:
            assert row.a.name.removeprefix(of_a[0]) == row.b.name.removeprefix(of_a[1])


def test_one_name_that_fits_is_no_prefix() -> None:
    assert prefixes([tensor("weight")], [tensor("head.weight"), tensor("body.bias")]) == ("", "")
    assert prefixes([], []) == ("", "")
    assert prefixes([tensor("..")], [tensor("a..")]) == ("", "")
