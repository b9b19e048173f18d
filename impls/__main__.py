"""`python -m impls`: this package's own commands of `gradrace`."""

from gradrace import main

if __name__ == "__main__":
    main("impls")
