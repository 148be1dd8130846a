"""``python -m purepipe``: the command line, for launchers that want a module."""

from purepipe.cli import main

if __name__ == "__main__":
    main()
