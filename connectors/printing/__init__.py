# SPDX-License-Identifier: Apache-2.0
"""Prints: a message or a whole matter as a page for the file, in an official language and script (PRT-1).

A print is one HTML page that needs nothing else: no script, no picture, nothing from anywhere. Its words are those of a
catalogue (`texts/*.toml`), and what somebody wrote stands in it as it was written.
"""
