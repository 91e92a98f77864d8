"""`python -m neurocore` is the command line."""

from neurocore.cli import main

if __name__ == "__main__":
    main()
