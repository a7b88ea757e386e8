"""Help and shell completion: a typer app made from the same tables that argv.py reads. Nothing runs here.

The only user of typer, whose import costs several times what a cached build does.
"""

from __future__ import annotations

import inspect
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import typer

from builder.cli.commands import COMMANDS, command
from builder.cli.options import FLAG, HELP, PAIR, REPEAT, Command, Option
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ABOUT = """Build OCI images from Dockerfiles, without root and without a daemon.

rbuild [build] [OPTIONS] [CONTEXT] builds; the options below are those of build. CONTEXT is a directory,
the current one by default."""


def show(words: Sequence[str]) -> int:
    """Prints what `words` ask for: help, a completion script, or completions for a shell."""
    try:
        _app()(args=_asked(words), prog_name="rbuild")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0


def _asked(words: Sequence[str]) -> list[str]:
    if not words or words[0] != "help":
        return list(words)
    for name in words[1:2]:
        if command(name) is None:
            raise UsageError(f"no such command: {name}", hint="rbuild help lists the commands")
    return [*words[1:2], "--help"]


def _app() -> typer.Typer:
    app = typer.Typer(
        help=_ABOUT,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        subcommand_metavar="[COMMAND] [ARGS]...",
        context_settings={"help_option_names": list(HELP.names)[::-1]},
    )
    app.callback(invoke_without_command=True)(_stand_in(COMMANDS[0]._replace(operands="")))
    for each in COMMANDS:
        app.command(each.name, help=each.summary, epilog=_epilog(each))(_stand_in(each))
    return app


def _epilog(each: Command) -> str | None:
    names = sorted(option.names[0] for option in each.options if not option.supported)
    if not names:
        return None
    lines = wrap(" ".join(names), 76, break_on_hyphens=False)
    # The backspace is click's mark for a paragraph that is wrapped already.
    return "\n".join(["\b", "Known, and refused until they work:", *lines])


def _stand_in(each: Command) -> Callable[..., None]:
    """A function that does nothing, with the signature from which typer reads a command's options."""
    parameters = [_parameter(option) for option in each.options if option.supported and option is not HELP]
    if each.operands:
        metavar = typer.Argument(None, metavar=each.operands, show_default=False)
        parameters.append(_keyword("operands", list[str], metavar))

    def stand_in(**_: object) -> None:
        pass

    stand_in.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    stand_in.__annotations__ = {each.name: each.annotation for each in parameters}
    return stand_in


def _parameter(option: Option) -> inspect.Parameter:
    kind: Any = bool if option.kind == FLAG else list[str] if option.kind in (REPEAT, PAIR) else str
    declared = typer.Option(
        False if option.kind == FLAG else None,
        *option.names,
        help=option.help,
        metavar=None if option.kind == FLAG else "|".join(option.choices) or option.metavar,
        show_default=False,
        autocompletion=_completer(option.choices),
    )
    return _keyword(option.name.replace("-", "_"), kind, declared)


def _completer(choices: tuple[str, ...]) -> Callable[[str], list[str]] | None:
    if not choices:
        return None

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
