"""`python -m portside.cli`: what the launcher runs."""

from portside.cli.main import main

main()
