"""The command `hotline`, also as `python -m hotline`."""

import gc


def main() -> None:
    """Load the command line and run it."""
    # What is loaded stays until the end. The collector would look through it again and again, a quarter of each start.
    gc.disable()
    from hotline.cli.main import main as run

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
