"""The `archsmith` command: finds a sub-command's module when it is called, and ends with its code.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 nothing meets the limits,
130 interrupted and resumable. Data goes to stdout, progress and warnings to stderr.
"""

import errno
import gc
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

import click

import archsmith.cli
from archsmith.errors import ArchsmithError, SearchInterrupted

_GC_THRESHOLD = 50_000


class _LazyGroup(click.Group):
    """Sub-commands are the modules beside this one; each exports `command`."""

    def list_commands(self, context: click.Context) -> list[str]:
        found = pkgutil.iter_modules(archsmith.cli.__path__)
        return sorted(m.name for m in found if m.name != "main" and not m.name.startswith("_"))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        found: click.Command = importlib.import_module(f"archsmith.cli.{name}").command
        return found

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            from archsmith.errors import did_you_mean

            known = self.list_commands(context)
            raise click.UsageError(f"{error.message} {did_you_mean(args[0], known)}") from None


@click.command(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="archsmith", prog_name="archsmith")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def group(*, debug: bool) -> None:
    """Design, train and hand over the best small language model that fits.

    Start with `archsmith suggest FOLDER` for an answer in seconds, or `archsmith init FOLDER`
    and `archsmith search search.toml` for a search.
    """
    if debug:
        os.environ["ARCHSMITH_DEBUG"] = "1"


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: run the command, print an error as one sentence, exit with its code."""
    # importing makes hundreds of thousands of objects that stay; looking through them takes time
    gc.set_threshold(_GC_THRESHOLD)
    try:
        given = None if arguments is None else list(arguments)
        group.main(args=given, prog_name="archsmith", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; the same command continues", err=True)
        sys.exit(130)
    except SearchInterrupted as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except ArchsmithError as error:
        if os.environ.get("ARCHSMITH_DEBUG"):
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if os.environ.get("ARCHSMITH_DEBUG"):
            raise
        where = f"{error.filename}: " if error.filename else ""
        hint = "; free some space, then the same command continues" if _is_full(error) else ""
        click.echo(f"error: {where}{error.strerror or error}{hint}", err=True)
        sys.exit(1)
