"""The cache of envelopes is bounded by bytes."""

from exchange.relay.cache import SealedCache
from exchange.relay.mailbox import Sealed


def a_sealed(key: int, size: int = 100) -> Sealed:
    return Sealed(key, b"", b"", b"x" * size, b"")


def test_what_was_used_least_recently_makes_room() -> None:
    cache = SealedCache(300)
    cache.put([a_sealed(1), a_sealed(2), a_sealed(3)])
    assert cache.get([1, 9]) == {1: a_sealed(1)}
    cache.put([a_sealed(4)])
    assert set(cache.get([1, 2, 3, 4])) == {1, 3, 4}


def test_putting_again_counts_once() -> None:
    cache = SealedCache(300)
    for _ in range(10):
        cache.put([a_sealed(1), a_sealed(2)])
    assert set(cache.get([1, 2])) == {1, 2}


def test_what_is_larger_than_all_of_it_is_not_kept() -> None:
    cache = SealedCache(300)
    cache.put([a_sealed(1), a_sealed(2, 301)])
    assert cache.get([1, 2]) == {}
    cache.put([a_sealed(3)])
    assert set(cache.get([3])) == {3}
