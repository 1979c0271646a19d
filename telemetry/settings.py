"""Settings: one frozen record a program, from defaults, a TOML file, the environment and flags.

Owns loading and checking. A later source overrides an earlier one: defaults, file, environment
(`FLEETGAUGE_<KEY>`), flags. Every problem is collected and reported at once as
`where:key: reason`, and nothing starts. The records themselves live with their programs: frozen
dataclasses, so that several can be combined by inheritance, whose fields carry their bounds and
their sentence as `msgspec.Meta`, from which `--help` is made.
"""

import argparse
import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from telemetry.errors import ConfigError

ENVIRONMENT_PREFIX = "FLEETGAUGE_"
FILE_BYTES_MAX = 1 << 20


class SettingsRecord(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


SettingsT = TypeVar("SettingsT", bound=SettingsRecord)


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """What every program has."""

    log_level: Annotated[
        str,
        msgspec.Meta(
            pattern="^(debug|info|warning|error)$",
            description="how much is logged: debug, info, warning or error",
        ),
    ] = "info"


def add_flags(parser: argparse.ArgumentParser, record: type[SettingsRecord]) -> None:
    """Add `--config` and one flag a setting, with its sentence and default as help."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="read settings from TOML")
    group = parser.add_argument_group(
        "settings", f"each may also stand in the file, or in {ENVIRONMENT_PREFIX}<NAME>"
    )
    for field in dataclasses.fields(record):
        shown = "" if field.default in (dataclasses.MISSING, "", None) else f" [{field.default}]"
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=_flag_name(field.name),
            metavar=field.name.rsplit("_", 1)[-1].upper(),
            help=(describe(record, field.name) + shown).replace("%", "%%"),
        )


def load(
    record: type[SettingsT], arguments: argparse.Namespace, environment: Mapping[str, str]
) -> SettingsT:
    """Make a `record` from every source.

    Args:
        record: the program's settings record.
        arguments: parsed flags, from a parser that `add_flags` has seen.
        environment: usually `os.environ`.

    Raises:
        ConfigError: with every problem of every source.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    hints = get_type_hints(record, include_extras=True)
    for where, key, raw, exact in _sources(record, arguments, environment, problems):
        if key not in hints:
            problems.append(f"{where}:{key}: there is no such setting")
            continue
        try:
            # Flags and variables are text, so "10" may become 10; a file says what it means.
            values[key] = msgspec.convert(raw, hints[key], strict=exact)
        except msgspec.ValidationError as error:
            problems.append(f"{where}:{key}: {error}")
    problems.extend(
        f"settings:{field.name}: must be given"
        for field in dataclasses.fields(record)
        if _required(field) and field.name not in values
    )
    if problems:
        raise ConfigError(problems)
    try:
        return record(**values)
    except ValueError as error:  # a record's own check, across its fields
        raise ConfigError([f"settings: {error}"]) from error


def describe(record: type[SettingsRecord], name: str) -> str:
    """Return the sentence that a setting carries."""
    for meta in _metas(get_type_hints(record, include_extras=True)[name]):
        if meta.description:
            return meta.description
    return ""


def _metas(annotation: object) -> Iterator[msgspec.Meta]:
    if get_origin(annotation) is Annotated:
        yield from (part for part in get_args(annotation) if isinstance(part, msgspec.Meta))


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _flag_name(key: str) -> str:
    return f"setting_{key}"


def _sources(
    record: type[SettingsRecord],
    arguments: argparse.Namespace,
    environment: Mapping[str, str],
    problems: list[str],
) -> Iterator[tuple[str, str, Any, bool]]:
    """Yield (where, key, raw value, whether its type is exact), weakest source first."""
    path: Path | None = getattr(arguments, "config", None)
    if path is not None:
        for key, value in _read_file(path, problems).items():
            yield str(path), key, value, True
    names = [field.name for field in dataclasses.fields(record)]
    for name in names:
        variable = ENVIRONMENT_PREFIX + name.upper()
        if variable in environment:
            yield variable, name, environment[variable], False
    for name in names:
        value = getattr(arguments, _flag_name(name), None)
        if value is not None:
            yield f"--{name.replace('_', '-')}", name, value, False


def _read_file(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            problems.append(f"{path}: larger than {FILE_BYTES_MAX} bytes")
            return {}
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path}: {error}")
    return {}
