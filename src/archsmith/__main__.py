"""`python -m archsmith`: the `archsmith` command."""

from archsmith.cli.main import main

main()
