"""Several relay processes on one database behind one name: what they tell each other, and what each does when it hears.

Nothing is right or wrong by these words: every judgement, answer and signature rests on what the writer's transaction
reads under the database's lock. A word that is lost costs a wait: a second for the directory, a heartbeat for mail.

=========  ===========================================  =====================================================
word       told with the commit that                    makes the others
=========  ===========================================  =====================================================
mail       stores envelopes; names the recipients       look into the mailboxes of these, if they are here
directory  appends to the directory                     take the entries in, sign, show them to who follows
stream     is made for a party's new delivery stream    end the stream that the party had with them
=========  ===========================================  =====================================================
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from sqlalchemy import Connection

from exchange.errors import ExchangeError
from exchange.names import PartyId
from exchange.relay.deliver import Deliveries
from exchange.relay.mailbox import Bells
from exchange.runtime.logs import get_logger
from exchange.runtime.wake import Wake, Word

MAIL, DIRECTORY, STREAM = "mail", "directory", "stream"


class Together:
    """One process's voice and ear. Telling is for the writer's thread, hearing for the event loop."""

    def __init__(self, wake: Wake) -> None:
        """Speak by `wake`."""
        self._wake = wake
        self._grown = asyncio.Event()
        self._log = get_logger(__name__)

    @property
    def alone(self) -> bool:
        """Whether there can be no other process."""
        return self._wake.alone

    def tell_mail(self, connection: Connection, parties: Iterable[PartyId]) -> None:
        """Tell who has something new."""
        self._wake.tell(connection, MAIL, parties)

    def tell_directory(self, connection: Connection) -> None:
        """Tell that the directory has grown."""
        self._wake.tell(connection, DIRECTORY)

    def tell_stream(self, connection: Connection, party: PartyId, name: str) -> None:
        """Tell that a party has a new delivery stream here."""
        self._wake.tell(connection, STREAM, (party, name))

    async def hear(self, bells: Bells, deliveries: Deliveries, grown: Callable[[], Awaitable[object]]) -> None:
        """Do what words ask for, until cancelled; `grown` is called when the directory may have."""

        def mail(word: Word) -> None:
            if not word.mine:
                bells.ring(map(PartyId, word.about))

        def stream(word: Word) -> None:
            party, name = word.about
            deliveries.opened(PartyId(party), name, mine=word.mine)

        def directory(word: Word) -> None:
            if not word.mine:
                self._grown.set()

        self._wake.on(MAIL, mail)
        self._wake.on(STREAM, stream)
        self._wake.on(DIRECTORY, directory)
        self._wake.on_missed(deliveries.ring_all)
        self._wake.on_missed(self._grown.set)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wake.listen())
            tasks.create_task(self._follow(grown))

    async def _follow(self, grown: Callable[[], Awaitable[object]]) -> None:
        while True:
            await self._grown.wait()
            self._grown.clear()
            try:
                await grown()
            except ExchangeError as error:
                # The next second's look makes up for it.
                self._log.info("directory not taken in", reason=error.reason, detail=str(error))
