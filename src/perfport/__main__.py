"""`python -m perfport` is the `perfport` command."""

from perfport.cli.app import main

if __name__ == "__main__":
    main()
