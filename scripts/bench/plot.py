"""The options of `scripts/plot_load` (shell)."""

from pathlib import Path

import click

from .chart import svg
from .load_chart import panels, read

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, writable=True, path_type=Path))
def command(files: tuple[Path, ...], output: Path) -> int:
    """Draw latency and CPU against streams, from FILES that scripts/load_test --json wrote, as an SVG."""
    try:
        charts = panels(read([file.read_text(encoding="utf-8") for file in files]))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not charts:
        raise click.UsageError("no load in these files has latencies or CPU times")
    output.write_text(svg(charts), encoding="utf-8")
    return 0


def main() -> int:
    """Run the command with the process's arguments and return its exit code."""
    try:
        return int(command.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
