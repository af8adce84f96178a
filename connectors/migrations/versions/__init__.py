# SPDX-License-Identifier: Apache-2.0
"""One module for each step; a released step is never edited."""
