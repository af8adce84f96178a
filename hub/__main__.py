# SPDX-License-Identifier: Apache-2.0
"""Lets `python -m hub` stand for the program `throughcare-hub`."""

from hub.cli import main

main()
