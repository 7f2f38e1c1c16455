"""A report whose key was written and whose frame was refused keeps that key when it comes again."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from exchange.errors import Unavailable
from nodes.inbox import store_frame
from tests.support.node_world import nodes, push, receipted


async def test_a_report_whose_frame_was_refused_once_comes_again_and_opens_under_the_key_that_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with nodes("XA", "XV") as (_, running):
        recipient = running["XV"].core
        write, refused = recipient.database.write, 0

        async def refusing(fn: Callable[..., Any]) -> Any:
            nonlocal refused
            is_report = isinstance(fn, partial) and fn.func is store_frame and bool(fn.keywords["sealed"])
            if is_report and not refused:
                refused += 1
                raise Unavailable("the disk is away")
            return await write(fn)

        monkeypatch.setattr(recipient.database, "write", refusing)
        made: list[dict[bytes, bytes]] = []
        new_keys = recipient.keybox.new_keys

        async def watched(*arguments: Any) -> Any:
            made.append(dict(await new_keys(*arguments)))
            return made[-1]

        monkeypatch.setattr(recipient.keybox, "new_keys", watched)
        item = (await push(running["XA"], "XV", name="Comes twice")).item
        await receipted(running["XA"], item, "XV")
        assert refused == 1
        keys = [keys[item] for keys in made if item in keys]
        assert len(keys) == 2 and keys[0] == keys[1]
        opened = await running["XV"].shelf.opened(item)
        assert opened is not None and opened.statement.originator == "XA"
