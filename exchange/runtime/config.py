"""Read a program's configuration: a TOML file, then the environment, then explicit overrides; later wins.

A misspelt security option must stop the start: every unknown key is refused, with the nearest known one. Secrets have
no place here, neither in the file nor in the environment, only the paths of private files that hold them.
Models are frozen and subclass Settings; each field's description is its line in docs/operations/configuration.md.
"""

import difflib
import json
import os
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from exchange.errors import BadInput, ConfigurationError
from exchange.limits import MIB

CONFIGURATION_BYTES = 1 * MIB

_NESTED = "__"
_SECRET = re.compile(r"(passphrase|password|token|secret)$")
_TABLE = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\-\" ]+?)\s*\]\]?")
_KEY = re.compile(r"\s*\"?([A-Za-z0-9_.\-]+)\"?\s*=")


class Section(BaseModel):
    """Base of a table within the configuration."""

    model_config = {"extra": "forbid", "frozen": True, "validate_default": True}


class Settings(BaseSettings):
    """Base of a program's whole configuration; load_config is the only reader of files and environment."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what load_config hands over, so that a model built in a test ignores the environment."""
        return (init_settings,)


S = TypeVar("S", bound=Settings)


def load_config(model: type[S], path: Path, *, env_prefix: str, overrides: Mapping[str, object] | None = None) -> S:
    """Return the configuration in `path`, changed by the environment, then by `overrides`.

    A variable is <env_prefix>KEY or <env_prefix>TABLE__KEY; `env_prefix` ends in an underscore. Overrides have the
    shape of the file; None is skipped.

    Raises:
        ConfigurationError: the file is missing or not TOML, a key is unknown or missing, a value does not fit, or a
            secret stands in the file or in the environment. `place` names the file and line, or the variable.
    """
    text, values = _read(path)
    _check_keys(model, values, lambda keys: _place(path, text, keys))
    environment = _environment(model, env_prefix)
    _merge(values, environment)
    _merge(values, _given(overrides or {}))
    try:
        return model(**values)
    except ValidationError as error:
        raise _explain(error, path, text, environment=environment, prefix=env_prefix) from None
    except BadInput as error:
        raise ConfigurationError(str(error), place=str(path), hint=error.hint) from error


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}", hint="`init` writes a first configuration; or check the path"
        ) from error
    if len(data) > CONFIGURATION_BYTES:
        raise ConfigurationError(f"{path} is longer than {CONFIGURATION_BYTES} bytes")
    try:
        text = data.decode()
        return text, tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"not TOML: {error}", place=str(path)) from error


def _environment(model: type[Settings], prefix: str) -> dict[str, Any]:
    """Return what the environment sets, after refusing every variable under the prefix that is no setting."""
    for variable in sorted(os.environ):
        if variable.upper().startswith(prefix.upper()):
            _check_variable(model, variable, variable[len(prefix) :].lower().split(_NESTED))
    source = EnvSettingsSource(model, case_sensitive=False, env_prefix=prefix, env_nested_delimiter=_NESTED)
    try:
        return dict(source())
    except ValueError as error:
        raise ConfigurationError(f"environment: {error}", hint="lists and tables are written as JSON there") from error


def _check_variable(model: type[Settings], variable: str, keys: list[str]) -> None:
    nested: dict[str, Any] = {}
    for key in reversed(keys):
        nested = {key: nested}
    _check_keys(model, nested, lambda _: f"environment variable {variable}")


def _check_keys(
    model: type[BaseModel], values: Mapping[str, Any], place: typing.Callable[[tuple[str, ...]], str]
) -> None:
    for keys, known in _unknown(model, values, ()):
        name = keys[-1]
        if _SECRET.search(name.lower()):
            raise ConfigurationError(
                f"{'.'.join(keys)}: a secret has no place in the configuration",
                place=place(keys),
                hint="put it into a private file (chmod 600) or a systemd credential, and name that file",
            )
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        raise ConfigurationError(
            f"unknown setting {'.'.join(keys)}",
            place=place(keys),
            hint=f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}",
        )


def _unknown(
    model: type[BaseModel], values: Mapping[str, Any], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield the path of each key that the model does not have, with the keys that it has there."""
    for key, value in values.items():
        field = model.model_fields.get(key)
        if field is None or _SECRET.search(key):
            yield (*above, key), list(model.model_fields)
            continue
        inner = _section_of(field.annotation)
        if inner is not None:
            for table in value if isinstance(value, list) else [value]:
                if isinstance(table, Mapping):
                    yield from _unknown(inner, table, (*above, key))


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the model within an annotation such as X, X | None, list[X] or tuple[X, ...]; Any because types are."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (list, tuple, typing.Union, types.UnionType, typing.Annotated):
        return next(filter(None, map(_section_of, typing.get_args(annotation))), None)
    return None


def _given(overrides: Mapping[str, object]) -> dict[str, Any]:
    return {
        key: _given(value) if isinstance(value, Mapping) else value
        for key, value in overrides.items()
        if value is not None
    }


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _place(path: Path, text: str, keys: tuple[str, ...]) -> str:
    """Return the file and, where a plain reading of the text finds the key, its line."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if heading := _TABLE.match(line):
            table = _dotted(heading.group(1))
            here = table
        elif assignment := _KEY.match(line):
            here = (*table, *_dotted(assignment.group(1)))
        else:
            continue
        if here[: len(keys)] == keys:
            return f"{path} line {number}"
    return str(path)


def _dotted(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip('"') for part in name.split("."))


def _explain(
    error: ValidationError, path: Path, text: str, *, environment: Mapping[str, Any], prefix: str
) -> ConfigurationError:
    """Say what was expected, without the value: somebody may have written a secret there."""
    first = error.errors(include_url=False, include_input=False)[0]
    keys = tuple(str(part) for part in first["loc"])
    name = ".".join(keys) or path.name
    if first["type"] == "missing":
        variable = (prefix + _NESTED.join(keys)).upper()
        return ConfigurationError(
            f"{name} is missing", place=str(path), hint=f"add it to {path.name}, or set {variable}"
        )
    if first["type"] == "extra_forbidden":
        return ConfigurationError(f"unknown setting {name}", hint="check the options of the command")
    named = tuple(part for part in keys if not part.isdigit())
    inside: Any = environment
    for key in named:
        inside = inside.get(key) if isinstance(inside, Mapping) else None
    place = (
        f"environment variable {(prefix + _NESTED.join(named)).upper()}"
        if inside is not None
        else _place(path, text, named)
    )
    return ConfigurationError(f"{name}: {first['msg']}", place=place)


def describe(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield each setting with its default as TOML-like text and its description, for docs and their test."""
    for name, field in model.model_fields.items():
        key = f"{above}{name}"
        inner = _section_of(field.annotation)
        if inner is not None:
            yield from describe(inner, f"{key}.")
            continue
        default = "required" if field.is_required() else _written(field.get_default(call_default_factory=True))
        yield key, default, field.description or ""


def _written(value: object) -> str:
    if value is None:
        return "none"
    return json.dumps(list(value) if isinstance(value, tuple | list) else value, default=str)
