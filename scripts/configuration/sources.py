"""Adapter: the configuration of this call, from its options, the environment and the file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.configuration.components import contradiction
from scripts.configuration.document import LISTED, Wrong, checked, parse_file
from scripts.configuration.setting import Place
from scripts.configuration.table import BY_NAME, SETTINGS
from scripts.configuration.values import DEFAULTS, Configuration, Entry, Origin, Source
from scripts.errors import WrongRequest
from scripts.extensions.naming import placed
from topologies.files import catalog_names, read_bytes
from topologies.files.located_yaml import YamlError, load_located
from topologies.files.problems import DocumentError, Problem, did_you_mean
from topologies.spec import TopologyError

FILE_VARIABLE = "QSLICE_CONFIG"
OPTION = "--config"
_OTHERS = "QSLICE_CALLER_"  # the launcher's, of variables that may be called anything


def configuration_file(option: str | None, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The file that is named, and what names it; None where none is."""
    if option is not None:
        return option, OPTION
    named = environment.get(FILE_VARIABLE)
    return (named, FILE_VARIABLE) if named else None


def read_configuration(
    file: str | None, options: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Configuration:
    """What is in force. ``options`` has the command line's by the settings' names; None: not given.

    Raises WrongRequest, which names the file and the line, the variable, or the option.
    """
    present = os.environ if environment is None else environment
    named = configuration_file(file, present)
    configuration = DEFAULTS
    if named is not None:
        try:
            configuration = configuration_of_file(named[0])
        except TopologyError as error:
            raise WrongRequest(f"{named[1]}: {error}") from error
    variables = _variables(present)
    configuration = configuration.with_entries({**variables, **_options(options)})
    problem = contradiction(configuration)
    if problem is not None:
        name = ".".join(map(str, problem.path))
        origin = configuration.entry(name).origin if name in BY_NAME else Origin()
        raise WrongRequest(f"{origin}: {problem}")
    return configuration


def configuration_of_file(file: str) -> Configuration:
    """What the file says, and else the defaults. TopologyError, of which DocumentError has all problems."""
    given = parse_file(read_bytes(Path(file)), file)
    entries = {
        name: Entry(_placed(name, value.value, Path(file).parent), Origin(Source.FILE, f"{file}:{value.line}"))
        for name, value in given.items()
    }
    configuration = Configuration(entries)
    problem = contradiction(configuration)
    if problem is not None:
        name = ".".join(map(str, problem.path))
        line = given[name].line if name in given else 1
        raise DocumentError(file, [Problem(problem.path, problem.message, problem.remedy, line)], LISTED)
    return configuration


def _placed(name: str, value: Any, folder: Path) -> Any:
    """A path is meant as seen from the file that says it."""
    place = BY_NAME[name].place
    is_topology = place is Place.TOPOLOGY
    if place is None or value is None or (is_topology and value in catalog_names()):
        return value
    if place is Place.USES:
        return [placed(text, folder.absolute()) for text in value]
    return str(folder.absolute() / value)


def _options(options: Mapping[str, Any]) -> dict[str, Entry]:
    found = {}
    for name, value in options.items():
        if value is not None:
            option = BY_NAME[name].option
            found[name] = Entry(_checked(name, value, option), Origin(Source.OPTION, option))
    return found


def _variables(environment: Mapping[str, str]) -> dict[str, Entry]:
    """What the environment sets. A variable that looks like a setting's and is none's is refused: it does nothing."""
    known = {setting.variable: setting for setting in SETTINGS}
    found = {}
    for variable, text in environment.items():
        is_ours = variable.startswith("QSLICE_") and not variable.startswith(_OTHERS)
        if variable in known:
            if text == "":  # as unset: `QSLICE_...= command`
                continue
            name = known[variable].name
            value = _placed(name, _checked(name, _scalar(variable, name, text), variable), Path())
            found[name] = Entry(value, Origin(Source.ENVIRONMENT, variable))
        elif is_ours and "__" in variable:
            raise WrongRequest(f"{variable}: there is no such setting: {did_you_mean(variable, known, 'variables')}")
    return found


def _scalar(variable: str, name: str, text: str) -> Any:
    """As it would be read in the file."""
    is_text = BY_NAME[name].is_text
    try:
        return load_located(text, lambda path: path == () and is_text)[0]
    except YamlError as error:
        raise WrongRequest(f"{variable}: {error}") from error


def _checked(name: str, value: Any, who: str) -> Any:
    try:
        return checked(name, value)
    except Wrong as error:
        problem = error.problems[0]
        raise WrongRequest(f"{who}: {problem.message}" + (f": {problem.remedy}" if problem.remedy else "")) from error
