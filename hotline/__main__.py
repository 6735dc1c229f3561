"""`python -m hotline` is the command `hotline`."""

from hotline.cli.main import main

main()
