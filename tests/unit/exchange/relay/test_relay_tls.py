"""The relay's leaves are renewed in time."""

from exchange.crypto import x509
from exchange.names import ExchangeName
from exchange.relay.home import CertificateAuthority
from exchange.relay.tls import LEAF_HOURS, RENEW_AFTER_MS, Leaf

EXCHANGE = ExchangeName("test.concord.example")
NOW = 1_795_000_000_000


def test_a_leaf_serves_half_its_life_and_the_next_one_is_there_before_it_ends() -> None:
    authority, times = CertificateAuthority.new(NOW), [NOW]
    leaf = Leaf(lambda: authority, EXCHANGE, lambda: times[-1])
    first = leaf.current()
    times.append(NOW + RENEW_AFTER_MS - 1)
    assert leaf.current() == first
    times.append(NOW + RENEW_AFTER_MS)
    second = leaf.current()
    assert second != first
    assert x509.validity(second[0])[1] > x509.validity(first[0])[1] > times[-1]
    assert LEAF_HOURS * 3_600_000 >= 2 * RENEW_AFTER_MS


def test_a_leaf_is_renewed_when_the_clock_went_back() -> None:
    times, before = [NOW], CertificateAuthority.new(NOW - 10**9)
    leaf = Leaf(lambda: before, EXCHANGE, lambda: times[-1])
    first = leaf.current()
    times.append(NOW - 1)
    assert leaf.current() != first


def test_another_ca_serves_from_the_next_handshake_on() -> None:
    old, new = CertificateAuthority.new(NOW), CertificateAuthority.new(NOW)
    serving = [old]
    leaf = Leaf(lambda: serving[-1], EXCHANGE, lambda: NOW)
    first, _ = leaf.current()
    serving.append(new)
    second, _ = leaf.current()
    assert x509.issued_by(first, [old.certificate, new.certificate], NOW, server=True) == old.certificate
    assert x509.issued_by(second, [old.certificate, new.certificate], NOW, server=True) == new.certificate


def test_a_leaf_is_a_servers_under_the_relays_name() -> None:
    authority = CertificateAuthority.new(NOW)
    chain, _ = Leaf(lambda: authority, EXCHANGE, lambda: NOW).current()
    assert x509.issued_by(chain, [authority.certificate], NOW, server=True) == authority.certificate
    assert x509.uri_of(chain) == x509.relay_uri(EXCHANGE)
