"""What gunicorn serves: OpenTAXII with one fault mended. Runs in the peers' environment.

OpenTAXII 0.9.3 answers 500 to "GET collection" and to every POST, after it has stored the objects: the id in the answer
is a UUID, which its way to write JSON does not take. Here it is written as text. Nothing else is changed.
"""

import json
from functools import partial
from types import SimpleNamespace

from opentaxii.http import app
from opentaxii.taxii2 import http as answers

answers.json = SimpleNamespace(dumps=partial(json.dumps, default=str))

__all__ = ["app"]
