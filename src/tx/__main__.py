"""`python -m tx` is the `tx` command."""

from tx.cli.app import main

if __name__ == "__main__":
    main()
