"""Two relays on one PostgreSQL behind one name: a home each, copied from one; partners talk to either."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from exchange.relay.app import running
from exchange.relay.home import RelayHome
from exchange.runtime.lifecycle import Drain
from tests.support.directory_builders import Exchange, an_exchange
from tests.support.relay_world import Partner, World, a_home, secrets, settings, short_home


@dataclass(slots=True)
class Twins:
    """Two relays of one exchange. Whoever joins or publishes does it at the first; `at` connects to either."""

    first: World
    second: World
    running: tuple[AsyncExitStack, AsyncExitStack]

    @property
    def exchange(self) -> Exchange:
        """The replayed directory, as every partner has it."""
        return self.first.exchange

    async def stop(self, which: int) -> None:
        """Stop one of the relays."""
        await self.running[which].aclose()

    def at(self, which: int, name: str) -> Partner:
        """Return a partner connected to the first (0) or the second (1) relay; the caller closes the channel."""
        partner = self.first.partners[name]
        return (self.first, self.second)[which].connect(partner.keys)


def copy_of(home: RelayHome) -> RelayHome:
    """Return a second home with the same keys and genesis, as an operator copies it; the caller's to remove."""
    made = RelayHome(short_home())
    for path in (home.genesis, home.keys):
        if path.exists():
            shutil.copy2(path, made.root / path.name)
    return made


@asynccontextmanager
async def twins(url: str, *names: str, **limits: int) -> AsyncIterator[Twins]:
    """Run two relays on the database at `url`, with these partners admitted, and these limits of settings."""
    exchange = an_exchange(())
    homes = [a_home(exchange)]
    homes.append(copy_of(homes[0]))
    given = settings("127.0.0.1:0", "127.0.0.1:0", **limits).model_copy(update={"database": url})
    try:
        async with AsyncExitStack() as one, AsyncExitStack() as other:
            first, second = [
                await stack.enter_async_context(running(home, given, secrets(), Drain()))
                for stack, home in zip((one, other), homes, strict=True)
            ]
            worlds = World(homes[0], exchange, first), World(homes[1], exchange, second)
            made = Twins(*worlds, (one, other))
            for name in names:
                made.second.partners[name] = await made.first.join(name)
            yield made
            for partner in made.first.partners.values():
                await partner.channel.close()
    finally:
        for home in homes:
            shutil.rmtree(home.root)
