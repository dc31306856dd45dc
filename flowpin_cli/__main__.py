"""`python -m flowpin_cli`: the command line `flowpin`, from a checkout."""

from flowpin_cli.cli import main

main()
