"""`python -m rltrain` is the same door as `rltrain`."""

from rltrain.cli import main

if __name__ == "__main__":
    main()
