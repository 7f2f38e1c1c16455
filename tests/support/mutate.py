"""A pytest plugin that changes one module while it is imported: `-p tests.support.mutate`, with MUTANT as JSON.

The code under test knows nothing of it: the finder stands before Python's own and compiles the changed source.
"""

import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = "MUTANT"


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the changed source; no cached bytecode is read or written."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


class _Finder:
    """Finds the one module that is changed."""

    def __init__(self, file: str, before: str, after: str) -> None:
        self.path = ROOT / file
        self.name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        source = self.path.read_text()
        if source.count(before) != 1:
            raise SystemExit(f"{file} holds {source.count(before)} times what is to be changed: {before!r}")
        self.source = source.replace(before, after)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        loader = _Loader(fullname, str(self.path), self.source)
        return importlib.util.spec_from_file_location(fullname, self.path, loader=loader)


if VARIABLE in os.environ:
    finder = _Finder(**json.loads(os.environ[VARIABLE]))
    if finder.name in sys.modules:
        raise SystemExit(f"{finder.name} is imported already: nothing would be changed")
    sys.meta_path.insert(0, finder)
