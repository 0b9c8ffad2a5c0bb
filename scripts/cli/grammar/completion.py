"""What bash and zsh complete a command line with. Names of what runs are read from a file that anybody may read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scripts.cli.grammar import tree
from scripts.cli.grammar.common import COMMON, FORMS, PROGRAM, common_of
from scripts.cli.grammar.leaf import Argument

ROOT = Path(__file__).resolve().parents[3]
NAMES_FILE = "/run/qslice.names"
"""A line of it is a kind and a name, such as ``slice enterprise-app``."""

BEFORE = f"""\
# What {PROGRAM} is completed with: options, actions, values, and the names of what runs ({NAMES_FILE}).
_qslice_of() {{
    case $1 in
"""
AFTER = f"""\
    *) return 1 ;;
    esac
}}
# _qslice_candidates WORD...: what may follow these words.
_qslice_candidates() {{
    local path= option= word= next=
    for word in "$@"; do
        if [ -n "$option" ]; then
            option=
        elif [ "$word" = -- ]; then
            return
        else
            case $word in
            -*) if _qslice_of "${{path:+$path }}$word" >/dev/null; then option=$word; fi ;;
            *) next="${{path:+$path }}$word"; if _qslice_of "$next" >/dev/null; then path=$next; fi ;;
            esac
        fi
    done
    _qslice_of "${{path:+$path}}${{option:+${{path:+ }}$option}}"
}}
_qslice_names() {{ sed -n "s/^$1 //p" {NAMES_FILE} 2>/dev/null; }}
"""
BASH = """\
_qslice() {
    local current=${COMP_WORDS[COMP_CWORD]} each
    COMPREPLY=()
    for each in $(_qslice_candidates "${COMP_WORDS[@]:1:COMP_CWORD-1}"); do
        case $each in
        @file) COMPREPLY+=($(compgen -f -- "$current")) ;;
        @folder) COMPREPLY+=($(compgen -d -- "$current")) ;;
        @*) COMPREPLY+=($(compgen -W "$(_qslice_names "${each#@}")" -- "$current")) ;;
        *) COMPREPLY+=($(compgen -W "$each" -- "$current")) ;;
        esac
    done
}
complete -o filenames -F _qslice qslice
"""
ZSH = """\
_qslice() {
    local each
    for each in ${(f)"$(_qslice_candidates "${(@)words[2,CURRENT-1]}" | tr ' ' '\\n')"}; do
        case $each in
        @file) _files ;;
        @folder) _files -/ ;;
        @*) compadd -- ${(f)"$(_qslice_names "${each#@}")"} ;;
        *) compadd -- "$each" ;;
        esac
    done
}
if [[ $funcstack[1] = _qslice ]]; then _qslice; else compdef _qslice qslice; fi
"""


def completion(shell: str) -> str:
    """The script for ``bash`` or ``zsh``, to be read by the shell when it starts."""
    head = "#compdef qslice\n" if shell == "zsh" else ""
    return head + BEFORE + "".join(_cases()) + AFTER + (ZSH if shell == "zsh" else BASH)


def _cases() -> Iterator[str]:
    options = [flag for each in COMMON for flag in each.flags]
    words: dict[str, list[str]] = {"": [*tree.COMMANDS, *options, "--help", "--version"]}
    values: dict[str, list[str]] = {}
    for leaf in tree.leaves():
        for path in leaf.paths:
            group, _, word = path.rpartition(" ")
            if group:
                words.setdefault(group, []).append(word)
            shown = [each for each in leaf.arguments if not each.is_hidden]
            flags = [flag for each in shown if each.is_option for flag in each.flags]
            places = [value for each in shown if not each.is_option for value in _values(each)]
            common = [flag for each in common_of(leaf) for flag in each.flags]
            words[path] = [*places, *flags, *common, "--help"]
            for each in shown:
                if each.is_option and each.takes_value:
                    values.update({f"{path} {flag}": _values(each) for flag in each.flags})
    yield f"    -o | --output | *' -o' | *' --output') echo {' '.join(FORMS)} ;;\n"
    yield "    --config | *' --config') echo @file ;;\n"
    yield "    --api | *' --api') ;;\n"
    for path, found in {**words, **values}.items():
        yield f"    '{path}') echo '{' '.join(dict.fromkeys(found))}' ;;\n"


def _values(each: Argument) -> list[str]:
    choices = each.options.get("choices")
    if choices:
        return [str(choice) for choice in choices]
    if each.names == "topology":
        return [*_shipped("topologies/catalog"), "@file"]
    if each.names == "experiment":
        return [*_shipped("scripts/experiments/scenarios"), "chaos", "@file"]
    return [f"@{each.names}"] if each.names else []


def _shipped(folder: str) -> list[str]:
    return sorted(file.stem for file in (ROOT / folder).glob("*.yaml"))
