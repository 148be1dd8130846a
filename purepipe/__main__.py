"""``purepipe`` and ``python -m purepipe``: the command line."""

import sys

from purepipe.commands import run_program


def main() -> None:
    """Entry point: run a program, or leave it to the command line with options."""
    run_program(sys.argv[1:])
    # Here, because the parser of options is not needed for programs and slow to import.
    from purepipe.cli import main as run_command

    run_command()


if __name__ == "__main__":
    main()
