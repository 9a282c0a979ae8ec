import numpy as np
import pytest

from mtsccd_jax.data.order import batch_indices, evaluation_batches, permutation


@pytest.mark.parametrize("n", [0, 1, 2, 97, 5000])
def test_permutation_holds_every_row_once(n):
    np.testing.assert_array_equal(np.sort(permutation(3, 5, n)), np.arange(n))


def test_permutation_depends_on_seed_and_epoch_and_on_nothing_else():
    first = permutation(1, 2, 100)
    np.testing.assert_array_equal(first, permutation(1, 2, 100))
    for other in (permutation(2, 1, 100), permutation(1, 3, 100), permutation(2, 2, 100)):
        assert not np.array_equal(first, other)


def test_permutation_never_changes():
    """A stored recipe must give the same batches in every later version."""
    assert permutation(0, 0, 8).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]
    assert permutation(7, 3, 8).tolist() == [2, 5, 7, 3, 0, 6, 4, 1]


def test_permutation_is_even():
    """Over many epochs every row is equally often first: chi-square with 9 degrees of freedom."""
    counts = np.bincount([permutation(11, epoch, 10)[0] for epoch in range(2000)], minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # p = 0.001


@pytest.mark.parametrize(("n", "batch"), [(1, 1), (10, 3), (12, 4), (5, 8)])
def test_training_batches_are_the_head_of_the_permutation(n, batch):
    batches = batch_indices(4, 1, n, batch)
    assert batches.dtype == np.int64
    assert batches.shape == (n // batch, batch)
    np.testing.assert_array_equal(batches.ravel(), permutation(4, 1, n)[: n // batch * batch])


def test_processes_partition_every_batch():
    whole = batch_indices(4, 1, 50, 12)
    parts = [batch_indices(4, 1, 50, 12, process, 3) for process in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    rows, mask = evaluation_batches(50, 12)
    parts = [evaluation_batches(50, 12, process, 3) for process in range(3)]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts], axis=1), rows)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts], axis=1), mask)


@pytest.mark.parametrize(("n", "batch"), [(0, 4), (1, 4), (4, 4), (9, 4)])
def test_evaluation_counts_every_row_once(n, batch):
    rows, mask = evaluation_batches(n, batch)
    assert rows.shape == mask.shape == (-(-n // batch), batch)
    assert mask.dtype == bool
    np.testing.assert_array_equal(rows[mask], np.arange(n))
    assert not rows[~mask].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0, 10, 2), "seed must be in"),
        ((0, 1 << 64, 10, 2), "epoch must be in"),
        ((0, 0, 10, 0), "batch must be a positive multiple of the 1 processes, got 0"),
        ((0, 0, 10, 3, 0, 2), "batch must be a positive multiple of the 2 processes, got 3"),
        ((0, 0, 10, 4, 2, 2), "process must be in"),
    ],
)
def test_impossible_orders_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        batch_indices(*arguments)
